"""Keeps connections to one node between lookups, and limits how long a lookup waits for a new one."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from threading import Event, Thread
from time import monotonic
from typing import TypeVar

from redis import Redis, RedisCluster
from redis.exceptions import TimeoutError as RedisTimeoutError

from transformations.stores.redis.wire import Wire

Answer = TypeVar("Answer")
TRIES = 3
"""How often redis-py tries: it repeats twice."""


class IdleWires:
    """Connections to one node; safe to use from many threads and after a fork.

    redis-py's own pool asks the socket at each request whether something lies in it; here a lost connection is found
    when it is used, and the request, which changes nothing, is sent again over a new one.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._idle: deque[Wire] = deque()
        os.register_at_fork(after_in_child=self._idle.clear)

    def take(self, deadline: float) -> tuple[Wire, bool]:
        """A connection, and whether it is new. redis-py's TimeoutError if connecting takes longer than the deadline."""
        try:
            return self._idle.pop(), False
        except IndexError:
            wire = Wire(self._client, is_retrying=False)  # the lookup tries again, as long as there is time
            # redis-py's timeout counts each piece of an answer, and a greeting consists of up to five answers.
            Attempt(wire.connect).wait(deadline, abandon=wire.close)
            return wire, True

    def keep(self, wire: Wire) -> None:
        """Keep a connection whose answers have all been read."""
        self._idle.append(wire)

    def close(self) -> None:
        """Close all idle connections."""
        while self._idle:
            self._idle.pop().close()


def within(milliseconds: int, ask: Callable[[], Answer], abandon: Callable[[], object] = lambda: None) -> Answer:
    """The answer to a question that redis-py puts; its TimeoutError, after `abandon`, where that takes longer.

    redis-py's own timeouts count anew for each piece of an answer. For questions that are asked now and then: each
    takes a thread.
    """
    answers: list[Answer] = []
    Attempt(lambda: answers.append(ask())).wait(monotonic() + milliseconds / 1000, abandon)
    return answers[0]


def in_time(client: Redis | RedisCluster, ask: Callable[[], Answer]) -> Answer:
    """The answer to a question that redis-py puts, its two repetitions included, within what the client allows them.

    One deadline for all pieces of all answers: redis-py's TimeoutError at it, and the connections are closed.
    """
    if isinstance(client, RedisCluster):
        options, close = client.get_connection_kwargs(), client.disconnect_connection_pools  # type: ignore[no-untyped-call]
    else:
        options, close = client.connection_pool.connection_kwargs, client.connection_pool.disconnect
    seconds = options.get("socket_timeout")
    return ask() if seconds is None else within(int(TRIES * seconds * 1000), ask, abandon=close)


class Attempt:
    """Runs a blocking action in a thread, so that nobody has to wait for its end."""

    def __init__(self, action: Callable[[], object]) -> None:
        self._action = action
        self._done = Event()
        self._failure: BaseException | None = None
        Thread(target=self._run_action, name="connecting", daemon=True).start()

    @property
    def is_done(self) -> bool:
        """Whether it has ended, well or not."""
        return self._done.is_set()

    def wait(self, deadline: float, abandon: Callable[[], object] = lambda: None) -> None:
        """Wait for its end and raise its error; redis-py's TimeoutError, after `abandon`, at the deadline."""
        if not self._done.wait(max(deadline - monotonic(), 0)):
            abandon()
            raise RedisTimeoutError("timeout while connecting")
        if self._failure is not None:  # whose context, the reason, raising it elsewhere would replace
            raise self._failure from self._failure.__cause__ or self._failure.__context__

    def _run_action(self) -> None:
        try:
            self._action()
        except BaseException as error:
            self._failure = error
        finally:
            self._done.set()
