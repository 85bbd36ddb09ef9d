"""Newest wins, whoever writes, in whatever order and however often."""

import threading
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from transformations.stores.redis.pace import IN_FLIGHT, ROWS_A_CALL, Pace, Probe
from transformations.stores.redis.writes import BulkWriter, Chunk, Rows, Writer, write_rows
from transformations.stores.rows.packed_rows import HEADER, PUSHED, header, unpack_header

MOMENTS = st.sampled_from([-(2**63), -(2**32) - 1, -1, 0, 1, 2**32, 2**53, 2**53 + 1, 2**63 - 1])
ROWS = st.lists(st.tuples(st.integers(0, 3), MOMENTS, MOMENTS, st.integers(1, 3)), min_size=1, max_size=25)
same_redis = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def key(entity: int) -> bytes:
    return b"{%d}aB3x9" % entity


def newest(rows: list[tuple[int, int, int, int]]) -> dict[bytes, bytes]:
    """Of each entity the greatest row; what its body holds follows from its order, so that equal ones are equal."""
    best: dict[int, tuple[int, int, int]] = {}
    for entity, *order in rows:
        best[entity] = max(best.get(entity, (-(2**63), -(2**63), 0)), (order[0], order[1], order[2]))
    return {key(entity): packed(*order) for entity, order in best.items()}


def packed(event: int, created: int, schema: int, flags: int = 0) -> bytes:
    return header(event, created, schema, flags) + f"{event} {created} {schema}".encode()


def all_are_rows(values: Sequence[bytes]) -> list[bool]:
    return [True] * len(values)


def rows_of(keys: Sequence[bytes], rows: Sequence[bytes]) -> Rows:
    return Rows(pa.array(keys, pa.large_binary()), pa.array(rows, pa.large_binary()))


def chunk(keys: Sequence[bytes], rows: Sequence[bytes]) -> Chunk:
    return Chunk(rows_of(keys, rows), 0, len(keys))


def stored(redis: Redis) -> dict[bytes, bytes]:
    keys = list(redis.scan_iter("{*"))
    return dict(zip(keys, redis.mget(keys), strict=True)) if keys else {}


@same_redis
@given(rows=ROWS, data=st.data())
def test_in_any_order_and_number_of_repetitions_the_greatest_row_is_left(
    redis: Redis, rows: list[tuple[int, int, int, int]], data: st.DataObject
) -> None:
    redis.flushdb()
    for entity, *order in data.draw(st.permutations(rows + rows[: len(rows) // 2])):
        write_rows(redis, [(key(entity), packed(*order))], 0, all_are_rows)
    assert stored(redis) == newest(rows)


@same_redis
@given(rows=ROWS)
def test_rows_written_as_new_yield_to_greater_ones_all_the_same(
    redis: Redis, rows: list[tuple[int, int, int, int]]
) -> None:
    redis.flushdb()
    with Writer(redis, 0, all_are_rows, assume_new=True) as writer:
        for entity, *order in rows:
            writer.write(chunk([key(entity)], [packed(*order)]))
    assert stored(redis) == newest(rows)


@pytest.mark.parametrize("flags", [(0, PUSHED), (PUSHED, 0)])
def test_of_equal_rows_the_last_one_is_left_whether_or_not_it_was_pushed(redis: Redis, flags: tuple[int, int]) -> None:
    for schema in (2, 2, 1):
        for each in flags:
            write_rows(redis, [(key(1), packed(1, 1, schema, each))], 0, all_are_rows)
        assert stored(redis) == {key(1): packed(1, 1, 2, flags[-1])}


def test_parallel_writers_leave_what_one_would(redis: Redis) -> None:
    rows = [(entity, event, 0, 1) for event in range(40) for entity in range(50)]

    def write(part: list[tuple[int, int, int, int]]) -> None:
        with (
            Redis(unix_socket_path=redis.get_connection_kwargs()["path"]) as client,
            BulkWriter(client, 0, all_are_rows, is_empty=True) as bulk,
        ):
            for entity, *order in part:
                bulk.write(rows_of([key(entity)], [packed(*order)]))

    threads = [threading.Thread(target=write, args=(rows[first::4],)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stored(redis) == newest(rows)


@pytest.mark.parametrize("is_empty", [True, False])
def test_more_rows_than_a_call_holds_arrive_over_several(redis: Redis, is_empty: bool) -> None:
    keys = [key(entity) for entity in range(2_500)]
    with BulkWriter(redis, 0, all_are_rows, is_empty) as writer:
        writer.write(rows_of(keys, [packed(1, 1, 1)] * len(keys)))
    assert set(stored(redis)) == set(keys)


def is_packed(values: Sequence[bytes]) -> list[bool]:
    """Only what `packed` makes is a row, if it is not of the future."""
    headers = [unpack_header(value) if len(value) > HEADER.size else None for value in values]
    return [
        known is not None and known[0] <= 9 and value == packed(*known)
        for value, known in zip(values, headers, strict=True)
    ]


@pytest.mark.parametrize("assume_new", [True, False])
def test_whatever_lies_under_a_row_s_key_and_is_no_row_is_replaced_and_counted(redis: Redis, assume_new: bool) -> None:
    redis.mset({key(1): b"", key(2): b"x", key(3): b"y" * 17, key(4): b"z" * 500, key(5): packed(99, 0, 1)})
    redis.set(key(6), packed(3, 0, 1)[:-1])
    redis.rpush(key(7).decode(), "a", "b")
    redis.hset(key(8).decode(), "field", "value")
    redis.mset({key(9): packed(3, 0, 1), key(10): packed(1, 0, 1)})
    rows = {key(entity): packed(2, 0, 1) for entity in range(1, 12)}
    with Writer(redis, 0, is_packed, assume_new=assume_new) as writer:
        writer.write(chunk(list(rows), list(rows.values())))
    assert stored(redis) == {**rows, key(9): packed(3, 0, 1)}
    assert writer.replaced == 8
    redis.set(key(2), b"x")
    redis.delete(key(3))
    redis.sadd(key(3).decode(), "member")
    assert write_rows(redis, rows.items(), 60_000, is_packed) == 2
    assert stored(redis) == {**rows, key(9): packed(3, 0, 1)}
    assert redis.pttl(key(2)) > 0


def test_a_row_written_while_a_damaged_one_is_replaced_stays(redis: Redis) -> None:
    redis.set(key(1), b"z" * 500)

    def overtaken(values: Sequence[bytes]) -> list[bool]:
        if values == [b"z" * 500]:
            redis.set(key(1), packed(5, 0, 1))
        return is_packed(values)

    write_rows(redis, [(key(1), packed(2, 0, 1))], 0, overtaken)
    assert stored(redis) == {key(1): packed(5, 0, 1)}


def test_a_row_expires_after_its_writing_and_each_writing_counts_anew(redis: Redis) -> None:
    write_rows(redis, [(key(1), packed(1, 1, 1))], 50_000, all_are_rows)
    redis.pexpire(key(1), 1_000)
    write_rows(redis, [(key(1), packed(0, 1, 1))], 50_000, all_are_rows)
    assert 0 < redis.pttl(key(1)) <= 1_000  # an older row does not prolong it
    write_rows(redis, [(key(1), packed(1, 1, 1))], 50_000, all_are_rows)
    assert 49_000 < redis.pttl(key(1)) <= 50_000
    write_rows(redis, [(key(1), packed(2, 1, 1))], 0, all_are_rows)
    assert redis.pttl(key(1)) == -1


def test_a_redis_that_forgot_the_script_is_given_it_again(redis: Redis) -> None:
    with Writer(redis, 0, all_are_rows) as writer:
        for event in range(10):
            if event == 5:
                redis.script_flush()
            writer.write(chunk([key(1), key(2)], [packed(event, 0, 1)] * 2))
    assert stored(redis) == {key(1): packed(9, 0, 1), key(2): packed(9, 0, 1)}


def test_a_probe_tells_lookups_from_what_scripts_read(redis: Redis) -> None:
    probe = Probe(redis)
    assert not probe.has_seen_lookups()  # nothing is known of before
    write_rows(redis, [(b"key", packed(1, 1, 1))], 0, all_are_rows)
    assert not probe.has_seen_lookups()
    redis.mget(["key"])
    assert probe.has_seen_lookups()
    assert not probe.has_seen_lookups()
    probe.close()


def calls(redis: Redis) -> int:
    facts: Any = redis.info("commandstats")
    return int(facts.get("cmdstat_msetnx", {"calls": 0})["calls"])


@pytest.mark.parametrize(("lookups", "expected"), [(True, 200), (False, 2 + 80)])
def test_beside_lookups_redis_gets_one_small_call_at_a_time_and_rests_after_it(
    redis: Redis, lookups: bool, expected: int
) -> None:
    """20,000 rows; without lookups two small calls come before a second probe can say so."""
    seconds, rests, before = [0.0], list[float](), calls(redis)

    def rest(length: float) -> None:
        rests.append(length)
        seconds[0] += 0.06  # until the next probe
        if lookups:
            redis.mget(["key"])

    with BulkWriter(redis, 0, all_are_rows, is_empty=True, clock=lambda: seconds[0], rest=rest) as writer:
        keys = [b"%d" % number for number in range(20_000)]
        writer.write(rows_of(keys, [packed(number, 1, 1) for number in range(20_000)]))
    assert all(redis.mget(keys))
    assert (calls(redis) - before, len(rests)) == (expected, expected if lookups else 2)
    assert (writer.pace.is_beside_lookups, writer.pace.most_in_flight) == ((True, 1) if lookups else (False, IN_FLIGHT))


def test_a_pace_slows_down_where_redis_is_slow_and_hurries_again_without_lookups() -> None:
    """A burst of full calls in the first moment kept lookups waiting for 40 to 130 ms."""
    pace = Pace()
    seen = []
    for began, took, has_seen_lookups in [
        (0.00, 0.0, False),  # too early to know
        (0.05, 0.0, True),
        (0.10, 0.002, True),
        (0.15, 0.002, True),
        (0.20, 0.0, False),
        (1.00, 0.0, False),  # within a second of the last lookup
        (1.20, 0.0, False),
    ]:
        pace.adapt(began, began + took, has_seen_lookups=has_seen_lookups)
        seen.append((pace.rows_a_call, pace.most_in_flight))
    assert seen == [(100, 1), (100, 1), (66, 1), (50, 1), (62, 1), (77, 1), (ROWS_A_CALL, IN_FLIGHT)]


def test_where_redis_does_not_tell_there_are_lookups(redis: Redis) -> None:
    redis.acl_setuser("writer", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-info"])
    try:
        path = redis.connection_pool.connection_kwargs["path"]
        with Redis(unix_socket_path=path, username="writer", password="any") as client:
            assert Probe(client).has_seen_lookups()
    finally:
        redis.acl_deluser("writer")
