"""`feast serve` on our store: its health and its metrics."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from feast import Entity, FeatureStore, FeatureView, Field, RequestSource
from feast.errors import FeastError
from feast.feature_server import get_app
from feast.types import Float64

from transformations.stores.computed.on_demand import on_demand_view
from transformations.stores.serving import Watch, extend

END = datetime(2024, 6, 1, tzinfo=UTC)
VISITS = {"features": ["user_visits:visits"], "entities": {"user_id": [3]}}
MOMENT = ["2024-05-09T10:00:00Z"]
ROW = {
    "user_id": [3],
    "event_timestamp": MOMENT,
    "created_timestamp": MOMENT,
    "visits": [5],
    "spent": [1.0],
    "page": ["/"],
}
FUNCTIONS = '''
import pyarrow.compute as pc
from transformations import ANYTHING, Float64, on_demand

@on_demand(unit="USD", expect=ANYTHING)
def left(budget: Float64, spent: Float64) -> Float64:
    """What is left of a budget."""
    return pc.subtract(budget, spent)
'''


class Client:
    """Asks an ASGI app in this process."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def get(self, path: str) -> tuple[int, str]:
        return await self._ask("GET", path, b"")

    async def post(self, path: str, body: dict[str, Any]) -> tuple[int, str]:
        return await self._ask("POST", path, json.dumps(body).encode())

    async def _ask(self, method: str, path: str, body: bytes) -> tuple[int, str]:
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "scheme": "http",
            "query_string": b"",
            "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }
        with suppress(FeastError):  # answered, and raised again for the server's log
            await self.app(scope, receive, send)
        content = b"".join(message.get("body", b"") for message in sent)
        return sent[0]["status"], content.decode()


@asynccontextmanager
async def serve(store: FeatureStore, watch: Watch | None = None) -> AsyncIterator[Client]:
    app = get_app(store)
    async with app.router.lifespan_context(app):
        extend(app, watch or Watch(store))  # as Feast's hook does at this point
        yield Client(app)


def load(store: FeatureStore) -> None:
    store.materialize(datetime(1970, 1, 1, tzinfo=UTC), END)


async def test_health_knows_whether_redis_answers(
    server_of: Callable[..., Any], serving: Callable[..., FeatureStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATURES_SERVING_WRITES", "open")
    server = server_of("--appendonly", "yes", "--requirepass", "hunter2")
    store = serving(connection_string=f"redis://:hunter2@127.0.0.1:{server.port}")
    load(store)
    async with serve(store) as client:
        status, body = await client.get("/health")
        shown = f"redis://***@127.0.0.1:{server.port}"
        assert (status, json.loads(body)) == (
            200,
            {"status": "ok", "redis": shown, "reasons": [], "newer_applied": []},
        )

        server.kill()
        status, body = await client.get("/health")
        assert status == 503
        assert json.loads(body)["status"] == "unavailable"
        (reason,) = json.loads(body)["reasons"]
        assert f"Redis at {shown} cannot be reached" in reason
        assert "hunter2" not in body
        status, body = await client.post("/get-online-features", VISITS)
        assert status == 503
        assert "cannot be reached" in body
        status, body = await client.post("/write-to-online-store", {"feature_view_name": "user_visits", "df": ROW})
        assert status == 503
        assert "cannot be reached" in body
        assert "features_redis_up 0.0" in (await client.get("/metrics"))[1]

        server.start()
        assert (await client.get("/health"))[0] == 200
        status, body = await client.post("/get-online-features", VISITS)
        assert (status, json.loads(body)["results"][1]["values"]) == (200, [31])


async def test_health_gives_a_hung_redis_no_more_time_than_a_lookup(
    server_of: Callable[..., Any], serving: Callable[..., FeatureStore]
) -> None:
    server = server_of()
    store = serving(connection_string=server.url)
    async with serve(store) as client:
        assert (await client.get("/health"))[0] == 200
        server.freeze()
        began = time.monotonic()
        status, body = await client.get("/health")
        assert status == 503
        assert "is too slow" in body
        assert time.monotonic() - began < 0.25 + 0.15
        server.thaw()
        await _wait_until_healthy(client)


async def _wait_until_healthy(client: Any) -> None:
    """A machine that has much to do may need longer than one question's deadline."""
    deadline = time.monotonic() + 5
    while (await client.get("/health"))[0] != 200:
        assert time.monotonic() < deadline


async def test_metrics_say_how_far_each_view_is_complete(
    server_of: Callable[..., Any], serving: Callable[..., FeatureStore]
) -> None:
    store = serving(connection_string=server_of().url)
    async with serve(store) as client:
        status, before = await client.get("/metrics")
        assert status == 200
        assert 'features_view_loaded{view="user_visits"} 0.0' in before
        assert "features_view_complete_through_timestamp_seconds{" not in before
        load(store)
        _, after = await client.get("/metrics")
        assert 'features_view_loaded{view="user_visits"} 1.0' in after
        assert value(after, 'features_view_complete_through_timestamp_seconds{view="user_visits"}') == END.timestamp()
        assert "features_redis_up 1.0" in after


async def test_health_and_metrics_name_a_view_of_which_a_newer_version_is_applied(
    server_of: Callable[..., Any],
    serving: Callable[..., FeatureStore],
    visits: FeatureView,
    user: Entity,
    module_of: Callable[[str, str], ModuleType],
) -> None:
    store = serving(connection_string=server_of().url)
    newer = FUNCTIONS.replace("pc.subtract(budget, spent)", "pc.subtract(spent, budget)")
    for code in (FUNCTIONS, newer):
        view = now(module_of, visits, code)
        store.apply([user, visits, view])
    module_of("serving_functions", FUNCTIONS)  # the server has the older code still
    store.refresh_registry()
    async with serve(store) as client:
        status, body = await client.get("/health")
        assert status == 200
        (found,) = json.loads(body)["newer_applied"]
        assert (found["view"], found["applied"] > found["served"]) == ("user_now", True)
        _, text = await client.get("/metrics")
        assert 'features_on_demand_newer_applied{view="user_now"} 1.0' in text


def now(module_of: Callable[[str, str], ModuleType], visits: FeatureView, code: str) -> Any:
    request = RequestSource(name="cart", schema=[Field(name="budget", dtype=Float64)])
    functions = module_of("serving_functions", code)
    return on_demand_view("user_now", [functions.left], [visits, request], owner="me", description="Now")


def value(metrics: str, name: str) -> float:
    (line,) = [line for line in metrics.splitlines() if line.startswith(name)]
    return float(line.split()[-1])


@pytest.mark.proof
def test_feast_serve_has_all_of_it_by_the_repository_s_hook(
    tmp_path: Path,
    server_of: Callable[..., Any],
    serving: Callable[..., FeatureStore],
    free_port: Callable[[], int],
) -> None:
    server = server_of()
    load(serving(connection_string=server.url))
    (tmp_path / "feature_store.yaml").write_text(f"""
project: test
provider: local
registry: {{registry_type: sql, path: "sqlite:///{tmp_path}/registry.db"}}
online_store: {{type: transformations.stores.online.PackedRedisOnlineStore, connection_string: "{server.url}"}}
offline_store: {{type: transformations.stores.offline.PointInTimeOfflineStore}}
entity_key_serialization_version: 3
""")
    hook = Path(__file__).parents[4] / "feature_repo" / "static_artifacts.py"
    (tmp_path / "static_artifacts.py").write_text(hook.read_text())
    port = free_port()
    quick_feast = [
        sys.executable,
        "-m",
        "transformations.cli.quick_feast",
    ]  # README's test runs `feast serve` itself
    command = [*quick_feast, "-c", tmp_path, "serve", "-h", "127.0.0.1", "-p", str(port)]
    with (tmp_path / "serve.log").open("w") as log:
        process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log)
    try:
        assert wait_for(f"http://127.0.0.1:{port}/health") == 200
        status, body = asked(f"http://127.0.0.1:{port}/get-online-features", VISITS)
        assert (status, json.loads(body)["results"][1]["values"]) == (200, [31])
        _, text = asked(f"http://127.0.0.1:{port}/metrics")
        assert value(text, 'features_view_complete_through_timestamp_seconds{view="user_visits"}') == END.timestamp()
        server.kill()
        status, body = asked(f"http://127.0.0.1:{port}/health")
        assert status == 503
        assert f"127.0.0.1:{server.port}" in json.loads(body)["redis"]
        assert asked(f"http://127.0.0.1:{port}/get-online-features", VISITS)[0] == 503
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def asked(url: str, body: dict[str, Any] | None = None) -> tuple[int, str]:
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, content, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def wait_for(url: str) -> int:
    deadline = time.monotonic() + 60
    while True:
        try:
            return asked(url)[0]
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
