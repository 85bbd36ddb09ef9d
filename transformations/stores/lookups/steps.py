"""Online reads in steps: a generator yields what to read from Redis, is sent the values, and returns the answer.

So each read is written once, and driven by a blocking loop (`reads.Reader.run`) or an asynchronous one
(`reads.run_async`).
"""

from __future__ import annotations

from collections.abc import Sequence

from feast import FeatureView
from feast.protos.feast.types.EntityKey_pb2 import EntityKey

from transformations.engine.base.errors import FeaturesError
from transformations.stores.base.errors import DamagedRowError
from transformations.stores.lookups.lookup import EntityRows, lookup_of
from transformations.stores.lookups.plans import Plan, UnknownSchemaError
from transformations.stores.lookups.response import PackedResponse
from transformations.stores.redis.catalogue import Catalog, catalog_steps, epoch_key
from transformations.stores.redis.feast_rows import Found, found_rows
from transformations.stores.redis.reads import Steps
from transformations.stores.rows.keys import tag_or_nobody

ATTEMPTS = 5


class Catalogs:
    """The catalogue of each project as this process last read it."""

    def __init__(self) -> None:
        self._known: dict[str, Catalog] = {}

    def find(self, project: str) -> Catalog | None:
        """The catalogue, if it was read or written before."""
        return self._known.get(project)

    def keep(self, project: str, catalog: Catalog) -> None:
        """Keep what was just read."""
        self._known[project] = catalog

    def is_of(self, project: str, epoch: bytes | None) -> bool:
        """Whether the catalogue that is kept is the one of this epoch."""
        known = self._known.get(project)
        return known is not None and known.epoch == epoch

    def read(self, project: str) -> Steps[Catalog]:
        """Read the catalogue anew, and keep it."""
        catalog = self._known[project] = yield from catalog_steps(project)
        return catalog


def look_up(
    plan: Plan, entity_rows: EntityRows, catalogs: Catalogs, project: str, with_versions: bool
) -> Steps[PackedResponse]:
    """Answers a request in one step, unless the catalogue has changed since it was last read.

    DamagedRowError for a value that is no intact row of its view; other errors as `lookup_of`.
    """
    lookup = lookup_of(plan, entity_rows)
    epoch, has_unknown_schema = epoch_key(project), False
    catalog = catalogs.find(project) or (yield from catalogs.read(project))
    for _ in range(ATTEMPTS):
        values = yield lookup.keys(epoch, catalog)
        if values[0] == catalog.epoch:
            try:
                return lookup.answer(values, catalog, with_versions)
            except UnknownSchemaError:  # on a cluster, epoch and rows are not read at one moment
                if has_unknown_schema:
                    lookup.refuse_damaged(values, catalog)
                has_unknown_schema = True
        catalog = yield from catalogs.read(project)
    raise too_many_changes(project)


def read_rows(
    view: FeatureView,
    name: str,
    entities: Sequence[EntityKey],
    wanted: Sequence[str] | None,
    catalogs: Catalogs,
    project: str,
) -> Steps[list[Found]]:
    """Each entity's row as Feast's `online_read` returns it. name: the view's catalogue name. Errors: as `look_up`."""
    epoch, damaged = epoch_key(project), None
    catalog = catalogs.find(project) or (yield from catalogs.read(project))
    for _ in range(ATTEMPTS):
        table = catalog.tables.get(name)
        keys = [] if table is None else [tag_or_nobody(entity) + table.number for entity in entities]
        values = yield [epoch, *keys]
        if values[0] == catalog.epoch:
            try:
                return found_rows(view, table, entities, values[1:], wanted)
            except DamagedRowError as error:
                if damaged:
                    raise
                damaged = error
        catalog = yield from catalogs.read(project)
    raise too_many_changes(project)


def too_many_changes(project: str) -> FeaturesError:
    """The error for a catalogue that keeps changing under a request."""
    return FeaturesError(
        f"The online store's catalogue of {project} changed {ATTEMPTS} times during one request. Find what writes to "
        f"{{features}}:* in Redis; `feast apply` and materializations do, a few times each."
    )
