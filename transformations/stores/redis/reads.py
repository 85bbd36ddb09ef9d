"""Reading packed rows: one command for any number of keys, within one deadline, over connections kept at hand.

redis-py's own way to a connection asks the socket whether something lies in it, at each request; here a connection that
was lost is found when it is used, and the request, which changes nothing, goes out again over a new one.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Sequence
from functools import cache
from typing import Any, TypeAlias, cast

from redis import Redis, RedisCluster
from redis import asyncio as redis_asyncio
from redis.exceptions import AuthenticationError, BusyLoadingError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from transformations.stores.redis.wire import Wire

Values: TypeAlias = list[bytes | None]

_PAUSE_SECONDS = 0.01


class Reader:
    """Reads keys from a single node or a cluster; safe to use from many threads, and after a fork."""

    def __init__(self, client: Redis | RedisCluster, timeout_ms: int) -> None:
        self._client = client
        self._cluster = client if isinstance(client, RedisCluster) else None
        self._seconds = timeout_ms / 1000
        self._idle: deque[Wire] = deque()
        os.register_at_fork(after_in_child=self._idle.clear)

    def get(self, keys: Sequence[bytes]) -> Values:
        """The values of these keys; of a single node all as they were at one moment.

        redis-py's ConnectionError or TimeoutError where that took longer than allowed, new attempts included.
        """
        if self._cluster is not None:
            return _get_from_cluster(self._cluster, keys)
        values: Values = self._ask((b"MGET", *keys))
        return values

    def get_hash(self, key: bytes) -> dict[bytes, bytes]:
        """The fields of a hash."""
        if self._cluster is not None:
            return cast("dict[bytes, bytes]", self._cluster.hgetall(cast("str", key)))
        answer = self._ask((b"HGETALL", key))
        return answer if isinstance(answer, dict) else dict(zip(answer[::2], answer[1::2], strict=True))

    def _ask(self, command: tuple[bytes, ...]) -> Any:
        deadline = time.monotonic() + self._seconds
        while True:
            try:
                return self._attempt(command, deadline)
            except RedisTimeoutError:
                raise
            except RedisConnectionError as error:
                if time.monotonic() + _PAUSE_SECONDS >= deadline or not _may_recover(error):
                    raise
                time.sleep(_PAUSE_SECONDS)

    def close(self) -> None:
        """Close the connections at hand."""
        while self._idle:
            self._idle.pop().close()

    def _attempt(self, command: tuple[bytes, ...], deadline: float) -> Any:
        try:
            wire, is_fresh = self._idle.pop(), False
        except IndexError:
            wire, is_fresh = self._connect(deadline), True
        try:
            wire.send(command)
            answer = wire.receive()
        except RedisConnectionError:
            wire.close()
            if is_fresh:
                raise
            self.close()  # the others were lost with it
            return self._attempt(command, deadline)
        except BaseException:
            wire.close()  # its answer may still come
            raise
        if is_fresh:
            wire.allow(self._seconds)
        self._idle.append(wire)
        return answer

    def _connect(self, deadline: float) -> Wire:
        """A new connection, on which the first answer may take what connecting has left of the time."""
        assert isinstance(self._client, Redis)
        wire = Wire(self._client)
        wire.connect()
        wire.allow(max(deadline - time.monotonic(), 0.001))
        return wire


async def get_async(
    client: redis_asyncio.Redis | redis_asyncio.RedisCluster, keys: Sequence[bytes], timeout_ms: int
) -> Values:
    """As `Reader.get`, on the running event loop.

    The client's own timeouts bound a connection and an answer each; the sum, new attempts included, is bounded here.
    """
    try:
        async with asyncio.timeout(2 * timeout_ms / 1000):
            if _is_cluster(type(client)):
                async with cast("redis_asyncio.RedisCluster", client).pipeline() as pipe:
                    for key in keys:
                        pipe.get(cast("str", key))
                    return cast("Values", await pipe.execute())
            return cast("Values", await cast("redis_asyncio.Redis", client).mget(cast("list[str]", keys)))
    except TimeoutError as error:
        raise RedisTimeoutError(f"no answer within twice {timeout_ms} ms") from error


@cache
def _is_cluster(kind: type) -> bool:
    """Asked once a class: redis-py's derive from protocols, and to find that out takes a fifth of a lookup."""
    return issubclass(kind, redis_asyncio.RedisCluster)


def _get_from_cluster(client: RedisCluster, keys: Sequence[bytes]) -> Values:
    """One round trip a node."""
    with client.pipeline(transaction=False) as pipe:  # type: ignore[no-untyped-call]
        for key in keys:
            pipe.get(cast("str", key))
        return cast("Values", pipe.execute())


def _may_recover(error: RedisConnectionError) -> bool:
    """Whether a moment later the answer may be another: the server starts, or the connection was cut."""
    return isinstance(error, BusyLoadingError) or not (
        isinstance(error, AuthenticationError) or "refused" in str(error)
    )
