"""Two server processes through a rollout, a promotion and a rollback, under load: nobody else ever answers.

What each server must do alone is in the quick tests beside this one; here it is two processes, a real clock, the real
command, and requests that never stop.
"""

import os
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.worlds import processes, weekly
from transformations.cli.commands.data.model import model as command
from transformations.engine.base.settings import get_settings
from transformations.models.log.event_log import EventLog
from transformations.models.rollout.control.controller import Controller, controller_of
from transformations.models.rollout.splitting import bucket, unit_text
from transformations.models.serving.client import Client

from .test_following import release_another

SERVE = "import sys; from transformations.cli.main import main; main()"
USERS = list(range(1, 41))
STEPS = [{"percent": percent, "rows": 200, "time": "0 minutes"} for percent in (50, 100)]
POLL = 0.5


@dataclass(frozen=True)
class Seen:
    """One answer. versions: by user who answered for it; scores: what was said."""

    server: int
    began: float
    ended: float
    versions: dict[int, int]
    scores: dict[int, float]


@dataclass
class Load:
    """Requests of all users to both servers, one after the other, until it is stopped."""

    ports: list[int]
    seen: list[Seen] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @contextmanager
    def running(self) -> Iterator["Load"]:
        stop = threading.Event()
        threads = [threading.Thread(target=self._ask, args=(server, stop)) for server in range(len(self.ports))]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def since(self, moment: float) -> list[Seen]:
        """The answers to requests that began later than a moment."""
        return [each for each in self.seen if each.began > moment]

    def after(self, moment: float) -> Seen:
        """The first answer to a request that began later than a moment, once it is there."""
        until(lambda: bool(self.since(moment)), 30)
        return self.since(moment)[0]

    def _ask(self, server: int, stop: threading.Event) -> None:
        client = Client(f"http://127.0.0.1:{self.ports[server]}", seconds=20)
        while not stop.is_set():
            began = time.time()
            try:
                rows = client.predict(weekly.MODEL, [{"user_id": user} for user in USERS])
            except Exception as error:
                self.failures.append(f"server {server}: {error}")
            else:
                versions = {user: row.model_version for user, row in zip(USERS, rows, strict=True)}
                scores = {user: row.score for user, row in zip(USERS, rows, strict=True)}
                self.seen.append(Seen(server, began, time.time(), versions, scores))
            time.sleep(0.01)
        client.close()


@pytest.fixture
def servers(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[tuple[int, processes.Started]]]:
    """Two servers of the model, each a process with a port of its own, by the real clock."""
    monkeypatch.delenv("FEATURES_CLOCK")
    with started(2, tmp_path, monkeypatch) as found:
        yield found


@contextmanager
def started(count: int, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, processes.Started]]]:
    """So many servers of the model, each a process with a port of its own; ready when this begins."""
    patch.setenv("FEATURES_PREDICT_POLL_SECONDS", str(POLL))
    patch.setenv("FEATURES_PREDICT_DEADLINE_MS", "15000")
    found = []
    for number in range(count):
        port = free_port()
        arguments = ("model", "serve", weekly.MODEL, "--port", str(port))
        found.append((port, processes.start(SERVE, *arguments, output=folder / f"server-{number}.txt")))
    try:
        for port, each in found:
            until(lambda port=port: is_ready(port), 60, each.output)
        yield found
    finally:
        for _, each in found:
            with suppress(ProcessLookupError):
                os.kill(each.process.pid or 0, signal.SIGCONT)
            each.process.terminate()
            each.process.join(30)


def free_port() -> int:
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        return int(chosen.getsockname()[1])


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def until(is_so: Callable[[], bool], seconds: float, output: Path | None = None) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, output.read_text() if output else "it never was so"
        time.sleep(0.05)


def controller() -> Controller:
    return controller_of(EventLog("shop"), get_settings(), who="test", clock=lambda: datetime.now(UTC))


def numbers(seen: list[Seen]) -> set[int]:
    return {version for each in seen for version in each.versions.values()}


@pytest.mark.proof
def test_no_answer_is_by_a_version_that_is_neither_old_nor_new(
    project: Path, servers: list[tuple[int, processes.Started]]
) -> None:
    release_another(project, hyperparameters={"l2": 3.0}, rollout={"unit": ["user_id"], "steps": STEPS})
    control = controller()
    with Load([port for port, _ in servers]).running() as load:
        until(lambda: len(load.seen) > 10, 30)
        started = control.start(weekly.MODEL, 2, "better")
        assert started.effective_at is not None
        effective = started.effective_at.timestamp()
        until(lambda: len(load.since(effective + POLL)) > 20, 30)

        inside = {user for user in USERS if bucket(started.change.salt, unit_text([user]) or "") < 5_000}  # type: ignore[union-attr]
        before = [each for each in load.seen if each.ended < effective]
        after = load.since(effective + POLL)
        assert numbers(before) == {1}, "no server was early"
        assert {each.server for each in after} == {0, 1}
        for each in after:
            assert {user for user, version in each.versions.items() if version == 2} == inside

        until(lambda: control.step(weekly.MODEL).decision.action == "promote", 60)
        until(lambda: numbers(load.since(time.time() - 0.5)) == {2}, 20)
        promoted = time.time()

        back = CliRunner().invoke(command, ["rollback", weekly.MODEL, "--why", "complaints"])
        returned = time.time()
        assert back.exit_code == 0, back.output
        assert returned - promoted < 10
        until(lambda: len(load.since(returned)) > 20, 30)
        assert {each.server for each in load.since(returned)} == {0, 1}
        assert numbers(load.since(returned)) == {1}, "it returned before every server followed"

    assert load.failures == []
    assert numbers(load.seen) == {1, 2}
    everybody = max(event.effective_at for event in control.log.events(weekly.MODEL) if event.effective_at).timestamp()
    outside = {
        each.versions[user] for each in load.seen if each.ended < everybody for user in USERS if user not in inside
    }
    assert outside == {1}, "who is outside has version 1 until the share is 100 %"
    for server in (0, 1):
        of_one = [each.versions[next(iter(inside))] for each in load.seen if each.server == server]
        changes = sum(one != other for one, other in pairwise(of_one))
        assert changes == 2, "a unit of the canary changes once to the new version and once back"


@pytest.mark.proof
def test_a_server_that_hangs_is_named_and_follows_when_it_goes_on(
    project: Path, servers: list[tuple[int, processes.Started]]
) -> None:
    release_another(project, hyperparameters={"l2": 3.0}, rollout={"unit": ["user_id"], "steps": STEPS})
    control = controller()
    started = control.start(weekly.MODEL, 2, "better")
    until(lambda: not control.presence.behind(weekly.MODEL, started.number), 20)
    hung = servers[1][1].process.pid or 0
    os.kill(hung, signal.SIGSTOP)
    ended = CliRunner().invoke(command, ["rollout", weekly.MODEL, "--abort"])
    assert ended.exit_code == 4
    assert f":{hung}:" in ended.output
    assert f":{servers[0][1].process.pid}:" not in ended.output
    os.kill(hung, signal.SIGCONT)
    event = EventLog("shop").events(weekly.MODEL)[-1].number
    until(lambda: not control.presence.behind(weekly.MODEL, event), 20)


@pytest.mark.proof
def test_a_killed_server_keeps_nobody_waiting(project: Path, servers: list[tuple[int, processes.Started]]) -> None:
    release_another(project, hyperparameters={"l2": 3.0}, rollout={"unit": ["user_id"], "steps": STEPS})
    control = controller()
    started = control.start(weekly.MODEL, 2, "better")
    until(lambda: not control.presence.behind(weekly.MODEL, started.number), 20)
    servers[1][1].kill()
    began = time.monotonic()
    ended = CliRunner().invoke(command, ["rollout", weekly.MODEL, "--abort"])
    assert ended.exit_code == 0, ended.output
    assert time.monotonic() - began < 8
