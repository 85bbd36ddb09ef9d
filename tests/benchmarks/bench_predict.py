"""`make bench-predict`: the model server over HTTP, XGBoost of 200 trees on 20 stored features, one worker.

Record, metrics, validation and tokens are on. Rivals: a bare FastAPI that echoes the same JSON, `feast serve` of the
same features, `mlflow models serve` of the same trees (features in the request), the model server without its record,
and get_online_features with bare predict in one process. The load generator is a process of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

from harness import CHECKOUT, Bar, Figures, Finding, in_fresh_process, in_turns, options, report, say
from online_sides import free_port, servers, wait_for
from predict_world import DATASET, MODEL, NAMES, USERS, environment, make, place

TOKEN = "a token of the benchmark"
PATH = f"/v1/models/{MODEL}/predictions"
OURS = "transformations.models.serving.api.running:worker_app"
Load = dict[str, float]


def main() -> None:
    """Measure every side in turn, and report."""
    parser = options(__doc__ or "")
    parser.add_argument("--seconds", type=float, default=4.0, metavar="S", help="of each load (default 4)")
    parser.set_defaults(repeat=5)
    given = parser.parse_args()
    with servers(["predict"]) as ports:
        variables = environment(ports["predict"])
        in_fresh_process(make, variables)
        findings = [*_of_http(variables, given.repeat, given.seconds), *_of_many_rows(variables, given.repeat)]
        findings += _of_shadow(variables, given.repeat, given.seconds)
    report("predict", findings, ["one worker; two cores are shared with Redis and the load generator", DATASET])


def _of_http(variables: Mapping[str, str], repeat: int, seconds: float) -> list[Finding]:
    features = {"feature_service": "scored_v1", "entities": {"user_id": [1]}}
    with (
        _app(OURS, variables) as ours,
        _app("predict_apps:without_record", variables) as unrecorded,
        _app("predict_apps:echo", variables) as echo,
        _feast(variables) as feast,
        _mlflow(variables) as mlflow,
    ):
        _await(ours)
        _await(unrecorded)
        sides = {}
        for connections in (1, 16):
            for name, port in (("ours", ours), ("without record", unrecorded), ("echo", echo)):
                sides[f"{name}, {connections}"] = _side(port, PATH, _bodies(1), connections, seconds)
            body = [json.dumps(features)]
            sides[f"feast serve, {connections}"] = _side(feast, "/get-online-features", body, connections, seconds)
            row = [json.dumps({"dataframe_split": {"columns": NAMES, "data": [[0.1] * len(NAMES)]}})]
            sides[f"mlflow models serve, {connections}"] = _side(mlflow, "/invocations", row, connections, seconds)
        measured = in_turns(sides, repeat)
    findings = []
    for connections in (1, 16):
        case = f"one entity, concurrency {connections}"

        def of(name: str, metric: str, connections: int = connections) -> list[float]:
            return measured[f"{name}, {connections}"][metric]

        findings += [
            Finding(f"{case}, against an echo", "p50", of("ours", "p50"), "ms", of("echo", "p50"), Bar(3, "ratio")),
            Finding(
                f"{case}, against feast serve",
                "rate",
                of("ours", "requests/s"),
                "requests/s",
                of("feast serve", "requests/s"),
                Bar(3, "ratio", at_least=True),
            ),
            Finding(
                f"{case}, against mlflow models serve",
                "rate",
                of("ours", "requests/s"),
                "requests/s",
                of("mlflow models serve", "requests/s"),
                Bar(2, "ratio", at_least=True),
            ),
            Finding(
                f"{case}, against no record",
                "rate",
                of("ours", "requests/s"),
                "requests/s",
                of("without record", "requests/s"),
                Bar(0.85, "ratio", at_least=True),
            ),
        ]
    return findings


def _of_many_rows(variables: Mapping[str, str], repeat: int) -> list[Finding]:
    with _app(OURS, variables) as ours:
        _await(ours)
        sides = {
            "ours": _side(ours, PATH, _bodies(100), 1, 2.0),
            "in process": lambda: in_fresh_process(in_one_process, dict(variables)),
        }
        measured = in_turns(sides, repeat)
    bar = Bar(4, "ratio")
    return [Finding("100 rows", "p50", measured["ours"]["p50"], "ms", measured["in process"]["p50"], bar)]


def _of_shadow(variables: Mapping[str, str], repeat: int, seconds: float) -> list[Finding]:
    """Production alone and with a candidate in shadow, in turn: at half of what it can do, and at all of it."""
    with _app(OURS, variables) as ours:
        _await(ours)
        half = _load(ours, PATH, _bodies(1), 16, seconds)["requests/s"] / 2

        def measured() -> Figures:
            full = _load(ours, PATH, _bodies(1), 16, seconds)["requests/s"]
            time.sleep(3)  # what waits is shed
            return {"full": full, "half": _load(ours, PATH, _bodies(1), 16, seconds, rate=half)["p50"]}

        def with_shadow() -> Figures:
            in_fresh_process(step_shadow, dict(variables), "start")
            time.sleep(3)
            try:
                return measured()
            finally:
                in_fresh_process(step_shadow, dict(variables), "abort")
                time.sleep(3)

        turns = in_turns({"alone": measured, "shadow": with_shadow}, repeat)
        say(f"second scores by outcome, all turns: {in_fresh_process(seen_in_shadow, dict(variables))}")
    alone, shadow = turns["alone"], turns["shadow"]
    return [
        Finding("shadow at half of saturation", "p50", shadow["half"], "ms", alone["half"], Bar(1.15, "ratio")),
        Finding(
            "shadow at saturation",
            "rate",
            shadow["full"],
            "requests/s",
            alone["full"],
            Bar(0.95, "ratio", at_least=True),
        ),
    ]


def step_shadow(variables: Mapping[str, str], action: Literal["start", "abort"]) -> None:
    """Put the second version in shadow, or take it back."""
    os.environ.update(variables)
    from datetime import UTC, datetime

    from transformations.models.log.event_log import EventLog
    from transformations.models.records.events import ModelEvent, RolloutStep

    log = EventLog("bench")
    step = RolloutStep(action=action, step=1, shadow=action == "start", salt="bench", unit=("user_id",))
    log.append(
        ModelEvent(
            model=MODEL,
            number=len(log.events(MODEL)) + 1,
            at=datetime.now(UTC),
            who="bench",
            why="measured",
            version=2,
            change=step,
        )
    )


def seen_in_shadow(variables: Mapping[str, str]) -> dict[str, int]:
    """How many rows both versions scored, in all rollouts, and how many second scores were shed."""
    os.environ.update(variables)
    from transformations.models.log.event_log import EventLog
    from transformations.models.records.events import RolloutStep
    from transformations.models.rollout.board import Board
    from transformations.models.rollout.tables import RolloutTables

    board, events = Board(RolloutTables("bench")), EventLog("bench").events(MODEL)
    steps = [place for place, event in enumerate(events, 1) if isinstance(event.change, RolloutStep)]
    seen = [board.seen(MODEL, step).counters for step in steps]
    return {name: sum(getattr(each, name) for each in seen) for name in ("clean", "failed", "shed")}


def in_one_process(variables: Mapping[str, str]) -> Figures:
    """get_online_features and XGBoost's own predict, as a notebook would: 100 rows."""
    os.environ.update(variables)
    import numpy as np
    import xgboost
    from feast import FeatureStore

    store = FeatureStore(repo_path=str(place() / "repo"))
    service = store.get_feature_service("scored_v1")
    booster = xgboost.Booster(
        {"nthread": 1}, model_file=str(place() / "data" / "models" / MODEL / "run1" / "model.ubj")
    )
    taken = []
    for _ in range(400):
        users = random.sample(range(USERS), 100)
        began = time.perf_counter()
        found = store.get_online_features(service, [{"user_id": user} for user in users]).to_dict()
        matrix = np.column_stack([np.asarray(found[name], dtype=np.float32) for name in NAMES])
        booster.inplace_predict(matrix)
        taken.append(time.perf_counter() - began)
    return {"p50": 1000 * statistics.median(taken[100:])}


def _bodies(rows: int) -> list[str]:
    chosen = random.Random(7)
    picked = [chosen.sample(range(USERS), rows) for _ in range(200)]
    return [json.dumps({"rows": [{"user_id": user} for user in users]}) for users in picked]


def _side(port: int, path: str, bodies: list[str], connections: int, seconds: float):  # type: ignore[no-untyped-def]
    return lambda: _load(port, path, bodies, connections, seconds)


def _load(port: int, path: str, bodies: list[str], connections: int, seconds: float, rate: float = 0.0) -> Load:
    asked = {
        "port": port,
        "path": path,
        "bodies": bodies,
        "connections": connections,
        "seconds": seconds,
        "rate": rate,
        "headers": {"Authorization": f"Bearer {TOKEN}"},
    }
    script = [sys.executable, str(CHECKOUT / "tests" / "benchmarks" / "predict_load.py")]
    done = subprocess.run(
        script, input=json.dumps(asked), capture_output=True, text=True, check=True, timeout=seconds + 60
    )
    figures: Load = json.loads(done.stdout)
    if figures.pop("errors"):
        sys.exit(f"port {port}: some requests were not answered with 200")
    return figures


@contextmanager
def _app(app: str, variables: Mapping[str, str]) -> Iterator[int]:
    port = free_port()
    arguments = ["--factory", app, "--port", str(port), "--no-access-log", "--log-level", "warning"]
    more = {"FEATURES_PREDICT_MODELS": MODEL, "FEATURES_PREDICT_TOKENS": hashlib.sha256(TOKEN.encode()).hexdigest()}
    more["FEATURES_RECORD_BACKLOG_MB"] = "100000"
    with _process([sys.executable, "-m", "uvicorn", *arguments], {**variables, **more}, port):
        yield port


@contextmanager
def _feast(variables: Mapping[str, str]) -> Iterator[int]:
    port = free_port()
    feast = [sys.executable, "-m", "feast.cli.cli", "-c", str(place() / "repo"), "serve", "-h", "127.0.0.1"]
    arguments = ["-p", str(port), "-w", "1", "--no-access-log", "--max-requests", "0"]
    with _process([*feast, *arguments], variables, port):
        yield port


def save_for_mlflow() -> None:
    """Production's trees as a model of MLflow's."""
    import mlflow.xgboost
    import xgboost

    trees = xgboost.Booster(model_file=str(place() / "data" / "models" / MODEL / "run1" / "model.ubj"))
    mlflow.xgboost.save_model(trees, str(place() / "mlflow"), pip_requirements=[])


@contextmanager
def _mlflow(variables: Mapping[str, str]) -> Iterator[int]:
    """`mlflow models serve --env-manager local -w 1` starts this app by this variable (mlflow/pyfunc/backend.py)."""
    in_fresh_process(save_for_mlflow)
    port = free_port()
    arguments = ["mlflow.pyfunc.scoring_server.app:app", "--port", str(port), "--workers", "1", "--no-access-log"]
    more = {"__pyfunc_model_path__": str(place() / "mlflow")}
    with _process([sys.executable, "-m", "uvicorn", *arguments], {**variables, **more}, port):
        yield port


@contextmanager
def _process(command: list[str], variables: Mapping[str, str], port: int) -> Iterator[None]:
    with (place() / f"{port}.log").open("w") as log:
        process = subprocess.Popen(command, env={**os.environ, **variables}, stdout=log, stderr=log, cwd=CHECKOUT)
        try:
            wait_for(port)
            yield
        finally:
            process.terminate()
            process.wait(timeout=60)


def _await(port: int) -> None:
    """Until a model server is ready."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    say((place() / f"{port}.log").read_text()[-3_000:])
    sys.exit(f"the model server at port {port} is not ready")


if __name__ == "__main__":
    main()
