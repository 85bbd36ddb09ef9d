"""What a real model server records is what a batch says of the same rows, and nothing that it answered is ever lost."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from feast import FeatureStore

from tests.transformations.models.batch.conftest import scorer
from tests.transformations.stores.servers.conftest import Server
from tests.worlds import weekly
from transformations.engine.base.settings import get_settings
from transformations.models.batch.publishing import predictions_of
from transformations.models.log.event_log import EventLog
from transformations.models.predictions.check import check_models
from transformations.models.predictions.finding import records_of_day
from transformations.models.predictions.segment_reading import segments_in
from transformations.models.predictions.segments import segments_folder
from transformations.models.records.prediction_table import records_of
from transformations.models.records.predictions import PredictionRecord

KILLS = int(os.environ.get("KILLS", "3"))
FEATURES = [sys.executable, "-c", "from transformations.cli.main import main; main()"]
SIX = weekly.MONDAY.replace(hour=6) + timedelta(weeks=weekly.WEEKS)
"""The last Monday at six, the moment at which a batch scores everybody."""
USERS = range(1, weekly.USERS + 1)

pytestmark = pytest.mark.proof


@pytest.fixture
def redis_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A Redis of the test's own, which can be killed."""
    server = Server(tmp_path / "redis-server", "--appendonly", "yes", "--appendfsync", "always").start()
    monkeypatch.setenv("FEATURES_REDIS_URL", server.url)
    yield server
    server.kill()


@pytest.fixture
def project(weekly_project: Path, redis_server: Server, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small project: its model, which answers without features, too, in production; its features in Redis."""
    monkeypatch.setenv("FEATURES_CLOCK", weekly.PROMOTED)
    weekly.declare(weekly_project / "repo", serving={"fallback": "defaults"})
    weekly.promote(weekly_project)
    monkeypatch.setenv("FEATURES_CLOCK", SIX.isoformat())
    monkeypatch.setenv("FEATURES_RECORD_SEGMENT_SECONDS", "0.5")
    monkeypatch.setenv("FEATURES_PREDICT_POLL_SECONDS", "0.1")
    monkeypatch.setenv("FEATURES_PREDICT_DEADLINE_MS", "20000")
    FeatureStore(repo_path=str(weekly_project / "repo")).materialize(weekly.MONDAY, SIX)
    return weekly_project


class Answering:
    """A model server in a process of its own."""

    def __init__(self, workers: int) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [*FEATURES, "model", "serve", weekly.MODEL, "--port", str(self.port), "--workers", str(workers)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)

    def ask(self, users: list[int], prediction: str | None = None) -> dict[str, Any]:
        """The answer to a request; OSError where there is none, or it is a refusal."""
        body = {"rows": [{"user_id": user} for user in users], **({"id": prediction} if prediction else {})}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/models/{weekly.MODEL}/predictions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def wait(self) -> None:
        deadline = time.monotonic() + 90
        while True:
            assert self.process.poll() is None
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5):
                    return
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def end(self, sign: signal.Signals) -> None:
        """Send a signal to the server and all its workers, and wait for them."""
        os.killpg(self.process.pid, sign)
        self.process.wait(timeout=60)


@contextmanager
def answering(workers: int = 1) -> Iterator[Answering]:
    server = Answering(workers)
    try:
        server.wait()
        yield server
    finally:
        if server.process.poll() is None:
            server.end(signal.SIGTERM)


def collect_all() -> None:
    """Two collectors at once, until every segment is gone."""
    while segments_in(segments_folder(get_settings())):
        collectors = [subprocess.Popen([*FEATURES, "predictions", "collect"], stdout=subprocess.DEVNULL) for _ in "ab"]
        assert [each.wait(timeout=120) for each in collectors] == [0, 0]


def recorded() -> list[PredictionRecord]:
    return [each for each in records_of_day(weekly.MODEL, SIX.date(), get_settings()) if each.role != "batch"]


def check_all(project: Path) -> Any:
    store = FeatureStore(repo_path=str(project / "repo"))
    (found,) = check_models(weekly.MODEL, SIX.date(), None, log=EventLog("shop"), store=store, settings=get_settings())
    return found


def test_every_answer_is_what_a_batch_says_of_the_same_row_and_what_the_record_holds(project: Path) -> None:
    batch = scorer(project).day(SIX.date())
    said = {int(each.keys["user_id"] or 0): each for each in records_of(predictions_of(batch.folder))}
    with answering() as server:
        alone = [server.ask([user])["predictions"][0] for user in said]
        together = server.ask(list(said))["predictions"]
    collect_all()
    by_id = {each.id: each for each in recorded()}
    assert len(by_id) == 2 * len(said) == len(alone) + len(together)
    for answers in (alone, together):
        for answer, (user, scored) in zip(answers, said.items(), strict=True):
            record = by_id[answer["id"]]
            assert record.keys == {"user_id": user}
            assert (answer["score"], answer["decision"]) == (scored.score, scored.decision)
            assert (record.score, record.decision, record.features) == (scored.score, scored.decision, scored.features)
    found = check_all(project)
    assert (found.equal, found.spared, found.skewed) == (found.records, {}, ())


def test_of_servers_that_are_killed_nothing_answered_is_lost_or_stands_twice(project: Path) -> None:
    """While collectors run all the time, two at once; retried ids among the requests."""
    answered: dict[str, float] = {}
    ended = threading.Event()
    codes: set[int] = set()

    def collect_meanwhile() -> None:
        while not ended.is_set():
            done = subprocess.run([*FEATURES, "predictions", "collect"], check=False, stdout=subprocess.DEVNULL)
            codes.add(done.returncode)

    collectors = [threading.Thread(target=collect_meanwhile) for _ in "ab"]
    for each in collectors:
        each.start()
    for kill in range(KILLS):
        with answering(workers=1 + kill % 2) as server:
            clients = [threading.Thread(target=ask_on, args=(server, f"{kill}{name}", answered)) for name in "wxyz"]
            for each in clients:
                each.start()
            time.sleep(0.3 + random.random())
            server.end(signal.SIGKILL)
            for each in clients:
                each.join()
    ended.set()
    for each in collectors:
        each.join()
    assert codes == {0}
    collect_all()
    found = recorded()
    scores = {each.id: each.score for each in found}
    print(f"\nkills: {KILLS} of a server; {len(answered):,} answers, {len(found):,} records")
    assert len(answered) > 20 * KILLS
    assert len(scores) == len(found)
    assert {name: scores.get(name) for name in answered} == answered
    checked = check_all(project)
    assert (checked.equal, checked.skewed) == (len(found), ())


def ask_on(server: Answering, name: str, answered: dict[str, float]) -> None:
    """Ask until the server is gone, every third request twice under the same id; note what was answered."""
    number = 0
    while True:
        number += 1
        users = random.sample(USERS, random.choice([1, 3]))
        try:
            for _ in range(2 if number % 3 == 0 else 1):
                answer = server.ask(users, f"{name}-{number}")
                answered.update({each["id"]: each["score"] for each in answer["predictions"]})
        except (OSError, ValueError, HTTPException):
            if server.process.poll() is not None or not is_listening(server.port):
                return


def is_listening(port: int) -> bool:
    with socket.socket() as found:
        return found.connect_ex(("127.0.0.1", port)) == 0


def test_the_record_goes_on_while_redis_is_dead_and_holds_the_degraded_answers(
    project: Path, redis_server: Server
) -> None:
    with answering() as server:
        before = server.ask([7])["predictions"][0]
        redis_server.kill()
        without = [server.ask([user])["predictions"][0] for user in (7, 8, 9)]
        redis_server.start()
        assert until(lambda: not server.ask([7])["predictions"][0]["degraded"])
    collect_all()
    by_id = {each.id: each for each in recorded()}
    assert (by_id[before["id"]].degraded, by_id[before["id"]].score) == (False, before["score"])
    for answer in without:
        record = by_id[answer["id"]]
        assert answer["degraded"]
        assert record.degraded
        assert record.score == answer["score"]
        assert {each.status for each in record.features.values()} <= {"NOT_FOUND", "NULL_VALUE"}
    assert check_all(project).skewed == ()


def until(is_so: Callable[[], bool], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while not (found := is_so()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found
