"""Who may come in, and how many at once."""

import asyncio
import hashlib
import json
import socket
from contextlib import closing
from pathlib import Path

import pytest
from starlette.types import Message

from tests.transformations.models.serving.conftest import PATH, Serve, ask, is_ready, recorded, running, until
from tests.worlds import weekly
from transformations.models.serving.api.app import create_app

from .test_arriving import one_at_once, status

__all__ = ("one_at_once",)  # a fixture
TOKEN = "correct horse battery staple"


async def test_with_tokens_everything_but_health_needs_one(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = [hashlib.sha256(each.encode()).hexdigest() for each in ("another", TOKEN)]
    monkeypatch.setenv("FEATURES_PREDICT_TOKENS", ",".join(hashes))
    async with serve() as client:
        for path in ("/health", "/v2/health/live", "/v2/health/ready"):
            assert (await client.get(path)).status_code == 200
        for path in ("/metrics", "/v1/models", "/v2", "/openapi.json", "/docs", "/nothing"):
            refused = await client.get(path)
            assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert (await ask(client, 7)).json()["error"]["code"] == "unauthorized"
        client.headers["Authorization"] = f"Bearer {TOKEN}x"
        assert (await ask(client, 7)).status_code == 401
        for token, code in (
            (TOKEN, 200),
            (f"{TOKEN}x", 401),
            (TOKEN, 200),
            ("another", 200),
            ("other", 401),
            ("", 401),
        ):
            client.headers["Authorization"] = f"Bearer {token}"
            assert (await ask(client, 7)).status_code == code, token


async def test_beyond_what_a_worker_does_at_once_it_says_so_at_once(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATURES_PREDICT_CONCURRENCY", "2")
    async with serve() as client:
        answers = await asyncio.gather(*(ask(client, 7) for _ in range(10)))
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses.count(200) >= 2
        busy = [answer for answer in answers if answer.status_code != 200]
        assert busy
        for answer in busy:
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert answer.json()["error"]["code"] == "overloaded"
        assert (await ask(client, 7)).status_code == 200


async def test_head_gives_what_get_gives_without_the_body(serve: Serve) -> None:
    async with serve() as client:
        for path in ("/health", "/v2/health/ready", "/v1/models", "/nothing", PATH):
            head, get = await client.head(path), await client.get(path)
            assert (head.status_code, head.content) == (get.status_code, b"")
            assert head.headers["content-length"] == get.headers["content-length"]


async def test_an_answer_whose_client_has_gone_is_marked_and_costs_one_line_of_the_log(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app([weekly.MODEL])
    body = json.dumps({"id": "gone", "rows": [{"user_id": 7}]}).encode()
    scope = {"type": "http", "method": "POST", "path": PATH, "query_string": b"", "headers": []}

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(_: Message) -> None:
        raise RuntimeError("unable to perform operation on a closed transport")

    async with running(app) as client:
        await until(lambda: is_ready(client))
        for _ in range(3):
            await app({**scope}, receive, send)
    assert [(record.id, record.answered) for record in recorded()] == [("gone-0", False)] * 3
    assert caplog.messages == [f"POST {PATH}: the answer could not be sent (RuntimeError)"]


async def test_a_body_beyond_the_limit_is_refused_before_it_is_read(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATURES_PREDICT_MAX_BODY_MB", "1")
    async with serve() as client:
        answer = await client.post(PATH, content=b" " * (1 << 21))
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


@pytest.mark.usefixtures("one_at_once")
def test_who_does_not_read_his_answers_keeps_nobody_else_out(request: pytest.FixtureRequest) -> None:
    """He sends one request behind the other, as HTTP allows, until the server waits for him to read."""
    port = request.getfixturevalue("port")
    body = json.dumps({"rows": [{"user_id": user} for user in range(1_000)]}).encode()
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with closing(socket.socket()) as idle:
        idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        idle.connect(("127.0.0.1", port))
        idle.settimeout(1.5)
        with pytest.raises(TimeoutError):
            idle.sendall((head + body) * 1_000)
        assert [status(port) for _ in range(3)] == [200] * 3
