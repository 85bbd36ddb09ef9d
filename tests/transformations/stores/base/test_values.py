"""What a declared dtype takes, what it refuses, and what comes back from Feast's protobuf."""

from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from feast import Field
from feast.types import Array, Bool, FeastType, Float32, Float64, Int32, Int64, String, UnixTimestamp, Uuid

from transformations.engine.base.errors import DataError
from transformations.stores.base.values import (
    TIMESTAMP,
    arrow_type,
    as_declared,
    as_feature,
    column_of,
    from_protos,
    to_protos,
    unseen_value,
)

NOON = datetime(2024, 5, 1, 12, 0, 0, 250_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "dtype", "expected"),
    [
        (pa.array([1, None]), Float64, [1.0, None]),
        (pa.array([1.0, float("nan")]), Int64, [1, None]),
        (pa.array([1], pa.int32()), Int64, [1]),
        (pa.array([2**53 + 1]), Int64, [2**53 + 1]),
        (pa.array([0.1, 5, None]), Float32, [0.10000000149011612, 5.0, None]),
        (pa.array([0, 1, None]), Bool, [False, True, None]),
        (pa.array(["a"]).dictionary_encode(), String, ["a"]),
        (pa.array(["2024-05-01T14:00:00.25+02:00", None]), UnixTimestamp, [NOON, None]),
        (pa.array([NOON.replace(tzinfo=None)], pa.timestamp("ns")), UnixTimestamp, [NOON]),
        (pa.array([date(2024, 5, 1)]), UnixTimestamp, [datetime(2024, 5, 1, tzinfo=UTC)]),
        (pa.nulls(2), String, [None, None]),
        (pa.array([[1, 2], None], pa.list_(pa.int32())), Array(Int64), [[1, 2], None]),
        (pa.chunked_array([[1], [2]]), Int64, [1, 2]),
    ],
)
def test_a_value_keeps_its_meaning_in_its_declared_dtype(given: Any, dtype: FeastType, expected: list[Any]) -> None:
    result = as_declared(given, dtype, "field 'x'")
    assert (result.to_pylist(), result.type) == (expected, arrow_type(dtype))


@pytest.mark.parametrize(
    ("given", "dtype", "evidence"),
    [
        (pa.array([1.0, 5.7]), Int64, "row 1 holds 5.7"),
        (pa.array([2**53 + 1]), Float64, "row 0 holds 9007199254740993"),
        (pa.array([1.0, 1e300]), Float32, "row 1 holds 1e+300"),
        (pa.array([1, 2]), Bool, "row 1 holds 2"),
        (pa.array([2**40]), Int32, "row 0 holds 1099511627776"),
        (pa.array([None, "5"]), Int64, "holds string such as '5'"),
        (pa.array([True]), Float64, "holds bool such as True"),
        (pa.array([5]), String, "holds int64 such as 5"),
        (pa.array([1_700_000_000]), UnixTimestamp, "holds int64 such as 1700000000"),
        (pa.array(["noon"]), UnixTimestamp, "row 0 holds 'noon'"),
        (pa.array([1_700_000_000_000_000_001], pa.timestamp("ns")), UnixTimestamp, "row 0 holds '2023-11-14 22:13:20"),
    ],
)
def test_what_would_lose_something_is_refused_by_name_and_value(given: Any, dtype: FeastType, evidence: str) -> None:
    with pytest.raises(DataError) as refused:
        as_declared(given, dtype, "request field 'x'")
    message = str(refused.value)
    assert message.startswith(f"request field 'x' is declared {dtype}, but ")
    assert evidence in message
    assert message.endswith("change the declaration.")


def test_a_stored_feature_has_the_form_that_protobuf_can_carry() -> None:
    assert as_feature(pa.array([NOON], TIMESTAMP), UnixTimestamp, "x").to_pylist() == [NOON.replace(microsecond=0)]
    assert as_feature(pa.array([0.1, float("nan")]), Float32, "x").to_pylist() == [0.10000000149011612, None]
    before_1970 = pa.array([-1], TIMESTAMP)
    assert as_feature(before_1970, UnixTimestamp, "x").to_pylist() == [datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)]


@pytest.mark.parametrize("given", [[[True, None]], [["a", None]], [[1, None]]])
def test_of_a_list_with_a_null_the_remedy_is_to_leave_it_out(given: list[Any]) -> None:
    dtype = Array({bool: Bool, str: String, int: Int64}[type(given[0][0])])
    with pytest.raises(DataError, match=r"with a null in it, which no list .* can carry. Leave out nulls in lists[.]"):
        as_feature(pa.array(given), dtype, "feature 'x'")


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([2**53 + 1, None, -1], Int64),
        ([7, None], Int32),
        ([0.1, None, -0.0], Float64),
        ([0.10000000149011612, None], Float32),
        (["", None, "é"], String),
        ([False, None, True], Bool),
        ([NOON.replace(microsecond=0), None, datetime(1969, 12, 31, tzinfo=UTC)], UnixTimestamp),
        ([[1, 2], None], Array(Int64)),
        ([["a"], []], Array(String)),
        ([[NOON.replace(microsecond=0)], None], Array(UnixTimestamp)),
    ],
)
def test_protobuf_gives_back_what_it_was_given(values: list[Any], dtype: FeastType) -> None:
    array = pa.array(values, arrow_type(dtype))
    assert from_protos(to_protos(array, dtype), dtype, "x").equals(array)


def test_a_dtype_without_an_arrow_form_of_ours_passes_as_feast_has_it() -> None:
    text = "2d3c7b0a-9d0e-4b3c-8f6e-0a8f5a3f1c11"
    assert arrow_type(Uuid) is None
    assert to_protos(pa.array([text, None]), Uuid)[0].uuid_val == text


def test_values_of_several_kinds_make_no_column() -> None:
    with pytest.raises(DataError, match=r"request field 'x' has values \(int, str\) that make no column"):
        column_of([1, "2"], "request field 'x'")


def test_what_arrow_does_not_take_as_it_is_has_a_dtype_or_is_told_by_row() -> None:
    assert as_declared(column_of([2**70, None], "x"), Float64, "x").to_pylist() == [float(2**70), None]
    assert column_of([np.datetime64("2024-05-01"), np.datetime64("NaT")], "x").to_pylist() == [
        datetime(2024, 5, 1),
        None,
    ]
    with pytest.raises(DataError, match=r"request field 'x': row 1 holds '\\ud800', which is no Unicode text"):
        column_of(["a", "\ud800"], "request field 'x'")
    with pytest.raises(DataError, match=r"declared Int64, but row 1 holds 1180591620717411303424, which cannot become"):
        as_declared(column_of([1, 2**70], "x"), Int64, "x")
    with pytest.raises(DataError) as refused:
        as_declared(pa.array(["x" * 10_000]), Int64, "x")
    assert len(refused.value.message) < 250


def test_an_unseen_default_comes_from_the_fields_tag() -> None:
    assert unseen_value(Field(name="n", dtype=Int64)) is None
    assert unseen_value(Field(name="n", dtype=Int64, tags={"unseen": "0"})) == pa.scalar(0, pa.int64())
    assert unseen_value(Field(name="x", dtype=Float64, tags={"unseen": "0.5"})) == pa.scalar(0.5)
