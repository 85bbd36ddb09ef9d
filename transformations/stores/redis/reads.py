"""Reads packed rows: a read says step by step what to fetch, and has one deadline for all its steps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator, Iterable, Sequence
from functools import cache
from typing import Any, Protocol, TypeAlias, TypeVar, cast

from redis import Redis
from redis import asyncio as redis_asyncio
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from transformations.stores.redis.channel import Node
from transformations.stores.redis.connections import SyncClient
from transformations.stores.redis.idle import IdleWires, in_time
from transformations.stores.redis.wire import is_wrong_type, may_recover, packed_command
from transformations.stores.rows.packed_rows import OTHER_TYPE

Values: TypeAlias = list[bytes | None]
"""The values of keys: None for a key that is not there, OTHER_TYPE for one that holds no string."""
Wanted: TypeAlias = list[bytes] | bytes
"""Keys whose values to read, or the key of a hash to read whole."""
Answer = TypeVar("Answer")
Steps: TypeAlias = Generator[Wanted, Any, Answer]
"""A read: yields what it wants, is sent the values or the hash's fields, and returns its answer."""

AsyncSource: TypeAlias = Node | redis_asyncio.Redis | redis_asyncio.RedisCluster
"""Where an event loop reads."""

_MGET = b"MGET\r\n"
MOST_ASKED_TWICE = 64
"""Keys whose existence is asked for in the same round trip as their values.

MGET calls a list or a hash absent, and only EXISTS says that something is there. For so many keys it takes a fraction
of a round trip; for thousands it takes as long as their values, and is asked of the absent ones afterwards.
"""
PAUSE_SECONDS = 0.01
"""Between two attempts of one read."""


class Source(Protocol):
    """Where a reader reads."""

    def fetch(self, wanted: Wanted, deadline: float) -> Any:
        """The values of these keys, or the fields of this hash; redis-py's TimeoutError at the deadline."""
        ...


class Reader:
    """Drives reads with one deadline each; safe to use from many threads and after a fork."""

    def __init__(self, source: Source, timeout_ms: int) -> None:
        self._source = source
        self._seconds = timeout_ms / 1000

    def run(self, steps: Steps[Answer]) -> Answer:
        """Drive a read to its answer.

        redis-py's ConnectionError or TimeoutError if its steps, new attempts included, take longer than allowed.
        """
        deadline, fetch = time.monotonic() + self._seconds, self._source.fetch
        try:
            wanted = next(steps)
            while True:
                wanted = steps.send(fetch(wanted, deadline))
        except StopIteration as done:
            answer: Answer = done.value
            return answer


def run_patiently(client: SyncClient, steps: Steps[Answer]) -> Answer:
    """As `Reader.run`, through redis-py's own client: its repetitions have time, and all steps one deadline."""
    return in_time(client, lambda: _run_by_client(client, steps))


def _run_by_client(client: SyncClient, steps: Steps[Answer]) -> Answer:
    try:
        wanted = next(steps)
        while True:
            is_hash = isinstance(wanted, bytes)
            found = client.hgetall(cast("str", wanted)) if is_hash else [client.get(cast("str", key)) for key in wanted]
            wanted = steps.send(found)
    except StopIteration as done:
        answer: Answer = done.value
        return answer


class NodeSource:
    """Reads from a single node. All values of one fetch are of the same moment."""

    def __init__(self, client: Redis) -> None:
        self._idle = IdleWires(client)

    def fetch(self, wanted: Wanted, deadline: float) -> Any:
        """As `Source.fetch`."""
        if not isinstance(wanted, list):
            (fields,) = self._ask(packed_command(b"HGETALL", wanted), 1, deadline)
            return fields_of(fields)
        steps = value_steps(wanted)
        try:
            commands, count = next(steps)
            while True:
                commands, count = steps.send(self._ask(commands, count, deadline))
        except StopIteration as done:
            return done.value

    def _ask(self, commands: bytes, count: int, deadline: float) -> list[Any]:
        """The answers to `count` commands, which are sent together."""
        earlier: RedisConnectionError | None = None
        while True:
            try:
                return self._attempt(commands, count, deadline)
            except RedisTimeoutError:
                if earlier is not None:  # which says more
                    raise earlier from None
                raise
            except RedisConnectionError as error:
                if time.monotonic() + PAUSE_SECONDS >= deadline or not may_recover(error):
                    raise
                earlier = error
                time.sleep(PAUSE_SECONDS)

    def _attempt(self, commands: bytes, count: int, deadline: float) -> list[Any]:
        wire, is_fresh = self._idle.take(deadline)
        try:
            wire.send_packed(commands)
            answers = wire.receive_all(count, deadline)
        except RedisConnectionError:
            wire.close()
            if is_fresh:
                raise
            self._idle.close()  # the others were lost with it
            return self._attempt(commands, count, deadline)
        except BaseException:
            wire.close()  # its answer may still come
            raise
        self._idle.keep(wire)
        return answers


def value_steps(keys: Sequence[bytes]) -> Generator[tuple[bytes, int], list[Any], Values]:
    """The values of keys of one node: yields packed commands and how many, is sent their answers."""
    commands, existing = packed_command(b"MGET", *keys), None
    if len(keys) <= MOST_ASKED_TWICE:
        again = commands.partition(_MGET)[2]  # packed once: a single lookup feels every microsecond
        values, existing = yield b"%b*%d\r\n$6\r\nEXISTS\r\n%b" % (commands, 1 + len(keys), again), 2
    else:
        (values,) = yield commands, 1
    if None in values:
        missing = places_without_value(values)
        if existing is None:
            (others,) = yield packed_command(b"EXISTS", *(keys[place] for place in missing)), 1
        else:
            others = existing - (len(values) - len(missing))
        if others:
            types = yield b"".join(packed_command(b"TYPE", keys[place]) for place in missing), len(missing)
            mark_other_types(values, missing, types)
    found: Values = values
    return found


def places_without_value(values: Sequence[bytes | None]) -> list[int]:
    """The places of keys that MGET says are absent."""
    return [place for place, value in enumerate(values) if value is None]


def mark_other_types(values: Values, missing: Iterable[int], types: Iterable[bytes]) -> None:
    """Put OTHER_TYPE in the place of each key that holds no string; types: what TYPE says of the missing ones."""
    for place, kind in zip(missing, types, strict=True):
        if kind not in (b"none", b"string"):  # a string has been written in between
            values[place] = OTHER_TYPE


def fields_of(answer: Any) -> dict[bytes, bytes]:
    """The fields of a hash; Redis' second protocol sends them as a list."""
    return answer if isinstance(answer, dict) else dict(zip(answer[::2], answer[1::2], strict=True))


async def run_async(client: AsyncSource, steps: Steps[Answer], timeout_ms: int) -> Answer:
    """As `Reader.run`, on the running event loop."""
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            try:
                wanted = next(steps)
                while True:
                    wanted = steps.send(await _fetch_async(client, wanted))
            except StopIteration as done:
                answer: Answer = done.value
                return answer
    except TimeoutError as error:
        raise RedisTimeoutError(f"no answer within {timeout_ms} ms") from error


async def _fetch_async(client: AsyncSource, wanted: Wanted) -> Any:
    if isinstance(client, Node):
        return await _fetch_of_node(client, wanted)
    if not isinstance(wanted, list):
        return await cast("Any", client.hgetall(cast("str", wanted)))
    if not _is_cluster(type(client)):
        return await _fetch_values_async(cast("redis_asyncio.Redis", client), wanted)
    async with cast("redis_asyncio.RedisCluster", client).pipeline() as pipe:
        for key in wanted:
            pipe.get(cast("str", key))
        values = [OTHER_TYPE if is_wrong_type(each) else each for each in await pipe.execute(raise_on_error=False)]
    for each in values:
        if isinstance(each, Exception):
            raise each
    return values


async def _fetch_of_node(node: Node, wanted: Wanted) -> Any:
    """As `NodeSource.fetch`."""
    if not isinstance(wanted, list):
        (fields,) = await node.ask(packed_command(b"HGETALL", wanted), 1)
        return fields_of(fields)
    steps = value_steps(wanted)
    try:
        commands, count = next(steps)
        while True:
            commands, count = steps.send(await node.ask(commands, count))
    except StopIteration as done:
        return done.value


async def _fetch_values_async(client: redis_asyncio.Redis, keys: list[bytes]) -> Values:
    """As `NodeSource.fetch` of keys."""
    async with client.pipeline(transaction=False) as pipe:
        pipe.mget(cast("list[str]", keys))
        if len(keys) <= MOST_ASKED_TWICE:
            pipe.exists(*cast("list[str]", keys))
            values, existing = await pipe.execute()
            missing = places_without_value(values)
            others = existing - (len(values) - len(missing))
        else:
            (values,) = await pipe.execute()
            missing = places_without_value(values)
            others = await client.exists(*cast("list[str]", [keys[place] for place in missing])) if missing else 0
        if others:
            for place in missing:
                pipe.type(cast("str", keys[place]))
            mark_other_types(values, missing, await pipe.execute())
    found: Values = values
    return found


@cache
def _is_cluster(kind: type) -> bool:
    """Asked once a class: redis-py's derive from protocols, and to find that out takes a fifth of a lookup."""
    return issubclass(kind, redis_asyncio.RedisCluster)
