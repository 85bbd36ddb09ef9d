"""Whatever is sent to any route: a 4xx in our words, and the next request on the connection is answered."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

FRAME = {
    "user_id": [1],
    "visits": [7.0],
    "page": ["/"],
    "event_timestamp": ["2024-05-02"],
    "created_timestamp": ["2024-05-02"],
}
SEARCH = {"features": ["visits:page"], "query": [0.5], "top_k": 3, "api_version": 2, "query_string": "x"}
VALID: dict[str, dict[str, Any]] = {
    "/get-online-features": {"features": ["visits:visits"], "entities": {"user_id": [3]}},
    "/push": {"push_source_name": "visits_push", "df": FRAME, "to": "online"},
    "/write-to-online-store": {"feature_view_name": "visits", "df": FRAME},
    "/materialize": {"start_ts": "2024-05-01", "end_ts": "2024-05-02", "feature_views": ["visits"]},
    "/materialize-incremental": {"end_ts": "2024-05-02", "feature_views": ["visits"]},
    "/search": SEARCH,
    "/retrieve-online-documents": SEARCH,
    "/v1/vector_stores/{vector_store_id}/search": {"query": "x"},
    "/chat": {"messages": [{"role": "user", "content": "x"}]},
}
NO_BODIES = [
    b"",
    b"null",
    b"1",
    b'"x"',
    b"[]",
    b"[{}]",
    b"{",
    b"{}x",
    b"\xff\xfe{",
    b"[" * 100_000,
    b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
    b'{"a": 1, "a": 2}',
    b'{"a": 1' + b"0" * 5_000 + b"}",
]
JUNK: list[Any] = [None, 1, -1, 1.5, 2**70, True, "", "x", "\ud800", "x" * 50_000, [], [None], [[1]], {}, {"x": {}}]


def junk_of(path: str) -> Iterator[bytes]:
    """No bodies, and a good body with one field replaced by junk, missing or twice, deep inside, too."""
    yield from NO_BODIES
    valid = VALID[path]
    for name, value in valid.items():
        yield json.dumps({key: each for key, each in valid.items() if key != name}).encode()
        yield json.dumps(valid).encode()[:-1] + f", {json.dumps(name)}: {json.dumps(value)}}}".encode()
        for junk in JUNK:
            yield json.dumps(valid | {name: junk}).encode()
        for column in value if isinstance(value, dict) else ():
            yield json.dumps(valid | {name: {**value, column: value[column] * 2}}).encode()
            yield json.dumps(valid | {name: {key: value[key] for key in value if key != column}}).encode()
            for junk in (*JUNK, *([each] for each in JUNK)):
                yield json.dumps(valid | {name: {**value, column: junk}}).encode()
        yield json.dumps(valid | {name: {"x" * 50_000: [1]}}).encode()


@pytest.fixture
def posts(app: Callable[[], FastAPI], monkeypatch: pytest.MonkeyPatch) -> tuple[FastAPI, list[str]]:
    """The app with its writing endpoints open, and the paths of all that are asked by POST."""
    monkeypatch.setenv("FEATURES_SERVING_WRITES", "open")
    made = app()
    return made, [route.path for route in made.routes if isinstance(route, APIRoute) and "POST" in route.methods]


@pytest.mark.filterwarnings("ignore:'HTTP_422_UNPROCESSABLE_ENTITY' is deprecated")  # Feast's
def test_no_junk_in_a_body_is_a_fault_of_the_server(
    posts: tuple[FastAPI, list[str]], client_of: Callable[[FastAPI], Any], caplog: pytest.LogCaptureFixture
) -> None:
    app, paths = posts
    assert set(paths) == set(VALID)
    client = client_of(app)
    faults = []
    for path in paths:
        for body in junk_of(path):
            status, detail = client.post(path, body)
            if status != 200 and not (400 <= status < 500 and is_in_our_words(detail)):
                faults.append((path, body[:200], status, str(detail)[:300]))
    assert not faults, "\n".join(map(str, faults))
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "x", "🙂"]
)
def test_a_body_that_is_not_said_to_be_json_is_refused(
    posts: tuple[FastAPI, list[str]], client_of: Callable[[FastAPI], Any], kind: str
) -> None:
    app, paths = posts
    client = client_of(app)
    for path in paths:
        headers = {"Content-Type": kind.encode()} if kind else {}
        status, detail = client.ask("POST", path, json.dumps(VALID[path]).encode(), headers)
        assert status in (404, 422), (path, status, detail)
        assert is_in_our_words(detail)
        assert status == 404 or "Content-Type: application/json" in detail
        assert client.look_up("visits:visits", user_id=[3])[0] == 200


def test_a_path_or_method_that_there_is_not_is_said_in_our_words(
    posts: tuple[FastAPI, list[str]], client_of: Callable[[FastAPI], Any]
) -> None:
    app, paths = posts
    client = client_of(app)
    for method, path, expected in [
        *((method, path, 405) for path in paths for method in ("PUT", "PATCH", "DELETE", "TRACE")),
        *(("POST", path, 405) for path in ("/health", "/metrics", "/docs", "/openapi.json", "/v1/vector_stores")),
        ("GET", "/push", 405),
        ("GET", "/nothing" + "x" * 5_000, 404),
        ("GET", "/static/../../etc/passwd", 404),
        ("GET", "/%00%ff", 404),
        ("POST", "//push", 404),
        ("POST", "/push/x", 404),
    ]:
        status, detail = client.ask(method, path, b"{}", {"Content-Type": "application/json"})
        assert (status, is_in_our_words(detail)) == (expected, True), (method, path[:100], status, detail)


def is_in_our_words(detail: Any) -> bool:
    return isinstance(detail, str) and 0 < len(json.loads(detail)["message"]) < 1_500
