"""How far everything is: what each view's sources, offline table and online rows cover, and what brings them up to date."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from transformations.engine.business_days import start_of_day
from transformations.engine.build import complete_through
from transformations.engine.offline_tables import OfflineTable, TableVersion
from transformations.engine.raw_zone import RawSnapshot, RawTable
from transformations.engine.resolution import Resolved
from transformations.engine.settings import Settings

if TYPE_CHECKING:
    from feast import FeatureView

State = Literal["source missing", "not built", "changed", "behind", "not applied", "not online", "up to date"]

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class SourceFreshness:
    """One source of a view. complete_through: None also where a source without event time is always complete."""

    name: str
    ingested: bool
    always_complete: bool
    version: int | None
    complete_through: date | None


@dataclass(frozen=True)
class OfflineFreshness:
    """A view's offline table: newest version, the business days it covers, rows and bytes of all its files."""

    version: int
    kind: str
    first_as_of: date
    complete_through: date
    rows: int
    size_bytes: int
    definition_hash: str
    published_at: datetime
    newest_event: datetime


@dataclass(frozen=True)
class OnlineFreshness:
    """What Feast's registry records of a view. through: the end of its last materialization; None before the first."""

    definition_hash: str | None
    through: datetime | None
    recorded_at: datetime | None


@dataclass(frozen=True)
class ViewFreshness:
    """One view from its sources to Redis. command: what brings it one step further; None when it is up to date."""

    view: str
    state: State
    sources: tuple[SourceFreshness, ...]
    offline: OfflineFreshness | None
    online: OnlineFreshness | None
    command: str | None


def view_freshness(resolved: Resolved, settings: Settings, registered: FeatureView | None, is_online_empty: bool) -> ViewFreshness:
    """The freshness of one view. registered: the view as Feast's registry has it, None before `feast apply`."""
    sources = tuple(_source(resolved, name, settings) for name in resolved.source_names)
    offline = offline_freshness(resolved, settings)
    online = None if registered is None else _online(registered)
    state, command = _state(resolved, sources, offline, online, is_online_empty)
    return ViewFreshness(resolved.name, state, sources, offline, online, command)


def offline_freshness(resolved: Resolved, settings: Settings) -> OfflineFreshness | None:
    """What the view's offline table covers; None before its first build."""
    table = OfflineTable(settings.offline_dir / resolved.name)
    latest = table.latest()
    if latest is None:
        return None
    run = latest.run
    newest = start_of_day(run.complete_through + timedelta(days=1), resolved.zone)
    return OfflineFreshness(
        version=latest.version,
        kind=run.kind,
        first_as_of=run.first_as_of,
        complete_through=run.complete_through,
        rows=table_rows(table, latest),
        size_bytes=sum(Path(file).stat().st_size for file in latest.files),
        definition_hash=run.definition_hash,
        published_at=_published_at(table, latest),
        newest_event=newest + resolved.definition.available_after,
    )


def table_rows(table: OfflineTable, version: TableVersion) -> int:
    """The rows in a version's files: those of its runs since the last rebuild."""
    rows = 0
    for run in table.runs():
        if run.version <= version.version:
            rows = run.rows if run.kind in ("first load", "rebuild") else rows + run.rows
    return rows


def common_moment(views: Sequence[tuple[Resolved, OfflineFreshness]]) -> datetime:
    """The moment for END, spine and request alike: the end of the newest business day that all these views have
    complete, plus the longest time any of them takes to become available.
    """
    through = min(offline.complete_through for _, offline in views)
    return max(
        start_of_day(through + timedelta(days=1), resolved.zone) + resolved.definition.available_after
        for resolved, _ in views
    )


def materialize_command(end: datetime, views: Iterable[str] = (), start: datetime = BEGINNING) -> str:
    """The Feast command that loads these views (none: all) online."""
    moments = [moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S") for moment in (start, end)]
    words = ["feast", "-c", "feature_repo", "materialize", *moments]
    return shlex.join([*words, *(word for view in views for word in ("--views", view))])


def ingested(resolved: Resolved, settings: Settings) -> Mapping[str, RawSnapshot | None]:
    """The newest raw snapshot of every source of a view; None where nothing was ingested."""
    found: dict[str, RawSnapshot | None] = {}
    for contract in (resolved.contract, *resolved.lookups.values()):
        table = RawTable(contract, settings.raw_dir)
        found[contract.name] = table.snapshot() if table.exists() else None
    return found


def _source(resolved: Resolved, name: str, settings: Settings) -> SourceFreshness:
    contract = resolved.contract if name == resolved.contract.name else resolved.lookups[name]
    snapshot = ingested(resolved, settings)[name]
    return SourceFreshness(
        name=name,
        ingested=snapshot is not None,
        always_complete=contract.event_time is None,
        version=snapshot.version if snapshot else None,
        complete_through=snapshot.complete_through if snapshot else None,
    )
