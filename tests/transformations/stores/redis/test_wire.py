"""A connection without redis-py's client around it: the same answers, the same errors, and never another's answer."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from socket import create_server, socket
from threading import Event, Thread
from time import monotonic

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from transformations.stores.redis import wire as module
from transformations.stores.redis.reads import Reader
from transformations.stores.redis.wire import Wire


@pytest.fixture
def wire(redis: Redis) -> Iterator[Wire]:
    wire = Wire(redis)
    yield wire
    wire.close()


def ask(wire: Wire, *command: bytes) -> object:
    wire.send(command)
    return wire.receive()


def test_answers_come_in_the_order_of_the_commands_however_large(redis: Redis, wire: Wire) -> None:
    long = bytes(range(256)) * 4_096  # sixteen times what is taken from the socket at once
    redis.mset({"long": long, "number": 7})
    for command in ((b"GET", b"long"), (b"MGET", b"number", b"long", b"none"), (b"PING",)):
        wire.send(command)
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
    wire.allow(0.05)
    redis.client_pause(200)
    with pytest.raises(RedisTimeoutError, match="timeout while reading"):
        ask(wire, b"GET", b"first")
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


@pytest.fixture
def dripping() -> Iterator[Callable[[bytes], Redis]]:
    """A client of a server that greets as Redis does and sends an answer byte by byte, ten a second."""
    stop = Event()
    listeners: list[socket] = []

    def serve(listener: socket, answer: bytes) -> None:
        while not stop.is_set():
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer, suppress(OSError):
                while command := peer.recv(4_096):
                    if b"MGET" not in command:
                        peer.sendall(b"+OK\r\n" * command.count(b"*"))
                        continue
                    for byte in answer:
                        peer.sendall(bytes([byte]))
                        if stop.wait(0.1):
                            return

    def client(answer: bytes) -> Redis:
        listener = create_server(("127.0.0.1", 0))
        listeners.append(listener)
        Thread(target=serve, args=(listener, answer), daemon=True).start()
        return Redis(port=listener.getsockname()[1], socket_timeout=0.3, socket_connect_timeout=0.3, protocol=2)

    yield client
    stop.set()
    for listener in listeners:
        listener.close()


def test_an_answer_that_drips_in_is_given_up_after_the_time_allowed(dripping: Callable[[bytes], Redis]) -> None:
    reader = Reader(dripping(b"*1\r\n$200\r\n" + b"x" * 200 + b"\r\n"), 300)
    started = monotonic()
    with pytest.raises(RedisTimeoutError, match="timeout while reading"):
        reader.get([b"key"])
    assert monotonic() - started < 1


def test_without_what_redis_py_keeps_to_itself_its_own_connection_is_used(
    redis: Redis, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ERROR_OF", None)
    redis.set("text", "x")
    assert ask(wire, b"MGET", b"text", b"none") == [b"x", None]
    with pytest.raises(ResponseError, match="not an integer"):
        ask(wire, b"INCR", b"text")
    assert ask(wire, b"PING") == b"PONG"
    wire.close()
    assert ask(wire, b"PING") == b"PONG"
