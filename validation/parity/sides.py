"""The sides of a comparison: what is served, what training gives, and what the table holds, now and when loaded.

Three things are compared for each entity at one moment: what a lookup gives, what training retrieval gives, and what
the table holds, in the newest version and in the materialized one. So a difference is either due to the time since the
last materialization, or one of the two paths is at fault.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from feast import FeatureView, OnDemandFeatureView
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus

from transformations.engine.base.errors import DataError
from transformations.engine.base.moments import EVENT_TIMESTAMP
from transformations.engine.vocabulary.functions import REQUEST_TIMESTAMP
from transformations.stores.base.views import zone_of_views
from transformations.stores.history.history import History, history_of
from transformations.stores.redis.loaded import Loaded
from validation.parity.causes import Case, Load, Reason, Served, reason_of
from validation.parity.report import FeatureReport, Finding
from validation.parity.rows import Held, entities_of, held_at, histories_of, join_keys
from validation.parity.values import values_agree

if TYPE_CHECKING:
    from feast import FeatureStore

_ROWS_A_REQUEST = 1000


@dataclass(frozen=True)
class Sample:
    """Which entities are compared: `size` of a view's own, or all of them; the same ones for the same seed."""

    size: int | None = 1000
    seed: int = 0


@dataclass(frozen=True)
class Installation:
    """What is compared: a store, what its views were loaded from, when, and the values of request fields.

    answer: a lookup that was recorded at the moment, by full feature name, one entry a row of the entities. With one,
    no lookup is made, and tables are read at the versions that were loaded then.
    """

    store: FeatureStore
    loaded: Mapping[str, Loaded]
    moment: datetime
    _: KW_ONLY
    request: Mapping[str, object] = field(default_factory=dict)
    answer: Mapping[str, Sequence[Served]] | None = None
    _known: dict[str, Sides] = field(default_factory=dict, repr=False)

    def sides_of(self, view: FeatureView, entities: Sample | pa.Table) -> Sides:
        """`sides_of` for this installation; for a recorded lookup's rows, kept for the other views that ask."""
        if self.answer is None or isinstance(entities, Sample):
            return sides_of(self, view, entities)
        if view.name not in self._known:
            self._known[view.name] = sides_of(self, view, entities)
        return self._known[view.name]

    @property
    def versions(self) -> dict[str, int]:
        """The table versions that both paths read; empty: the newest."""
        loads = {} if self.answer is None else self.loaded
        return {view: load.version for view, load in loads.items() if load.version is not None}


@dataclass(frozen=True, kw_only=True)
class Sides:
    """A view's entities, and what each side holds for them. served: by feature, one value per entity."""

    entities: pa.Table
    load: Load
    promised: Held
    held: Held
    history: History | None
    served: Mapping[str, Sequence[Served]]
    training: pa.Table
    reasons: dict[tuple[str, int], Reason] = field(default_factory=dict)


class NotComparable(Exception):  # noqa: N818  # not an error: a view that this comparison leaves out
    """The reason why a view is left out."""


def sides_of(installation: Installation, view: FeatureView, entities: Sample | pa.Table) -> Sides:
    """Ask each side about a stored view, for these entities (a table with its join keys) or a sample of its own."""
    if not view.online:
        raise NotComparable("it is not online")
    if installation.answer is not None and view.name not in installation.versions:
        raise NotComparable("it was not loaded when the lookup was recorded")
    moment = installation.moment
    newest = newest_of(installation, view)
    load, then = _load_of(installation, view, newest)
    if isinstance(entities, Sample):
        entities = entities_of(view, [newest, *([then] if then else [])], entities.size, entities.seed)
    entities = entities.select(join_keys(view) or entities.column_names)
    references = [f"{view.name}:{feature.name}" for feature in view.features]
    end = load.end or moment
    held = held_at(view, newest, entities, moment)
    # Plain files have no versions: what was created after the run was not there for it.
    known_at = end if load.newest is None else None
    is_same = then is not None and then.version is not None and then.version == newest.version and end >= moment
    return Sides(
        entities=entities,
        load=load,
        promised=held if is_same else held_at(view, then, entities, min(end, moment), known_at),
        held=held,
        history=newest,
        served=look_up(installation, references, entities),
        training=retrieve(installation, references, entities),
    )


def stored_views(store: FeatureStore, view: FeatureView | OnDemandFeatureView) -> list[FeatureView]:
    """The stored views that a view's values come from: itself, or those that an on-demand view reads."""
    if isinstance(view, FeatureView):
        return [view]
    names = [projection.name for projection in view.source_feature_view_projections.values()]
    return [store.registry.get_feature_view(name, store.project, allow_cache=True) for name in names]


def newest_of(installation: Installation, view: FeatureView) -> History:
    """The view's table as it is now; for a recorded lookup, as it was loaded then."""
    try:
        return history_of(view, installation.store.config.repo_path, installation.versions.get(view.name))
    except DataError as error:
        raise NotComparable(str(error).removeprefix(f"{view.name}: ")) from error


def _load_of(installation: Installation, view: FeatureView, newest: History) -> tuple[Load, History | None]:
    """What a view was loaded from, and that version's history; None if it was never loaded, or was rebuilt since."""
    known = installation.loaded.get(view.name)
    if known is None:
        return Load(None, None, newest.version), None
    if known.version is None or newest.has_rows_of(known.version):
        return Load(known.version and newest.version, known.end, newest.version), newest
    try:
        then = history_of(view, installation.store.config.repo_path, known.version)
    except DataError:
        return Load(known.version, known.end, newest.version, was_rebuilt=True), None
    return Load(known.version, known.end, newest.version), then


def compare_stored(view: FeatureView, sides: Sides, installation: Installation) -> list[FeatureReport]:
    """Report on each feature of a stored view; `sides.reasons` keeps the reason for each difference."""
    moment = installation.moment
    differing = {feature.name: _differing_entities(sides, feature.name, installation) for feature in view.features}
    rows = sorted({row for found in differing.values() for row in found})
    histories = (
        dict(zip(rows, histories_of(view, sides.history, sides.entities.take(rows)), strict=True)) if rows else {}
    )
    zone = zone_of_views([view]) if rows else "UTC"
    reports = []
    for feature in view.features:
        report = FeatureReport(f"{view.name}:{feature.name}", sides.entities.num_rows)
        for row in differing[feature.name]:
            case = Case(
                feature=feature.name,
                row=row,
                moment=moment,
                served=sides.served[feature.name][row],
                training=sides.training[feature.name][row].as_py(),
                promised=sides.promised,
                held=sides.held,
                has_row=any(values[row].event for values in sides.served.values()),
                history=histories[row],
                load=sides.load,
                zone=zone,
            )
            reason = sides.reasons[feature.name, row] = reason_of(case)
            report.add(
                finding_of(
                    report.feature,
                    sides.entities,
                    row,
                    served=case.served,
                    training=case.training,
                    reason=reason,
                    zone=zone,
                )
            )
        reports.append(report)
    return reports


def _differing_entities(sides: Sides, feature: str, installation: Installation) -> list[int]:
    """The entities whose value differs between the paths, or whose status is not as owed.

    A recorded answer also differs where it is not what the materialized version held at its END: nothing was being
    loaded meanwhile that could have changed it.
    """
    served, moment = sides.served[feature], installation.moment
    agree = values_agree([each.value for each in served], sides.training[feature])
    statuses = np.array([each.status for each in served], dtype=object)
    owed = np.array([each.status for each in sides.held.column(feature, moment)], dtype=object)
    differs = ~agree | (statuses != owed)
    if installation.answer is not None:
        promised = sides.promised.column(feature, moment)
        differs |= np.array([not got.is_as(due) for got, due in zip(served, promised, strict=True)], dtype=np.bool_)
    return [int(row) for row in np.flatnonzero(differs)]


def look_up(installation: Installation, references: Sequence[str], rows: pa.Table) -> dict[str, list[Served]]:
    """The served values by short feature name: from plain Feast lookups, or as recorded."""
    if installation.answer is not None:
        names = {reference: reference.replace(":", "__") for reference in references}
        missing = [reference for reference, name in names.items() if name not in installation.answer]
        if missing:
            raise NotComparable(f"the recorded lookup did not ask for {', '.join(missing)}")
        return {each.partition(":")[2]: list(installation.answer[name]) for each, name in names.items()}
    served: dict[str, list[Served]] = {reference.partition(":")[2]: [] for reference in references}
    for first in range(0, rows.num_rows, _ROWS_A_REQUEST):
        some = rows.slice(first, _ROWS_A_REQUEST)
        entity_rows = [{**row, REQUEST_TIMESTAMP: installation.moment} for row in some.to_pylist()]
        response = installation.store.get_online_features(features=list(references), entity_rows=entity_rows)
        for name, found in read_answer(response).items():
            if name in served:
                served[name] += found
    return served


def read_answer(response: Any) -> dict[str, list[Served]]:
    """Each column of Feast's OnlineResponse, by the name that it has there; an entry a row."""
    values: dict[str, list[Any]] = response.to_dict()
    columns = zip(response.proto.metadata.feature_names.val, response.proto.results, strict=True)
    return {
        name: [
            Served(value, FieldStatus.Name(status), _event_of(stamp))
            for value, status, stamp in zip(values[name], vector.statuses, vector.event_timestamps, strict=True)
        ]
        for name, vector in columns
    }


def _event_of(stamp: Any) -> datetime | None:
    moment: datetime = stamp.ToDatetime(tzinfo=UTC)
    return moment if stamp.seconds or stamp.nanos else None


def retrieve(installation: Installation, references: Sequence[str], rows: pa.Table) -> pa.Table:
    """Training retrieval at the same moment, as corrected: Feast's default."""
    moments = pa.array([installation.moment] * rows.num_rows, pa.timestamp("us", tz="UTC"))
    spine: Any = rows.append_column(EVENT_TIMESTAMP, moments)
    with _tables_at(installation.store, installation.versions):
        return installation.store.get_historical_features(entity_df=spine, features=list(references)).to_arrow()


@contextmanager
def _tables_at(store: FeatureStore, versions: Mapping[str, int]) -> Iterator[None]:
    """Let training read these views at these versions in the meantime."""
    if not versions:
        yield
        return
    config = store.config.offline_store
    before, config.table_versions = config.table_versions, {**config.table_versions, **versions}
    try:
        yield
    finally:
        config.table_versions = before


def finding_of(
    feature: str, rows: pa.Table, row: int, *, served: Served, training: object, reason: Reason, zone: str
) -> Finding:
    """One difference, of the entity in this row; zone: in which its moments are told."""
    keys = {name: rows[name][row].as_py() for name in rows.column_names}
    kind, cause, words = reason
    return Finding(
        feature=feature,
        keys=keys,
        online=served.value,
        status=served.status,
        training=training,
        kind=kind,
        cause=cause,
        words=words,
        zone=zone,
    )
