"""Reads from a cluster end in time, whatever a node does; redirections are in `servers/test_cluster.py`."""

import asyncio
from collections.abc import Callable
from time import monotonic

import pytest
from redis import RedisCluster
from redis.asyncio import RedisCluster as AsyncRedisCluster
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from transformations.stores.redis.cluster_reads import ClusterSource
from transformations.stores.redis.reads import Reader, Steps, run_async

TIMES = {"socket_timeout": 0.3, "socket_connect_timeout": 0.3}


def read(keys: list[bytes]) -> Steps[list[bytes | None]]:
    found: list[bytes | None] = yield keys
    return found


def ask(address: str) -> object:
    def client() -> RedisCluster:
        return RedisCluster.from_url(address, retry=Retry(NoBackoff(), 0), **TIMES)

    return Reader(ClusterSource(client), 300).run(read([b"key"]))


async def ask_async(address: str) -> object:
    async with AsyncRedisCluster.from_url(address, retry=AsyncRetry(NoBackoff(), 0), **TIMES) as client:
        return await run_async(client, read([b"key"]), 300)


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("word", [b"GET", b"SLOTS", b"AUTH"])
def test_a_node_that_drips_is_given_up_after_the_time_allowed(
    word: bytes, is_async: bool, dripping: Callable[..., str]
) -> None:
    address = dripping(word, b"$200\r\n" + b"x" * 200 + b"\r\n")
    started = monotonic()
    with pytest.raises((RedisTimeoutError, RedisClusterException), match=r"(?i)timeout|no answer within"):
        asyncio.run(ask_async(address)) if is_async else ask(address)
    assert monotonic() - started < 1


def test_lookups_wait_for_one_attempt_to_reach_the_cluster(dripping: Callable[..., str]) -> None:
    address, opened = dripping(b"SLOTS", b"$200\r\n" + b"x" * 200), []

    def client() -> RedisCluster:
        opened.append(address)
        return RedisCluster.from_url(address, retry=Retry(NoBackoff(), 0), **TIMES)

    source = ClusterSource(client)
    for _ in range(3):
        with pytest.raises(RedisTimeoutError, match="timeout while connecting"):
            Reader(source, 50).run(read([b"key"]))
    assert len(opened) == 1
