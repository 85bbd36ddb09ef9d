"""Bodies that come slowly, break off, or are no plain JSON: each is told, and nobody else waits for them."""

import gzip
import json
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.transformations.models.serving.conftest import PATH, Serve, recorded
from transformations.models.serving.api import arriving

BODY = json.dumps({"rows": [{"user_id": 7}]}).encode()


@pytest.fixture
def one_at_once(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that works on one request at once; the fixture of its port comes after this one."""
    monkeypatch.setenv("FEATURES_PREDICT_CONCURRENCY", "1")


@contextmanager
def begun(port: int) -> Iterator[socket.socket]:
    """A connection over which a part of a request was sent."""
    with closing(socket.create_connection(("127.0.0.1", port))) as connection:
        head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n\r\n"
        connection.sendall(head.encode() + BODY[:5])
        yield connection


def status(port: int) -> int:
    return httpx.post(f"http://127.0.0.1:{port}{PATH}", content=BODY, timeout=20).status_code


@pytest.mark.usefixtures("one_at_once")
def test_a_body_that_is_still_coming_keeps_nobody_else_out(request: pytest.FixtureRequest) -> None:
    port = request.getfixturevalue("port")
    with begun(port) as slow, begun(port):
        assert [status(port), status(port)] == [200, 200]
        slow.sendall(BODY[5:])
        assert slow.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.usefixtures("one_at_once")
def test_a_body_that_breaks_off_leaves_nothing_behind(request: pytest.FixtureRequest) -> None:
    port = request.getfixturevalue("port")
    for _ in range(5):
        with begun(port):
            pass
    assert status(port) == 200
    assert [record.keys["user_id"] for record in recorded()] == [7]


def test_a_body_that_does_not_come_in_time_is_told_and_its_connection_closed(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arriving, "BODY_SECONDS", 0.1)
    with begun(port) as slow:
        slow.settimeout(20)
        answer = b""
        while part := slow.recv(1_000):  # until the server closes it
            answer += part
    assert answer.startswith(b"HTTP/1.1 408")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "request_timeout"


@pytest.mark.parametrize(
    ("headers", "body", "words"),
    [
        ({"Content-Encoding": "gzip"}, gzip.compress(BODY), "the body is encoded ('gzip')"),
        ({"Inference-Header-Content-Length": f"{len(BODY)}"}, BODY + b"\1" + b"\0" * 7, "binary data behind its JSON"),
    ],
)
async def test_a_body_that_is_not_json_throughout_is_refused_with_what_it_is(
    serve: Serve, headers: dict[str, str], body: bytes, words: str
) -> None:
    async with serve() as client:
        refused = await client.post(PATH, content=body, headers=headers)
        plain = await client.post(PATH, content=BODY, headers={"Content-Encoding": "identity"})
        broken = await client.post(PATH, content=BODY[:-1])
    assert (refused.status_code, refused.json()["error"]["code"]) == (415, "unsupported_encoding")
    assert words in refused.json()["error"]["message"]
    assert (plain.status_code, broken.status_code) == (200, 400)
