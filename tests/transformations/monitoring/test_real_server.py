"""A real model server answers requests about data that a broken job wrote; the commands find it in what it recorded.

Nothing is handed to the monitoring: values are published as a job publishes them and loaded into a real Redis, a server
of its own process answers over HTTP, and what the commands print and export is read.
"""

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from feast import FeatureStore
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from tests.transformations.models.serving.conftest import PATH
from tests.transformations.models.serving.test_two_servers import free_port, is_ready, until
from tests.transformations.monitoring.conftest import multiplied, publish_changed, watch
from tests.worlds import weekly
from transformations.engine.base.settings import get_settings
from transformations.models.predictions.segment_reading import segments_in
from transformations.models.predictions.segments import segments_folder

MONDAY = date(2024, 5, 6)
SIX = datetime(2024, 5, 6, 6, tzinfo=UTC)
"""When the label query asks of everybody; a week later it is known what came of it."""
FEATURES = [sys.executable, "-c", "from transformations.cli.main import main; main()"]
BY_HAND = """
SELECT count(*), avg(returned::INT), avg((score - returned::INT) ** 2) FROM (
    SELECT score, EXISTS (
        SELECT * FROM visits WHERE visits.user_id = answers.user_id
            AND visits."at" >= TIMESTAMPTZ '2024-05-06 06:00+00' AND visits."at" < TIMESTAMPTZ '2024-05-13 06:00+00'
    ) AS returned
    FROM answers
)
"""


@contextmanager
def answering(folder: Path) -> Iterator[int]:
    port, said = free_port(), folder / "server.txt"
    command = [*FEATURES, "model", "serve", weekly.MODEL, "--port", str(port)]
    with said.open("w") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        until(lambda: is_ready(port), 60, said)
        yield port
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0, said.read_text()


def ask(port: int, user: int) -> float:
    body = json.dumps({"rows": [{"user_id": user}]}).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{PATH}", body, timeout=40) as answer:
        return float(json.load(answer)["predictions"][0]["score"])


def run(*arguments: str, code: int = 0) -> str:
    ended = subprocess.run([*FEATURES, *arguments], check=False, capture_output=True, text=True)
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.proof
def test_what_a_server_answered_is_found_drifted_unskewed_and_measured(
    production: Path, redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_changed(multiplied("spend_28d", 100.0), MONDAY)
    watch(production)
    monkeypatch.setenv("FEATURES_CLOCK", SIX.isoformat())
    monkeypatch.setenv("FEATURES_RECORD_SEGMENT_SECONDS", "0.5")
    FeatureStore(repo_path=str(production / "repo")).materialize(weekly.MONDAY, SIX)
    known = [row for row in weekly.visits().to_pylist() if row["at"] < SIX]
    users = sorted({row["user_id"] for row in known})
    with answering(tmp_path) as port:
        scores = {user: ask(port, user) for user in users}
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            served = answer.read().decode()
    assert "features_model_predictions_total{" in served
    deadline = time.monotonic() + 60
    while True:
        run("predictions", "collect")
        if not segments_in(segments_folder(get_settings())):
            break
        assert time.monotonic() < deadline, "a server that has ended leaves no segment that stays"

    monkeypatch.setenv("FEATURES_CLOCK", weekly.NOW)
    file = tmp_path / "metrics.prom"
    (judged,) = json.loads(run("monitor", weekly.MODEL, "--json", "--export", str(file), code=3))
    assert judged["day"] == str(MONDAY)
    found = {(each["part"], each["subject"], each["measure"]): each for each in judged["findings"]}
    alerting = {key for key, each in found.items() if each["state"] == "alert"}
    assert {("features", "spend_28d", "drift"), ("stored", "spend_28d", "drift")} <= alerting
    assert {subject for _, subject, _ in alerting} <= {"spend_28d", "score"}
    skew = found["skew", "predictions", "skewed share"]
    assert (skew["value"], skew["rows"], skew["state"]) == (0.0, len(users), "fine")
    exported = {
        (sample.labels.get("part"), sample.labels.get("subject"), sample.labels.get("measure")): sample.value
        for family in text_string_to_metric_families(file.read_text())
        if family.name == "features_monitor_alert"
        for sample in family.samples
    }
    assert {key for key, value in exported.items() if value} == alerting

    document: Any = json.loads(run("outcomes", weekly.MODEL, "--json"))
    (whole,) = (each for each in document["groups"] if each["by"] == "all")
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("visits", weekly.visits())
        connection.execute("CREATE TABLE answers (user_id BIGINT, score DOUBLE)")
        connection.executemany("INSERT INTO answers VALUES (?, ?)", list(scores.items()))
        rows, mean, brier = connection.execute(BY_HAND).fetchall()[0]
    figures = {each["metric"]: each["value"] for each in whole["figures"]}
    assert (whole["rows"], whole["label_mean"], figures["brier"]) == (
        rows, pytest.approx(mean), pytest.approx(brier),
    )  # fmt: skip
