"""Servers that are there and those that are gone, and one holder of the lease at a time."""

import os
import socket
import sqlite3
import threading
import time

import pytest
from sqlalchemy import event

from transformations.engine.base.errors import ExitCode, ServiceUnavailableError
from transformations.models.rollout.presence import Presence, server_name
from transformations.models.rollout.tables import RolloutTables, moment_of

MODEL = "user_return"


class Clock:
    """The database's, which alone counts: those of the machines that servers run on may be apart."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def julian_day(self, _: str) -> float:
        return self.now / 86_400 + 2_440_587.5


@pytest.fixture
def clock(tables: RolloutTables) -> Clock:
    clock = Clock()

    def replace_clock(connection: sqlite3.Connection, *_: object) -> None:
        connection.create_function("julianday", 1, clock.julian_day)

    event.listen(tables.engine, "checkout", replace_clock)
    return clock


@pytest.fixture
def presence(tables: RolloutTables, clock: Clock) -> Presence:
    assert clock.now
    return Presence(tables)


def test_a_server_is_there_until_it_leaves(presence: Presence) -> None:
    presence.beat(MODEL, "far:1:a", 3)
    presence.beat(MODEL, "far:2:b", 4, "no artifact")
    presence.beat(MODEL, "far:1:a", 5)
    assert [(each.name, each.event, each.trouble) for each in presence.servers(MODEL)] == [
        ("far:1:a", 5, ""),
        ("far:2:b", 4, "no artifact"),
    ]
    presence.leave(MODEL, "far:1:a")
    assert [each.name for each in presence.servers(MODEL)] == ["far:2:b"]


def test_a_silent_server_counts_for_a_minute(presence: Presence, clock: Clock) -> None:
    presence.beat(MODEL, "far:1:a", 3)
    clock.now += 59
    assert [each.silent for each in presence.behind(MODEL, 4)] == [pytest.approx(59, abs=0.01)]
    clock.now += 2
    assert presence.behind(MODEL, 4) == []


def test_the_databases_clock_tells_the_present(tables: RolloutTables) -> None:
    with tables.engine.connect() as connection:
        before = time.time()
        assert before - 0.01 < moment_of(connection) < time.time() + 0.01


def test_a_server_of_this_machine_whose_process_has_ended_is_gone_at_once(presence: Presence) -> None:
    process = os.fork()
    if process == 0:
        os._exit(0)
    os.waitpid(process, 0)
    presence.beat(MODEL, f"{socket.gethostname()}:{process}:a", 3)
    presence.beat(MODEL, server_name(), 4)
    assert [each.event for each in presence.servers(MODEL)] == [4]


def test_waiting_ends_when_every_server_follows(presence: Presence) -> None:
    presence.beat(MODEL, "far:1:a", 3)
    presence.beat("other", "far:2:b", 1)
    follows = threading.Timer(0.3, presence.beat, (MODEL, "far:1:a", 4))
    follows.start()
    assert 0.1 < presence.wait(MODEL, 4) < 5
    follows.join()


def test_waiting_in_vain_names_who_does_not_follow_and_why(presence: Presence, clock: Clock) -> None:
    presence.beat(MODEL, "far:1:a", 3)
    clock.now += 20
    presence.beat(MODEL, "far:2:b", 3, "its artifact is missing")
    presence.beat(MODEL, "far:3:c", 4)
    with pytest.raises(ServiceUnavailableError) as raised:
        presence.wait(MODEL, 4, seconds=0.2)
    assert raised.value.exit_code == ExitCode.ENVIRONMENT == 4
    assert "2 servers do not follow it" in raised.value.message
    assert "far:1:a is at event 3 and silent for 20 s" in raised.value.message
    assert "far:2:b is at event 3, because its artifact is missing" in raised.value.message
    assert "far:3:c" not in raised.value.message


def test_one_holder_has_the_lease_until_it_runs_out(presence: Presence, clock: Clock) -> None:
    assert presence.take_lease(MODEL, "a", 10)
    assert not presence.take_lease(MODEL, "b", 10)
    clock.now += 9
    assert presence.take_lease(MODEL, "a", 10)
    clock.now += 9
    assert not presence.take_lease(MODEL, "b", 10)
    clock.now += 2
    assert presence.take_lease(MODEL, "b", 10)
    assert not presence.take_lease(MODEL, "a", 10)
    assert presence.take_lease("other", "a", 10)


def test_of_many_that_ask_at_once_one_gets_the_lease(tables: RolloutTables) -> None:
    won: list[str] = []
    ready = threading.Barrier(6)
    tables.engine.connect().close()

    def ask(name: str) -> None:
        ready.wait()
        if Presence(tables).take_lease(MODEL, name, 60):
            won.append(name)

    threads = [threading.Thread(target=ask, args=(str(number),)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
