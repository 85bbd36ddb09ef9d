"""One build of one view: what is missing in its table, computed and published as one version, or nothing at all."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import reduce
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from transformations.engine.business_days import (
    day_number,
    day_of_instant,
    day_of_number,
    instant_to_micros,
    others,
    start_of_day,
)
from transformations.engine.code_revision import code_revision
from transformations.engine.errors import DataError, UsageError
from transformations.engine.job import Folders, Written, buckets_for, run_job, run_small_job
from transformations.engine.offline_tables import EVENT_TIMESTAMP, OfflineTable, Run, TableVersion, table_schema
from transformations.engine.packets import packed
from transformations.engine.raw_zone import RawSnapshot, RawTable
from transformations.engine.resolution import Resolved
from transformations.engine.settings import Settings
from transformations.engine.sources import (
    carried_rows,
    counted,
    event_files,
    event_packets,
    event_schema,
    events,
    marks,
    spark_schema,
)
from transformations.engine.spark import parquet_rows, spark_session
from transformations.engine.storage import discard
from transformations.engine.sweep import FIRST_DAY, SweepPlan
from transformations.engine.taking_back import take_back
from validation.contracts import Contract

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Report = Callable[[str], None]

_MICROSECOND = timedelta(microseconds=1)
_FEW_ROWS, _FEW_BUCKETS = 1_000_000, 4
"""Up to so many rows every task reads all; more than so many tasks would read more than a shuffle writes."""


def build(
    resolved: Resolved,
    settings: Settings,
    *,
    first: date | None = None,
    last: date | None = None,
    report: Report | None = None,
) -> Run | None:
    """Bring a view's table up to where its sources are complete; None where nothing has changed.

    first, last: compute these as-of days again (both inclusive) instead. A table built under another definition is
    rebuilt. Days that are no longer complete are taken back. report: told in a few words what is being done. Raises
    DataError where a source was never ingested, UsageError for an impossible range, ConflictError where another run of
    the view publishes at the same time.
    """
    table = OfflineTable(settings.offline_dir / resolved.name)
    snapshots = source_snapshots(resolved, settings)
    tell = report or (lambda _: None)
    with table.writing():
        taken = _taken_back(resolved, settings, table, snapshots, tell) if first is None and last is None else None
        work = _planned(resolved, settings, table.latest(), snapshots, first, last)
        done = None if work is None else _performed(work, table, settings, tell)
        held = _taken_back(resolved, settings, table, snapshots, tell)
        runs = [run for run in (taken, done, held) if run is not None]
        return replace(runs[-1], kind=runs[0].kind, rows=sum(run.rows for run in runs)) if runs else None


def _taken_back(
    resolved: Resolved, settings: Settings, table: OfflineTable, snapshots: Mapping[str, RawSnapshot], report: Report
) -> Run | None:
    """Hold what the table knows of days after the last complete one to that day; None where it knows nothing."""
    latest, snapshot = table.latest(), snapshots[resolved.contract.name]
    if latest is None or resolved.contract.event_time is None or latest.run.definition_hash != resolved.hash:
        return None
    through = snapshot.complete_through or latest.run.first_as_of - timedelta(days=2)  # then no as-of day is left
    if latest.run.complete_through < through:
        return None  # a run to come covers more days
    return take_back(resolved, settings, table, through, snapshot.drops[-1].ingested_at, report)


def source_snapshots(resolved: Resolved, settings: Settings) -> dict[str, RawSnapshot]:
    """The newest version of every source; DataError naming the command where one was never ingested."""
    found = {}
    for contract in (resolved.contract, *resolved.lookups.values()):
        raw = RawTable(contract, settings.raw_dir)
        if not raw.exists():
            raise DataError(
                f"view {resolved.name}: its source {contract.name} has not been ingested. "
                f"Run `features ingest {contract.name} FILE` first."
            )
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
class _Work:
    """What one build has to do: the plan of every task, and what its run will be recorded as."""

    kind: str
    plan: SweepPlan
    resolved: Resolved
    snapshots: Mapping[str, RawSnapshot]
    before: Mapping[str, RawSnapshot]
    previous: TableVersion | None
    first_as_of: date
    complete_through: date
    sources: Mapping[str, int]

    @property
    def carries(self) -> bool:
        """Whether the run ends where the table ends, so that the next one can go on from it."""
        return self.kind != "backfill"


def _planned(
    resolved: Resolved,
    settings: Settings,
    previous: TableVersion | None,
    snapshots: Mapping[str, RawSnapshot],
    first: date | None,
    last: date | None,
) -> _Work | None:
    snapshot = snapshots[resolved.contract.name]
    end = complete_through(resolved, snapshot, settings)
    if end is None or not snapshot.parts:
        return None
    begin = day_of_number(min(part.first_day for part in snapshot.parts) + 1)
    if last is not None and last > end + timedelta(days=1):
        raise UsageError(
            f"{resolved.name}: --to {last} is after {end + timedelta(days=1)}, the last as-of day its source covers."
        )
    versions = {name: each.version for name, each in snapshots.items()}
    if previous is None or previous.run.definition_hash != resolved.hash:
        until = last or end + timedelta(days=1)
        start = max(first, begin) if first else begin
        if start > until:
            return None
        plan = SweepPlan(resolved, day_number(start) if first else None, day_number(until), True, None)
        kind = "first load" if previous is None else "rebuild"
        return _Work(kind, plan, resolved, snapshots, {}, previous, start, until - timedelta(days=1), versions)
    run = previous.run
    before = {
        name: RawTable(_contract(resolved, name), settings.raw_dir).snapshot(run.sources[name]) for name in snapshots
    }
    created = max(settings.now(), run.last_created + _MICROSECOND)
    if first is not None or last is not None:
        start, until = first or run.first_as_of, last or run.complete_through + timedelta(days=1)
        if start > until:
            raise UsageError(f"{resolved.name}: --from {start} is after --to {until}.")
        until = min(until, run.complete_through + timedelta(days=1))
        until = max(until, run.first_as_of - timedelta(days=1))  # no day between the range and the table stays unknown
        plan = SweepPlan(
            resolved,
            day_number(start),
            day_number(until),
            start < run.first_as_of,
            created,
            day_number(run.first_as_of),
        )
        first_as_of = min(start, run.first_as_of)
        return _Work("backfill", plan, resolved, before, {}, previous, first_as_of, run.complete_through, run.sources)
    advanced = end if resolved.contract.event_time else max(end, run.complete_through, previous.written_through)
    if versions == dict(run.sources) and (advanced == run.complete_through or resolved.contract.event_time is None):
        return None
    plan = SweepPlan(
        resolved,
        day_number(run.complete_through) + 2,
        day_number(advanced) + 1,
        False,
        created,
        carried_day=_carried_day(run, settings.offline_dir / resolved.name),
    )
    return _Work("incremental", plan, resolved, snapshots, before, previous, run.first_as_of, advanced, versions)


def _carried_day(run: Run, table: Path) -> int | None:
    """The as-of day of what the run carried over; None where nothing is, or what was is no longer there."""
    if run.carry is None or not (table / run.carry).is_dir():
        return None
    return day_number(run.complete_through) + 1


def _contract(resolved: Resolved, name: str) -> Contract:
    return resolved.contract if name == resolved.contract.name else resolved.lookups[name]


def _performed(work: _Work, table: OfflineTable, settings: Settings, report: Report) -> Run | None:
    started, clock = settings.now(), perf_counter()
    spark = spark_session(settings, report)
    run_id = uuid.uuid4().hex
    carry = _carried_from(work, table)
    folders = Folders(
        table.path, table.path / f"run={run_id}", table.path / f"carry={run_id}" if work.carries else None
    )
    written, late = _computed(work, spark, carry, folders, report)
    files = written.files
    report("publishing")
    run = Run(
        view=work.resolved.name,
        version=-1,
        run_id=run_id,
        kind=work.kind,
        started_at=started,
        seconds=round(perf_counter() - clock, 3),
        rows=sum(file.rows for file in files),
        definition_hash=work.resolved.hash,
        code_revision=code_revision(),
        first_as_of=work.first_as_of,
        complete_through=work.complete_through,
        sources=dict(work.sources),
        last_created=_last_created(work),
        late_entities=late,
        late_rows=written.late_rows,
        complete_until=_event_timestamp(work.resolved, work.complete_through + timedelta(days=1)),
        counts=dict(zip(counted(work.resolved), written.counts, strict=True)),
        carry=_carry(work, folders),
    )
    if not files and work.previous is not None and _same_state(run, work.previous.run):
        discard(table.path / f"carry={run_id}")
        return None
    after = None if work.previous is None else work.previous.version
    return table.publish(files, table_schema(work.resolved), run, after=after, replace_all=work.kind == "rebuild")


def _computed(
    work: _Work, spark: SparkSession, carry: Path | None, folders: Folders, report: Report
) -> tuple[Written, int]:
    """What the run wrote, and how many entities late or corrected events have touched."""
    from pyspark.sql import Observation, functions

    rows, late_until = _rows_to_read(work, carry), _late_until(work)
    buckets = buckets_for(rows, spark.sparkContext.defaultParallelism)
    known, late = _known_before(spark, work, buckets)
    report("computing")
    files = event_files(work.resolved, work.snapshots, work.plan.days, carry)
    if files is not None and not known and rows <= _FEW_ROWS:
        return run_small_job(work.plan, files, spark, min(buckets, _FEW_BUCKETS), folders, late_until), late
    observed = Observation()
    counts = counted(work.resolved)
    sums = [functions.sum(functions.get("counts", functions.lit(i))).alias(name) for i, name in enumerate(counts)]
    every = event_packets(spark, work.resolved, work.snapshots, work.plan.days, carry, buckets)
    packets = reduce(lambda left, right: left.union(right), known, every.observe(observed, *sums))
    written = run_job(work.plan, packets, buckets, folders, late_until)
    return replace(written, counts=[int(observed.get[name] or 0) for name in counts]), late


def _carry(work: _Work, folders: Folders) -> str | None:
    """What the run carries over itself, or what the one before it did."""
    if folders.carry is not None:
        return folders.carry.name
    return None if work.previous is None else work.previous.run.carry


def _carried_from(work: _Work, table: OfflineTable) -> Path | None:
    """The folder of what the run before carried over, where this one goes on from it."""
    if work.plan.carried_day is None or work.previous is None or work.previous.run.carry is None:
        return None
    return table.path / work.previous.run.carry


def _rows_to_read(work: _Work, carry: Path | None) -> int:
    """About so many events, and entities that something is carried over of."""
    parts = work.snapshots[work.resolved.contract.name].parts
    rows = sum(part.rows * part.share(work.plan.days) for part in parts)
    return int(rows) + (0 if carry is None else carried_rows(carry))


def _known_before(spark: SparkSession, work: _Work, buckets: int) -> tuple[list[DataFrame], int]:
    """Further packets to sweep, where there are any, and how many entities late or corrected events have touched.

    Of a touched entity, the stored rows are checked again, and from all its events; of the others, what the last run
    carried over stands for the older ones. Rows later than the last run covered are there only after a restore, or of
    days taken back: they are checked whosever they are.
    """
    if work.previous is None or work.kind == "rebuild":
        return [], 0
    keys = list(work.resolved.join_keys)
    files = work.previous.files

    def stored() -> DataFrame:
        return parquet_rows(spark, spark_schema(table_schema(work.resolved)), files)

    if work.kind == "backfill":
        until = _timestamp(work.resolved, day_of_number(work.plan.last_day))
        return [packed(stored().where(f"{EVENT_TIMESTAMP} <= {until}"), keys, "stored", buckets)], 0
    run, known = work.previous.run, []
    covered = _timestamp(work.resolved, run.complete_through + timedelta(days=1))
    if work.previous.written_through > run.complete_through:
        until = _timestamp(work.resolved, day_of_number(work.plan.last_day))
        later = stored().where(f"{EVENT_TIMESTAMP} > {covered} and {EVENT_TIMESTAMP} <= {until}")
        known.append(packed(later, keys, "stored", buckets))
    touched = marks(spark, work.resolved, work.before, work.snapshots, day_number(run.complete_through))
    count = 0 if touched is None else touched.cache().count()
    if touched is None or count == 0:
        return known, 0
    own = touched.select(*keys)
    if work.plan.carried_day is not None:
        older_days = others(range(FIRST_DAY, work.plan.last_day), work.plan.days)
        older = events(spark, work.resolved, work.snapshots, older_days)
        older = older.join(own, on=keys, how="left_semi").select(*event_schema(work.resolved).names)
        known.append(packed(older, keys, "events", buckets))
    again = stored().where(f"{EVENT_TIMESTAMP} <= {covered}").join(own, on=keys, how="left_semi")
    return [*known, packed(touched, keys, "marks", buckets), packed(again, keys, "stored", buckets)], count


def _late_until(work: _Work) -> int | None:
    """The event timestamp up to which the table was complete before an incremental run, in microseconds UTC."""
    if work.kind != "incremental" or work.previous is None:
        return None
    newest = work.previous.run.complete_through + timedelta(days=1)
    return instant_to_micros(_event_timestamp(work.resolved, newest))


def _timestamp(resolved: Resolved, as_of: date) -> str:
    """The event timestamp of rows as-of that day, as Spark's literal."""
    return f"timestamp'{_event_timestamp(resolved, as_of).isoformat()}'"


def _event_timestamp(resolved: Resolved, as_of: date) -> datetime:
    return start_of_day(as_of, resolved.zone) + resolved.definition.available_after


def _last_created(work: _Work) -> datetime:
    """An upper bound of the table's created timestamps: no row's event timestamp is later than the last as-of day's."""
    stamps = [
        _event_timestamp(work.resolved, day_of_number(work.plan.last_day)),
        work.plan.created,
        None if work.kind == "rebuild" or not work.previous else work.previous.run.last_created,
    ]
    return max(stamp for stamp in stamps if stamp is not None)


def _same_state(run: Run, previous: Run) -> bool:
    """Whether a run without rows leaves nothing to record."""
    return run.sources == previous.sources and run.complete_through == previous.complete_through
