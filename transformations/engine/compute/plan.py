"""What a build has to do, as values: a pure function of the table's newest version, the source versions and the clock.

    no table yet                            FirstLoad     every as-of day that the source covers
    a table of another definition           Rebuild       the same again
    --from or --to                          Backfill      earlier days, and rows of the table that are wrong
    newer drops, or further complete days   Incremental   the days since, and whatever late drops changed before them
    nothing new                             None

`run` performs them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import ClassVar, TypeAlias

from transformations.engine.base.business_days import day_number, day_of_instant, day_of_number
from transformations.engine.base.errors import UsageError
from transformations.engine.base.moments import MICROSECOND
from transformations.engine.compute.knowledge import FOREVER, Timeline, comes_in_order, timeline
from transformations.engine.compute.replay import Replay
from transformations.engine.compute.sweep import SweepPlan
from transformations.engine.raw.zone import RawSnapshot
from transformations.engine.tables.offline_tables import Run, TableVersion
from transformations.engine.vocabulary.resolution import Resolved

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Built:
    """A view's table as a build finds it. has_carry: whether its newest run's carried-over state is still there."""

    version: TableVersion
    has_carry: bool = True


@dataclass(frozen=True)
class AskedDays:
    """The as-of days, both inclusive, that a command asks to compute again; None: the table's own bound."""

    first: date | None = None
    last: date | None = None

    def __bool__(self) -> bool:
        return self.first is not None or self.last is not None


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What every kind of build has: the sources it reads, what each task replays, and the days the table will cover.

    first_as_of: the table's first as-of day afterwards. complete_through: its last business day afterwards.
    """

    kind: ClassVar[str]
    resolved: Resolved
    snapshots: Mapping[str, RawSnapshot]
    replays: tuple[Replay, ...]
    first_as_of: date
    complete_through: date

    @cached_property
    def line(self) -> Timeline:
        """The drops of the sources as they became known: it reads all of them, so only where one may be late."""
        return timeline(self.resolved, self.snapshots)

    @property
    def sweep(self) -> SweepPlan:
        """The plan of the last stage, which all entities share."""
        return self.replays[-1].plan

    @property
    def is_replayed(self) -> bool:
        """Whether tasks need every version of their events, not only the current ones."""
        return any(each.line is not None for each in self.replays)

    @property
    def source_rows(self) -> int:
        """The rows of all sources, superseded ones included."""
        return sum(snapshot.rows for snapshot in self.snapshots.values())

    @property
    def events_to_read(self) -> int:
        """Estimated input: events in the needed days."""
        files = self.snapshots[self.resolved.contract.name].stored
        return int(sum(file.rows * file.share(self.sweep.days) for file in files))


@dataclass(frozen=True, kw_only=True)
class FirstLoad(_Plan):
    """Every as-of day of a table that does not exist yet."""

    kind = "first load"


@dataclass(frozen=True, kw_only=True)
class Rebuild(_Plan):
    """Every as-of day again, replacing a table of another definition."""

    kind = "rebuild"
    previous: TableVersion


@dataclass(frozen=True, kw_only=True)
class Backfill(_Plan):
    """Days before the table's first, as they would have been built then, and corrections of its own rows."""

    kind = "backfill"
    previous: TableVersion


@dataclass(frozen=True, kw_only=True)
class Incremental(_Plan):
    """The days since the last run, and what late drops changed before them.

    before: the sources before the first drop that the run replays; None if it replays none.
    """

    kind = "incremental"
    previous: TableVersion
    before: Mapping[str, RawSnapshot] | None

    @property
    def first_replayed(self) -> int:
        """The first drop of the timeline to replay."""
        return self.line.first_stage(self.sweep.first_day or 0, self.replays[-1].new_from)

    @property
    def replayed_drops(self) -> tuple[int, ...]:
        """The late drops to replay."""
        return tuple(sorted(drop for drop in self.line.late if drop >= self.first_replayed))


BuildPlan: TypeAlias = FirstLoad | Rebuild | Backfill | Incremental


@dataclass(frozen=True)
class Estimate:
    """The expected cost of a build. events: to read; seconds: None without an earlier full run to go by."""

    events: int
    seconds: float | None


def plan_build(
    resolved: Resolved,
    snapshots: Mapping[str, RawSnapshot],
    built: Built | None,
    now: datetime,
    asked: AskedDays = AskedDays(),
) -> BuildPlan | None:
    """The plan of one build; None where there is nothing to do.

    Raises UsageError for days that the sources or the table cannot have.
    """
    snapshot = snapshots[resolved.contract.name]
    end = complete_through(resolved, snapshot, now)
    if end is None or not snapshot.stored:
        return None
    if asked.last is not None and asked.last > end + _DAY:
        raise UsageError(
            f"{resolved.name}: --to {asked.last} is after {end + _DAY}, the last as-of day its source covers."
        )
    if built is None or built.version.run.definition_hash != resolved.hash:
        return _plan_full(resolved, snapshots, built, end, asked)
    if asked:
        return _plan_backfill(resolved, snapshots, built.version, now, asked)
    return _plan_incremental(resolved, snapshots, built, end)


def estimate_cost(plan: BuildPlan, runs: Sequence[Run]) -> Estimate:
    """The expected cost of a build, from the seconds per event of the table's last full run."""
    full = next((run for run in reversed(runs) if run.replaces_all and run.counts.get("events")), None)
    seconds = None if full is None else full.seconds * plan.events_to_read / full.counts["events"]
    return Estimate(plan.events_to_read, seconds)


def complete_through(resolved: Resolved, snapshot: RawSnapshot, now: datetime) -> date | None:
    """The last business day that the view can cover: the day through which its source is complete.

    Records without event time hold until they are replaced, so such a source is complete through yesterday. None: an
    event source without a complete day.
    """
    if resolved.contract.event_time is None:
        return day_of_instant(now, resolved.zone) - _DAY
    return snapshot.complete_through


def _plan_full(
    resolved: Resolved, snapshots: Mapping[str, RawSnapshot], built: Built | None, end: date, asked: AskedDays
) -> FirstLoad | Rebuild | None:
    line = timeline(resolved, snapshots)
    begin = day_of_number(min(file.first_day for file in snapshots[resolved.contract.name].stored) + 1)
    start, until = max(asked.first or begin, begin), asked.last or end + _DAY
    if start > until:
        return None
    plan = SweepPlan(
        resolved=resolved,
        first_day=day_number(start) if asked.first else None,
        last_day=day_number(until),
        initial=True,
    )
    replays = (Replay(plan, line if line.replays(plan.first_day) else None),)
    if built is None:
        return FirstLoad(
            resolved=resolved,
            snapshots=snapshots,
            replays=replays,
            first_as_of=start,
            complete_through=until - _DAY,
        )
    return Rebuild(
        resolved=resolved,
        snapshots=snapshots,
        replays=replays,
        first_as_of=start,
        complete_through=until - _DAY,
        previous=built.version,
    )


def _plan_backfill(
    resolved: Resolved, newest: Mapping[str, RawSnapshot], previous: TableVersion, now: datetime, asked: AskedDays
) -> Backfill:
    run = previous.run
    start, until = asked.first or run.first_as_of, asked.last or run.complete_through + _DAY
    if start > until:
        raise UsageError(f"{resolved.name}: --from {start} is after --to {until}.")
    until = min(until, run.complete_through + _DAY)
    until = max(until, run.first_as_of - _DAY)  # no day between the range and the table stays unknown
    snapshots = {name: newest[name].at(version) for name, version in run.sources.items()}
    line = timeline(resolved, snapshots)
    begin, table_begins = day_number(start), day_number(run.first_as_of)
    replays: list[Replay] = []
    if begin < table_begins:
        earlier = SweepPlan(resolved=resolved, first_day=begin, last_day=table_begins - 1, initial=True)
        replays.append(Replay(earlier, line if line.replays(begin) else None, reads_stored=False))
    created = max(now, run.last_created + MICROSECOND)
    again = SweepPlan(resolved=resolved, first_day=begin, last_day=day_number(until), initial=False, created=created)
    return Backfill(
        resolved=resolved,
        snapshots=snapshots,
        replays=(*replays, Replay(again, None)),
        first_as_of=min(start, run.first_as_of),
        complete_through=run.complete_through,
        previous=previous,
    )


def _plan_incremental(
    resolved: Resolved, snapshots: Mapping[str, RawSnapshot], built: Built, end: date
) -> Incremental | None:
    previous, run = built.version, built.version.run
    has_times = resolved.contract.event_time is not None
    advanced = end if has_times else max(end, run.complete_through, previous.written_through)
    is_known = {name: each.version for name, each in snapshots.items()} == dict(run.sources)
    if is_known and (advanced == run.complete_through or not has_times):
        return None
    is_on_time = comes_in_order(resolved, snapshots)
    line = None if is_on_time else timeline(resolved, snapshots)
    new_from = FOREVER if line is None else line.first_unknown_to(run.sources, snapshots)
    first_day = day_number(run.complete_through) + 2
    plan = SweepPlan(
        resolved=resolved,
        first_day=first_day,
        last_day=day_number(advanced) + 1,
        initial=False,
        carried_day=first_day - 1 if run.carry is not None and built.has_carry else None,
    )
    before = None
    if line is None or not line.replays(first_day, new_from):
        line = None
    else:
        versions = line.versions_before(line.first_stage(first_day, new_from), snapshots)
        before = {name: snapshots[name].at(version) for name, version in versions.items()}
    return Incremental(
        resolved=resolved,
        snapshots=snapshots,
        replays=(Replay(plan, line, new_from),),
        first_as_of=run.first_as_of,
        complete_through=advanced,
        previous=previous,
        before=before,
    )
