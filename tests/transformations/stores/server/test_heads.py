"""Headers without an end are refused; large bodies, and heads as large as clients send them, are not."""

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from transformations.stores.server.heads import MOST_BYTES, bound_heads

MEGABYTE = 1 << 20
CHUNKED = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """The readers of this process as they were before, afterwards."""
    names = ("data_received", "on_headers_complete", "on_body", "on_message_complete")
    before = {name: getattr(HttpToolsProtocol, name) for name in names}
    bound_heads()
    bound_heads()
    yield
    for name, each in before.items():
        setattr(HttpToolsProtocol, name, each)


async def answer_length(scope: Any, receive: Any, send: Any) -> None:
    """An app that answers with the length of the body."""
    size, is_whole = 0, False
    while not is_whole:
        message = await receive()
        size += len(message.get("body", b""))
        is_whole = not message.get("more_body", False)
    said = b"%d" % size
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(said))]})
    await send({"type": "http.response.body", "body": said})


async def asked(protocol: Any, *parts: bytes) -> bytes:
    """What a client gets that sends some parts, one after the other, on one connection."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(answer_length, http=protocol, lifespan="off", log_level="critical")
        server = uvicorn.Server(config)
        serving = asyncio.ensure_future(server.serve(sockets=[listening]))
        while not server.started:
            await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_connection("127.0.0.1", listening.getsockname()[1])
        answer = b""
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
            answer = await asyncio.wait_for(reader.read(10_000), 10)
        except ConnectionError:  # closed before all was sent
            answer = answer or b"closed"
        finally:
            writer.close()
            server.should_exit = True
            await serving
    return answer


@pytest.mark.parametrize("protocol", [H11Protocol, HttpToolsProtocol])
@pytest.mark.parametrize(
    "parts",
    [
        (b"GET / HTTP/1.1\r\nhost: x\r\nlong: ", *[b"a" * MEGABYTE] * 20),
        (b"GET /", *[b"a" * MEGABYTE] * 20),
        (b"GET / HTTP/1.1\r\nhost: x\r\n", *[b"many: a\r\n" * (MEGABYTE // 9)] * 20),
        (CHUNKED, b"3\r\nabc\r\n0\r\nlong: ", *[b"a" * MEGABYTE] * 20),
        (CHUNKED, b"3;long=", *[b"a" * MEGABYTE] * 20),
    ],
    ids=["header", "path", "headers", "trailer", "extension"],
)
def test_a_head_without_an_end_is_refused_or_cut_off(protocol: Any, parts: tuple[bytes, ...]) -> None:
    answer = asyncio.run(asked(protocol, *parts))
    assert answer == b"closed" or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))


def test_large_heads_and_larger_bodies_are_taken() -> None:
    head = b"POST / HTTP/1.1\r\nhost: x\r\ncookie: " + b"a" * (MOST_BYTES - 1_000)
    length = b"\r\ncontent-length: %d\r\n\r\n" % (3 * MEGABYTE)
    body = [b"a" * MEGABYTE] * 3
    assert asyncio.run(asked(HttpToolsProtocol, head, length, *body)).endswith(b"%d" % (3 * MEGABYTE))
    pieces = [b"a;x=y\r\n" + b"a" * 10 + b"\r\n"] * 20_000
    assert asyncio.run(asked(HttpToolsProtocol, CHUNKED, *pieces, b"0\r\n\r\n")).endswith(b"200000")
