"""Packets: nothing is lost or moved, and equal keys always meet in one bucket."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from transformations.engine.compute.packets import bucket_of, pack, unpack

ROWS = st.lists(
    st.fixed_dictionaries({"user": st.integers(-(2**63), 2**63 - 1), "kind": st.text(max_size=3)}), max_size=20
)


def table_of(rows: list[dict[str, object]]) -> pa.Table:
    return pa.Table.from_pylist(rows, pa.schema([("user", pa.int64()), ("kind", pa.string())]))


@given(rows=ROWS, buckets=st.integers(1, 5))
def test_every_row_arrives_once_with_all_rows_of_its_key(rows: list[dict[str, object]], buckets: int) -> None:
    batches = table_of(rows).to_batches(max_chunksize=3)
    packets = pack(batches, ["user", "kind"], "events", buckets)
    arrived = {bucket: tables["events"].to_pylist() for bucket, tables in unpack(packets)}
    assert sorted(key for own in arrived.values() for key in _keys(own)) == sorted(_keys(rows))
    bucket_of_key = {(row["user"], row["kind"]): bucket for bucket, own in arrived.items() for row in own}
    for bucket, own in arrived.items():
        assert all(bucket_of_key[row["user"], row["kind"]] == bucket for row in own)


def _keys(rows: list[dict[str, object]]) -> list[tuple[object, object]]:
    return [(row["user"], row["kind"]) for row in rows]


def test_rows_without_a_key_are_left_out_and_counted() -> None:
    rows = table_of([{"user": 1, "kind": "a"}, {"user": None, "kind": "a"}, {"user": 1, "kind": None}])
    batches = list(pack(rows.to_batches(), ["user", "kind"], "events", 2))
    counts = [count for batch in batches for count in batch.column("counts").to_pylist()]
    assert [sum(each) for each in zip(*counts, strict=True)] == [3, 2]
    assert [tables["events"].to_pylist() for _, tables in unpack(batches)] == [[{"user": 1, "kind": "a"}]]


def test_what_was_not_found_is_counted_and_its_column_dropped() -> None:
    rows = pa.table({"user": [1, 2, 3], "found": [True, None, None]})
    batches = list(pack(rows.to_batches(), ["user"], "events", 1, found=["found"]))
    assert batches[0].column("counts").to_pylist() == [[3, 0, 2]]
    assert next(unpack(batches))[1]["events"].column_names == ["user"]


def test_packets_meet_whether_or_not_their_sources_allowed_nulls() -> None:
    """Files of the raw zone declare what is never null; what Spark reads from them is nullable throughout."""
    of_file = pa.table({"user": [1]}, schema=pa.schema([pa.field("user", pa.int64(), nullable=False)]))
    of_spark = pa.table({"user": [2]})
    packets = [*pack(of_file.to_batches(), ["user"], "events", 1), *pack(of_spark.to_batches(), ["user"], "events", 1)]
    assert next(unpack(packets))[1]["events"].to_pylist() == [{"user": 1}, {"user": 2}]


def test_counts_survive_where_no_row_does() -> None:
    rows = pa.table({"user": pa.array([None], pa.int64())})
    (batch,) = pack(rows.to_batches(), ["user"], "events", 4)
    assert batch.column("counts").to_pylist() == [[1, 1]]


def test_the_bucket_of_a_key_never_changes() -> None:
    """Carried state of one run is read by the next, on another machine: these numbers are part of the format."""
    keys = pa.table({"user": [0, 1, -1, 2**62], "kind": ["", "a", "ä", "a"]})
    assert bucket_of(keys, ["user"], 1000).tolist() == BUCKETS_OF_INTEGERS
    assert bucket_of(keys, ["user", "kind"], 1000).tolist() == BUCKETS_OF_PAIRS


BUCKETS_OF_INTEGERS = [0, 957, 588, 615]
BUCKETS_OF_PAIRS = [358, 814, 169, 881]
