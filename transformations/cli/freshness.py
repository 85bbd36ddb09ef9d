"""How far each view is: what its sources, offline table and online rows cover, and what brings them up to date."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from transformations.engine.build import complete_through
from transformations.engine.business_days import start_of_day
from transformations.engine.offline_tables import EVENT_TIMESTAMP, OfflineTable
from transformations.engine.raw_zone import RawSnapshot, RawTable
from transformations.engine.resolution import Resolved
from transformations.engine.settings import Settings

if TYPE_CHECKING:
    from feast import FeatureView

    from transformations.stores.rows.loaded import Loaded

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class State(StrEnum):
    """How a view stands, worst first; each but the last has a command that mends it."""

    SOURCE_MISSING = "source missing"
    SOURCE_INCOMPLETE = "no complete day"
    NOT_BUILT = "not built"
    REDEFINED = "redefined"
    BEHIND = "sources newer"
    NOT_APPLIED = "not applied"
    NOT_ONLINE = "online behind"
    UP_TO_DATE = "up to date"


@dataclass(frozen=True)
class OfflineFreshness:
    """A view's offline table.

    available_from: when the rows of its newest as-of day can be served. newest_row: the newest event timestamp there
    is, since rows are written only on change. sources: the raw versions it was built from. rows, size_bytes: of all
    its files.
    """

    version: int
    definition_hash: str
    first_as_of: date
    complete_through: date
    available_from: datetime
    newest_row: datetime | None
    sources: Mapping[str, int]
    rows: int
    size_bytes: int


@dataclass(frozen=True)
class ViewFreshness:
    """One view from its sources to Redis. command: what brings it one step further, None when it is up to date.

    sources: through which day each is complete; None for one that was not ingested, has no complete day, or no time.
    """

    view: str
    state: State
    command: str | None
    sources: Mapping[str, date | None]
    source_complete_through: date | None
    offline: OfflineFreshness | None
    online: Loaded | None


def view_freshness(
    resolved: Resolved, settings: Settings, view: FeatureView, registered: FeatureView | None, online: Loaded | None
) -> ViewFreshness:
    """The freshness of one view: as the repository has it, as Feast's registry has it, and as it was last loaded."""
    snapshots = raw_snapshots(resolved, settings)
    offline = offline_freshness(resolved, settings)
    events = snapshots[resolved.contract.name]
    through = None if events is None else complete_through(resolved, events, settings)
    state, command = (
        _missing(resolved, snapshots, through)
        or _unbuilt(resolved, snapshots, offline)
        or _unserved(resolved, settings, view, registered, offline, online)
    )
    sources = {name: None if each is None else each.complete_through for name, each in snapshots.items()}
    return ViewFreshness(resolved.name, state, command, sources, through, offline, online)


def raw_snapshots(resolved: Resolved, settings: Settings) -> dict[str, RawSnapshot | None]:
    """The newest raw version of every source of a view; None where nothing was ingested."""
    tables = [RawTable(contract, settings.raw_dir) for contract in (resolved.contract, *resolved.lookups.values())]
    return {table.contract.name: table.snapshot() if table.exists() else None for table in tables}


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
        definition_hash=run.definition_hash,
        first_as_of=run.first_as_of,
        complete_through=run.complete_through,
        available_from=newest + resolved.definition.available_after,
        newest_row=_newest_row(table),
        sources=dict(run.sources),
        rows=table_rows(table),
        size_bytes=sum(Path(file).stat().st_size for file in latest.files),
    )


def table_rows(table: OfflineTable) -> int:
    """The rows in a table's files: those of its runs from the last one that replaced everything."""
    rows = 0
    for run in table.runs():
        rows = run.rows if run.kind in ("first load", "rebuild") else rows + run.rows
    return rows


def common_moment(views: Sequence[tuple[Resolved, OfflineFreshness]]) -> datetime:
    """The moment for END, spine and request alike: the end of the newest business day that all these views have
    complete, plus the longest time that one of them takes to become available.
    """
    next_day = min(offline.complete_through for _, offline in views) + timedelta(days=1)
    return max(start_of_day(next_day, resolved.zone) + resolved.definition.available_after for resolved, _ in views)


def materialize_command(end: datetime, views: Iterable[str] = (), start: datetime = BEGINNING) -> str:
    """The Feast command that loads these views (without any: all) online."""
    words = ["feast", "-c", "feature_repo", "materialize", _moment(start), _moment(end)]
    return " ".join([*words, *(word for view in views for word in ("--views", view))])


def _moment(moment: datetime) -> str:
    """In whole seconds, rounded up: Feast's bound is inclusive."""
    whole = moment.astimezone(UTC).replace(microsecond=0)
    return (whole if whole == moment else whole + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%S")


_Standing = tuple[State, str | None]


def _missing(resolved: Resolved, snapshots: Mapping[str, RawSnapshot | None], through: date | None) -> _Standing | None:
    for source, snapshot in snapshots.items():
        if snapshot is None:
            return State.SOURCE_MISSING, f"features ingest {source} FILE"
    if through is None:
        return State.SOURCE_INCOMPLETE, f"features ingest {resolved.contract.name} FILE --complete-through DAY"
    return None


def _unbuilt(
    resolved: Resolved, snapshots: Mapping[str, RawSnapshot | None], offline: OfflineFreshness | None
) -> _Standing | None:
    command = f"features build {resolved.name}"
    if offline is None:
        return State.NOT_BUILT, command
    if offline.definition_hash != resolved.hash:
        return State.REDEFINED, command
    if any(snapshot and snapshot.version != offline.sources.get(name) for name, snapshot in snapshots.items()):
        return State.BEHIND, command
    return None


def _unserved(
    resolved: Resolved,
    settings: Settings,
    view: FeatureView,
    registered: FeatureView | None,
    offline: OfflineFreshness | None,
    online: Loaded | None,
) -> _Standing:
    from transformations.stores.views import DEFINITION_HASH

    assert offline is not None
    if registered is None or registered.tags.get(DEFINITION_HASH) != resolved.hash:
        return State.NOT_APPLIED, "feast -c feature_repo apply"
    if view.online and not _is_loaded(offline, online, settings.now()):
        return State.NOT_ONLINE, materialize_command(min(offline.available_from, settings.now()), [resolved.name])
    return State.UP_TO_DATE, None


def _is_loaded(offline: OfflineFreshness, online: Loaded | None, now: datetime) -> bool:
    """Whether the table's newest version was loaded, with every row of it that can be served by now."""
    if online is None or online.version != offline.version:
        return False
    return offline.newest_row is None or online.end >= min(offline.newest_row, now)


def _newest_row(table: OfflineTable) -> datetime | None:
    """The newest event timestamp by the files' statistics, which are in milliseconds and rounded up."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from transformations.engine.storage import open_table

    actions = pa.table(open_table(table.path).get_add_actions(flatten=True))
    column = f"max.{EVENT_TIMESTAMP}"
    if column not in actions.column_names:
        return None
    newest = pc.max(actions[column]).as_py()
    return None if newest is None else newest if newest.tzinfo else newest.replace(tzinfo=UTC)
