"""Dagster's own run launcher, which also tells when what a run was started in is gone: a killed Dagster, a machine that
was switched off. Without, such a run would go on for ever in Dagster's record, and hold its pools.
"""

from __future__ import annotations

import dagster as dg
import grpc  # type: ignore[import-untyped]
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus


class WatchedRunLauncher(dg.DefaultRunLauncher):
    """Starts runs as processes of the code server. `dagster.yaml` names it, and switches `run_monitoring` on."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Run monitoring asks."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the code server that started the run is there; it reports by itself that a process of a run has died.

        A server has an address of its own each time that it starts. One that is too busy to answer is there.
        """
        client = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]
        if client is None:
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "nothing says where the run was started")
        try:
            client.ping("")
        except DagsterUserCodeUnreachableError as error:
            if isinstance(error.__cause__, grpc.RpcError) and error.__cause__.code() is grpc.StatusCode.UNAVAILABLE:
                return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "the code server that it was started in is gone")
        return CheckRunHealthResult(WorkerStatus.RUNNING)
