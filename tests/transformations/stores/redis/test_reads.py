"""A fetch is one round trip, however many keys it has; of many, those that are absent take another."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.connection import AbstractConnection

from transformations.stores.redis.channel import Node
from transformations.stores.redis.reads import MOST_ASKED_TWICE, NodeSource, Reader, Steps, Values, run_async
from transformations.stores.redis.wire import Wire
from transformations.stores.rows.packed_rows import OTHER_TYPE


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often something was sent to Redis, each time to wait for its answer: by the blocking loop, and by an event
    loop, through redis-py or not."""
    counts: Counter[str] = Counter()
    send, send_async = Wire.send_packed, AbstractConnection.send_packed_command

    def count(wire: Wire, *parts: bytes | memoryview) -> None:
        counts["sync"] += 1
        send(wire, *parts)

    async def count_async(connection: Any, *command: Any, **options: Any) -> None:
        counts["async"] += 1
        await send_async(connection, *command, **options)

    async def count_channel(node: Node, commands: bytes, answers: int) -> list[Any]:
        counts["channel"] += 1
        return await ask(node, commands, answers)

    ask = Node.ask
    monkeypatch.setattr(Node, "ask", count_channel)
    monkeypatch.setattr(Wire, "send_packed", count)
    monkeypatch.setattr(AbstractConnection, "send_packed_command", count_async)
    return counts


def fetch(redis: Redis, keys: list[bytes], loop: str, sent: Counter[str]) -> tuple[Values, int]:
    """The values of these keys, and how many round trips they took over a connection that is there."""

    def steps() -> Steps[tuple[Values, int]]:
        yield keys[:1]
        before = sent[loop]
        values: Values = yield keys
        return values, sent[loop] - before

    if loop == "sync":
        return Reader(NodeSource(redis), 5_000).run(steps())

    async def run() -> tuple[Values, int]:
        if loop == "channel":
            node = Node(redis)
            try:
                return await run_async(node, steps(), 5_000)
            finally:
                await node.aclose()
        async with AsyncRedis(unix_socket_path=redis.connection_pool.connection_kwargs["path"]) as client:
            return await run_async(client, steps(), 5_000)

    return asyncio.run(run())


@pytest.mark.parametrize("loop", ["sync", "async", "channel"])
@pytest.mark.parametrize("count", [1, MOST_ASKED_TWICE, MOST_ASKED_TWICE + 1, 1_000])
def test_a_fetch_is_one_round_trip_and_absent_ones_among_many_keys_take_another(
    redis: Redis, sent: Counter[str], loop: str, count: int
) -> None:
    keys = [b"{%d}" % number for number in range(count)]
    there = {key: b"row of " + key for key in keys}
    redis.mset(there)
    assert fetch(redis, keys, loop, sent) == (list(there.values()), 1)
    for key in keys[::10]:
        redis.delete(key)
        del there[key]
    trips = 1 if count <= MOST_ASKED_TWICE else 2
    assert fetch(redis, keys, loop, sent) == ([there.get(key) for key in keys], trips)


@pytest.mark.parametrize("loop", ["sync", "async", "channel"])
@pytest.mark.parametrize(("count", "trips"), [(2, 2), (1_000, 3)])
def test_a_value_of_another_type_takes_one_more_round_trip(
    redis: Redis, sent: Counter[str], loop: str, count: int, trips: int
) -> None:
    redis.rpush("{1}", "a")
    values, taken = fetch(redis, [b"{%d}" % number for number in range(count)], loop, sent)
    assert (values[:2], set(values[2:]), taken) == ([None, OTHER_TYPE], {None} if count > 2 else set(), trips)


def test_a_key_that_is_read_twice_is_no_value_of_another_type(redis: Redis, sent: Counter[str]) -> None:
    redis.set("{1}", "row")
    keys = [b"{1}", b"{2}", b"{1}", b"{2}"]
    assert fetch(redis, keys, "sync", sent) == ([b"row", None, b"row", None], 1)
