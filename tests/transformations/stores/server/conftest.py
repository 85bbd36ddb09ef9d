"""A running feature server over one view of five users, and clients that keep their connection."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uvicorn
from fastapi import FastAPI
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, PushSource
from feast.feature_server import get_app
from feast.types import Float64, Int64, String

from transformations.stores.serving import Watch, extend

DAY = datetime(2024, 5, 1, tzinfo=UTC)


class Client:
    """One connection that is never opened again: a server that closes it loses the next request."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.connection.connect()
        self.connection.auto_open = 0

    def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.ask("POST", path, content, {"Content-Type": "application/json", **headers})

    def ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, Any]:
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text and "json" in answer.headers["content-type"] else None

    def look_up(self, *features: str, **entities: list[Any]) -> tuple[int, Any]:
        return self.post("/get-online-features", {"features": list(features), "entities": entities})


@pytest.fixture
def visits(tmp_path: Path, user: Entity) -> FeatureView:
    """Visits and pages of the users 1 to 5, which can be pushed."""
    stamps = pa.array([DAY] * 5, pa.timestamp("us", tz="UTC"))
    users = pa.array([1, 2, 3, 4, 5])
    columns = {"user_id": users, "event_timestamp": stamps, "created_timestamp": stamps, "visits": users}
    pq.write_table(pa.table({**columns, "page": pa.array(["/1", "/2", "/3", None, "/5"])}), tmp_path / "visits.parquet")
    source = FileSource(
        name="visits",
        path=str(tmp_path / "visits.parquet"),
        timestamp_field="event_timestamp",
        created_timestamp_column="created_timestamp",
    )
    fields = [Field(name="user_id", dtype=Int64), Field(name="visits", dtype=Float64), Field(name="page", dtype=String)]
    return FeatureView(
        name="visits",
        entities=[user],
        schema=fields,
        source=PushSource(name="visits_push", batch_source=source),
        owner="me",
        description="Visits",
    )


@pytest.fixture
def loaded(store_of: Callable[..., FeatureStore], user: Entity, visits: FeatureView, redis: Any) -> FeatureStore:
    """A store that serves `visits`."""
    service = FeatureService(name="visits_v1", features=[visits], owner="me", description="Visits")
    store = store_of(user, visits, service)
    store.materialize(datetime(1970, 1, 1), datetime(2024, 6, 1))
    return store


@pytest.fixture
def app(loaded: FeatureStore) -> Callable[[], FastAPI]:
    """Feast's app with our part, by the settings of this moment."""

    def make() -> FastAPI:
        made = get_app(loaded, registry_ttl_sec=0)
        extend(made, Watch(loaded))
        return made

    return make


@pytest.fixture
def client_of(unused_tcp_port_factory: Callable[[], int]) -> Iterator[Callable[[FastAPI], Client]]:
    """Serves an app and connects to it."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def serve(app: FastAPI) -> Client:
        port = unused_tcp_port_factory()
        server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="critical"))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
        thread.start()
        running.append((server, thread))
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        return Client(port)

    yield serve
    for server, thread in running:
        server.should_exit = True
        thread.join(10)
