"""Bodies that come slowly, break off, or are no plain JSON: each is told, and nobody else waits for them."""

import gzip
import json
import math
import select
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPResponse
from pathlib import Path

import httpx
import pytest

from tests.transformations.models.serving.conftest import PATH, Serve, recorded
from tests.worlds import weekly
from transformations.models.serving.api import arriving

MOST = 4 << 20
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


@pytest.mark.usefixtures("one_at_once")
def test_bodies_that_are_still_coming_take_no_more_memory_than_those_in_work(request: pytest.FixtureRequest) -> None:
    port = request.getfixturevalue("port")
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {MOST}\r\n\r\n".encode()
    with ExitStack() as stack:
        several = [stack.enter_context(closing(socket.create_connection(("127.0.0.1", port)))) for _ in range(3)]
        for each in several:
            each.sendall(head + b" " * (MOST // 2 - 10_000))
        refused, _, _ = select.select(several, [], [], 20)
        (answer,) = [HTTPResponse(each) for each in refused]
        answer.begin()
        assert answer.status == 503
        assert json.loads(answer.read())["error"]["code"] == "overloaded"  # it comes after the head, at times by itself
        assert status(port) == 200  # one that came whole takes none
    with begun(port) as slow:  # and what was given up is given back
        slow.sendall(BODY[5:])
        assert slow.recv(100).startswith(b"HTTP/1.1 200")


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
        ({"Inference-Header-Content-Length": f"{len(BODY)}"}, BODY + b" " * 8, "binary data behind its JSON"),
        (
            {"Content-Type": "application/x-www-form-urlencoded", "Origin": "http://elsewhere.example"},
            BODY,
            "sent as 'application/x-www-form-urlencoded'",
        ),
        ({"Content-Type": "text/plain;charset=UTF-8"}, BODY, "sent as 'text/plain'. Send JSON, with"),
        ({"Content-Type": "multipart/form-data; boundary=x"}, BODY, "sent as 'multipart/form-data'"),
        ({"Origin": "http://elsewhere.example"}, BODY, "sent as nothing"),
    ],
)
async def test_a_body_that_is_not_json_throughout_is_refused_with_what_it_is(
    serve: Serve, headers: dict[str, str], body: bytes, words: str
) -> None:
    async with serve() as client:
        refused = await client.post(PATH, content=body, headers=headers)
        plain = await client.post(PATH, content=BODY, headers={"Content-Encoding": "identity"})
        broken = await client.post(PATH, content=BODY[:-1])
        assert len(list(recorded())) == 1
    assert (refused.status_code, refused.json()["error"]["code"]) == (415, "unsupported_media_type")
    assert words in refused.json()["error"]["message"]
    assert (plain.status_code, broken.status_code) == (200, 400)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": ""},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "Application/JSON; charset=utf-8", "Origin": "http://elsewhere.example"},
        {"Content-Type": "application/vnd.api+json"},
        {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": f"{len(BODY)}"},
    ],
)
async def test_json_is_taken_under_every_name_that_clients_give_it_and_under_none(
    serve: Serve, headers: dict[str, str]
) -> None:
    async with serve() as client:
        assert (await client.post(PATH, content=BODY, headers=headers)).status_code == 200


def test_what_curl_and_urllib_send_without_being_told_is_taken(port: int) -> None:
    """Both call it a form."""
    url = f"http://127.0.0.1:{port}{PATH}"
    said = subprocess.run(["curl", "-s", url, "-d", BODY], capture_output=True, check=True).stdout
    with urllib.request.urlopen(url, BODY, timeout=20) as answer:
        assert len(json.load(answer)["predictions"]) == len(json.loads(said)["predictions"]) == 1


def filled(unit: str, before: str, after: str) -> str:
    """A body of four megabytes: as much of the unit as there is room for."""
    return before + ",".join([unit] * ((MOST - len(before + after)) // (len(unit) + 1))) + after


HOSTILE = {
    "objects": filled("{}", '{"rows":[', "]}"),
    "objects of a key": filled('{"":0}', '{"rows":[', "]}"),
    "lists": filled("[]", '{"rows":[', "]}"),
    "lists in lists": filled("[" * 900 + "]" * 900, '{"rows":[', "]}"),
    "objects in objects": filled('{"":' * 900 + "0" + "}" * 900, '{"rows":[', "]}"),
    "brackets": "[" * MOST,
    "numbers": filled("1", '{"rows":[', "]}"),
    "long integers": filled("9" * 4_300, '{"rows":[', "]}"),
    "keys": "{" + ",".join(f'"{number:06x}":0' for number in range(MOST // 12)) + "}",
    "one key": filled('"a":0', "{", "}"),
    "texts": filled('""', '{"rows":[', "]}"),
    "texts of quotes": filled(r'"\\"', '{"rows":[', "]}"),
    "a text of marks": filled('"' + r"[{,\"" * 100_000 + '"', '{"rows":[', "]}"),
    "unknown field": filled("[]", '{"rows":[{"user_id":1}],"x":[', "]}"),
    "UTF-16": '{"rows":["\\""' + ",[]" * (MOST // 8) + "]}",
}


@pytest.mark.parametrize("path", [PATH, f"/v2/models/{weekly.MODEL}/infer"])
async def test_no_body_keeps_a_worker_longer_than_the_largest_that_it_takes(serve: Serve, path: str) -> None:
    bodies = {"largest": json.dumps({"rows": [{"user_id": user} for user in range(1_000)]}).ljust(MOST).encode()} | {
        name: text.replace('"rows"', '"rows"' if path == PATH else '"inputs"').encode(
            "utf-16-le" if name == "UTF-16" else "utf-8"
        )
        for name, text in HOSTILE.items()
    }
    seconds: dict[str, float] = {}
    async with serve() as client:
        for name, body in bodies.items():
            for _ in range(2):
                began = time.thread_time()
                answer = await client.post(PATH if name == "largest" else path, content=body)
                seconds[name] = min(time.thread_time() - began, seconds.get(name, math.inf))
            assert answer.status_code in ((200,) if name == "largest" else (400, 413, 422)), name
    assert {name: took for name, took in seconds.items() if took > 2 * seconds["largest"]} == {}
