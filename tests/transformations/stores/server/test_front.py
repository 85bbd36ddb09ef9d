"""What reaches a feature server's routes, and how it answers errors: with their status, on a connection that stays."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI

from transformations.engine.base.errors import UsageError
from transformations.engine.base.settings import get_settings
from transformations.stores.server.front import Gate
from transformations.stores.serving import server_of

Serve = Callable[[FastAPI], Any]
GOOD = ("visits:visits",)
FRAME = {"user_id": [1], "visits": [7.0], "page": ["/"], "event_timestamp": ["2024-05-02"]}
FRAME["created_timestamp"] = FRAME["event_timestamp"]
PUSH = {"push_source_name": "visits_push", "df": FRAME}
WRITE = {"feature_view_name": "visits", "df": FRAME}


def message_of(detail: Any) -> str:
    return str(json.loads(detail)["message"])


# path, body, status, words
MISTAKES: list[tuple[str, Any, int, str]] = [
    ("/get-online-features", {"features": [], "entities": {"user_id": [1]}}, 400, "names no feature"),
    ("/get-online-features", {"entities": {"user_id": [1]}}, 400, "names no feature"),
    ("/get-online-features", {"features": ["visits"], "entities": {"user_id": [1]}}, 400, "is no reference"),
    ("/get-online-features", {"features": ["visits:visit"], "entities": {"user_id": [1]}}, 400, "mean 'visits'?"),
    ("/get-online-features", {"features": ["visit:visits"], "entities": {"user_id": [1]}}, 404, "visit"),
    ("/get-online-features", {"features": ["visits@v1:visits"], "entities": {"user_id": [1]}}, 400, "is disabled"),
    ("/get-online-features", {"features": ["visits@x:visits"], "entities": {"user_id": [1]}}, 404, "visits@x"),
    ("/get-online-features", {"features": [*GOOD, *GOOD], "entities": {"user_id": [1]}}, 400, "Duplicate features"),
    ("/get-online-features", {"features": "visits:visits", "entities": {"user_id": [1]}}, 422, "features should be a"),
    ("/get-online-features", {"features": [1], "entities": {"user_id": [1]}}, 422, "features.0 should be a valid str"),
    ("/get-online-features", {"features": GOOD, "entities": {}}, 400, "entities is empty"),
    ("/get-online-features", {"features": GOOD}, 422, "entities is missing"),
    ("/get-online-features", {"features": GOOD, "entities": [1]}, 422, "entities should be a valid dictionary"),
    ("/get-online-features", {"features": GOOD, "entities": {"user_id": 1}}, 422, "should be a valid list, not 1"),
    ("/get-online-features", {"features": GOOD, "entities": {"usr": [1]}}, 400, "lacks join key 'user_id'"),
    ("/get-online-features", {"features": GOOD, "entities": {"user_id": [1], "x": [1, 2]}}, 400, "user_id 1, x 2"),
    ("/get-online-features", {"features": GOOD, "entities": {"user_id": [2**70]}}, 422, "cannot become Int64"),
    ("/get-online-features", {"features": GOOD, "entities": {"user_id": ["9" * 50_000]}}, 422, "holds string"),
    ("/get-online-features", {"features": GOOD, "entities": {"user_id": [[1]]}}, 422, "holds list"),
    ("/get-online-features", {"features": GOOD, "entities": {"user_id": ["\ud800"]}}, 422, "no Unicode text"),
    ("/get-online-features", {"features": ["x" * 90_000], "entities": {"user_id": [1]}}, 400, "is no reference"),
    ("/get-online-features", {"features": GOOD, "entitys": {"user_id": [1]}}, 422, "did you mean 'entities'?"),
    ("/get-online-features", {"feature_service": "visits_v9", "entities": {"user_id": [1]}}, 404, "visits_v9"),
    (
        "/get-online-features",
        {"feature_service": "visits_v1", "features": GOOD, "entities": {"user_id": [1]}},
        400,
        "names features and a feature service",
    ),
    ("/get-online-features", b"{'features'", 400, "the body is no JSON"),
    ("/get-online-features", b"[1]", 422, "the body should be a valid dictionary"),
    ("/get-online-features", b'{"features": 1' + b"0" * 50_000 + b"}", 400, "too many digits"),
    ("/push", {**PUSH, "to": "everywhere"}, 400, "online_and_offline"),
    ("/push", {**PUSH, "push_source_name": "nobody"}, 422, "nobody"),
    ("/push", {**PUSH, "df": {"user_id": 1}}, 422, "'user_id' is no list"),
    ("/push", {**PUSH, "df": {"user_id": [1], "visits": [1, 2]}}, 422, "user_id 1, visits 2"),
    ("/push", {"df": FRAME}, 422, "push_source_name is missing"),
    ("/write-to-online-store", {**WRITE, "feature_view_name": "nothing"}, 404, "nothing"),
    ("/write-to-online-store", {**WRITE, "df": {**FRAME, "visits": ["x" * 50_000]}}, 422, "is declared Float64"),
    ("/materialize", {"start_ts": "10", "end_ts": "2024-05-01"}, 422, "start_ts is '10', which is no moment"),
    ("/materialize", {"start_ts": "2024-05-02", "end_ts": "2024-05-01"}, 422, "is not before end_ts"),
    ("/materialize", {"start_ts": "2024-05-02"}, 422, "end_ts is missing"),
    ("/materialize", {"start_ts": "2024-05-01", "end_ts": "2024-05-02", "version": "v2"}, 422, "version is 'v2'"),
    ("/materialize-incremental", {"end_ts": "2024-05-02", "version": 2}, 422, "version is 2"),
    ("/materialize-incremental", {"end_ts": "yesterday"}, 422, "'yesterday', which is no moment"),
]


@pytest.mark.filterwarnings(
    "ignore:'HTTP_422_UNPROCESSABLE_ENTITY' is deprecated"
)  # Feast's, of an unknown push source
def test_a_client_s_mistake_is_told_in_few_words_and_costs_no_other_request(
    app: Callable[[], FastAPI],
    client_of: Serve,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("FEATURES_SERVING_WRITES", "open")
    client = client_of(app())
    for path, body, expected, words in MISTAKES:
        status, detail = client.post(path, body)
        found = str(detail)
        assert (status, words in found, len(found) < 1_500) == (expected, True, True), (path, body, found[:1_500])
        status, answer = client.look_up(*GOOD, user_id=[3])
        assert (status, answer["results"][1]["values"]) == (200, [3.0])
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_fault_of_the_server_keeps_the_connection_and_its_text_in_the_log(
    app: Callable[[], FastAPI], client_of: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("FEATURES_SERVING_WRITES", "open")

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("postgresql://me:hunter2@host")

    client = client_of(app())
    monkeypatch.setattr("transformations.stores.server.routes.permitted_features", fail)
    monkeypatch.setattr("feast.feature_server.get_feature_view_from_feature_store", fail)
    for path, body in (
        ("/get-online-features", {"features": GOOD, "entities": {"user_id": [3]}}),  # ours
        ("/write-to-online-store", WRITE),  # Feast's
    ):
        for _ in range(2):
            status, detail = client.post(path, body)
            assert (status, message_of(detail)) == (
                500,
                f"POST {path} failed by a fault of the server. Its log says more.",
            )
    failures = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.exc_info is not None for record in failures] == [True] * 4


@pytest.mark.parametrize(
    ("writes", "header", "expected"),
    [
        ("off", "Bearer 0123456789abcdef", 403),
        ("token", "", 401),
        ("token", "Bearer 0123456789abcdeF", 401),
        ("token", "Bearer 0123456789abcdef", 200),
        ("open", "", 200),
    ],
)
def test_endpoints_that_write_are_closed_unless_opened(
    app: Callable[[], FastAPI],
    client_of: Serve,
    monkeypatch: pytest.MonkeyPatch,
    writes: str,
    header: str,
    expected: int,
) -> None:
    monkeypatch.setenv("FEATURES_SERVING_WRITES", writes)
    monkeypatch.setenv("FEATURES_SERVING_WRITE_TOKEN", "0123456789abcdef")
    client = client_of(app())
    for path, body in (
        ("/push", PUSH),
        ("/write-to-online-store", WRITE),
        ("/materialize", {"start_ts": "2024-05-01", "end_ts": "2024-05-02"}),
        ("/materialize-incremental", {"end_ts": "2024-05-02"}),
    ):
        assert client.post(path, body, Authorization=header)[0] == expected, path
    assert client.look_up(*GOOD, user_id=[3])[0] == 200
    if expected != 200:
        assert client.post("/push/", PUSH, Authorization=header)[0] == expected
        assert client.post("/of-a-later-release", {}, Authorization=header)[0] == expected
    assert client.look_up(*GOOD, user_id=[1])[1]["results"][1]["values"] == [7.0 if expected == 200 else 1.0]


def test_a_token_that_is_asked_for_must_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURES_SERVING_WRITES", "token")
    with pytest.raises(UsageError, match="set FEATURES_SERVING_WRITE_TOKEN"):
        Gate.of(get_settings(), has_search=False)


def test_a_server_whose_guards_fail_does_not_start(tmp_path: Any) -> None:
    with pytest.raises(SystemExit, match="The feature server does not start: "):
        server_of(tmp_path / "nothing")(FastAPI())


def test_bodies_and_rows_beyond_the_limits_are_refused(
    app: Callable[[], FastAPI], client_of: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATURES_SERVING_MAX_ROWS", "1000")
    monkeypatch.setenv("FEATURES_SERVING_MAX_BODY_MB", "1")
    monkeypatch.setenv("FEATURES_SERVING_WRITES", "open")
    client = client_of(app())
    status, detail = client.look_up(*GOOD, user_id=[3] * 1001)
    assert (status, message_of(detail)[:44]) == (413, "the request has 1,001 rows, this server take")
    assert client.look_up(*GOOD, user_id=[3] * 1000)[0] == 200
    status, detail = client.post("/push", {**PUSH, "df": {"user_id": [3] * 1001}})
    assert (status, message_of(detail)[:34]) == (413, "the request has 1,001 rows, this s")
    status, detail = client.look_up(*GOOD, user_id=["x" * (1 << 20)])
    assert (status, "larger than the 1 MB" in message_of(detail)) == (413, True)
    assert client.look_up(*GOOD, user_id=[3])[0] == 200


def test_of_200_good_requests_that_are_sent_along_with_bad_ones_none_is_lost(
    app: Callable[[], FastAPI], client_of: Serve
) -> None:
    client = client_of(app())
    wire = client.connection.sock
    good = json.dumps({"features": GOOD, "entities": {"user_id": [3]}}).encode()

    def request(body: bytes) -> bytes:
        head = "POST /get-online-features HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    wire.settimeout(30)
    wire.sendall((request(b"{") + request(good)) * 200)
    answers = b""
    while answers.count(b"HTTP/1.1 200") < 200:
        part = wire.recv(1 << 16)
        assert part, answers[-500:]
        answers += part
    assert answers.count(b"HTTP/1.1 400") == 200
