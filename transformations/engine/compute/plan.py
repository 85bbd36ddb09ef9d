"""What a build of a view has to do: from what its table holds and what its sources deliver now to what tasks replay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from transformations.contracts import Contract
from transformations.engine.base.business_days import day_number, day_of_instant, day_of_number
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.moments import MICROSECOND
from transformations.engine.base.settings import Settings
from transformations.engine.compute.knowledge import Timeline, timeline
from transformations.engine.compute.replay import Replay
from transformations.engine.compute.sweep import SweepPlan
from transformations.engine.raw.zone import RawSnapshot, RawTable
from transformations.engine.tables.offline_tables import Run, TableVersion
from transformations.engine.vocabulary.resolution import Resolved


def source_snapshots(resolved: Resolved, settings: Settings) -> dict[str, RawSnapshot]:
    """The newest version of every source; DataError naming the command where one was never ingested."""
    found = {}
    for contract in (resolved.contract, *resolved.lookups.values()):
        raw = RawTable(contract, settings.raw_dir)
        if not raw.exists():
            raise DataError.not_ingested(contract.name, needed_by=f"view {resolved.name}")
        found[contract.name] = raw.snapshot()
    return found


def complete_through(resolved: Resolved, snapshot: RawSnapshot, settings: Settings) -> date | None:
    """The last business day that the view can cover: through which its source is complete.

    A source of records without event time holds until it is replaced: it is complete through the day before now. None:
    an event source of which no day is complete yet.
    """
    if resolved.contract.event_time is None:
        return day_of_instant(settings.now(), resolved.zone) - timedelta(days=1)
    return snapshot.complete_through


@dataclass(frozen=True)
class Work:
    """What one build has to do: what every task replays, and what its run will be recorded as.

    before: the sources before the first drop that the run replays; none where it replays none, or is not incremental.
    """

    kind: str
    replays: tuple[Replay, ...]
    line: Timeline
    resolved: Resolved
    snapshots: Mapping[str, RawSnapshot]
    before: Mapping[str, RawSnapshot] | None
    previous: TableVersion | None
    first_as_of: date
    complete_through: date

    @property
    def plan(self) -> SweepPlan:
        """Of the last stage, which all entities share."""
        return self.replays[-1].plan

    @property
    def is_replayed(self) -> bool:
        """Whether tasks need every version of their events, in place of the current ones."""
        return any(each.line is not None for each in self.replays)

    @property
    def first_replayed(self) -> int:
        """The first drop of the timeline that an incremental run has to replay."""
        return self.line.first_stage(self.plan.first_day or 0, self.replays[-1].new_from)

    @property
    def carries(self) -> bool:
        """Whether the run ends where the table ends, so that the next one can go on from it."""
        return self.kind != "backfill"


def planned(
    resolved: Resolved,
    settings: Settings,
    previous: TableVersion | None,
    snapshots: Mapping[str, RawSnapshot],
    first: date | None,
    last: date | None,
) -> Work | None:
    """The work of one build; None where there is nothing to do. first, last: see `build`."""
    snapshot = snapshots[resolved.contract.name]
    end = complete_through(resolved, snapshot, settings)
    if end is None or not snapshot.parts:
        return None
    begin = day_of_number(min(part.first_day for part in snapshot.parts) + 1)
    if last is not None and last > end + timedelta(days=1):
        raise UsageError(
            f"{resolved.name}: --to {last} is after {end + timedelta(days=1)}, the last as-of day its source covers."
        )
    line = timeline(resolved, snapshots)
    if previous is None or previous.run.definition_hash != resolved.hash:
        until = last or end + timedelta(days=1)
        start = max(first, begin) if first else begin
        if start > until:
            return None
        plan = SweepPlan(resolved, day_number(start) if first else None, day_number(until), True, None)
        kind = "first load" if previous is None else "rebuild"
        replays = (Replay(plan, line if line.replays(plan.first_day) else None),)
        return Work(kind, replays, line, resolved, snapshots, None, previous, start, until - timedelta(days=1))
    if first is not None or last is not None:
        return _backfill(resolved, settings, previous, first, last)
    run = previous.run
    advanced = end if resolved.contract.event_time else max(end, run.complete_through, previous.written_through)
    is_known = {name: each.version for name, each in snapshots.items()} == dict(run.sources)
    if is_known and (advanced == run.complete_through or resolved.contract.event_time is None):
        return None
    carried_day = _carried_day(run, settings.offline_dir / resolved.name)
    first_day, last_day = day_number(run.complete_through) + 2, day_number(advanced) + 1
    plan = SweepPlan(resolved, first_day, last_day, False, None, carried_day=carried_day)
    new_from = line.first_unknown_to(run.sources, snapshots)
    is_late = line.replays(first_day, new_from)
    before = None
    if is_late:
        versions = line.versions_before(line.first_stage(first_day, new_from), snapshots)
        before = _at(resolved, settings, versions)
    replays = (Replay(plan, line if is_late else None, new_from),)
    return Work("incremental", replays, line, resolved, snapshots, before, previous, run.first_as_of, advanced)


def _backfill(
    resolved: Resolved, settings: Settings, previous: TableVersion, first: date | None, last: date | None
) -> Work:
    """Days before the table's first, as they would have been built then; rows of its own days that are not true."""
    run = previous.run
    start, until = first or run.first_as_of, last or run.complete_through + timedelta(days=1)
    if start > until:
        raise UsageError(f"{resolved.name}: --from {start} is after --to {until}.")
    until = min(until, run.complete_through + timedelta(days=1))
    until = max(until, run.first_as_of - timedelta(days=1))  # no day between the range and the table stays unknown
    snapshots = _at(resolved, settings, run.sources)
    line = timeline(resolved, snapshots)
    begin, table_begins = day_number(start), day_number(run.first_as_of)
    replays: list[Replay] = []
    if begin < table_begins:
        earlier = SweepPlan(resolved, begin, table_begins - 1, True, None)
        replays.append(Replay(earlier, line if line.replays(begin) else None, reads_stored=False))
    created = max(settings.now(), run.last_created + MICROSECOND)
    replays.append(Replay(SweepPlan(resolved, begin, day_number(until), False, created), None))
    first_as_of = min(start, run.first_as_of)
    return Work(
        "backfill", tuple(replays), line, resolved, snapshots, None, previous, first_as_of, run.complete_through
    )


def _carried_day(run: Run, table: Path) -> int | None:
    """The as-of day of what the run carried over; None where nothing is, or what was is no longer there."""
    if run.carry is None or not (table / run.carry).is_dir():
        return None
    return day_number(run.complete_through) + 1


def _at(resolved: Resolved, settings: Settings, versions: Mapping[str, int]) -> dict[str, RawSnapshot]:
    """The sources at these versions."""
    return {
        name: RawTable(_contract(resolved, name), settings.raw_dir).snapshot(version)
        for name, version in versions.items()
    }


def _contract(resolved: Resolved, name: str) -> Contract:
    return resolved.contract if name == resolved.contract.name else resolved.lookups[name]
