"""One build of one view: what is missing in its table, computed and published as one version, or nothing at all."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import reduce
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from transformations.engine.base.business_days import day_of_number, others, start_of_day
from transformations.engine.base.moments import EVENT_TIMESTAMP, instant_to_micros, micros_to_instant
from transformations.engine.base.settings import Settings
from transformations.engine.base.storage import discard
from transformations.engine.compute.job import Folders, Written, buckets_for, run_in_process, run_job, run_small_job
from transformations.engine.compute.packets import packed
from transformations.engine.compute.plan import Work, complete_through, planned, source_snapshots
from transformations.engine.compute.readings import Files, Narrowing
from transformations.engine.compute.replay import Replay
from transformations.engine.compute.sources import (
    carried_rows,
    counted,
    event_packets,
    event_schema,
    few_files,
    marks,
    spark_schema,
    version_events,
)
from transformations.engine.compute.spark import parquet_rows, spark_session
from transformations.engine.compute.sweep import FIRST_DAY
from transformations.engine.compute.taking_back import take_back
from transformations.engine.identity.code_revision import code_revision
from transformations.engine.raw.zone import RawSnapshot
from transformations.engine.tables.offline_tables import OfflineTable, Run, table_schema
from transformations.engine.vocabulary.resolution import Resolved

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["Report", "build", "complete_through", "source_snapshots"]

Report = Callable[[str], None]

_FEW_ROWS, _FEW_BUCKETS = 1_000_000, 4
"""Up to so many rows every task reads all; more than so many tasks would read more than a shuffle writes."""
_FEW_ROWS_IN_PROCESS = 3_000_000
"""Up to so many rows of source and table, late events are replayed here: a correction of 182 of 308,000 events is
written in the time that Spark needs to start the first load's tasks. They take some 100 bytes each.
"""


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
        work = planned(resolved, settings, table.latest(), snapshots, first, last)
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


def _performed(work: Work, table: OfflineTable, settings: Settings, report: Report) -> Run | None:
    started, clock = settings.now(), perf_counter()
    run_id = uuid.uuid4().hex
    carry = _carried_from(work, table)
    folders = Folders(
        table.path, table.path / f"run={run_id}", table.path / f"carry={run_id}" if work.carries else None
    )
    written = _computed(work, settings, carry, folders, report)
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
        feature_hashes=dict(work.resolved.feature_hashes),
        code_revision=code_revision(),
        first_as_of=work.first_as_of,
        complete_through=work.complete_through,
        sources={name: each.version for name, each in work.snapshots.items()},
        last_created=_last_created(work, written),
        late_entities=written.late_entities,
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


def _computed(work: Work, settings: Settings, carry: Path | None, folders: Folders, report: Report) -> Written:
    """What the run wrote."""
    narrowing = _narrowing(work, carry)
    if narrowing is not None and _all_rows(work) <= _FEW_ROWS_IN_PROCESS:
        report("computing")
        return run_in_process(work.replays, _files(work, carry, narrowing), folders, _late_until(work))
    return _computed_on_spark(work, spark_session(settings, report), carry, folders, report)


def _computed_on_spark(
    work: Work, spark: SparkSession, carry: Path | None, folders: Folders, report: Report
) -> Written:
    from pyspark.sql import Observation, functions

    report("computing")
    late_until = _late_until(work)
    if _all_rows(work) <= _FEW_ROWS:
        if work.is_replayed:
            carry = None
        buckets = min(spark.sparkContext.defaultParallelism, _FEW_BUCKETS)
        files = _files(work, carry, None)
        return run_small_job(_replays(work, carry), files, spark, buckets, folders, late_until)
    buckets = buckets_for(_rows_to_read(work, carry), spark.sparkContext.defaultParallelism)
    known = _known_before(spark, work, buckets)
    observed = Observation()
    counts = counted(work.resolved)
    sums = [functions.sum(functions.get("counts", functions.lit(i))).alias(name) for i, name in enumerate(counts)]
    line = work.line if work.is_replayed else None
    every = event_packets(spark, work.resolved, work.snapshots, work.plan.days, carry, buckets, line)
    packets = reduce(lambda left, right: left.union(right), known, every.observe(observed, *sums))
    written = run_job(work.replays, packets, buckets, folders, late_until)
    return replace(written, counts=[int(observed.get[name] or 0) for name in counts])


def _files(work: Work, carry: Path | None, narrowing: Narrowing | None) -> Files:
    """What a run of few rows reads."""
    return few_files(
        work.resolved,
        work.snapshots,
        work.line,
        _days(work, carry),
        carry,
        _stored_files(work),
        work.is_replayed,
        narrowing,
    )


def _replays(work: Work, carry: Path | None) -> tuple[Replay, ...]:
    """What tasks replay that are given all events where nothing is carried over."""
    if carry is not None:
        return work.replays
    return tuple(replace(each, plan=replace(each.plan, carried_day=None)) for each in work.replays)


def _narrowing(work: Work, carry: Path | None) -> Narrowing | None:
    """To the entities that something late has touched, where a run goes on from what the others carried over."""
    if carry is None or not work.is_replayed:
        return None
    return Narrowing(
        drops=sorted(drop for drop in work.line.late if drop >= work.first_replayed),
        complete_day=work.line.last_complete_before_late(),
        days=work.plan.days,
        covered=_late_until(work) or 0,
    )


def _days(work: Work, carry: Path | None) -> tuple[range, ...]:
    return _replays(work, carry)[-1].plan.days


def _all_rows(work: Work) -> int:
    """The rows of all sources and of the table."""
    stored = 0 if work.previous is None else work.previous.rows
    return stored + sum(snapshot.rows for snapshot in work.snapshots.values())


def _stored_files(work: Work) -> tuple[str, ...]:
    """The table's files where their rows are to be checked, of some entities at least."""
    if work.previous is None or work.kind == "rebuild":
        return ()
    is_beyond = work.previous.written_through > work.previous.run.complete_through
    is_checked = work.kind == "backfill" or work.is_replayed or is_beyond
    return work.previous.files if is_checked else ()


def _carry(work: Work, folders: Folders) -> str | None:
    """What the run carries over itself, or what the one before it did."""
    if folders.carry is not None:
        return folders.carry.name
    return None if work.previous is None else work.previous.run.carry


def _carried_from(work: Work, table: OfflineTable) -> Path | None:
    """The folder of what the run before carried over, where this one goes on from it."""
    if work.plan.carried_day is None or work.previous is None or work.previous.run.carry is None:
        return None
    return table.path / work.previous.run.carry


def _rows_to_read(work: Work, carry: Path | None) -> int:
    """About so many events, and entities that something is carried over of."""
    parts = work.snapshots[work.resolved.contract.name].parts
    rows = sum(part.rows * part.share(work.plan.days) for part in parts)
    return int(rows) + (0 if carry is None else carried_rows(carry))


def _known_before(spark: SparkSession, work: Work, buckets: int) -> list[DataFrame]:
    """Further packets to sweep, where there are any.

    Of a touched entity, the stored rows are checked again, and from all its events; of the others, what the last run
    carried over stands for the older ones. Rows later than the last run covered are there only after a restore, or of
    days taken back: they are checked whosever they are.
    """
    if work.previous is None or work.kind == "rebuild":
        return []
    keys = list(work.resolved.join_keys)
    files = work.previous.files

    def stored() -> DataFrame:
        return parquet_rows(spark, spark_schema(table_schema(work.resolved)), files)

    if work.kind == "backfill":
        until = _timestamp(work.resolved, day_of_number(work.plan.last_day))
        return [packed(stored().where(f"{EVENT_TIMESTAMP} <= {until}"), keys, "stored", buckets)]
    run, known = work.previous.run, []
    covered = _timestamp(work.resolved, run.complete_through + timedelta(days=1))
    if work.previous.written_through > run.complete_through:
        until = _timestamp(work.resolved, day_of_number(work.plan.last_day))
        later = stored().where(f"{EVENT_TIMESTAMP} > {covered} and {EVENT_TIMESTAMP} <= {until}")
        known.append(packed(later, keys, "stored", buckets))
    touched = None if work.before is None else _touched(spark, work, work.before)
    if touched is None:
        return known
    own = touched.select(*keys)
    if work.plan.carried_day is not None:
        older_days = others(range(FIRST_DAY, work.plan.last_day), work.plan.days)
        older = version_events(spark, work.resolved, work.snapshots, work.line, older_days)
        columns = [*event_schema(work.resolved).names, *older.columns[-2:]]
        known.append(packed(older.join(own, on=keys, how="left_semi").select(*columns), keys, "events", buckets))
    again = stored().where(f"{EVENT_TIMESTAMP} <= {covered}").join(own, on=keys, how="left_semi")
    return [*known, packed(touched, keys, "marks", buckets), packed(again, keys, "stored", buckets)]


def _touched(spark: SparkSession, work: Work, before: Mapping[str, RawSnapshot]) -> DataFrame | None:
    """The entities that anything late has touched since; None where there are none."""
    touched = marks(spark, work.resolved, before, work.snapshots, work.line.last_complete_before_late())
    return None if touched is None or touched.cache().count() == 0 else touched


def _late_until(work: Work) -> int | None:
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


def _last_created(work: Work, written: Written) -> datetime:
    """An upper bound of the table's created timestamps."""
    stamps = [_event_timestamp(work.resolved, day_of_number(work.plan.last_day))]
    if work.previous and work.kind != "rebuild":
        stamps.append(work.previous.run.last_created)
    if written.created is not None:
        stamps.append(micros_to_instant(written.created))
    return max(stamps)


def _same_state(run: Run, previous: Run) -> bool:
    """Whether a run without rows leaves nothing to record."""
    return run.sources == previous.sources and run.complete_through == previous.complete_through
