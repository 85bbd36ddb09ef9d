"""Reads from a single Redis on an event loop: one connection, any number of questions on their way at once.

redis-py connects (address, password, Sentinel, database) and then stands aside: commands and answers pass between the
event loop's transport and hiredis. A command through redis-py's own asyncio client takes 150 microseconds of the
processor more. With TLS, and on a cluster, that client is used.

Who is alone on its event loop (`ALONE`) looks for its answer right away, for a tenth of a millisecond at most: a loop
with nothing to do lets its processor go, and getting it back takes longer than Redis takes to answer. After an answer
that was not there in time, nobody looks for the next hundred.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections import deque
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from hiredis import HiredisError, PushNotification, Reader
from redis import Redis, SSLConnection
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, RedisError
from redis.retry import Retry

from transformations.stores.redis.wire import ERROR_OF, may_recover, socket_of

_ATTEMPTS = 3
_PAUSE_SECONDS = 0.01
_SILENCE_SECONDS = 0.1
"""How long a connection is left to answer after a request gave up on it."""
LOOK_SECONDS = 0.0001
_NO_LOOKS = 100
"""How many answers are not looked for after one that was looked for in vain."""
_MOST_BYTES = 1 << 16
_NOT_YET = object()

ALONE: ContextVar[bool] = ContextVar("alone", default=False)
"""Whether nothing else is in work on the event loop of who asks."""


def can_channel(client: Redis) -> bool:
    """Whether a client's node can be read through a channel."""
    return ERROR_OF is not None and not issubclass(client.connection_pool.connection_class, SSLConnection)


class Node:
    """One Redis, for one event loop. It connects with the first question, and again after a connection was lost."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._channel: _Channel | None = None
        self._connecting: asyncio.Task[_Channel] | None = None

    async def ask(self, commands: bytes, count: int) -> list[Any]:
        """The answers to `count` packed commands, which are sent together.

        redis-py's errors; a lost connection is tried again twice. Where somebody stops waiting and nothing comes after
        that, the connection is closed, and others who wait ask again over a new one.
        """
        attempt = 1
        while True:
            try:
                channel = self._channel
                if channel is None or channel.is_closed:
                    channel = await self._connected()
                return await channel.ask(commands, count)
            except RedisConnectionError as error:
                if attempt == _ATTEMPTS or not may_recover(error):
                    raise
                attempt += 1
                await asyncio.sleep(_PAUSE_SECONDS)

    async def aclose(self) -> None:
        """Close the connection."""
        if self._connecting is not None:
            with suppress(Exception):
                await self._connecting
        if self._channel is not None:
            self._channel.close("closed")

    async def _connected(self) -> _Channel:
        """A new connection, which all who wait for one share."""
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(self._has_connected)
        return await asyncio.shield(self._connecting)

    def _has_connected(self, task: asyncio.Task[_Channel]) -> None:
        self._connecting = None
        if not task.cancelled():
            task.exception()  # that of which nobody waits for the end any more is not reported as lost

    async def _connect(self) -> _Channel:
        connection = await asyncio.to_thread(self._open)
        theirs = socket_of(connection)
        if theirs is None:
            raise RedisConnectionError("this release of redis-py hides its sockets; pyproject.toml names one that fits")
        own = socket.socket(fileno=os.dup(theirs.fileno()))
        own.setblocking(False)
        loop, channel = asyncio.get_running_loop(), _Channel(connection, own)
        try:
            if own.family == socket.AF_UNIX:
                await loop.create_unix_connection(lambda: channel, sock=own)
            else:
                await loop.create_connection(lambda: channel, sock=own)
        except BaseException:
            own.close()
            connection.disconnect()
            raise
        self._channel = channel
        return channel

    def _open(self) -> Any:
        connection: Any = self._client.connection_pool.make_connection()
        connection.retry = Retry(NoBackoff(), 0)  # whoever asks tries again, as long as there is time
        connection.connect()
        return connection


@dataclass(slots=True)
class _Question:
    """What waits for `count` answers, in the order in which they come."""

    count: int
    answer: asyncio.Future[list[Any]]
    found: list[Any] = field(default_factory=list)


class _Channel(asyncio.Protocol):
    """A connection. connection: redis-py's. own: its socket, which the event loop's transport uses."""

    def __init__(self, connection: Any, own: socket.socket) -> None:
        self._connection, self._own = connection, own
        self._looks_again = 0
        error_of = ERROR_OF or RedisError
        self._reader = Reader(protocolError=InvalidResponse, replyError=error_of, notEnoughData=_NOT_YET)
        self._waiting: deque[_Question] = deque()
        self._transport: Any = None
        self._received = 0
        self._why = "closed by the server"
        self.is_closed = False

    async def ask(self, commands: bytes, count: int) -> list[Any]:
        """As `Node.ask`, once."""
        if self.is_closed:
            raise RedisConnectionError(f"error while writing to the socket: {self._why}")
        question = _Question(count, asyncio.get_running_loop().create_future())
        self._waiting.append(question)
        self._transport.write(commands)
        if ALONE.get() and len(self._waiting) == 1:
            self._look(question)
        try:
            return await question.answer
        except asyncio.CancelledError:
            # Answers may have come that a busy loop has not read yet: they are read before this is called.
            asyncio.get_running_loop().call_later(_SILENCE_SECONDS, self._close_if_silent, self._received)
            raise

    def _look(self, question: _Question) -> None:
        """Take a question's answer from the socket if it comes very soon; else the transport will."""
        if self._looks_again > 0:
            self._looks_again -= 1
            return
        until = time.perf_counter() + LOOK_SECONDS
        while not question.answer.done():
            try:
                data = self._own.recv(_MOST_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                if time.perf_counter() < until:
                    continue
                data = b""
            except OSError:
                data = b""
            if not data:  # nothing yet, or the end, which the transport is told of, too
                self._looks_again = _NO_LOOKS
                return
            self.data_received(data)

    def close(self, why: str) -> None:
        """Close it; who waits for answers is told why there are none."""
        if not self.is_closed:
            self._why = why
            self._let_go()
            self._transport.abort()

    def _close_if_silent(self, received: int) -> None:
        if self._received == received and self._waiting:
            self.close("it answered nothing, and a request gave up waiting")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of asyncio's protocols."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Of asyncio's protocols: some bytes of answers."""
        self._received += len(data)
        try:
            self._reader.feed(data)
            while (answer := self._reader.gets()) is not _NOT_YET:
                if not isinstance(answer, PushNotification):
                    self._take(answer)
        except (HiredisError, InvalidResponse, IndexError) as error:
            self.close(f"no answer of Redis: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        """Of asyncio's protocols."""
        if not self.is_closed:
            self._why = str(exc or self._why)
            self._let_go()
        self._connection.disconnect()

    def _take(self, answer: Any) -> None:
        question = self._waiting[0]
        question.found.append(answer)
        if len(question.found) < question.count:
            return
        self._waiting.popleft()
        if question.answer.done():
            return
        errors = [each for each in question.found if isinstance(each, Exception)]
        if errors:
            question.answer.set_exception(errors[0])
        else:
            question.answer.set_result(question.found)

    def _let_go(self) -> None:
        self.is_closed = True
        waiting, self._waiting = self._waiting, deque()
        for question in waiting:
            if not question.answer.done():
                question.answer.set_exception(RedisConnectionError(f"error while reading from the socket: {self._why}"))
