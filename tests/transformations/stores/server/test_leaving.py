"""A server that ends under its clients: what they had sent by then is answered."""

import asyncio
import socket
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from transformations.stores.server.leaving import leave_gently

REQUEST = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n"


@pytest.fixture(params=[H11Protocol, HttpToolsProtocol], autouse=True)
def protocol(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Each reader of HTTP; both are set back after the test."""
    for each in (H11Protocol, HttpToolsProtocol):
        monkeypatch.setattr(each, "shutdown", getattr(each.shutdown, "at_once", each.shutdown))
    return request.param


async def answer_ok(scope: Any, receive: Any, send: Any) -> None:
    """An app that answers at once."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def test_requests_that_are_sent_while_a_server_ends_are_answered_and_the_last_on_their_connections(
    protocol: Any,
) -> None:
    leave_gently()
    leave_gently()
    answers = asyncio.run(asked_while_it_ends(protocol))
    assert [answer.startswith(b"HTTP/1.1 200") for answer in answers] == [True, True, True]
    assert [answer.lower().count(b"connection: close") for answer in answers] == [1, 1, 0]
    assert answers[2].endswith(b"ok"), "the one that asks nothing more is closed after its first answer"


def test_without_it_they_are_not(protocol: Any) -> None:
    answers = asyncio.run(asked_while_it_ends(protocol))
    assert [answer.startswith(b"HTTP/1.1 200") for answer in answers] == [False, False, True]


async def asked_while_it_ends(protocol: Any) -> list[bytes]:
    """What three clients get: of the first, its first request comes while the server ends, of the second its second
    one, and the third asks once, before, and never again.
    """
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        config = uvicorn.Config(answer_ok, http=protocol, lifespan="off", log_level="critical")
        server = uvicorn.Server(config)
        serving = asyncio.ensure_future(server.serve(sockets=[listening]))
        while not server.started:
            await asyncio.sleep(0.01)
        new, kept, idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        for reader, writer in (kept, idle):
            writer.write(REQUEST)
            first = await reader.readuntil(b"ok")
        while len(server.server_state.connections) < 3:
            await asyncio.sleep(0.01)
        shutting = asyncio.ensure_future(server.shutdown())
        await asyncio.sleep(0)
        for _, writer in (new, kept):
            writer.write(REQUEST)
        answers = [await _rest(reader) for reader, _ in (new, kept, idle)]
        server.should_exit = True
        await shutting
        await serving
    return [*answers[:2], first + answers[2]]


async def _rest(reader: asyncio.StreamReader) -> bytes:
    try:
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionResetError:
        return b""
