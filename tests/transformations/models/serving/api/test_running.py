"""`features model serve` as it is run: a process that answers, ends in order when told to, and has recorded it all."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.transformations.models.serving.conftest import PATH, recorded
from tests.transformations.models.serving.test_two_servers import free_port, is_ready, until
from tests.worlds import processes, weekly
from transformations.models.serving.metrics import FOLDER

PROGRAM = "from transformations.cli.main import main; main()"
SECONDS_TO_START = 60
"""On a machine that is busy with much else; by itself it is a few."""


def post(port: int, path: str, body: Any) -> Any:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=40) as answer:
        return json.load(answer)


def read(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return str(answer.read().decode())


def counted(port: int, name: str) -> float:
    """The sum of a metric over its labels."""
    lines = read(port, "/metrics").splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((name + "{", name + " ")))


def having(folder: Path, name: bytes) -> list[Path]:
    """The processes' files of counters in which a metric has a value."""
    return [file for file in folder.glob("counter_*.db") if name in file.read_bytes()]


class Load:
    """Requests without an end from several clients, each with an id of its own."""

    def __init__(self, port: int, name: str = "") -> None:
        self.port, self.name = port, name
        self.answered: set[str] = set()
        self.refused: list[str] = []
        self.failures: list[str] = []
        self._stop = threading.Event()

    @contextmanager
    def running(self, clients: int = 4) -> Iterator["Load"]:
        threads = [threading.Thread(target=self._ask, args=(client,)) for client in range(clients)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _ask(self, client: int) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            named = f"{self.name}{client}-{number}"
            try:
                answer = post(self.port, PATH, {"id": named, "rows": [{"user_id": 7}, {"user_id": 8}]})
            except urllib.error.HTTPError as error:
                self.failures.append(f"{named}: {error.code} {error.read()!r}")
            except (OSError, urllib.error.URLError) as error:
                reason = getattr(error, "reason", error)
                (self.refused if isinstance(reason, ConnectionError) else self.failures).append(f"{named}: {error!r}")
                time.sleep(0.05)
            else:
                self.answered |= {row["id"] for row in answer["predictions"]}


@pytest.fixture
def port(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    (tmp_path / "metrics").mkdir()
    monkeypatch.setenv(FOLDER, str(tmp_path / "metrics"))  # else it is that of the process that runs the tests
    monkeypatch.setenv("FEATURES_PREDICT_POLL_SECONDS", "0.5")
    monkeypatch.setenv("FEATURES_PREDICT_DEADLINE_MS", "15000")
    return free_port()


def ask_all(port: int) -> None:
    """Every way to ask."""
    answer = post(port, PATH, {"rows": [{"user_id": 7}]})
    tensor = {"name": "user_id", "shape": [1], "datatype": "INT64", "data": [7]}
    inferred = post(port, f"/v2/models/{weekly.MODEL}/infer", {"inputs": [tensor]})
    scores = {output["name"]: output["data"] for output in inferred["outputs"]}
    assert scores["score"] == [answer["predictions"][0]["score"]]
    assert json.loads(read(port, "/health"))["status"] == "ok"
    assert json.loads(read(port, "/v2/health/ready"))["ready"] is True


def assert_recorded(load: Load) -> None:
    """Whatever was answered is recorded, once; whatever was not, is not told as answered."""
    answered = [record.id for record in recorded() if record.answered]
    asked = [each for each in answered if "-" in each and each.split("-")[0].isdigit()]
    assert sorted(load.answered) == sorted(asked)


def test_it_starts_answers_and_ends_under_load(port: int, tmp_path: Path) -> None:
    started = processes.start(PROGRAM, "model", "serve", weekly.MODEL, "--port", str(port), output=tmp_path / "out.txt")
    try:
        until(lambda: is_ready(port), SECONDS_TO_START, started.output)
        ask_all(port)
        assert counted(port, "features_model_predictions_total") == 2
        with socket.create_connection(("127.0.0.1", port), 20) as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nlong: " + b"a" * 200_000)
            assert connection.recv(100).startswith(b"HTTP/1.1 400")
        with Load(port).running() as load:
            until(lambda: len(load.answered) > 40, 30)
            os.kill(started.process.pid or 0, signal.SIGTERM)
            code, output = started.wait(40)
    finally:
        started.kill()
    assert code == 0, output
    assert load.failures == []
    assert_recorded(load)


@pytest.mark.proof
def test_two_workers_start_answer_and_end_under_load(port: int, tmp_path: Path) -> None:
    out, folder = tmp_path / "out.txt", tmp_path / "temporary"
    folder.mkdir()
    command = [sys.executable, "-c", PROGRAM, "model", "serve", weekly.MODEL, "--port", str(port), "--workers", "2"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PROMETHEUS_")}
    with out.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env={**environment, "TMPDIR": str(folder)})
    try:
        until(lambda: is_ready(port), SECONDS_TO_START, out)
        ask_all(port)
        with Load(port).running() as load:
            until(lambda: len(load.answered) > 400, 60)
            (metrics,) = folder.glob("feast_metrics_*")
            until(lambda: len(having(metrics, b"features_model_predictions")) == 2, 30)
            until(lambda: len(load.answered) > 1_000, 60)
        before = len(load.answered)
        assert counted(port, "features_model_predictions_total") == before + 2, "of both workers"
        assert read(port, "/metrics").count("\nfeatures_model_recording 1.0") == 1
        with Load(port, "5").running() as ending:
            until(lambda: len(ending.answered) > 100, 60)
            process.terminate()
            code = process.wait(40)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait()
    assert code == 0, out.read_text()
    assert [load.failures, load.refused, ending.failures] == [[], [], []]  # a worker that loads takes no request
    load.answered |= ending.answered
    assert_recorded(load)
    assert list(folder.glob("feast_metrics_*")) == []


@pytest.mark.proof
def test_workers_end_when_the_process_that_started_them_was_killed(port: int, tmp_path: Path) -> None:
    out = tmp_path / "out.txt"
    command = [sys.executable, "-c", PROGRAM, "model", "serve", weekly.MODEL, "--port", str(port), "--workers", "2"]
    with out.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    try:
        until(lambda: is_ready(port), SECONDS_TO_START, out)
        workers = [number for number in children(process.pid) if "spawn_main" in words(number)]
        assert len(workers) == 2
        process.kill()
        process.wait()
        until(lambda: not any(map(is_alive, workers)), 20, out)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def children(parent: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(parent)], capture_output=True, text=True, check=True)
    return [int(number) for number in listed.stdout.split()]


def words(number: int) -> str:
    return Path(f"/proc/{number}/cmdline").read_bytes().decode().replace("\0", " ")


def is_alive(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
