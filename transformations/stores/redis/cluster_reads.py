"""Lookups on Redis Cluster: one round trip per node, and one deadline for the whole lookup.

redis-py's own pipeline limits each piece of each answer instead, so a single node that sends a byte now and then could
hold a lookup for minutes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic, sleep
from typing import Any

from redis import RedisCluster
from redis.cluster import ClusterNode
from redis.exceptions import AskError, MovedError, ResponseError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from transformations.stores.redis.idle import Attempt, IdleWires
from transformations.stores.redis.reads import PAUSE_SECONDS, Wanted, fields_of
from transformations.stores.redis.wire import Wire, is_wrong_type, may_recover, packed_command
from transformations.stores.rows.packed_rows import OTHER_TYPE

_ASKING = packed_command(b"ASKING")


@dataclass(frozen=True, slots=True)
class _Question:
    """A command on one key. place: of its answer. moving_to: the node that is taking over the key's slot."""

    place: int
    word: bytes
    key: bytes
    moving_to: ClusterNode | None = None

    def pack(self) -> bytes:
        """As Redis' protocol has it."""
        command = packed_command(self.word, self.key)
        return _ASKING + command if self.moving_to else command


@dataclass(slots=True)
class _Unanswered:
    """What one round left open. error: of a lost node. is_outdated: whether a slot has moved or a node is lost."""

    questions: list[_Question] = field(default_factory=list)
    error: RedisConnectionError | None = None
    is_outdated: bool = False


class ClusterSource:
    """Reads keys from a cluster; safe to use from many threads and after a fork.

    open_client: connects to the cluster and learns its topology; called until it succeeds once.
    """

    def __init__(self, open_client: Callable[[], RedisCluster]) -> None:
        self._open_client = open_client
        self._client: RedisCluster | None = None
        self._idle: dict[str, IdleWires] = {}
        self._lock = threading.Lock()
        self._attempt: Attempt | None = None

    def fetch(self, wanted: Wanted, deadline: float) -> Any:
        """As `reads.Source.fetch`."""
        if isinstance(wanted, list):
            return self._ask([_Question(place, b"GET", key) for place, key in enumerate(wanted)], deadline)
        return fields_of(self._ask([_Question(0, b"HGETALL", wanted)], deadline)[0])

    def _ask(self, questions: list[_Question], deadline: float) -> list[Any]:
        client, answers, is_renewed = self._connect(deadline), [None] * len(questions), False
        while True:
            left = self._ask_nodes(client, questions, answers, deadline)
            if not left.questions:
                return answers
            is_hopeless = left.error is not None and is_renewed and not may_recover(left.error)
            if is_hopeless or monotonic() + PAUSE_SECONDS >= deadline:
                raise left.error or RedisTimeoutError("timeout while the cluster moves keys from node to node")
            if left.is_outdated:
                sleep(PAUSE_SECONDS if left.error else 0)
                self._in_background(client.nodes_manager.initialize, deadline)
                is_renewed = True
            questions = left.questions

    def _ask_nodes(
        self, client: RedisCluster, questions: Iterable[_Question], answers: list[Any], deadline: float
    ) -> _Unanswered:
        """Send all questions, then read all answers; connections with answers to come are closed if this fails."""
        by_node: dict[str, list[_Question]] = {}
        for question in questions:
            node = question.moving_to or client.get_node_from_key(question.key)  # type: ignore[no-untyped-call]
            self._remember_node(client, node)
            by_node.setdefault(node.name, []).append(question)
        left, sent = _Unanswered(), list[tuple[str, Wire, list[_Question]]]()
        try:
            for name, asked in by_node.items():
                try:
                    wire, _ = self._idle[name].take(deadline)
                    sent.append((name, wire, asked))
                    wire.send_packed(*(question.pack() for question in asked))
                except RedisTimeoutError:
                    raise
                except RedisConnectionError as error:
                    self._note_loss(name, asked, error, left)
                    sent = [each for each in sent if each[0] != name]
            while sent:
                name, wire, asked = sent[-1]
                self._read_answers(name, wire, asked, answers, left, deadline)
                sent.pop()
        finally:
            for _, wire, _ in sent:
                wire.close()
        return left

    def _read_answers(
        self, name: str, wire: Wire, asked: Sequence[_Question], answers: list[Any], left: _Unanswered, deadline: float
    ) -> None:
        for number, question in enumerate(asked):
            try:
                if question.moving_to:
                    wire.receive(deadline)
                answers[question.place] = wire.receive(deadline)
            except MovedError:
                left.questions.append(replace(question, moving_to=None))
                left.is_outdated = True
            except AskError as error:
                node = ClusterNode(error.host, error.port)  # type: ignore[no-untyped-call]
                left.questions.append(replace(question, moving_to=node))
            except TryAgainError:
                left.questions.append(question)
            except RedisTimeoutError:
                raise
            except RedisConnectionError as error:
                self._note_loss(name, asked[number:], error, left)
                return
            except ResponseError as error:
                if question.word != b"GET" or not is_wrong_type(error):
                    raise
                answers[question.place] = OTHER_TYPE
        self._idle[name].keep(wire)

    def _note_loss(self, name: str, asked: Sequence[_Question], error: RedisConnectionError, left: _Unanswered) -> None:
        """A connection was lost, and the idle ones to its node with it."""
        self._idle[name].close()
        left.questions += [replace(question, moving_to=None) for question in asked]
        left.error, left.is_outdated = error, True

    def _remember_node(self, client: RedisCluster, node: ClusterNode) -> None:
        if node.name not in self._idle:
            connection = client.get_redis_connection(node)
            with self._lock:
                self._idle.setdefault(node.name, IdleWires(connection))

    def _connect(self, deadline: float) -> RedisCluster:
        while (client := self._client) is None:
            self._in_background(self._open, deadline)
        return client

    def _open(self) -> None:
        self._client = self._open_client()

    def _in_background(self, action: Callable[[], object], deadline: float) -> None:
        """Wait for an action that may take longer than this lookup has; all lookups wait for the same one."""
        with self._lock:
            if self._attempt is None or self._attempt.is_done:
                self._attempt = Attempt(action)
            attempt = self._attempt
        attempt.wait(deadline)
