"""A load generator in a process of its own: connections that stay open, each sends its next request when answered."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from typing import cast


class _Connection(asyncio.Protocol):
    """Sends requests in turn until the end; notes how long each took."""

    def __init__(self, requests: list[bytes], until: float, done: asyncio.Future[None], seconds: list[float]) -> None:
        self.requests, self.until, self.done, self.seconds = requests, until, done, seconds
        self.buffer = b""
        self.sent = 0
        self.began = 0.0
        self.errors = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class
        self._send()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, rest = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(rest) < length:
            return
        self.seconds.append(time.perf_counter() - self.began)
        self.errors += b" 200 " not in head[:16]
        self.buffer = rest[length:]
        if time.perf_counter() >= self.until:
            self.transport.close()
            self.done.set_result(None)
        else:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the server closed the connection"))

    def _send(self) -> None:
        self.began = time.perf_counter()
        self.transport.write(self.requests[self.sent % len(self.requests)])
        self.sent += 1


async def _load(port: int, requests: list[bytes], connections: int, seconds: float, rate: float) -> dict[str, float]:
    loop, taken = asyncio.get_running_loop(), list[float]()
    until = time.perf_counter() + seconds
    waiting, made = [], []
    for number in range(connections):
        done = loop.create_future()
        mine = requests[number:] + requests[:number]
        made.append(_Connection(mine, until, done, taken))
        await loop.create_connection(lambda each=made[-1]: each, "127.0.0.1", port)  # type: ignore[misc]
        waiting.append(done)
    await asyncio.gather(*waiting)
    return {
        "p50": 1000 * statistics.median(taken),
        "p99": 1000 * statistics.quantiles(taken, n=100)[98],
        "requests/s": len(taken) / seconds,
        "errors": sum(each.errors for each in made),
    }


async def _paced(port: int, requests: list[bytes], connections: int, seconds: float, rate: float) -> dict[str, float]:
    """So many requests a second, whatever the answers take; latency counts from when each was due."""
    taken, errors = list[float](), 0
    queue: asyncio.Queue[float] = asyncio.Queue()

    async def work(number: int) -> None:
        nonlocal errors
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        sent = number
        while (due := await queue.get()) >= 0:
            writer.write(requests[sent % len(requests)])
            sent += connections
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]))
            errors += b" 200 " not in head[:16]
            taken.append(time.perf_counter() - due)
        writer.close()

    workers = [asyncio.create_task(work(number)) for number in range(connections)]
    began = time.perf_counter()
    for number in range(int(rate * seconds)):
        due = began + number / rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        queue.put_nowait(due)
    for _ in workers:
        queue.put_nowait(-1.0)
    await asyncio.gather(*workers)
    return {"p50": 1000 * statistics.median(taken), "requests/s": len(taken) / seconds, "errors": errors}


def main() -> None:
    """Read what to do as JSON from standard input, and write the figures there."""
    given = json.load(sys.stdin)
    headers = "".join(f"{name}: {value}\r\n" for name, value in given["headers"].items())
    requests = [
        f"POST {given['path']} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{headers}"
        f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        for body in given["bodies"]
    ]
    import uvloop

    way = _paced if given["rate"] else _load
    figures = uvloop.run(way(given["port"], requests, given["connections"], given["seconds"], given["rate"]))
    json.dump(figures, sys.stdout)


if __name__ == "__main__":
    main()
