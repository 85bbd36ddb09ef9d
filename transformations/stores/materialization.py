"""The materialization engine: each key's newest row from the offline table into the online store, packed from Arrow.

Feast imports this module to read the yaml's keys, in a serving image too: what only a materialization needs is
imported in it.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from feast.infra.common.materialization_job import MaterializationJobStatus, MaterializationTask
from feast.infra.compute_engines.local.compute import LocalComputeEngine
from feast.infra.compute_engines.local.job import LocalMaterializationJob
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel

from transformations.engine.errors import FeaturesError
from transformations.engine.settings import get_settings

_NICENESS = 5
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class BulkMaterializationEngineConfig(FeastConfigBaseModel):
    """The yaml keys under `batch_engine`."""

    type: str = "transformations.stores.materialization.BulkMaterializationEngine"


class BulkMaterializationEngine(LocalComputeEngine):
    """Writes each key's newest row not later than END, and not later than now.

    What a run considers follows from the cursor that the last one left in Redis, not from Feast's recorded intervals
    (`stores/considered.py`): late rows and corrections arrive with the next run, a repeated run changes nothing, and a
    flushed online store is full again after one. Readers see each row's old or new state at any time. A table that was
    built from another definition than the applied one is refused.

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
        start = _BEGINNING if task.disable_event_timestamp else _utc(task.start_time)
        end = min(_utc(task.end_time), get_settings().now())
        load = Load(self.repo_config, self.offline_store, self.online_store, task.feature_view, start, end)
        try:
            _yielding(load.run, load.stop.set)
        except KeyboardInterrupt:
            # Feast puts the view back into its former state after an Exception, and only then (feature_store.py:2960).
            interrupted = FeaturesError(
                f"{task.feature_view.name}: interrupted. What was written is right; repeat the command for the rest."
            )
            return LocalMaterializationJob(job_id, MaterializationJobStatus.ERROR, interrupted)
        except Exception as error:
            return LocalMaterializationJob(job_id, MaterializationJobStatus.ERROR, error)
        return LocalMaterializationJob(job_id, MaterializationJobStatus.SUCCEEDED)


def _yielding(run: Callable[[], None], stop: Callable[[], None]) -> None:
    """Run in a thread that lets lookups on this machine have the processor first, as far as the system knows how.

    On Linux a thread has a niceness of its own, which those that it starts (DuckDB's) inherit; a process that lowers
    its own could not raise it again. KeyboardInterrupt stops the run and waits until it has ended.
    """
    failures: list[BaseException] = []

    def body() -> None:
        if sys.platform == "linux":
            thread = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, thread, max(_NICENESS, os.getpriority(os.PRIO_PROCESS, thread)))
        try:
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


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
