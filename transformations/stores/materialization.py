"""The materialization engine: writes each key's newest row from the offline table to the online store.

Feast imports this module to read its yaml keys, in a serving image too; what only a materialization needs is imported
when it runs.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Literal

from feast import Entity, FeatureView, RepoConfig
from feast.infra.common.materialization_job import MaterializationJobStatus, MaterializationTask
from feast.infra.compute_engines.local.compute import LocalComputeEngine
from feast.infra.compute_engines.local.job import LocalMaterializationJob
from feast.repo_config import FeastConfigBaseModel

from transformations.engine.base.disk_faults import known_fault
from transformations.engine.base.errors import FeaturesError
from transformations.engine.base.moments import EPOCH, as_utc
from transformations.engine.base.settings import get_settings
from transformations.engine.lineage.events import Dataset, Field, report_run
from transformations.engine.lineage.names import materialize_job, online_dataset, project_in
from transformations.stores.base.feast_seams import ViewByViewEngine
from transformations.stores.base.transformed import refuse_transformed


class BulkMaterializationEngineConfig(FeastConfigBaseModel):
    """The yaml keys under `batch_engine`."""

    type: str = "transformations.stores.materialization.BulkMaterializationEngine"

    priority: Literal["idle", "normal"] = "idle"
    """On Linux, `idle` uses only processor time that lookups and everything else on the machine leave."""


class BulkMaterializationEngine(ViewByViewEngine, LocalComputeEngine):
    """Writes each key's newest row not later than END, and not later than now.

    A run reads what the last run's cursor in Redis calls for (`stores/loads/scope.py`), whatever intervals Feast has
    recorded: late rows and corrections arrive with the next run, a repeated run changes nothing, and
    one run refills a flushed online store. Readers see each row's old or new state at any time. A table built from
    another definition than the applied one is refused.

    With another offline or online store, the rows are those between Feast's START and END.
    """

    def update(
        self,
        project: str,
        views_to_delete: Sequence[Any],
        views_to_keep: Sequence[Any],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
    ) -> None:
        """Refuse views that were applied without `feast apply`, which asks the offline store first.

        Tell of those that their files do not fit: only now are the dtypes known that Feast infers.
        """
        from transformations.stores import offline

        for view in views_to_keep:
            refuse_transformed(view)
        if isinstance(self.offline_store, offline.PointInTimeOfflineStore):
            offline.tell_of_unfit(views_to_keep, self.repo_config)

    def load_view(self, task: MaterializationTask) -> LocalMaterializationJob | None:
        """Load the view of a task; leaves it to Feast's engine where the online store is another than ours."""
        from transformations.stores import loading, online

        if not isinstance(self.online_store, online.PackedRedisOnlineStore):
            return None
        job_id = f"{task.feature_view.name}-{task.start_time}-{task.end_time}"
        start = EPOCH if task.disable_event_timestamp else as_utc(task.start_time)
        end = min(as_utc(task.end_time), get_settings().now())
        load = loading.Load(
            config=self.repo_config,
            offline_store=self.offline_store,
            online_store=self.online_store,
            view=task.feature_view,
            start=start,
            end=end,
        )
        try:
            run_beside(load.run, load.stop.set, is_idle=self.repo_config.batch_engine.priority == "idle")
        except KeyboardInterrupt:
            # Feast puts the view back into its former state after an Exception, and only then (feature_store.py:2960).
            interrupted = FeaturesError(
                f"{task.feature_view.name}: interrupted. What was written is right; repeat the command for the rest."
            )
            return LocalMaterializationJob(job_id, MaterializationJobStatus.ERROR, interrupted)
        except Exception as error:
            _report_lineage(self.repo_config, task.feature_view, str(error))
            return LocalMaterializationJob(job_id, MaterializationJobStatus.ERROR, known_fault(error) or error)
        _report_lineage(self.repo_config, task.feature_view)
        return LocalMaterializationJob(job_id, MaterializationJobStatus.SUCCEEDED)


def _report_lineage(config: RepoConfig, view: FeatureView, failure: str | None = None) -> None:
    """Tell of a load, where Feast itself does not: each feature online is computed from itself offline."""
    settings = get_settings()
    project = project_in(config)
    if settings.lineage == "off" or project.emits:
        return
    reads = {feature.name: [Field(view.name, feature.name)] for feature in view.features}
    outputs = [Dataset(name=online_dataset(view.name), reads=reads)]
    report_run(
        settings,
        materialize_job(project),
        inputs=[Dataset(name=view.name)],
        outputs=outputs,
        at=settings.now(),
        failure=failure,
        project=project,
    )


def yield_processor() -> None:
    """Let this thread, and those that it starts from now on, have only what the machine has left. Linux alone can."""
    if sys.platform == "linux":
        with suppress(OSError):  # a sandbox may forbid it: then the thread has the processor like all others
            os.sched_setscheduler(threading.get_native_id(), os.SCHED_IDLE, os.sched_param(0))


def run_beside(run: Callable[[], None], stop: Callable[[], None], *, is_idle: bool) -> None:
    """Run in a thread that yields the processor to everything else on the machine if `is_idle`.

    A thread, as a process cannot undo that for itself; threads it starts (DuckDB's) inherit it. Niceness is not enough:
    a lookup that wakes up beside it waits up to 4 ms for the next clock tick. KeyboardInterrupt stops the run and waits
    for its end.
    """
    failures: list[BaseException] = []

    def body() -> None:
        try:
            if is_idle:
                yield_processor()
            run()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=body, name="materialization")
    thread.start()
    try:
        thread.join()
    except KeyboardInterrupt:
        stop()
        thread.join()
        raise
    if failures:
        raise failures[0]
