"""Walks over the keys of Redis, and what is asked on them: whole, and in time though Redis drips its answers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from time import monotonic

import pytest
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from redis import Redis
from redis.exceptions import TimeoutError as RedisTimeoutError

from transformations.stores.redis import catalogue, loaded
from transformations.stores.redis.connections import SyncClient
from transformations.stores.redis.loaded import Loaded
from transformations.stores.redis.scanning import scan
from transformations.stores.redis.stock_rows import StockHash, remove_unchanged, stock_hashes
from transformations.stores.redis.unlinking import carry_pushed, unlink_leftovers

NUMBER, ROW_KEY = b"00000", b"{1}00000"
LONG = b"$200\r\n" + b"x" * 200 + b"\r\n"
LEFTOVERS = b"*2\r\n$5\r\n%b\r\n$1\r\n0\r\n" % NUMBER
ONE_KEY = b"*2\r\n$1\r\n0\r\n*1\r\n$%d\r\n%b\r\n" % (len(ROW_KEY), ROW_KEY)
PUSHED_HEADER = b"$18\r\n" + bytes(17) + b"\x01" + b"\r\n"
LOADED = Loaded(version=1, end=datetime(2024, 1, 1, tzinfo=UTC), rows=0)


def all_intact(rows: object) -> list[bool]:
    return [True]


def carry(client: SyncClient) -> None:
    carry_pushed(client, NUMBER, b"11111", all_intact)


ASKING: dict[str, tuple[bytes, Callable[[SyncClient], object]]] = {
    "which tables are left over": (b"HGETALL", unlink_leftovers),
    "their keys": (b"SCAN", unlink_leftovers),
    "unlinking them": (b"UNLINK", unlink_leftovers),
    "forgetting them": (b"HDEL", unlink_leftovers),
    "headers of rows": (b"GETRANGE", carry),
    "pushed rows": (b"PTTL", carry),
    "keys of stock's rows": (b"SCAN", lambda client: list(stock_hashes(client, "shop"))),
    "stock's rows": (b"HGETALL", lambda client: list(stock_hashes(client, "0"))),
    "removing stock's rows": (b"EVAL", lambda client: remove_unchanged(client, [StockHash(b"k", EntityKey(), {})])),
    "recording a load": (b"HSET", lambda client: loaded.record(client, "shop", "view", LOADED)),
    "beginning a load": (b"HSET", lambda client: loaded.begin(client, "shop", "view", LOADED)),
    "unfinished loads": (b"HGETALL", lambda client: loaded.unfinished_loads(client, "shop", "view")),
    "concluding a load": (b"HDEL", lambda client: loaded.conclude(client, "shop", "view", ["run"])),
    "forgetting loads": (b"DEL", lambda client: loaded.forget(client, "shop", "view")),
    "the last load": (b"HGET", lambda client: loaded.last_loaded(client, "shop", "view")),
    "renewing a lease": (b"HSET", lambda client: catalogue.renew(client, NUMBER)),
    "giving up a table": (b"HSET", lambda client: catalogue.give_up(client, NUMBER)),
    "the epoch": (b"GET", lambda client: catalogue.read_epoch(client, "shop")),
}


def test_each_question_has_one_deadline_for_all_pieces_of_its_answer(dripping: Callable[..., str]) -> None:
    known = {"HGETALL": LEFTOVERS, "SCAN": ONE_KEY, "UNLINK": b":1\r\n", "GETRANGE": PUSHED_HEADER}

    def seconds_until_given_up(what: str) -> float:
        word, ask = ASKING[what]
        client = Redis.from_url(dripping(word, LONG, **known), socket_timeout=0.15, socket_connect_timeout=0.15)
        began = monotonic()
        with pytest.raises(RedisTimeoutError):
            ask(client)
        return monotonic() - began

    with ThreadPoolExecutor(len(ASKING)) as threads:
        taken = dict(zip(ASKING, threads.map(seconds_until_given_up, ASKING), strict=True))
    assert {what: seconds for what, seconds in taken.items() if seconds > 3} == {}  # whole answers take 20 s


def test_a_walk_meets_every_key_of_the_pattern_and_type_in_small_portions(redis: Redis) -> None:
    for number in range(40):
        redis.set(f"{{{number}}}row", "x")
        redis.hset(f"{{{number}}}hash", "field", "x")
    portions = list(scan(redis, "{*}*", 5, "HASH"))
    assert {key for keys in portions for key in keys} == {f"{{{number}}}hash".encode() for number in range(40)}
    assert max(map(len, portions)) < 40
    assert list(scan(redis, "none*", 5)) == []
