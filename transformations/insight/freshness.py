"""How far each view is: what its sources, offline table and online rows cover, and what brings them up to date."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from types import EllipsisType
from typing import TYPE_CHECKING

from transformations.engine.base import duck
from transformations.engine.base.business_days import day_of_instant, day_of_number, start_of_day
from transformations.engine.base.moments import EPOCH
from transformations.engine.base.settings import Settings
from transformations.engine.compute.plan import complete_through
from transformations.engine.raw.zone import RawSnapshot, RawTable
from transformations.engine.tables.offline_tables import OfflineTable, TableVersion
from transformations.engine.vocabulary.resolution import Resolved
from transformations.insight.table_rows_sql import newest_event_timestamp
from transformations.stores.base.source_paths import is_elsewhere
from transformations.stores.base.views import DEFINITION_HASH

if TYPE_CHECKING:
    from feast import FeatureView

    from transformations.stores.redis.loaded import Loaded


class State(StrEnum):
    """How a view stands, worst first; each but the last two has a command that mends it.

    A source is late against the freshness that its contract promises: what is missing has to be delivered first.
    """

    SOURCE_MISSING = "source missing"
    SOURCE_INCOMPLETE = "no complete day"
    NOT_BUILT = "not built"
    REDEFINED = "redefined"
    BEHIND = "sources newer"
    NOT_APPLIED = "not applied"
    NOT_ONLINE = "online behind"
    SOURCE_LATE = "source late"
    UP_TO_DATE = "up to date"


_Standing = tuple[State, str | None]


@dataclass(frozen=True, kw_only=True)
class OfflineFreshness:
    """A view's offline table.

    available_from: when the rows of its newest as-of day can be served. newest_row: the newest event timestamp that can
    be served by now, since rows are written only on change. sources: the raw versions it was built from. rows,
    size_bytes: of all its files. changed: the newest version that changed rows; those after it only merged files.
    """

    version: int
    changed: int
    definition_hash: str
    first_as_of: date
    complete_through: date
    available_from: datetime
    newest_row: datetime | None
    sources: Mapping[str, int]
    rows: int
    size_bytes: int

    def has_rows_of(self, version: int | None) -> bool:
        """Whether the table's rows are those of that version."""
        return version is not None and self.changed <= version <= self.version


@dataclass(frozen=True, kw_only=True)
class ViewFreshness:
    """One view from its sources to Redis. command: what brings it one step further, None when it is up to date.

    sources: through which day each is complete; None for one that was not ingested, has no complete day, or no time.
    lag_days: how many days have ended since the last complete one of its events; None where they have no time. late:
    the sources that break the freshness they promise, with how long ago their last complete day ended.
    """

    view: str
    state: State
    command: str | None
    sources: Mapping[str, date | None]
    source_complete_through: date | None
    offline: OfflineFreshness | None
    online: Loaded | None
    lag_days: int | None = None
    late: Mapping[str, timedelta] = field(default_factory=dict)


def view_freshness(
    resolved: Resolved, settings: Settings, view: FeatureView, registered: FeatureView | None, online: Loaded | None
) -> ViewFreshness:
    """The freshness of one view: as the repository has it, as Feast's registry has it, and as it was last loaded."""
    snapshots = raw_snapshots(resolved, settings)
    offline = offline_freshness(resolved, settings)
    events = snapshots[resolved.contract.name]
    through = None if events is None else complete_through(resolved, events, settings.now())
    now = settings.now()
    is_readable = registered is not None and not is_elsewhere(registered.batch_source, settings)
    hash_applied = registered.tags.get(DEFINITION_HASH) if registered is not None and is_readable else None
    late = _late_sources(resolved, snapshots, now)
    state, command = standing(
        resolved,
        snapshots,
        through,
        offline=offline,
        hash_applied=hash_applied,
        online=online if view.online else ...,
        now=now,
    )
    if state is State.UP_TO_DATE and late:
        state = State.SOURCE_LATE
    sources = {name: None if each is None else each.complete_through for name, each in snapshots.items()}
    lag = _lag_days(resolved, through, now) if events is not None else None
    return ViewFreshness(
        view=resolved.name,
        state=state,
        command=command,
        sources=sources,
        source_complete_through=through,
        offline=offline,
        online=online,
        lag_days=lag,
        late=late,
    )


def standing(
    resolved: Resolved,
    snapshots: Mapping[str, RawSnapshot | None],
    through: date | None,
    *,
    offline: OfflineFreshness | None,
    hash_applied: str | None,
    online: Loaded | EllipsisType | None,
    now: datetime,
) -> _Standing:
    """The state of a view and the command that brings it one step further, from what is known of it.

    online: what it was last loaded with; `...` where it is not offered online.
    """
    if missing := _missing_source(resolved, snapshots, through):
        return missing
    if offline is None:
        return State.NOT_BUILT, f"features build {resolved.name}"
    return _outdated_table(resolved, snapshots, offline, through) or _serving_state(
        resolved, offline, hash_applied, online, now
    )


def raw_snapshots(resolved: Resolved, settings: Settings) -> dict[str, RawSnapshot | None]:
    """The newest raw version of every source of a view; None for a source without a drop."""
    tables = [RawTable(contract, settings.raw_dir) for contract in (resolved.contract, *resolved.lookups.values())]
    return {table.contract.name: table.snapshot() if table.exists() else None for table in tables}


def offline_freshness(resolved: Resolved, settings: Settings) -> OfflineFreshness | None:
    """What the view's offline table covers; None before its first build."""
    table = OfflineTable(settings.offline_dir / resolved.name)
    latest = table.latest()
    if latest is None:
        return None
    run = latest.run
    return OfflineFreshness(
        version=latest.version,
        changed=run.version,
        definition_hash=run.definition_hash,
        first_as_of=run.first_as_of,
        complete_through=run.complete_through,
        available_from=resolved.available_from(run.complete_through + timedelta(days=1)),
        newest_row=_newest_row(latest, settings.now()),
        sources=dict(run.sources),
        rows=latest.rows,
        size_bytes=latest.size_bytes,
    )


def common_moment(views: Sequence[tuple[Resolved, OfflineFreshness]]) -> datetime:
    """The moment for END, spine and request alike: the end of the newest business day that all these views have
    complete, plus the longest time that one of them takes to become available.
    """
    next_day = min(offline.complete_through for _, offline in views) + timedelta(days=1)
    return max(resolved.available_from(next_day) for resolved, _ in views)


def materialize_command(end: datetime, views: Iterable[str] = (), start: datetime = EPOCH) -> str:
    """The Feast command that loads these views (without any: all) online."""
    words = ["feast", "-c", "feature_repo", "materialize", _whole_second_text(start), _whole_second_text(end)]
    return " ".join([*words, *(word for view in views for word in ("--views", view))])


def _whole_second_text(moment: datetime) -> str:
    """In whole seconds, rounded up: Feast's bound is inclusive."""
    whole = moment.astimezone(UTC).replace(microsecond=0)
    return (whole if whole == moment else whole + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%S")


def _missing_source(
    resolved: Resolved, snapshots: Mapping[str, RawSnapshot | None], through: date | None
) -> _Standing | None:
    ingested = {source: snapshot for source, snapshot in snapshots.items() if snapshot is not None}
    for source in snapshots:
        if source not in ingested:
            return State.SOURCE_MISSING, f"features ingest {source} FILE"
    files = ingested[resolved.contract.name].stored
    first = min((day_of_number(file.first_day) for file in files), default=None)
    if through is None or first is None or through < first:  # no build has anything to compute yet
        return State.SOURCE_INCOMPLETE, f"features ingest {resolved.contract.name} FILE --complete-through DAY"
    return None


def _outdated_table(
    resolved: Resolved,
    snapshots: Mapping[str, RawSnapshot | None],
    offline: OfflineFreshness,
    through: date | None,
) -> _Standing | None:
    command = f"features build {resolved.name}"
    if offline.definition_hash != resolved.hash:
        return State.REDEFINED, command
    if any(snapshot and snapshot.version != offline.sources.get(name) for name, snapshot in snapshots.items()):
        return State.BEHIND, command
    if resolved.contract.event_time and through != offline.complete_through:
        return State.BEHIND, command
    return None


def _serving_state(
    resolved: Resolved,
    offline: OfflineFreshness,
    hash_applied: str | None,
    online: Loaded | EllipsisType | None,
    now: datetime,
) -> _Standing:
    if hash_applied != resolved.hash:
        return State.NOT_APPLIED, "feast -c feature_repo apply"
    if online is not ... and not _is_loaded(offline, online, now):
        return State.NOT_ONLINE, materialize_command(end_of_load([offline], now), [resolved.name])
    return State.UP_TO_DATE, None


def end_of_load(views: Iterable[OfflineFreshness], now: datetime, moment: datetime | None = None) -> datetime:
    """The END that loads all that these views have for now: each one's newest row, and the moment, where it is past."""
    ends = [end for view in views for end in (view.newest_row, None if moment else view.available_from) if end]
    return min(max([*ends, moment] if moment else ends), now)


def _is_loaded(offline: OfflineFreshness, online: Loaded | None, now: datetime) -> bool:
    """Whether the table's newest version was loaded, with every row of it that can be served by now."""
    if online is None or not offline.has_rows_of(online.version):
        return False
    return offline.newest_row is None or online.end >= min(offline.newest_row, now)


def _lag_days(resolved: Resolved, through: date | None, now: datetime) -> int | None:
    """The days that have ended since the last complete one."""
    if resolved.contract.event_time is None or through is None:
        return None
    return (day_of_instant(now, resolved.zone) - through).days - 1


def _late_sources(
    resolved: Resolved, snapshots: Mapping[str, RawSnapshot | None], now: datetime
) -> dict[str, timedelta]:
    """The sources whose last complete day ended longer ago than they promise, and how long ago."""
    late = {}
    for contract in (resolved.contract, *resolved.lookups.values()):
        snapshot = snapshots[contract.name]
        if contract.freshness is None or snapshot is None or snapshot.complete_through is None:
            continue
        age = now - start_of_day(snapshot.complete_through + timedelta(days=1), contract.business_day_zone)
        if age > contract.freshness:
            late[contract.name] = timedelta(minutes=age // timedelta(minutes=1))
    return late


def _newest_row(latest: TableVersion, now: datetime) -> datetime | None:
    """The newest event timestamp that is not later than now: by the files' statistics, or else by the rows."""
    if latest.newest_event is None or latest.newest_event <= now:
        return latest.newest_event
    with duck.session() as connection:
        found: datetime | None = connection.execute(newest_event_timestamp(latest.files, now)).fetchall()[0][0]
        return None if found is None else found.astimezone(UTC)
