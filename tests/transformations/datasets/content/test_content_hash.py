"""The hash of a table's values: the same however they are carried, another for every other value."""

from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformations.datasets.content.content_hash import content_hash, row_hashes
from transformations.engine.base.errors import DataError

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
EVERY_KIND = {
    "flag": pa.array([True, None, False]),
    "count": pa.array([1, None, -(2**53) - 1]),
    "ratio": pa.array([0.1, None, float("nan")]),
    "name": pa.array(["née", None, ""]),
    "blob": pa.array([b"\x00", None, b""]),
    "at": pa.array([NOON, None, NOON], pa.timestamp("us", "UTC")),
    "day": pa.array([date(2024, 5, 1), None, date(1969, 1, 1)]),
    "price": pa.array([Decimal("1.50"), None, Decimal("-0.01")]),
    "tags": pa.array([["a", None], None, []], pa.list_(pa.string())),
    "pair": pa.array([{"x": 1, "y": None}, None, {"x": None, "y": "z"}]),
    "nothing": pa.nulls(3),
}


def test_the_digest_of_every_kind_of_value_is_fixed_for_ever() -> None:
    # Computed once. If this fails, the datasets that exist can no longer be verified: raise the version instead.
    assert content_hash(pa.table(EVERY_KIND)) == "cbbe7538d3cf8040fec8e71a3a72b8ec07c0882ec6b387a4710a28d0e8f046b6"


@given(st.data())
def test_chunks_slices_and_row_groups_do_not_show(data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.tuples(st.integers(-9, 9) | st.none(), st.text(max_size=3) | st.none(), st.floats())))
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    kinds = (pa.int64(), pa.string(), pa.float64())
    whole = pa.table(
        {f"c{i}": pa.array(column, kind) for i, (column, kind) in enumerate(zip(columns, kinds, strict=True))}
    )
    cut = data.draw(st.integers(0, len(rows)))
    parts = pa.concat_tables([whole.slice(0, cut), whole.slice(cut)])
    assert content_hash(parts) == content_hash(whole)
    sink = pa.BufferOutputStream()
    pq.write_table(whole, sink, row_group_size=2, compression="zstd")
    assert content_hash(pq.read_table(pa.BufferReader(sink.getvalue()))) == content_hash(whole)


@given(st.data())
def test_any_other_value_and_any_other_order_has_another_digest(data: st.DataObject) -> None:
    values = data.draw(st.lists(st.text(max_size=3) | st.none(), min_size=1, max_size=4))
    others = data.draw(st.lists(st.text(max_size=3) | st.none(), min_size=1, max_size=4))
    same = content_hash(pa.table({"c": pa.array(values, pa.string())})) == content_hash(
        pa.table({"c": pa.array(others, pa.string())})
    )
    assert same == (values == others)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (pa.array([1], pa.int8()), pa.array([1], pa.int64())),
        (pa.array([0.5], pa.float32()), pa.array([0.5], pa.float64())),
        (pa.array(["a", "b", "a"]).dictionary_encode(), pa.array(["a", "b", "a"], pa.large_string())),
        (pa.array([NOON], pa.timestamp("ms", "America/New_York")), pa.array([NOON], pa.timestamp("ns", "UTC"))),
        (pa.array([[1]], pa.list_(pa.int32())), pa.array([[1]], pa.large_list(pa.int64()))),
        (pa.array([float("nan")]), pa.array(np.array([0xFFF8000000000001], dtype="u8").view("f8"))),
    ],
)
def test_what_means_the_same_has_the_same_digest(left: pa.Array, right: pa.Array) -> None:
    assert content_hash(pa.table({"c": left})) == content_hash(pa.table({"c": right}))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (pa.array([0, 1]), pa.array([None, 1])),
        (pa.array([0.0]), pa.array([-0.0])),
        (pa.array([1]), pa.array([1.0])),
        (pa.array([""]), pa.array([None], pa.string())),
        (pa.array(["ab", ""]), pa.array(["a", "b"])),
        (pa.array([[], [1]]), pa.array([[1], []])),
        (pa.array([[1], None]), pa.array([[1], []])),
        (pa.array([0], pa.timestamp("us")), pa.array([0], pa.timestamp("us", "UTC"))),
        (pa.array([1], pa.timestamp("ns")), pa.array([0], pa.timestamp("ns"))),
        (pa.array([1], pa.uint64()), pa.array([1], pa.int64())),
    ],
)
def test_what_means_something_else_has_another_digest(left: pa.Array, right: pa.Array) -> None:
    assert content_hash(pa.table({"c": left})) != content_hash(pa.table({"c": right}))


def test_names_and_order_of_columns_count() -> None:
    table = pa.table({"a": [1], "b": [1]})
    assert content_hash(table) != content_hash(table.rename_columns(["a", "c"]))
    assert content_hash(table) != content_hash(table.select(["b", "a"]))


def test_a_type_without_a_canonical_form_is_refused_by_name() -> None:
    maps = pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64()))
    with pytest.raises(DataError, match="column 'c' of type map<string, int64> cannot be hashed"):
        content_hash(pa.table({"c": maps}))


def test_a_row_has_one_hash_wherever_it_stands_and_another_under_another_seed() -> None:
    table = pa.table(EVERY_KIND)
    hashes = row_hashes(table, seed=1)
    assert len(set(hashes.tolist())) == 3
    backwards = table.take([2, 1, 0]).select(list(reversed(table.column_names)))
    assert row_hashes(backwards, seed=1).tolist() == hashes.tolist()[::-1]
    assert set(row_hashes(table, seed=2).tolist()).isdisjoint(hashes.tolist())


def test_row_hashes_spread_evenly() -> None:
    rows = pa.table({"user_id": np.arange(100_000), "at": pc.cast(np.arange(100_000), pa.timestamp("us"))})
    share = float((row_hashes(rows, seed=7) < np.uint64(2**63)).mean())
    assert abs(share - 0.5) < 0.01  # six standard deviations
