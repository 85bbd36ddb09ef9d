"""The graph of a day in Dagster: assets and checks made from the plan, each performed as `features run-day` does it."""

# Dagster reads the annotation of `context`, so annotations are no texts here.
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from hashlib import sha256
from itertools import pairwise
from typing import Any, Protocol, TypeAlias

import dagster as dg

from transformations.contracts import contract_names, read_contract
from transformations.engine.base.settings import Settings, get_settings
from transformations.insight.deliveries import new_deliveries
from transformations.orchestration.dagster_waiting import wait_asleep
from transformations.orchestration.day_record import Outcome
from transformations.orchestration.graph import Graph
from transformations.orchestration.leavings import Leavings, leavings_of
from transformations.orchestration.looking import last_ended_day
from transformations.orchestration.performing import Performed, QuietlyInTurn, Run
from transformations.orchestration.planning import Declared, DeclaredView, plan_of
from transformations.orchestration.reading import read_plannable
from transformations.orchestration.tasks import Kind, Pipeline, Plan, Task

AssetJob: TypeAlias = Any
"""What `define_asset_job` returns, for which Dagster exports no name."""
Result: TypeAlias = dg.MaterializeResult[None] | dg.AssetCheckResult
RETRIES, RETRY_SECONDS = 2, 30
"""How often a task that lacks a service is tried again, and after how long. No other failure is retried."""
SCHEDULE_HOUR, SCHEDULE_MINUTE = 3, 30
"""When the day that has ended is begun, in the zone of its business days."""
_MATERIALIZED_ALTHOUGH_REFUSED = (Kind.MODEL, Kind.ROLLOUT, Kind.MONITOR)
"""What code 3 judges of these is there all the same: a version, a rollout that has ended, a report."""
FOLLOW_SECONDS = 5
"""How often Dagster looks whether a pipeline has ended, which the next one follows."""
_WHOLE_AGAIN = {"dagster/retry_strategy": "ALL_STEPS"}
"""A run that was killed begins anew: what it had done is looked at, and not done again."""
_WILL_RETRY = "dagster/will_retry"
_ABOUT: Mapping[Pipeline, str] = {
    Pipeline.INGESTION: "Takes what was delivered, once it keeps its contract.",
    Pipeline.FEATURES: "Computes tables, loads them online, and compares what is served with what is trained on.",
    Pipeline.TRAINING: "Makes datasets; trains and judges a version where something that it comes from has changed.",
    Pipeline.SERVING: "Steps rollouts, scores in batch, collects what servers recorded, and watches both.",
}
_ASKED: Mapping[str, str] = {
    "contract": "Does the delivery keep its contract?",
    "expectation": "Are the values as expected?",
    "gate": "Does the version pass its gates?",
    "limit": "Does the rollout stay within its limits? Where not, it is stopped, and production stays as it is.",
    "drift": "Is everything that is watched as it was? Where not, a person judges.",
}
_NEVER_BLOCKING = (Kind.ROLLOUT, Kind.MONITOR)
"""A rollout that was stopped leaves production as it is, and a drift is for a person to judge."""


def project_definitions(settings: Settings) -> dg.Definitions:
    """Those of the project that the settings name.

    Dagster's warnings about itself are left out: of its beta, four lines an asset, and once a minute of what it reads
    of schedules, since Feast's import has switched warnings of that kind on.
    """
    wait_asleep()
    warnings.simplefilter("ignore", dg.BetaWarning)
    warnings.filterwarnings("ignore", "Property `ScheduleDefinition", DeprecationWarning)
    return definitions(read_plannable(settings), settings)


class Performer(Protocol):
    """Performs a task of a business day once, and says what it left behind."""

    def __call__(self, task: Task, day: date, report: Callable[[str], None], /) -> tuple[Performed, Leavings]: ...


def definitions(
    declared: Declared, settings: Settings, performer: Performer | None = None, retry_seconds: float = RETRY_SECONDS
) -> dg.Definitions:
    """Assets, checks, four jobs, the daily schedule, and sensors, from what is declared.

    performer: by default the public commands, each in a process of its own.
    """
    plan = plan_of(declared)
    here = _Graph(plan, performer or _Commands(plan, declared), retry_seconds)
    partitions = _days(declared, settings)
    views = {view.name: view for view in declared.views}
    assets = [here.asset(task, partitions, views) for task in plan.tasks if task.kind is not Kind.PARITY]
    checks = [here.parity_check(task, declared) for task in plan.tasks if task.kind is Kind.PARITY]
    jobs = {
        pipeline: dg.define_asset_job(
            pipeline.value,
            selection=dg.AssetSelection.groups(pipeline.value),
            description=_ABOUT[pipeline],
            tags=_WHOLE_AGAIN,
        )
        for pipeline in Pipeline
        if any(task.sort.pipeline is pipeline for task in plan.tasks)
    }
    first = jobs[Pipeline.INGESTION]
    schedule = dg.build_schedule_from_partitioned_job(
        first,
        name="every_day",
        description="Begins the business day that has ended, whether or not files have come in.",
        hour_of_day=SCHEDULE_HOUR,
        minute_of_hour=SCHEDULE_MINUTE,
    )
    return dg.Definitions(
        assets=assets,
        asset_checks=checks,
        jobs=list(jobs.values()),
        schedules=[schedule],
        sensors=[_delivered_files(first, declared), *_following(list(jobs.values()))],
        # Its log has every event; what is printed are our lines and faults, a tenth of it.
        loggers={"console": dg.colored_console_logger.configured({"log_level": "INFO"})},
        executor=dg.in_process_executor,  # a process a step costs seconds, and SQLite's event log locks under many
    )


def _days(declared: Declared, settings: Settings) -> dg.DailyPartitionsDefinition:
    """The business days that have ended; by the platform's clock where that stands still, as in the demo."""
    zones = sorted({source.zone for source in declared.sources}) or ["UTC"]
    end = None if settings.clock is None else last_ended_day(declared, settings.clock) + timedelta(days=1)
    until = None if end is None else str(end)
    return dg.DailyPartitionsDefinition(start_date=str(settings.run_day_first), end_date=until, timezone=zones[0])


def key_of(task: Task) -> dg.AssetKey:
    """The asset of a task: `build/user_clicks`."""
    return dg.AssetKey([task.kind.value, task.subject] if task.subject else [task.kind.value])


@dataclass(frozen=True)
class _Commands:
    """Performs tasks as `features run-day` does, tried once: Dagster itself tries again."""

    plan: Plan
    declared: Declared
    run: Run = field(default_factory=QuietlyInTurn)

    def __call__(self, task: Task, day: date, report: Callable[[str], None], /) -> tuple[Performed, Leavings]:
        settings = get_settings()
        run = replace(Graph(self.declared, self.plan, settings).day_run(day, self.run, report), waits=())
        return run.perform(task), leavings_of(task, day, settings)


@dataclass(frozen=True)
class _Graph:
    """Makes assets and checks of a plan's tasks."""

    plan: Plan
    performer: Performer
    retry_seconds: float

    def asset(
        self, task: Task, partitions: dg.DailyPartitionsDefinition, views: Mapping[str, DeclaredView]
    ) -> dg.AssetsDefinition:
        key, verdict = key_of(task), task.sort.verdict
        blocking = task.kind not in _NEVER_BLOCKING
        promised = views[task.subject].promised if task.kind is Kind.BUILD else None

        @dg.asset(
            key=key,
            deps=[key_of(each) for each in self._before(task)],
            group_name=task.sort.pipeline.value,
            description=task.title,
            partitions_def=partitions,
            backfill_policy=dg.BackfillPolicy.single_run(),
            check_specs=[dg.AssetCheckSpec(verdict, asset=key, blocking=blocking, description=_ASKED[verdict])]
            if verdict
            else [],
            output_required=False,
            pool=task.sort.pool.value,
            op_tags={"dagster/priority": str(self._priority(task))},
            freshness_policy=None if promised is None else dg.FreshnessPolicy.time_window(fail_window=promised),
        )
        def perform(context: dg.AssetExecutionContext) -> Iterator[Result]:
            performed = [self._perform(task, day, context.log) for day in context.partition_keys]
            yield from _results(task, performed, key)

        return perform

    def parity_check(self, task: Task, declared: Declared) -> dg.AssetChecksDefinition:
        """Online against training, as a check of the loaded view; of an on-demand view, of the first that it reads."""
        first, *others = [key_of(self.plan.task(name)) for name in task.needs]

        @dg.asset_check(
            name="parity" if first.path[-1] == task.subject else f"parity_of_{task.subject}",
            asset=first,
            additional_deps=others,
            blocking=True,
            description=task.title,
            pool=task.sort.pool.value,
        )
        def check(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
            day = context.run.tags.get("dagster/partition") or context.run.tags.get("dagster/asset_partition_range_end")
            performed, left = self._perform(
                task, day or str(last_ended_day(declared, get_settings().now())), context.log
            )
            _refuse_unperformed(performed)
            return dg.AssetCheckResult(passed=performed.outcome.is_good, metadata=_metadata(performed, left))

        return check

    def _before(self, task: Task) -> list[Task]:
        """The assets without which a task is not performed; in place of a parity check, the views that it checks.

        What merely comes first in ingestion and features is no such asset: priorities give the order, and a refused
        source keeps no other one out.
        """
        is_early = task.sort.pipeline in (Pipeline.INGESTION, Pipeline.FEATURES)
        names = (*task.needs, *task.trusts) if is_early else task.earlier
        found = []
        for before in map(self.plan.task, names):
            found += [self.plan.task(each) for each in before.needs] if before.kind is Kind.PARITY else [before]
        return list(dict.fromkeys(found))

    def _priority(self, task: Task) -> int:
        return len(self.plan.tasks) - self.plan.tasks.index(task)

    def _perform(self, task: Task, day: str, log: dg.DagsterLogManager) -> tuple[Performed, Leavings]:
        performed, left = self.performer(task, date.fromisoformat(day), log.info)
        log.info("%s %s: %s %s", day, task.name, performed.outcome.value, performed.why)
        for line in (*performed.commands, *performed.said):
            log.info(line)
        if performed.outcome is Outcome.UNAVAILABLE:
            again = dg.RetryRequested(max_retries=RETRIES, seconds_to_wait=self.retry_seconds)
            raise again from dg.Failure(f"{task.name} is unavailable: " + "\n".join(performed.said))
        return performed, left


def _refuse_unperformed(performed: Performed) -> None:
    """Failure, which is not retried, where a task could not be performed at all."""
    if performed.outcome in (Outcome.FAILED, Outcome.BLOCKED):
        said = performed.why or "\n".join(performed.said)
        raise dg.Failure(f"{performed.task.name} is {performed.outcome.value}: {said}", allow_retries=False)


def _results(task: Task, performed: Sequence[tuple[Performed, Leavings]], key: dg.AssetKey) -> Iterator[Result]:
    """What Dagster is told of one or several days: that of the first that ended badly, else of the last."""
    worst, left = next((each for each in performed if not each[0].outcome.is_good), performed[-1])
    _refuse_unperformed(worst)
    verdict, passed, metadata = task.sort.verdict, worst.outcome.is_good, _metadata(worst, left)
    if verdict is None:
        if not passed:
            raise dg.Failure(f"{task.name} is refused: " + "\n".join(worst.said), allow_retries=False)
        yield dg.MaterializeResult(asset_key=key, metadata=metadata)
        return
    result = dg.AssetCheckResult(passed=passed, asset_key=key, check_name=verdict, metadata=metadata)
    if passed or task.kind in _MATERIALIZED_ALTHOUGH_REFUSED:
        yield dg.MaterializeResult(asset_key=key, metadata=metadata, check_results=[result])
    else:
        yield result


def _metadata(performed: Performed, left: Leavings) -> dict[str, dg.MetadataValue]:
    """Rows, seconds, commands and where the report is, as Dagster shows them. No link: browsers open no file of one."""
    found: dict[str, dg.MetadataValue] = {"seconds": dg.MetadataValue.float(round(performed.seconds, 3))}
    if performed.why:
        found["nothing to do"] = dg.MetadataValue.text(performed.why)
    if performed.commands:
        found["commands"] = _as_printed(performed.commands)
    if performed.said:
        found["said"] = _as_printed(performed.said)
    if left.rows is not None:
        found["dagster/row_count"] = dg.MetadataValue.int(left.rows)
    if left.report is not None:
        found["report"] = dg.MetadataValue.path(left.report)
    return found


def _as_printed(lines: Sequence[str]) -> dg.MetadataValue:
    """Several lines keep their breaks in Markdown alone: Dagster's pages show a text as one line."""
    text = "\n".join(lines)
    return dg.MetadataValue.md(f"~~~text\n{text}\n~~~") if len(lines) > 1 else dg.MetadataValue.text(text)


def _delivered_files(job: AssetJob, declared: Declared) -> dg.SensorDefinition:
    """Starts the ingestion of the last business day as soon as files have come in that no drop has yet.

    Its cursor has the files that it has asked for and that are not taken yet: a refused one is asked for once.
    """

    @dg.sensor(
        name="delivered_files",
        job=job,
        minimum_interval_seconds=60,
        description="Begins the business day that ended last, as soon as a file has come in where a contract says.",
    )
    def delivered_files(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        settings = get_settings()
        contracts = [read_contract(name, settings.contracts) for name in contract_names(settings.contracts)]
        files = [file for contract in contracts for drop in new_deliveries(contract, settings) for file in drop]
        there = [f"{file} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files]
        new = sorted(set(there) - set((context.cursor or "").splitlines()))
        context.update_cursor("\n".join(there))
        if not new:
            return dg.SkipReason("no file has come in that is not ingested, or asked for, yet")
        day = last_ended_day(declared, settings.now())
        key = f"{day}-{sha256(chr(10).join(new).encode()).hexdigest()[:16]}"
        return dg.SensorResult(run_requests=[dg.RunRequest(run_key=key, partition_key=str(day))])

    return delivered_files


def _following(jobs: Sequence[AssetJob]) -> Iterator[dg.SensorDefinition]:
    """Each pipeline follows the one before it for the same day, however that ended: its branches that can go on do.

    A run that was killed has not ended: Dagster runs it again, and that one is followed.
    """
    for before, after in pairwise(jobs):
        for status in (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE):
            yield _follow(before, after, status)


def _follow(before: AssetJob, after: AssetJob, status: dg.DagsterRunStatus) -> dg.SensorDefinition:
    ended = "success" if status is dg.DagsterRunStatus.SUCCESS else "failure"

    @dg.run_status_sensor(
        run_status=status,
        name=f"{after.name}_after_{ended}",
        monitored_jobs=[before],
        request_job=after,
        minimum_interval_seconds=FOLLOW_SECONDS,
        description=f"Begins {after.name} of the same day when {before.name} has ended with {ended}.",
    )
    def follow(context: dg.RunStatusSensorContext) -> dg.RunRequest | dg.SkipReason:
        day = context.partition_key
        if context.dagster_run.tags.get(_WILL_RETRY) == "true":
            return dg.SkipReason("the run was killed, and is run again")
        if day is None:
            return dg.SkipReason("a backfill of several days is followed by one of the next pipeline, by hand")
        return dg.RunRequest(run_key=f"{after.name}-{context.dagster_run.run_id}", partition_key=day)

    return follow
