"""Files of one source that are not alike: the exact value of each, or a refusal that names the files."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast.types import Array, Bool, FeastType, Float64, Int64, String
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from redis import Redis

from transformations.engine.base.errors import DataError

from .paths import entity, everywhere, pulled, rows, served, trained, visits
from .training_rows import Store

LARGE = 2**53 + 1


def two_files(folder: Path, first: pa.Array, second: pa.Array, **options: Any) -> Path:
    """A lake of two files: the first with users from 1 on, the second with those that follow."""
    (folder / "lake").mkdir()
    both = rows(n=[None] * (len(first) + len(second))).drop_columns("n")
    head, tail = both.slice(0, len(first)), both.slice(len(first))
    pq.write_table(head.append_column("n", first), folder / "lake" / "a.parquet", **options)
    pq.write_table(tail.append_column("n", second), folder / "lake" / "b.parquet", **options)
    return folder / "lake"


@pytest.mark.parametrize(
    ("first", "second", "dtype", "expected"),
    [
        (pa.array([1, 2], pa.int32()), pa.array([LARGE]), Int64, [1, 2, LARGE]),
        (pa.array([1, 2]), pa.array([3.0, None]), Int64, [1, 2, 3, None]),
        (pa.array([1, 2]), pa.array([1.5]), Float64, [1.0, 2.0, 1.5]),
        (pa.array([LARGE]), pa.nulls(1), Int64, [LARGE, None]),
        (pa.array(["x"]), pa.nulls(1), String, ["x", None]),
        (pa.array(["x"]).dictionary_encode(), pa.array(["y"], pa.large_string()), String, ["x", "y"]),
        (pa.array([0.1]), pa.array([0.5], pa.float32()), Float64, [0.1, 0.5]),
        (pa.array([Decimal("1.10")]), pa.array([Decimal("0.001")]), Float64, [1.1, 0.001]),
    ],
)
def test_what_has_an_exact_type_in_common_is_read_exactly(
    store_of: Store,
    redis: Redis,
    tmp_path: Path,
    first: pa.Array,
    second: pa.Array,
    dtype: FeastType,
    expected: list[Any],
) -> None:
    path = two_files(tmp_path, first, second)
    store = store_of(entity(), view := visits(path, {"n": dtype}))
    assert everywhere(store, view, range(1, len(expected) + 1)) == {"n": expected}


@pytest.mark.parametrize(
    ("first", "second", "dtype"),
    [
        (pa.array([LARGE]), pa.array([1.5]), Int64),
        (pa.array([1.5]), pa.array([-LARGE]), Float64),
        (pa.array([2**24 + 1], pa.int32()), pa.array([1.5], pa.float32()), Float64),
        (pa.array([1]), pa.array(["1"]), String),
        (pa.array([True]), pa.array([1]), Bool),
        (pa.array([True]), pa.array(["true"]), String),
        (pa.array([b"x"]), pa.array(["x"]), String),
        (pa.array([Decimal(10**30)], pa.decimal128(38, 0)), pa.array([Decimal("0.00000000001")]), Float64),
        (pa.array([Decimal("12345678901234567.8")]), pa.array([1.5]), Float64),
        (pa.array([1], pa.uint64()), pa.array([-1]), Int64),
    ],
)
def test_what_has_none_is_refused_on_every_path(
    store_of: Store, redis: Redis, tmp_path: Path, first: pa.Array, second: pa.Array, dtype: FeastType
) -> None:
    path = two_files(tmp_path, first, second)
    store = store_of(entity(), view := visits(path, {"n": dtype}))
    message = r"visits: column 'n' is .+ in .*a\.parquet and .+ in .*b\.parquet; no one type"
    for read in (trained, everywhere, pulled):
        with pytest.raises(DataError, match=message):
            read(store, view, [1, 2])


@pytest.mark.parametrize(
    ("column", "dtype", "kind"),
    [
        (pa.array([1, 2], pa.duration("ns")), Int64, r"duration\[ns\]"),
        (pa.array([[1], [2]], pa.list_(pa.duration("us"))), Array(Int64), r"duration\[us\]"),
        (pa.array(pd.period_range("2024-05", periods=2, freq="M")), Int64, "pandas.period"),
        (pa.array([Decimal("0.35"), None], pa.decimal256(50, 2)), Float64, r"decimal256\(50, 2\)"),
    ],
)
def test_what_duckdb_would_take_for_something_else_is_refused(
    store_of: Store, redis: Redis, tmp_path: Path, column: pa.Array, dtype: FeastType, kind: str
) -> None:
    pq.write_table(rows(n=column), tmp_path / "visits.parquet")
    store = store_of(entity(), view := visits(tmp_path / "visits.parquet", {"n": dtype}))
    for read in (trained, everywhere, pulled):
        with pytest.raises(DataError, match=rf"visits: .*visits\.parquet holds {kind} in 'n'"):
            read(store, view, [1, 2])


@pytest.mark.parametrize(
    ("column", "dtype", "expected"),
    [
        (pa.array([b"a" * 16], pa.uuid()), String, "61616161-6161-6161-6161-616161616161"),
        (pa.array(["{}"], pa.json_()), String, "{}"),
        (pa.array([Decimal("0.35")], pa.decimal256(10, 2)), Float64, 0.35),
    ],
)
def test_what_it_reads_as_it_was_meant_is_not(
    store_of: Store, redis: Redis, tmp_path: Path, column: pa.Array, dtype: FeastType, expected: object
) -> None:
    pq.write_table(rows(n=column), tmp_path / "visits.parquet")
    store = store_of(entity(), view := visits(tmp_path / "visits.parquet", {"n": dtype}))
    assert everywhere(store, view, [1]) == {"n": [expected]}


def test_a_file_without_the_moments_of_its_rows_is_refused(store_of: Store, redis: Redis, tmp_path: Path) -> None:
    path = two_files(tmp_path, pa.array([1]), pa.array([2]))
    pq.write_table(
        pq.read_table(path / "b.parquet", partitioning=None).drop_columns("event_timestamp"), path / "b.parquet"
    )
    store = store_of(entity(), view := visits(path, {"n": Int64}))
    for read in (trained, everywhere, pulled):
        with pytest.raises(
            DataError, match=r"visits: .*b\.parquet has no column 'event_timestamp', the moment of each"
        ):
            read(store, view, [1, 2])


def test_without_statistics_whole_numbers_beside_floats_are_refused(store_of: Store, tmp_path: Path) -> None:
    path = two_files(tmp_path, pa.array([1]), pa.array([1.5]), write_statistics=False)
    store = store_of(entity(), view := visits(path, {"n": Int64}))
    with pytest.raises(DataError, match="no one type holds all values of both exactly"):
        trained(store, view, [1, 2])


@pytest.mark.parametrize("other", ["n", "N"])
def test_a_name_that_a_file_has_twice_is_refused(store_of: Store, tmp_path: Path, other: str) -> None:
    table = rows(n=[1])
    doubled = pa.Table.from_arrays([*table.columns, pa.array([2])], names=[*table.column_names, other])
    pq.write_table(doubled, tmp_path / "visits.parquet")
    store = store_of(entity(), view := visits(tmp_path / "visits.parquet", {"n": Int64}))
    for read in (trained, pulled):
        with pytest.raises(DataError, match=r"visits: .*visits\.parquet has .*columns 'n'.*cannot be told apart"):
            read(store, view, [1])


def test_a_name_that_files_spell_differently_is_refused(store_of: Store, tmp_path: Path) -> None:
    path = two_files(tmp_path, pa.array([1]), pa.array([2]))
    table = pq.read_table(path / "b.parquet", partitioning=None)
    pq.write_table(table.rename_columns(["user_id", "event_timestamp", "N"]), path / "b.parquet")
    store = store_of(entity(), view := visits(path, {"n": Int64}))
    with pytest.raises(DataError, match=r"no column 'n' everywhere: .*b\.parquet calls it 'N'"):
        trained(store, view, [1, 2])


@pytest.mark.parametrize("moments", [["2024-05-01 10:00:00 EST"], ["epoch"], [1_714_557_600]])
def test_a_moment_is_a_timestamp_and_neither_text_nor_a_number(
    store_of: Store, redis: Redis, tmp_path: Path, moments: list[Any]
) -> None:
    table = rows(n=[1]).drop_columns("event_timestamp").append_column("event_timestamp", pa.array(moments))
    pq.write_table(table, tmp_path / "visits.parquet")
    store = store_of(entity(), view := visits(tmp_path / "visits.parquet", {"n": Int64}))
    for read in (trained, served, pulled):
        with pytest.raises(DataError, match=r"visits: its files hold (VARCHAR|BIGINT) in 'event_timestamp'"):
            read(store, view, [1])


@pytest.mark.parametrize("stamps", [pa.array([10**18], pa.timestamp("us")), pa.array([-(10**15)], pa.timestamp("ms"))])
def test_moments_of_no_calendar_year_are_refused_on_every_path(
    store_of: Store, redis: Redis, tmp_path: Path, stamps: pa.Array
) -> None:
    table = rows(n=[1]).drop_columns("event_timestamp").append_column("event_timestamp", stamps)
    pq.write_table(table, tmp_path / "visits.parquet")
    store = store_of(entity(), view := visits(tmp_path / "visits.parquet", {"n": Int64}))
    for read in (trained, everywhere, pulled):
        with pytest.raises(DataError, match=r"visits: .*visits\.parquet holds .* beyond the years 1 to 9999"):
            read(store, view, [1])


def test_moments_too_far_for_the_nanoseconds_of_another_file_are_refused(
    store_of: Store, redis: Redis, tmp_path: Path
) -> None:
    path = two_files(tmp_path, pa.array([1]), pa.array([2]))
    for name, moment in {
        "a": pa.array([253_402_300_799], pa.timestamp("s")),
        "b": pa.array([0], pa.timestamp("ns")),
    }.items():
        table = pq.read_table(path / f"{name}.parquet", partitioning=None).drop_columns("event_timestamp")
        pq.write_table(table.append_column("event_timestamp", moment), path / f"{name}.parquet")
    store = store_of(entity(), view := visits(path, {"n": Int64}))
    for read in (trained, everywhere, pulled):
        with pytest.raises(DataError, match=r"a\.parquet holds .*b\.parquet beside it holds nanoseconds"):
            read(store, view, [1, 2])


@given(
    cents=st.lists(st.integers(-(10**10) + 1, 10**10 - 1), min_size=1),
    places=st.integers(0, 10),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=8)
@example(cents=[35, 286_785, 1, 10], places=2)
def test_a_decimal_as_a_float_is_the_nearest_one_on_every_path(
    store_of: Store, redis: Redis, tmp_path: Path, cents: list[int], places: int
) -> None:
    numbers = [Decimal(cent).scaleb(-places) for cent in cents]
    pq.write_table(rows(n=pa.array(numbers, pa.decimal128(10, places))), tmp_path / "visits.parquet")
    store = store_of(entity(), view := visits(tmp_path / "visits.parquet", {"n": Float64}))
    assert everywhere(store, view, range(1, len(numbers) + 1)) == {"n": [float(number) for number in numbers]}


def test_a_file_that_is_no_parquet_file_is_named(store_of: Store, tmp_path: Path) -> None:
    path = two_files(tmp_path, pa.array([1]), pa.array([2]))
    (path / "b.parquet").write_bytes(b"user_id,n\n1,2\n")
    store = store_of(entity(), view := visits(path, {"n": Int64}))
    with pytest.raises(DataError, match=r"visits: .*b\.parquet is no readable Parquet file"):
        trained(store, view, [1, 2])
