"""Rows become the declared dtypes once: the right value, or a refusal by column, row and value."""

import pyarrow as pa
import pytest

from transformations.engine.base.errors import DataError
from transformations.models.records.artifact import InputColumn, InputType
from transformations.models.scoring.inputs import ARROW_TYPES, cast_inputs


def cast(values: pa.Array, dtype: InputType) -> pa.Array:
    return cast_inputs(pa.table({"x": values}), [InputColumn(name="x", dtype=dtype)])["x"]


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        (pa.array([1, None], pa.int8()), "Int64", [1, None]),
        (pa.array([1.0, float("nan")]), "Int64", [1, None]),
        (pa.array([2**53 + 1]), "Float64", [2.0**53]),
        (pa.array([0.1]), "Float32", [0.10000000149011612]),
        (pa.array(["a", None], pa.large_string()), "String", ["a", None]),
        (pa.array(["a", "a"]).dictionary_encode(), "String", ["a", "a"]),
        (pa.nulls(2), "Float64", [None, None]),
        (pa.nulls(1), "Bool", [None]),
    ],
)
def test_a_value_keeps_its_meaning(values: pa.Array, dtype: InputType, expected: list[object]) -> None:
    found = cast(values, dtype)
    assert found.type == ARROW_TYPES[dtype]
    assert found.to_pylist() == expected


@pytest.mark.parametrize(
    ("values", "dtype", "said"),
    [
        (pa.array([1.0, 1.5, 2.5]), "Int64", r"column 'x': row 1: 1.5 is no Int64 \(2 such rows\)"),
        (pa.array([1, 2**40]), "Int32", "row 1: 1099511627776 is no Int32"),
        (pa.array([1e300]), "Float32", r"row 0: 1e\+300 is beyond Float32"),
        (pa.array([1.0, float("-inf")]), "Float64", "row 1: -inf is infinite"),
        (pa.array(["7"]), "Int64", "column 'x' is string, and the model takes Int64"),
        (pa.array([7]), "String", "column 'x' is int64, and the model takes String"),
        (pa.array([1]), "Bool", "column 'x' is int64, and the model takes Bool"),
    ],
)
def test_what_the_dtype_cannot_hold_is_refused(values: pa.Array, dtype: InputType, said: str) -> None:
    with pytest.raises(DataError, match=said):
        cast(values, dtype)


def test_a_missing_column_is_named_with_the_nearest_one() -> None:
    with pytest.raises(DataError, match="no column 'visits', which the model takes; did you mean 'visit'"):
        cast_inputs(pa.table({"visit": [1]}), [InputColumn(name="visits", dtype="Int64")])
