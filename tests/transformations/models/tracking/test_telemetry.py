"""MLflow tells nobody that it is used: no name is looked up and no connection is opened while a model is trained."""

import json
import socket
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from transformations.engine.base.settings import Settings
from transformations.models.log.event_log import EventLog
from transformations.models.training import train

# What a process asks of the network, whatever library asks: Python's own audit events.
WATCHED = """
import json, os, sys, time
asked = []

def hook(event, arguments):
    if event == "socket.getaddrinfo":
        asked.append(str(arguments[0]))
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        asked.append(str(arguments[1][0]))

sys.addaudithook(hook)
"""
TRAINED = """
from pathlib import Path
from transformations.engine.base.settings import get_settings
from transformations.models.log.event_log import EventLog
from transformations.models.training import train
train("user_return", Path(sys.argv[1]), EventLog("shop"), get_settings())
"""
TELLING = """
from mlflow.tracking import MlflowClient
uri = f"sqlite:///{sys.argv[1]}"
client = MlflowClient(uri, uri)
run = client.create_run(client.create_experiment("any", artifact_location=f"file://{sys.argv[1]}.files"))
client.set_terminated(run.info.run_id)
"""
ENDED = """
time.sleep(2)  # for threads that wait before they tell
print(json.dumps(asked))
"""


def test_a_training_looks_nothing_up(repository: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    connect = socket.socket.connect

    def watched(opened: socket.socket, address: Any) -> None:
        # Loopback tells nobody: another test's Spark lets go of a Java object over it whenever Python collects garbage.
        if opened.family != socket.AF_UNIX and not ip_address(address[0]).is_loopback:
            asked.append(address)
        connect(opened, address)

    monkeypatch.setattr(socket.socket, "connect", watched)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **_: asked.append(arguments))
    assert train("user_return", repository, EventLog("shop"), settings).version == 1
    assert asked == []


def asked_by(script: str, argument: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", WATCHED + script + ENDED, str(argument)], capture_output=True, text=True, check=True
    )
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.proof
def test_neither_does_its_process_from_the_first_import_on(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PYTEST_CURRENT_TEST", "CI", "MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK"):  # which silence MLflow, too
        monkeypatch.delenv(name, raising=False)
    assert asked_by(TRAINED, repository) == []
    assert asked_by(TELLING, tmp_path / "told.db") != []  # so the watch sees what there is to see
