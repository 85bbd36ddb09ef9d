"""A run whose code server is gone is found out; one whose server is there, or too busy to answer, goes on."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import grpc
import pytest
from dagster._grpc.__generated__ import dagster_api_pb2_grpc

from transformations.engine.base.settings import Settings
from transformations.orchestration.dagster_home import home

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


class Busy(dagster_api_pb2_grpc.DagsterApiServicer):  # type: ignore[misc]
    """A code server that gives no answer to anything."""


@pytest.fixture
def instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(home(settings))) as found:
        yield found


def health(instance: dg.DagsterInstance, socket: Path | None) -> str:
    @dg.job
    def nothing() -> None: ...

    tags = {} if socket is None else {".dagster/grpc_info": json.dumps({"host": "localhost", "socket": str(socket)})}
    run = instance.create_run_for_job(nothing, tags=tags, status=dg.DagsterRunStatus.STARTED)
    return str(instance.run_launcher.check_run_worker_health(run).status.value)


def test_a_run_goes_on_as_long_as_its_code_server_is_there(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    socket = tmp_path / "socket"
    server = grpc.server(ThreadPoolExecutor(1))
    dagster_api_pb2_grpc.add_DagsterApiServicer_to_server(Busy(), server)
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    assert health(instance, socket) == "RUNNING"
    server.stop(None).wait()
    assert health(instance, socket) == "NOT_FOUND"
    assert health(instance, None) == "NOT_FOUND"
