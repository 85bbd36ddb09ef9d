"""A connection without redis-py's client around it: the same answers, the same errors, and never another's answer."""

import asyncio
from collections.abc import Callable, Iterator
from threading import enumerate as enumerate_threads
from time import monotonic

import pytest
from redis import Redis, RedisCluster
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from transformations.stores.redis import wire as module
from transformations.stores.redis.catalogue import read_catalog
from transformations.stores.redis.reads import NodeSource, Reader, Steps, run_async
from transformations.stores.redis.wire import Wire
from transformations.stores.redis.writes import write_rows


@pytest.fixture
def wire(redis: Redis) -> Iterator[Wire]:
    wire = Wire(redis)
    yield wire
    wire.close()


def ask(wire: Wire, *command: bytes) -> object:
    wire.send(*command)
    return wire.receive()


def test_answers_come_in_the_order_of_the_commands_however_large(redis: Redis, wire: Wire) -> None:
    long = bytes(range(256)) * 4_096  # sixteen times what is taken from the socket at once
    redis.mset({"long": long, "number": 7})
    for command in ((b"GET", b"long"), (b"MGET", b"number", b"long", b"none"), (b"PING",)):
        wire.send(*command)
    assert [wire.receive() for _ in range(3)] == [long, [b"7", long, None], b"PONG"]


def test_a_refusal_is_raised_and_the_connection_goes_on(redis: Redis, wire: Wire) -> None:
    redis.set("text", "x")
    before = ask(wire, b"CLIENT", b"ID")
    with pytest.raises(ResponseError, match="not an integer"):
        ask(wire, b"INCR", b"text")
    assert ask(wire, b"CLIENT", b"ID") == before


def test_a_late_answer_is_not_taken_for_the_next_one_s(redis: Redis, wire: Wire) -> None:
    redis.mset({"first": 1, "second": 2})
    wire.connect()
    redis.client_pause(200)
    wire.send(b"GET", b"first")
    with pytest.raises(RedisTimeoutError, match="timeout while reading"):
        wire.receive(monotonic() + 0.05)
    assert ask(wire, b"GET", b"second") == b"2"


def test_a_lost_connection_is_said_so_and_made_again(redis: Redis, wire: Wire) -> None:
    number = ask(wire, b"CLIENT", b"ID")
    assert isinstance(number, int)
    redis.client_kill_filter(_id=str(number))
    with pytest.raises(RedisConnectionError, match="the socket"):
        ask(wire, b"PING")
    assert ask(wire, b"PING") == b"PONG"


def test_what_redis_sends_unasked_is_no_answer(redis: Redis, wire: Wire) -> None:
    """With Redis' third protocol a server tells of changed keys, of a failover and the like between its answers."""
    ask(wire, b"HELLO", b"3")
    assert ask(wire, b"CLIENT", b"TRACKING", b"ON", b"BCAST") == b"OK"
    redis.set("key", "value")
    assert ask(wire, b"GET", b"key") == b"value"
    assert ask(wire, b"HGETALL", b"none") == {}


def read(keys: list[bytes]) -> Steps[list[bytes | None]]:
    found: list[bytes | None] = yield keys
    return found


LONG = b"*1\r\n$200\r\n" + b"x" * 200 + b"\r\n"


def ask_address(address: str, sync: bool) -> None:
    """A lookup that may take 300 ms."""
    if sync:
        client = Redis.from_url(address, socket_timeout=0.3, socket_connect_timeout=0.3)
        Reader(NodeSource(client), 300).run(read([b"key"]))
    else:
        asyncio.run(ask_address_async(address))


async def ask_address_async(address: str) -> None:
    async with AsyncRedis.from_url(address, socket_timeout=0.3, socket_connect_timeout=0.3) as client:
        await run_async(client, read([b"key"]), 300)


def is_given_up_in_time(address: str, sync: bool) -> bool:
    """Whether that lookup ends in a timeout within a second."""
    started = monotonic()
    with pytest.raises(RedisTimeoutError, match=r"timeout while|no answer within"):
        ask_address(address, sync)
    return monotonic() - started < 1


@pytest.mark.parametrize("sync", [True, False])
def test_an_answer_that_drips_in_is_given_up_after_the_time_allowed(dripping: Callable[..., str], sync: bool) -> None:
    assert is_given_up_in_time(dripping(b"MGET", LONG), sync)


@pytest.mark.parametrize("sync", [True, False])
@pytest.mark.parametrize(
    ("word", "options"),
    [(b"HELLO", "protocol=3"), (b"AUTH", "protocol=2"), (b"CLIENT", "protocol=2"), (b"SELECT", "protocol=2&db=3")],
)
def test_a_greeting_that_drips_in_is_given_up_after_the_time_allowed(
    dripping: Callable[..., str], word: bytes, options: str, sync: bool
) -> None:
    assert is_given_up_in_time(dripping(word, b"+" + b"x" * 200 + b"\r\n", options), sync)


@pytest.mark.parametrize(("word", "seconds"), [(b"EVALSHA", 1.0), (b"AUTH", 2.0)])
def test_a_write_whose_answer_or_greeting_drips_in_is_given_up_after_the_time_allowed(
    dripping: Callable[..., str], word: bytes, seconds: float
) -> None:
    client = Redis.from_url(dripping(word, LONG), socket_timeout=0.3, socket_connect_timeout=0.3)
    started = monotonic()
    with pytest.raises(RedisTimeoutError):
        write_rows(client, [(b"key", b"row")], 0, lambda values: [True] * len(values))
    assert monotonic() - started < seconds


@pytest.mark.parametrize("word", [b"EVALSHA", b"GET"])
def test_a_write_to_a_cluster_whose_answers_drip_in_has_one_deadline_for_all_of_them(
    dripping: Callable[..., str], word: bytes
) -> None:
    """GET: of the value that did not yield, which is read to see whether it is a row."""
    kept = b"*2\r\n:0\r\n:1\r\n"
    address = dripping(word, LONG, EVALSHA=kept)
    client = RedisCluster.from_url(address, socket_timeout=0.3, socket_connect_timeout=0.3)
    started = monotonic()
    with pytest.raises(RedisTimeoutError):
        write_rows(client, [(b"key", b"row")], 0, lambda values: [True] * len(values))
    assert monotonic() - started < 2
    client.close()


def test_a_catalogue_whose_epoch_drips_in_is_given_up_after_the_time_allowed(dripping: Callable[..., str]) -> None:
    client = Redis.from_url(dripping(b"GET", b"$200\r\n" + b"1" * 200), socket_timeout=0.3, socket_connect_timeout=0.3)
    started = monotonic()
    with pytest.raises(RedisTimeoutError):
        read_catalog(client, "shop")
    assert monotonic() - started < 2


def test_a_thread_that_was_connecting_ends_when_it_is_given_up(dripping: Callable[..., str]) -> None:
    assert is_given_up_in_time(dripping(b"AUTH", b"+" + b"x" * 200), sync=True)
    for thread in enumerate_threads():
        if thread.name == "connecting":
            thread.join(1)
            assert not thread.is_alive()


def test_without_what_redis_py_keeps_to_itself_its_own_connection_is_used(
    redis: Redis, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ERROR_OF", None)
    redis.set("text", "x")
    assert ask(wire, b"MGET", b"text", b"none") == [b"x", None]
    with pytest.raises(ResponseError, match="not an integer"):
        ask(wire, b"INCR", b"text")
    assert ask(wire, b"PING") == b"PONG"
    wire.close()
    assert ask(wire, b"PING") == b"PONG"
