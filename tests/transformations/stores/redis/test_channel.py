"""One connection of an event loop carries many questions: each gets its own answers, or an error in time."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from tests.transformations.stores.servers.conftest import Server
from transformations.stores.redis import channel
from transformations.stores.redis.channel import ALONE, Node, can_channel
from transformations.stores.redis.wire import packed_command

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]


@asynccontextmanager
async def node_of(redis: Redis) -> AsyncIterator[Node]:
    node = Node(redis)
    try:
        yield node
    finally:
        await node.aclose()


async def test_many_questions_at_once_get_their_own_answers_over_one_connection(redis: Redis) -> None:
    redis.mset({f"{number}": f"value {number}" * (1 + number % 7 * 3_000) for number in range(300)})
    before = redis.info("stats")["total_connections_received"]
    async with node_of(redis) as node:

        async def ask(number: int) -> bool:
            value, there = await node.ask(packed_command(b"GET", b"%d" % number) + packed_command(b"EXISTS", b"no"), 2)
            return bool(value.startswith(b"value %d" % number) and there == 0)

        assert all(await asyncio.gather(*map(ask, range(300))))
    assert redis.info("stats")["total_connections_received"] == before + 1


async def test_who_is_alone_looks_for_an_answer_that_comes_soon_and_waits_for_one_that_does_not(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis.set("large", b"a" * 300_000)
    async with node_of(redis) as node:
        await node.ask(packed_command(b"PING"), 1)
        ALONE.set(True)
        monkeypatch.setattr(channel, "LOOK_SECONDS", 5.0)
        turns = 0

        async def count_turns() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count_turns())
        await asyncio.sleep(0)
        before = turns
        assert await node.ask(packed_command(b"GET", b"large"), 1) == [b"a" * 300_000]
        assert turns == before, "no turn of the loop was waited for"

        monkeypatch.setattr(channel, "LOOK_SECONDS", 0.0001)
        assert await node.ask(packed_command(b"BLPOP", b"nothing", b"0.05"), 1) == [None]
        assert turns > before, "others went on"
        before = turns
        assert await node.ask(packed_command(b"ECHO", b"b"), 1) == [b"b"]
        assert turns > before, "after an answer that was late nobody looks for a while"
        counting.cancel()


async def test_an_error_is_that_of_its_own_question(redis: Redis) -> None:
    redis.rpush("list", "a")
    async with node_of(redis) as node:
        questions = [packed_command(b"GET", key) for key in (b"none", b"list", b"none")]
        first, second, third = await asyncio.gather(*(node.ask(each, 1) for each in questions), return_exceptions=True)
    assert (first, third) == ([None], [None])
    assert isinstance(second, ResponseError)


async def test_a_lost_connection_is_made_again(redis: Redis) -> None:
    async with node_of(redis) as node:
        (own,) = await node.ask(packed_command(b"CLIENT", b"ID"), 1)
        redis.client_kill_filter(_id=own)
        await asyncio.sleep(0.05)
        (other,) = await node.ask(packed_command(b"CLIENT", b"ID"), 1)
    assert other != own


async def test_who_gives_up_takes_nobodys_answer_along(redis: Redis) -> None:
    async with node_of(redis) as node:
        await node.ask(packed_command(b"PING"), 1)
        slow = asyncio.create_task(node.ask(packed_command(b"BLPOP", b"nothing", 30), 1))
        await asyncio.sleep(0.05)
        waiting = asyncio.create_task(node.ask(packed_command(b"ECHO", b"mine"), 1))
        await asyncio.sleep(0.05)
        slow.cancel()
        assert await asyncio.wait_for(waiting, 5) == [b"mine"]


async def test_what_is_no_redis_is_an_error() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1_000):
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    node = Node(Redis(port=port, socket_timeout=2, socket_connect_timeout=2))
    with pytest.raises(Exception, match=r"HTTP|Protocol|Bad"):
        await node.ask(packed_command(b"PING"), 1)
    server.close()


async def test_where_nobody_listens_it_says_so_at_once() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(RedisConnectionError, match="refused"):
        await asyncio.wait_for(Node(Redis(port=port)).ask(packed_command(b"PING"), 1), 2)


async def test_a_password_and_a_database_are_redis_pys_to_give(tmp_path: Path) -> None:
    server = Server(tmp_path / "redis", "--requirepass", "secret").start()
    try:
        redis = Redis(port=server.port, password="secret", db=3)
        redis.set("here", "yes")
        async with node_of(redis) as node:
            assert await node.ask(packed_command(b"GET", b"here"), 1) == [b"yes"]
    finally:
        server.kill()


def test_tls_goes_through_redis_py() -> None:
    assert can_channel(Redis())
    assert can_channel(Redis(unix_socket_path="/nowhere"))
    assert not can_channel(Redis(ssl=True))
