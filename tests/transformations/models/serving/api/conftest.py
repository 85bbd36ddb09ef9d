"""What tests of the API share: the model server at a port, in a thread of this process."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from tests.transformations.models.serving.test_two_servers import is_ready
from tests.worlds import weekly
from transformations.models.serving.api.app import create_app


@pytest.fixture
def port(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Where the small project's model answers."""
    monkeypatch.setenv("FEATURES_PREDICT_DEADLINE_MS", "15000")
    config = uvicorn.Config(create_app([weekly.MODEL]), port=0, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 30
        while not (server.started and is_ready(chosen := server.servers[0].sockets[0].getsockname()[1])):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield chosen
    finally:
        server.should_exit = True
        thread.join()
