"""The materialization engine: each key's newest row from the offline table into the online store, packed from Arrow.

Feast imports this module to read the yaml's keys, in a serving image too: what only a materialization needs is
imported in it.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal

from feast.infra.common.materialization_job import MaterializationJobStatus, MaterializationTask
from feast.infra.compute_engines.local.compute import LocalComputeEngine
from feast.infra.compute_engines.local.job import LocalMaterializationJob
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel

from transformations.engine.base.errors import FeaturesError
from transformations.engine.base.moments import EPOCH, as_utc
from transformations.engine.base.settings import get_settings


class BulkMaterializationEngineConfig(FeastConfigBaseModel):
    """The yaml keys under `batch_engine`."""

    type: str = "transformations.stores.materialization.BulkMaterializationEngine"

    priority: Literal["idle", "normal"] = "idle"
    """On Linux: `idle` runs on what time lookups and all else on the machine leave of its processors."""


class BulkMaterializationEngine(LocalComputeEngine):
    """Writes each key's newest row not later than END, and not later than now.

    What a run considers follows from the cursor that the last one left in Redis, not from Feast's recorded intervals
    (`stores/loads/considered.py`): late rows and corrections arrive with the next run, a repeated run changes nothing,
    and a flushed online store is full again after one. Readers see each row's old or new state at any time. A table
    that was built from another definition than the applied one is refused.

    With an offline store or an online store other than ours, the rows are those that Feast's START and END name.
    """

    def _materialize_one(
        self, registry: BaseRegistry, task: MaterializationTask, **kwargs: Any
    ) -> LocalMaterializationJob:
        from transformations.stores.loading import Load
        from transformations.stores.online import PackedRedisOnlineStore

        if not isinstance(self.online_store, PackedRedisOnlineStore):
            return super()._materialize_one(registry, task, **kwargs)
        job_id = f"{task.feature_view.name}-{task.start_time}-{task.end_time}"
        start = EPOCH if task.disable_event_timestamp else as_utc(task.start_time)
        end = min(as_utc(task.end_time), get_settings().now())
        load = Load(self.repo_config, self.offline_store, self.online_store, task.feature_view, start, end)
        try:
            _beside(load.run, load.stop.set, is_idle=self.repo_config.batch_engine.priority == "idle")
        except KeyboardInterrupt:
            # Feast puts the view back into its former state after an Exception, and only then (feature_store.py:2960).
            interrupted = FeaturesError(
                f"{task.feature_view.name}: interrupted. What was written is right; repeat the command for the rest."
            )
            return LocalMaterializationJob(job_id, MaterializationJobStatus.ERROR, interrupted)
        except Exception as error:
            return LocalMaterializationJob(job_id, MaterializationJobStatus.ERROR, error)
        return LocalMaterializationJob(job_id, MaterializationJobStatus.SUCCEEDED)


def _beside(run: Callable[[], None], stop: Callable[[], None], *, is_idle: bool) -> None:
    """Run in a thread, which lets all others on this machine have the processor first if `is_idle`.

    Threads that it starts (DuckDB's) inherit that; a process could not take it back from itself. A niceness would not
    do: a lookup that wakes up beside it waits for up to 4 ms, until the next tick of the clock. KeyboardInterrupt
    stops the run and waits until it has ended.
    """
    failures: list[BaseException] = []

    def body() -> None:
        try:
            if is_idle and sys.platform == "linux":
                with suppress(OSError):  # a sandbox may forbid it: then the run has the processor like all others
                    os.sched_setscheduler(threading.get_native_id(), os.SCHED_IDLE, os.sched_param(0))
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
