"""Performs the plan of a build: computes its rows and publishes them as one version, or nothing at all."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import reduce
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from transformations.engine.base.business_days import day_of_number, remaining_stretches
from transformations.engine.base.disk_faults import paths_in, verify_files
from transformations.engine.base.moments import EVENT_TIMESTAMP, instant_to_micros, micros_to_instant
from transformations.engine.base.settings import Settings
from transformations.engine.base.storage import discard, fetch_folder
from transformations.engine.compute.job import (
    Folders,
    Written,
    buckets_for,
    run_in_process,
    run_job,
    run_small_job,
)
from transformations.engine.compute.packets import pack_frame
from transformations.engine.compute.plan import Backfill, BuildPlan, FirstLoad, Incremental, Rebuild
from transformations.engine.compute.readings import Files, Narrowing
from transformations.engine.compute.replay import Replay
from transformations.engine.compute.sources import (
    count_carried_rows,
    count_names,
    event_packets,
    event_schema,
    few_files,
    file_rows,
    marks,
    version_events,
)
from transformations.engine.compute.spark import is_local, spark_session
from transformations.engine.compute.sweep import FIRST_DAY
from transformations.engine.expected.candidates import discard_refused
from transformations.engine.expected.checking import UnexpectedValuesError, checked_run
from transformations.engine.expected.files import read_expected
from transformations.engine.expected.unfit import refuse_unfit_rules
from transformations.engine.identity.code_revision import code_revision
from transformations.engine.launch.elsewhere import are_elsewhere
from transformations.engine.raw.originals import refuse_given_up
from transformations.engine.raw.zone import RawSnapshot
from transformations.engine.tables.offline_tables import OfflineTable, Run, TableVersion, table_schema
from transformations.engine.vocabulary.resolution import Resolved

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Report = Callable[[str], None]

FEW_ROWS, FEW_BUCKETS = 1_000_000, 4
"""Up to `FEW_ROWS`, every task reads all that the run needs; with more than `FEW_BUCKETS` tasks, a shuffle would be
cheaper.
"""
FEW_ROWS_IN_PROCESS = 3_000_000
"""Up to this many rows of sources and table, late events are replayed in this process, unless Spark runs on a cluster:
a correction of 182 of 308,000 events is written in the time that Spark needs to start a first load's tasks. A row takes
about 100 bytes.
"""


def run_plan(
    plan: BuildPlan, table: OfflineTable, settings: Settings, report: Report, *, accept: bool = False
) -> Run | None:
    """Compute and publish; None if there is neither a row to write nor a change to record.

    Values that are not as expected are kept aside instead, and UnexpectedValuesError is raised. accept: they are
    published all the same.
    """
    started, clock = settings.now(), perf_counter()
    expected = read_expected(plan.resolved.name, settings.expectations)
    refuse_unfit_rules(plan.resolved, expected, settings.expectations)
    run_id = uuid.uuid4().hex
    carries = not isinstance(plan, Backfill)  # which may end before the table does, so no run could continue from it
    folders = Folders(table.path, table.path / f"run={run_id}", table.path / f"carry={run_id}" if carries else None)
    written = _compute_rows(plan, settings, _carried_from(plan, table), folders, report)
    files, previous = written.files, _previous_version(plan)
    run = Run(
        view=plan.resolved.name,
        version=-1,
        run_id=run_id,
        kind=plan.kind,
        started_at=started,
        seconds=round(perf_counter() - clock, 3),
        rows=sum(file.rows for file in files),
        definition_hash=plan.resolved.hash,
        feature_hashes=dict(plan.resolved.feature_hashes),
        code_revision=code_revision(),
        first_as_of=plan.first_as_of,
        complete_through=plan.complete_through,
        sources={name: each.version for name, each in plan.snapshots.items()},
        last_created=_last_created(plan, written),
        late_entities=written.late_entities,
        late_rows=written.late_rows,
        complete_until=plan.resolved.available_from(plan.complete_through + timedelta(days=1)),
        counts=dict(zip(count_names(plan.resolved), written.counts, strict=True)),
        carry=_carry_folder(previous, folders),
        lineage=_lineage_of(plan.resolved),
    )
    if not files and previous is not None and _same_state(run, previous.run):
        discard(table.path / f"carry={run_id}")
        return None
    if expected is not None and files:
        report("checking")
        try:
            run = checked_run(
                plan.resolved,
                expected,
                table,
                previous,
                run,
                folders.rows,
                files=[file.path for file in files],
                accept=accept,
                expectations=settings.expectations,
            )
        except UnexpectedValuesError:
            discard(table.path / f"carry={run_id}")
            raise
    report("publishing")
    after = None if previous is None else previous.version
    done = table.publish(files, table_schema(plan.resolved), run, after=after, replace_all=isinstance(plan, Rebuild))
    discard_refused(table)
    return done


def _compute_rows(plan: BuildPlan, settings: Settings, carry: Path | None, folders: Folders, report: Report) -> Written:
    if is_local(settings):  # else the driver would read what all workers of a cluster read together
        verify_files(_new_inputs(plan, carry))
    narrowing = _narrowing_of(plan, carry)
    if narrowing is not None and is_local(settings) and _all_rows(plan) <= FEW_ROWS_IN_PROCESS:
        report("computing")
        return run_in_process(plan.replays, _few_files(plan, carry, narrowing), folders, _late_until(plan))
    spark = spark_session(settings, report)
    report("computing")
    if _rows_read(plan, carry) <= FEW_ROWS:
        carry = None if plan.is_replayed else carry
        buckets = min(spark.sparkContext.defaultParallelism, FEW_BUCKETS)
        files = _few_files(plan, carry, None)
        return run_small_job(_replays_of(plan, carry), files, spark, buckets, folders, _late_until(plan))
    return _compute_by_shuffle(plan, spark, carry, folders)


def _compute_by_shuffle(plan: BuildPlan, spark: SparkSession, carry: Path | None, folders: Folders) -> Written:
    from pyspark.sql import Observation, functions

    rows = plan.events_to_read + (0 if carry is None else count_carried_rows(carry))
    buckets = buckets_for(rows, spark.sparkContext.defaultParallelism)
    known = _known_before(spark, plan, buckets)
    observed = Observation()
    counts = count_names(plan.resolved)
    sums = [functions.sum(functions.get("counts", functions.lit(i))).alias(name) for i, name in enumerate(counts)]
    line = plan.line if plan.is_replayed else None
    every = event_packets(
        spark, plan.resolved, plan.snapshots, days=plan.sweep.days, carry=carry, buckets=buckets, line=line
    )
    packets = reduce(lambda left, right: left.union(right), known, every.observe(observed, *sums))
    written = run_job(plan.replays, packets, buckets, folders, _late_until(plan))
    return replace(written, counts=[int(observed.get[name] or 0) for name in counts])


def _few_files(plan: BuildPlan, carry: Path | None, narrowing: Narrowing | None) -> Files:
    """The files that a run of few rows reads."""
    return few_files(
        plan.resolved,
        plan.snapshots,
        lambda: plan.line,
        days=_replays_of(plan, carry)[-1].plan.days,
        carry=carry,
        stored=_stored_files(plan),
        is_replayed=plan.is_replayed,
        narrowing=narrowing,
    )


def _replays_of(plan: BuildPlan, carry: Path | None) -> tuple[Replay, ...]:
    """What tasks replay; without carried-over state they get all events."""
    if carry is not None:
        return plan.replays
    return tuple(replace(each, plan=replace(each.plan, carried_day=None)) for each in plan.replays)


def _narrowing_of(plan: BuildPlan, carry: Path | None) -> Narrowing | None:
    """Narrowing to the entities that late drops touched, if carried-over state stands for the others."""
    if not isinstance(plan, Incremental) or carry is None or not plan.is_replayed:
        return None
    return Narrowing(
        drops=plan.replayed_drops,
        complete_day=plan.line.last_complete_before_late(),
        days=plan.sweep.days,
        covered=instant_to_micros(_covered_until(plan)),
    )


def _previous_version(plan: BuildPlan) -> TableVersion | None:
    return None if isinstance(plan, FirstLoad) else plan.previous


def _all_rows(plan: BuildPlan) -> int:
    """The rows of all sources and of the table."""
    previous = _previous_version(plan)
    return plan.source_rows + (0 if previous is None else previous.rows)


def _rows_read(plan: BuildPlan, carry: Path | None) -> int:
    """The rows that each task would read, were it to read all that the run needs: a day's run needs few of years."""
    snapshot = plan.snapshots[plan.resolved.contract.name]
    if carry is None or plan.is_replayed or plan.resolved.lookups or snapshot.supersedes:
        return _all_rows(plan)
    previous = _previous_version(plan)
    stored = previous.rows if previous is not None and _stored_files(plan) else 0
    return plan.events_to_read + count_carried_rows(carry) + stored


def _new_inputs(plan: BuildPlan, carry: Path | None) -> Iterator[str | Path]:
    """What no earlier run has read: the drops since the last one, or all of them, and what it carried over."""
    since = plan.previous.run.sources if isinstance(plan, Incremental) and carry is not None else {}
    for name, snapshot in plan.snapshots.items():
        files = snapshot.files_since(since[name]) if name in since else snapshot.files
        refuse_given_up(name, files, f"{plan.resolved.name}, which has not read all drops,")
        yield from files
    before = plan.before if isinstance(plan, Incremental) else None
    for name, snapshot in (before or {}).items():
        refuse_given_up(name, snapshot.files, f"{plan.resolved.name}, which compares late drops with those before,")
    yield from () if carry is None else paths_in(carry, "*.parquet")


def _stored_files(plan: BuildPlan) -> tuple[str, ...]:
    """The table's files, if stored rows have to be checked."""
    match plan:
        case FirstLoad() | Rebuild():
            return ()
        case Backfill():
            return plan.previous.files
        case Incremental():
            is_beyond = plan.previous.written_through > plan.previous.run.complete_through
            return plan.previous.files if plan.is_replayed or is_beyond else ()


def _carry_folder(previous: TableVersion | None, folders: Folders) -> str | None:
    """The folder of carried-over state after the run: its own, or that of the run before."""
    if folders.carry is not None:
        return folders.carry.name
    return None if previous is None else previous.run.carry


def _lineage_of(resolved: Resolved) -> dict[str, tuple[str, ...]]:
    """By feature, the source columns that its values are computed from."""
    return {
        feature.name: tuple(resolved.source_columns(feature.declared.aggregation.columns()))
        for feature in resolved.features
    }


def _carried_from(plan: BuildPlan, table: OfflineTable) -> Path | None:
    """The folder of the previous run's carried-over state, if this run continues from it."""
    previous = _previous_version(plan)
    if plan.sweep.carried_day is None or previous is None or previous.run.carry is None:
        return None
    folder = table.path / previous.run.carry
    if not are_elsewhere():
        fetch_folder(folder)
    return folder


def _known_before(spark: SparkSession, plan: BuildPlan, buckets: int) -> list[DataFrame]:
    """Packets of stored rows and of marked entities' older events, if there are any.

    A touched entity's stored rows are checked again, from all its events; for other entities, carried-over state stands
    for the older events. Rows later than the last run covered exist only after a restore or after days were taken
    back; these are checked for all entities.
    """
    if isinstance(plan, FirstLoad | Rebuild):
        return []
    keys, files = list(plan.resolved.join_keys), plan.previous.files

    def stored() -> DataFrame:
        return file_rows(spark, table_schema(plan.resolved), files)

    until = _timestamp_literal(plan.resolved, day_of_number(plan.sweep.last_day))
    if isinstance(plan, Backfill):
        return [pack_frame(stored().where(f"{EVENT_TIMESTAMP} <= {until}"), keys, "stored", buckets)]
    run, known = plan.previous.run, []
    covered = _timestamp_literal(plan.resolved, run.complete_through + timedelta(days=1))
    if plan.previous.written_through > run.complete_through:
        later = stored().where(f"{EVENT_TIMESTAMP} > {covered} and {EVENT_TIMESTAMP} <= {until}")
        known.append(pack_frame(later, keys, "stored", buckets))
    touched = None if plan.before is None else _touched_entities(spark, plan, plan.before)
    if touched is None:
        return known
    own = touched.select(*keys)
    if plan.sweep.carried_day is not None:
        older_days = remaining_stretches(range(FIRST_DAY, plan.sweep.last_day), plan.sweep.days)
        older = version_events(spark, plan.resolved, plan.snapshots, plan.line, older_days)
        columns = [*event_schema(plan.resolved).names, *older.columns[-2:]]
        known.append(pack_frame(older.join(own, on=keys, how="left_semi").select(*columns), keys, "events", buckets))
    again = stored().where(f"{EVENT_TIMESTAMP} <= {covered}").join(own, on=keys, how="left_semi")
    return [*known, pack_frame(touched, keys, "marks", buckets), pack_frame(again, keys, "stored", buckets)]


def _touched_entities(spark: SparkSession, plan: Incremental, before: Mapping[str, RawSnapshot]) -> DataFrame | None:
    """The entities that late drops touched; None if there are none."""
    touched = marks(spark, plan.resolved, before, plan.snapshots, plan.line.last_complete_before_late())
    return None if touched is None or touched.cache().count() == 0 else touched


def _covered_until(plan: Incremental) -> datetime:
    """The event timestamp up to which the table was complete before the run."""
    return plan.resolved.available_from(plan.previous.run.complete_through + timedelta(days=1))


def _late_until(plan: BuildPlan) -> int | None:
    """The event timestamp up to which an incremental run's rows count as late, in microseconds UTC."""
    return instant_to_micros(_covered_until(plan)) if isinstance(plan, Incremental) else None


def _timestamp_literal(resolved: Resolved, as_of: date) -> str:
    """The event timestamp of rows as-of that day, as Spark's literal."""
    return f"timestamp'{resolved.available_from(as_of).isoformat()}'"


def _last_created(plan: BuildPlan, written: Written) -> datetime:
    """An upper bound of the table's created timestamps."""
    stamps = [plan.resolved.available_from(day_of_number(plan.sweep.last_day))]
    if isinstance(plan, Backfill | Incremental):
        stamps.append(plan.previous.run.last_created)
    if written.created is not None:
        stamps.append(micros_to_instant(written.created))
    return max(stamps)


def _same_state(run: Run, previous: Run) -> bool:
    """Whether a run without rows leaves nothing to record."""
    return run.sources == previous.sources and run.complete_through == previous.complete_through
