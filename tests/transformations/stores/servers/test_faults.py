"""What may happen to a Redis while it is loaded and read: nothing that was reported written is lost, the state in the
end is that of a clean run, and every error says what happened.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from feast import FeatureStore

from transformations.engine.base.errors import FeaturesError, ServiceUnavailableError

FIRST, EARLIER, END = (datetime(2024, *day, tzinfo=UTC) for day in ((1, 1), (5, 1), (6, 1)))
FEATURES = ["user_visits:visits", "user_visits:spent", "user_visits:page"]
EVERYONE = {"user_id": list(range(3_000))}
Answer = dict[str, list[Any]]


def load(store: FeatureStore, end: datetime = END) -> None:
    store.materialize(FIRST, end)


def look(store: FeatureStore) -> Answer:
    return store.get_online_features(FEATURES, EVERYONE).to_dict()


@pytest.fixture
def earlier(expected: Answer) -> Answer:
    """What is online after a run up to EARLIER: the older row of each user."""
    return expected | {"visits": [user * 10 for user in expected["user_id"]]}


def mixed(found: Answer, *states: Answer) -> bool:
    """Whether each user's row is that of one of these states."""
    names = list(found)
    rows = zip(*(found[name] for name in names), strict=True)
    return all(row in [tuple(state[name][user] for name in names) for state in states] for user, row in enumerate(rows))


@pytest.fixture
def nothing(expected: Answer) -> Answer:
    """What is online of nobody."""
    return {name: values if name == "user_id" else [None] * len(values) for name, values in expected.items()}


@pytest.fixture(scope="module")
def measured() -> list[int]:
    """The bytes that a load from EARLIER to END needs, once they were counted."""
    return []


@pytest.fixture
def clean_run(
    server_of: Callable[..., Any], way_to: Callable[..., Any], serving: Callable[..., FeatureStore], measured: list[int]
) -> tuple[Any, Any, FeatureStore, int]:
    """A server, the way to it, a store that takes that way and is loaded up to EARLIER; and the bytes of the rest."""
    server = server_of("--appendonly", "yes", "--enable-debug-command", "local")
    way = way_to(server)
    store = serving(connection_string=f"127.0.0.1:{way.port}")
    load(store, EARLIER)
    if not measured:
        load(store)  # which sends the scripts that write
        server.client.flushall()
        load(store, EARLIER)
        before = way.passed
        load(store)
        measured.append(way.passed - before)
        server.client.flushall()
        load(store, EARLIER)
    (needed,) = measured
    assert needed > 3_000 * 20
    return server, way, store, needed


@pytest.mark.parametrize("part", [0.02, 0.5, 0.98])
def test_redis_killed_during_a_materialization(
    part: float, clean_run: tuple[Any, Any, FeatureStore, int], expected: Answer, earlier: Answer
) -> None:
    server, way, store, needed = clean_run
    way.after(int(needed * part), server.kill)
    with pytest.raises(ServiceUnavailableError, match=rf"127.0.0.1:{way.port} cannot be reached") as raised:
        load(store)
    assert "features doctor" in str(raised.value)
    server.start()
    assert mixed(look(store), earlier, expected)
    load(store)
    assert look(store) == expected


def test_redis_killed_and_back_at_once_loses_nothing_that_was_reported(
    clean_run: tuple[Any, Any, FeatureStore, int], expected: Answer, earlier: Answer
) -> None:
    server, way, store, needed = clean_run

    def restart() -> None:
        server.kill()
        server.start()

    for part in (0.1, 0.4, 0.9, 0.999):
        way.after(int(needed * part), restart)
        try:
            load(store)
        except FeaturesError as error:
            assert "cannot be reached" in str(error)  # noqa: PT017 - a run that gets through is as good
            assert mixed(look(store), earlier, expected)
            load(store)
        assert look(store) == expected
        server.client.flushall()
        load(store, EARLIER)


def test_redis_killed_during_lookups_and_back_again(
    clean_run: tuple[Any, Any, FeatureStore, int], earlier: Answer, serving: Callable[..., FeatureStore]
) -> None:
    server, way, store, _ = clean_run
    asking = serving(connection_string=f"127.0.0.1:{way.port}")
    answers: list[Answer | Exception] = []
    over = threading.Event()

    def refusals() -> list[Exception]:
        return [answer for answer in answers if isinstance(answer, Exception)]

    def good_answers() -> list[Answer]:
        return [answer for answer in answers if isinstance(answer, dict)]

    async def ask_async() -> None:
        while not over.is_set():
            try:
                answers.append((await asking.get_online_features_async(FEATURES, EVERYONE)).to_dict())
            except Exception as error:
                answers.append(error)
                await asyncio.sleep(0.01)
        await asking.close()

    def ask() -> None:
        while not over.is_set():
            try:
                answers.append(look(store))
            except Exception as error:
                answers.append(error)
                time.sleep(0.01)

    with ThreadPoolExecutor() as threads:
        running = [threads.submit(ask), threads.submit(ask), threads.submit(asyncio.run, ask_async())]
        for _ in range(2):
            wait_for_more(good_answers)
            server.kill()
            wait_for_more(refusals)  # a repeated read bridges a short while
            server.start()
        wait_for_more(good_answers)
        over.set()
        for each in running:
            each.result()
    refused = refusals()
    assert len(refused) >= 2
    assert all(isinstance(error, ServiceUnavailableError) for error in refused), refused
    assert all("cannot be reached" in str(error) or "is too slow" in str(error) for error in refused)
    assert all(answer == earlier for answer in good_answers())
    assert look(store) == earlier


def test_a_flushed_redis_says_so_and_one_incremental_run_fills_it(
    clean_run: tuple[Any, Any, FeatureStore, int], expected: Answer, nothing: Answer
) -> None:
    server, _, store, _ = clean_run
    load(store)
    server.client.flushall()
    response = store.get_online_features(FEATURES, {"user_id": [3]})
    assert response.to_dict() == {"user_id": [3], "visits": [None], "spent": [None], "page": [None]}
    assert look(store) == nothing
    store.materialize_incremental(END)
    assert look(store) == expected


@pytest.mark.parametrize("part", [0.02, 0.5, 0.98])
def test_a_redis_flushed_during_a_materialization_is_full_when_that_reports_success(
    part: float, clean_run: tuple[Any, Any, FeatureStore, int], expected: Answer
) -> None:
    server, way, store, needed = clean_run
    load(store)
    keys = server.client.dbsize()
    server.client.flushall()
    load(store, EARLIER)
    way.after(int(needed * part), server.client.flushall)
    load(store)
    assert look(store) == expected
    store.materialize_incremental(END)
    assert look(store) == expected
    assert server.client.dbsize() <= keys + 1  # of the rows written before and after the flush none is left over


def test_a_full_redis_keeps_what_it_has_and_says_that_it_is_full(
    clean_run: tuple[Any, Any, FeatureStore, int], expected: Answer, earlier: Answer
) -> None:
    server, _, store, _ = clean_run
    # The new rows replace old ones, so it takes a limit below what is used: nothing at all can be written.
    client = server.client
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", client.info("memory")["used_memory"] - 100_000)
    with pytest.raises(ServiceUnavailableError, match=r"is full and refused to write.*Raise its maxmemory"):
        load(store)
    assert mixed(look(store), earlier, expected)
    client.config_set("maxmemory", 0)
    load(store)
    assert look(store) == expected


def test_a_redis_that_fills_up_half_way_keeps_the_rows_that_it_took(
    clean_run: tuple[Any, Any, FeatureStore, int], expected: Answer, nothing: Answer
) -> None:
    server, _, store, _ = clean_run
    client = server.client
    client.flushall()
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", client.info("memory")["used_memory"] + 200_000)
    with pytest.raises(ServiceUnavailableError, match="is full and refused to write"):
        load(store)
    found = look(store)
    assert mixed(found, nothing, expected)
    assert any(visits is not None for visits in found["visits"])
    client.config_set("maxmemory", 0)
    load(store)
    assert look(store) == expected


def test_two_materializations_at_once_end_as_one(
    clean_run: tuple[Any, Any, FeatureStore, int], serving: Callable[..., FeatureStore], expected: Answer
) -> None:
    server, way, store, _ = clean_run
    for ends in ((END, END), (END, EARLIER), (EARLIER, END)):
        server.client.flushall()
        stores = [serving(connection_string=f"127.0.0.1:{way.port}") for _ in ends]
        with ThreadPoolExecutor() as threads:
            runs = [threads.submit(load, each, end) for each, end in zip(stores, ends, strict=True)]
            for run in runs:
                run.result()
        store.materialize_incremental(END)
        assert look(store) == expected


def test_lookups_do_not_wait_for_a_slow_redis_and_a_materialization_does(
    clean_run: tuple[Any, Any, FeatureStore, int], expected: Answer, earlier: Answer
) -> None:
    server, way, store, needed = clean_run
    assert look(store) == earlier
    server.freeze()
    began = time.monotonic()
    with pytest.raises(ServiceUnavailableError, match="is too slow"):
        look(store)
    assert time.monotonic() - began < 0.25 + 0.15
    server.thaw()
    assert look(store) == earlier

    thaws = threading.Timer(1.0, server.thaw)

    def pause() -> None:
        server.freeze()
        thaws.start()

    way.after(needed // 2, pause)
    began = time.monotonic()
    load(store)
    assert time.monotonic() - began >= 0.9
    thaws.join()
    assert look(store) == expected


def wait_for_more(found: Callable[[], list[Any]]) -> None:
    """Wait until two more are found."""
    enough, deadline = len(found()) + 2, time.monotonic() + 10
    while len(found()) < enough and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(found()) >= enough
