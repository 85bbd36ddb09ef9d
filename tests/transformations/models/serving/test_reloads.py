"""Versions are exchanged under load, again and again: every request is answered, by a version that was to answer.

A real server of two workers, connections that stay open, promotions, rollbacks and rollouts by the commands' own code.
`make api-proof` sends 100,000 requests; the quick twin is in `test_following.py`.
"""

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.worlds import weekly
from transformations.engine.base.settings import get_settings
from transformations.models.log.event_log import EventLog
from transformations.models.rollout.control.controller import controller_of
from transformations.models.versions import promote, rollback, standing

from .conftest import PATH, recorded
from .test_following import release_another
from .test_two_servers import free_port, is_ready, until

REQUESTS = int(os.environ.get("RELOAD_REQUESTS", "3000"))
CONNECTIONS = 8
PROGRAM = "from transformations.cli.main import main; main()"

pytestmark = pytest.mark.proof


async def ask_all(port: int, is_over: Callable[[int], bool]) -> tuple[Counter[str], set[int], int]:
    """Ask from some connections at once until it is over: statuses and faults, the versions that answered, ids lost."""
    outcomes, versions, numbers = Counter[str](), set[int](), itertools.count(1)
    lost = 0

    async def one() -> None:
        nonlocal lost
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while not is_over(sum(outcomes.values())):
            number = next(numbers)
            user, named = number % 80 + 1, f"load-{number}"
            body = json.dumps({"id": named, "rows": [{"user_id": user}, {"user_id": 81 - user}]}).encode()
            try:
                writer.write(
                    b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (PATH.encode(), len(body)) + body
                )
                answered = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
                length = int(answered.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
                content = await reader.readexactly(length)
            except (OSError, EOFError, TimeoutError) as error:
                outcomes[repr(error)] += 1
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                continue
            outcomes[answered.split(b" ", 2)[1].decode()] += 1
            if b" 200 " in answered[:16]:
                answer = json.loads(content)
                versions.update(row["model_version"] for row in answer["predictions"])
                lost += answer["id"] != named
        writer.close()

    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
    return outcomes, versions, lost


def exchange(stop: threading.Event, done: Counter[str]) -> None:
    """Promote, roll back, begin a rollout and abort it, until told to stop; counts how often."""
    log, settings = EventLog("shop"), get_settings()
    control = controller_of(log, settings, who="test", clock=lambda: datetime.now(UTC))
    pause = 2.5 * settings.predict_poll_seconds
    while not stop.is_set():
        if standing(weekly.MODEL, log).version(2).stage == "staging":
            promote(weekly.MODEL, 2, "production", log, settings, why="better")
        else:
            rollback(weekly.MODEL, log, settings, why="better after all", to_version=2)
        time.sleep(pause)
        rollback(weekly.MODEL, log, settings, why="worse")
        time.sleep(pause)
        control.start(weekly.MODEL, 3, "try it")
        time.sleep(2 * pause)
        control.abort(weekly.MODEL, "enough")
        time.sleep(pause)
        done.update(["promotions", "rollbacks", "rollouts"])


def test_no_request_is_dropped_while_versions_are_exchanged(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FEATURES_CLOCK")
    monkeypatch.setenv("FEATURES_PREDICT_POLL_SECONDS", "0.5")
    monkeypatch.setenv("FEATURES_PREDICT_DEADLINE_MS", "20000")
    monkeypatch.setenv("FEATURES_REDIS_READ_TIMEOUT_MS", "10000")  # a stall of a busy machine is no dropped request
    plan = {"unit": ["user_id"], "steps": [{"percent": 50, "rows": 10**9, "time": "1 days"}, 100]}
    release_another(project, hyperparameters={"l2": 3.0})
    release_another(project, hyperparameters={"l2": 9.0}, rollout=plan)
    port, out = free_port(), tmp_path / "server.txt"
    command = [sys.executable, "-c", PROGRAM, "model", "serve", weekly.MODEL, "--port", str(port), "--workers", "2"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PROMETHEUS_")}
    with out.open("w") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
    done, stop = Counter[str](), threading.Event()
    changing = threading.Thread(target=exchange, args=(stop, done))
    try:
        until(lambda: is_ready(port), 60, out)

        changing.start()
        asking = ask_all(port, lambda sent: sent >= REQUESTS and (done["rollouts"] > 0 or not changing.is_alive()))
        outcomes, versions, lost = asyncio.run(asking)
        stop.set()
        changing.join()
    finally:
        server.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            server.wait(40)
        server.kill()
    dropped = outcomes.total() - outcomes["200"]
    print(f"\n{outcomes.total():,} requests, {dropped} dropped, while there were {done['rollouts']} of each exchange")
    assert not changing.is_alive()
    assert outcomes.keys() == {"200"}, out.read_text()[-2_000:]
    assert outcomes["200"] >= REQUESTS
    assert (versions, lost) == ({1, 2, 3}, 0)
    assert min(done["promotions"], done["rollbacks"], done["rollouts"]) >= 1
    answered = {record.id for record in recorded() if record.role != "shadow"}
    assert len(answered) == 2 * outcomes["200"]
