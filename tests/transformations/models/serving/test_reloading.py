"""A feature server and a model server under load while all that they read changes: nothing wrong, nothing lost.

A table's rows tell which publication they are of, so that an answer can be held against what was there when it was
asked for and when it came. Lookups and predictions never stop meanwhile; what fails while Redis is away is counted.
`make reload-proof` runs it.
"""

import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from feast import Entity, FeatureStore, ValueType

from tests.transformations.stores.servers.conftest import Server
from tests.worlds import processes, weekly
from transformations.contracts import read_contract
from transformations.engine.base.settings import get_settings
from transformations.engine.tables.offline_tables import OfflineTable
from transformations.engine.upkeep.compaction import compact_all
from transformations.engine.upkeep.vacuum import vacuum_table
from transformations.models.log.event_log import EventLog
from transformations.models.scoring.predict import predict
from transformations.models.versions import artifact_of, promote, rollback, standing

from .conftest import NOW, PATH
from .test_following import release_another
from .test_two_servers import SERVE, free_port, is_ready, until

ROOT = Path(__file__).parents[4]
USERS = list(range(1, 31))
VISITED = datetime(2024, 5, 19, 12, tzinfo=UTC)
LAST_ROW = weekly.MONDAY + timedelta(weeks=weekly.WEEKS) + weekly.AFTER
SETTLED = 1.0
"""Seconds after which both servers have a new connection to a Redis that is back."""


def visits_of(user: int, stage: int) -> int:
    """How often a user has come, by the rows of a publication: it tells which one."""
    return 1_000 * stage + user


def rows_of(stage: int) -> pa.Table:
    """Every user's newest row anew, each value of it telling the publication."""
    visits = [visits_of(user, stage) for user in USERS]
    created = LAST_ROW + timedelta(seconds=stage)
    return pa.table(
        {
            "user_id": pa.array(USERS, pa.int64()),
            "event_timestamp": pa.array([LAST_ROW] * len(USERS), weekly.TIMESTAMP),
            "created_timestamp": pa.array([created] * len(USERS), weekly.TIMESTAMP),
            "visits_28d": pa.array(visits, pa.int64()),
            "spend_28d": pa.array([each / 2 for each in visits], pa.float64()),
            "visited_at": pa.array([VISITED] * len(USERS), weekly.TIMESTAMP),
        }
    )


@dataclass
class Online:
    """What may be online: the publication that is, and the one that is being loaded."""

    now: int = 1
    next: int = 1


@dataclass
class Load:
    """Requests that never stop, of both servers, and what was wrong with their answers."""

    features: int
    model: int
    scores: Mapping[tuple[int, int], list[float]]
    online: Online = field(default_factory=Online)
    asked: dict[str, int] = field(default_factory=lambda: {"lookups": 0, "predictions": 0})
    wrong: list[str] = field(default_factory=list)
    failed: list[tuple[float, str]] = field(default_factory=list)

    @contextmanager
    def running(self) -> Iterator["Load"]:
        stop = threading.Event()
        threads = [threading.Thread(target=self._repeat, args=(ask, stop)) for ask in (self._look_up, self._predict)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def _repeat(self, ask: Callable[[], None], stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                ask()
            except Exception as error:
                self.failed.append((time.monotonic(), f"{ask.__name__}: {error!r}"))
            time.sleep(0.005)

    def _look_up(self) -> None:
        began = self.online.now
        names = ["visits_28d", "spend_28d"]
        body = {"features": [f"user_visits:{name}" for name in names], "entities": {"user_id": USERS}}
        document = _asked(self.features, "/get-online-features", body)
        found = dict(zip(document["metadata"]["feature_names"], document["results"], strict=True))
        allowed = range(began, self.online.next + 1)
        for user, visits, spend in zip(USERS, *(found[name]["values"] for name in names), strict=True):
            if spend * 2 != visits or visits not in {visits_of(user, stage) for stage in allowed}:
                self.wrong.append(f"user {user} has {visits} visits and {spend} spent, of publications {allowed}")
        self.asked["lookups"] += 1

    def _predict(self) -> None:
        began = self.online.now
        body = {"rows": [{"user_id": user} for user in USERS]}
        rows = _asked(self.model, PATH, body)["predictions"]
        allowed = range(began, self.online.next + 1)
        for place, row in enumerate(rows):
            score, version = row["score"], row["model_version"]
            if score not in {self.scores[version, stage][place] for stage in allowed}:
                self.wrong.append(f"user {USERS[place]}: {score} by version {version}, of publications {allowed}")
        self.asked["predictions"] += 1


@dataclass
class Changes:
    """All that happens to what servers read, step by step. away: from when to when no Redis could be asked."""

    repository: Path
    redis: Server
    load: Load
    away: list[tuple[float, float]] = field(default_factory=list)
    log: EventLog = field(default_factory=lambda: EventLog("shop"))

    def publish(self) -> None:
        """As a build does."""
        weekly.publish(rows_of(self.load.online.next + 1), get_settings(), date(2024, 5, 19))

    def materialize(self) -> None:
        self.load.online.next += 1
        FeatureStore(repo_path=str(self.repository)).materialize_incremental(NOW)
        self.load.online.now = self.load.online.next

    def apply(self) -> None:
        """A new version of the view, with its table, beside the old one: so a held definition is changed."""
        weekly.publish(rows_of(self.load.online.now), get_settings(), date(2024, 5, 19), "b2", "user_visits_v2")
        user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64, description="A user", owner="t")
        FeatureStore(repo_path=str(self.repository)).apply([weekly.view_of(user, "user_visits_v2", "b2")])

    def compact(self) -> None:
        settings = get_settings()
        compact_all(["user_visits"], [read_contract("visits", settings.contracts)], settings)

    def vacuum(self) -> None:
        vacuum_table(OfflineTable(get_settings().offline_dir / "user_visits"), timedelta(0), keep_versions=1)

    def promote(self) -> None:
        promote(weekly.MODEL, 2, "production", self.log, get_settings(), why="better")

    def roll_back(self) -> None:
        rollback(weekly.MODEL, self.log, get_settings(), why="worse")

    def restart_redis(self) -> None:
        began = time.monotonic()
        self.redis.kill()
        time.sleep(0.3)
        self.redis.start()
        self.away.append((began, time.monotonic() + SETTLED))

    def restart_registry(self) -> None:
        """Its database is gone for a while, with what SQLite has beside it."""
        files = [path for path in get_settings().data.glob("registry.db*") if path.is_file()]
        for path in files:
            path.rename(path.with_name(f"away-{path.name}"))
        time.sleep(1.5)
        for path in files:
            path.with_name(f"away-{path.name}").rename(path)

    def all(self) -> list[Callable[[], None]]:
        again = [self.publish, self.materialize]
        upkeep = [self.apply, self.compact, self.vacuum]
        faults = [self.restart_redis, self.restart_registry]
        return [*again, *upkeep, self.promote, *again, self.roll_back, *faults, *again]


def expected_scores(version: int, stage: int) -> list[float]:
    """What a version says of the rows of a publication, by the artifact and the literal features alone."""
    features = rows_of(stage).select(["visits_28d", "spend_28d", "visited_at"])
    days = [(NOW - VISITED).total_seconds() / 86_400] * len(USERS)
    features = features.append_column("days_since", pa.array(days, pa.float64()))
    state = standing(weekly.MODEL, EventLog("shop")).version(version)
    scores: list[float] = predict(artifact_of(weekly.MODEL, state, get_settings()), features).scores.to_pylist()
    return scores


@pytest.mark.proof
def test_nothing_is_wrong_or_lost_while_all_that_servers_read_changes(
    weekly_production: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis = Server(tmp_path / "redis", "--appendonly", "yes", "--appendfsync", "always").start()
    for name, value in {
        "REDIS_URL": redis.url,
        "CLOCK": NOW.isoformat(),
        "PREDICT_POLL_SECONDS": "0.2",
        "REDIS_READ_TIMEOUT_MS": "5000",
        "PREDICT_DEADLINE_MS": "8000",
    }.items():
        monkeypatch.setenv(f"FEATURES_{name}", value)
    repository = weekly_production / "repo"
    hook = (ROOT / "feature_repo" / "static_artifacts.py").read_text()
    (repository / "static_artifacts.py").write_text(hook)
    weekly.publish(rows_of(1), get_settings(), date(2024, 5, 19))
    FeatureStore(repo_path=str(repository)).materialize(weekly.MONDAY, NOW)
    release_another(weekly_production, hyperparameters={"l2": 3.0})
    known = {(version, stage): expected_scores(version, stage) for version in (1, 2) for stage in range(1, 5)}

    load = Load(free_port(), free_port(), known)
    changes = Changes(repository, redis, load)
    with _servers(load, repository, weekly_production, tmp_path), load.running():
        for step in changes.all():
            time.sleep(0.4)
            step()
        time.sleep(SETTLED)
    redis.kill()
    lost = [failure for at, failure in load.failed if not any(begin <= at <= end for begin, end in changes.away)]
    asked = f"{load.asked['lookups']} lookups and {load.asked['predictions']} predictions of {len(USERS)} users"
    seconds = sum(end - begin - SETTLED for begin, end in changes.away)
    print(
        f"\nreload: {len(changes.all())} changes under {asked}: {len(load.wrong)} wrong, {len(lost)} lost, and "
        f"{len(load.failed) - len(lost)} refused while Redis was away ({seconds:.1f} s)"
    )
    assert (load.wrong[:3], lost[:3]) == ([], [])
    assert min(load.asked.values()) > 2 * len(changes.all())
    assert load.online.now == max(stage for _, stage in known)


def _asked(port: int, path: str, body: object) -> Any:
    """What a server answers to one request, which is not repeated; an error for any status but 200."""
    content, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", content, headers)
    with urllib.request.urlopen(request, timeout=15) as answer:
        return json.load(answer)


@contextmanager
def _servers(load: Load, repository: Path, project: Path, tmp_path: Path) -> Iterator[None]:
    """`feast serve` and `features model serve`, each a process of its own, once both answer."""
    model = processes.start(
        SERVE, "model", "serve", weekly.MODEL, "--port", str(load.model), output=tmp_path / "model.txt"
    )
    places = os.pathsep.join([str(project / "modules"), str(ROOT)])
    command = [sys.executable, "-m", "transformations.cli.quick_feast", "-c", str(repository)]
    command += ["serve", "-h", "127.0.0.1", "-p", str(load.features)]
    command += ["--max-requests", "150", "--max-requests-jitter", "0"]  # the worker is exchanged some times, too
    with (tmp_path / "features.txt").open("w") as output:
        features = subprocess.Popen(
            command, stdout=output, stderr=output, env={**os.environ, "PYTHONPATH": places}, cwd=tmp_path
        )
    try:
        until(lambda: is_ready(load.model), 60, model.output)
        until(lambda: is_ready(load.features), 60, tmp_path / "features.txt")
        yield
    finally:
        features.terminate()
        model.process.terminate()
        features.wait(30)
        model.process.join(30)
