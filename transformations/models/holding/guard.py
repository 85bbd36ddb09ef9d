"""Refuses to change or remove a definition that a model uses: the change goes into a new view and service beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from feast.protos.feast.core.FeatureService_pb2 import FeatureService as ServiceProto
from feast.protos.feast.core.FeatureView_pb2 import FeatureView as ViewProto
from feast.protos.feast.core.OnDemandFeatureView_pb2 import OnDemandFeatureView as OnDemandProto
from sqlalchemy import Connection, select
from sqlalchemy.sql.dml import Delete, Update

from transformations.engine.base.errors import DataError
from transformations.engine.base.settings import Settings, get_settings
from transformations.models.holding.definitions import Definitions, definitions_of
from transformations.models.log.event_log import EventLog

_FORMS: dict[str, tuple[str, type[ViewProto] | type[OnDemandProto] | type[ServiceProto]]] = {
    "feature_views": ("feature_view", ViewProto),
    "on_demand_feature_views": ("feature_view", OnDemandProto),
    "feature_services": ("feature_service", ServiceProto),
}
_MOST = 4
REMEDY = (
    "Leave them as they are, and put the change into a new view and a new version of the service beside them, from "
    "which the next version of the model learns; `features retire` says when the old ones are no longer needed."
)


def held(before: Definitions, after: Definitions, log: EventLog, settings: Settings) -> list[str]:
    """For each use of a model that the step from one set of definitions to another would break, a line in words.

    A definition that had been changed before is not held: no model that learned from the old one has it any more.
    """
    changed = {name for name, defined in before.features.items() if after.features.get(name) != defined}
    lost = {name: given - after.services.get(name, frozenset()) for name, given in before.services.items()}
    if not changed and not any(lost.values()):
        return []
    from transformations.models.holding.uses import uses

    lines = []
    for use in uses(log, settings):
        ours = [name for name, defined in use.features.items() if name in changed and before.features[name] == defined]
        gone = [name for name in ours if name not in after.features]
        other = [name for name in ours if name in after.features]
        withheld = sorted(use.given & lost.get(use.service, frozenset()) - set(gone))
        parts = [f"{_named(gone)} would be removed"] if gone else []
        parts += [f"{_named(other)} would be computed otherwise"] if other else []
        parts += [f"service {use.service} would no longer give {_named(withheld)}"] if withheld else []
        if parts:
            lines.append(f"{use} uses this: {'; '.join(parts)}")
    return lines


def refuse_held(before: Definitions, after: Definitions, log: EventLog, settings: Settings, outcome: str) -> None:
    """DataError for the uses that the step would break. outcome: what was not done."""
    if lines := held(before, after, log, settings):
        raise DataError("\n".join([*lines, f"{outcome} {REMEDY}"]))


def refuse_write(connection: Connection, statement: Update | Delete) -> None:
    """DataError for a statement on Feast's registry that would change or remove what a model uses.

    Feast writes one object a statement, whoever applies.
    """
    form = _FORMS.get(getattr(statement.table, "name", ""))
    if form is None:
        return
    given = statement.compile().params
    stem, kind = form
    name, project = _value(given, f"{stem}_name"), _value(given, "project_id")
    if project is None:
        return
    log = EventLog(project)
    if not log.models():
        return
    table = statement.table
    wanted = select(table.c[f"{stem}_proto"]).where(table.c.project_id == project)
    wanted = wanted if name is None else wanted.where(table.c[f"{stem}_name"] == name)
    stored = [kind.FromString(bytes(row[0])) for row in connection.execute(wanted)]
    written = given.get(f"{stem}_proto") if isinstance(statement, Update) else None
    if isinstance(statement, Update) and written is None:
        return
    new = [] if written is None else [kind.FromString(written)]
    outcome = f"{name or 'Nothing'} was not {'removed' if written is None else 'written to the registry'}."
    refuse_held(definitions_of(stored), definitions_of(new), log, get_settings(), outcome)


def _value(given: Mapping[str, Any], column: str) -> Any:
    """What a statement asks for in a column: the value that it sets, or else the one that it looks for."""
    return next((given[name] for name in (column, f"{column}_1") if given.get(name) is not None), None)


def _named(names: Iterable[str]) -> str:
    return ", ".join(_shortened(sorted(names)))


def _shortened(names: list[str]) -> Iterator[str]:
    yield from names[:_MOST]
    if len(names) > _MOST:
        yield f"{len(names) - _MOST} more"
