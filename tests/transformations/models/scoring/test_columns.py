"""Python's own values, by column, become the same matrix as Arrow's, or go Arrow's way: to the last bit."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transformations.engine.base.errors import DataError
from transformations.models.records.artifact import InputColumn, InputType
from transformations.models.scoring.columns import Columns, short_way
from transformations.models.scoring.fitted import Fitted, OneHot, Plain, Scale
from transformations.models.scoring.inputs import ARROW_TYPES, cast_inputs

FINITE = st.floats(allow_nan=False, allow_infinity=False)
VALUES: dict[InputType, st.SearchStrategy[Any]] = {
    "Float64": FINITE,
    "Float32": st.floats(allow_nan=False, allow_infinity=False, width=32) | st.floats(-1e30, 1e30),
    "Int64": st.integers(-(2**63), 2**63 - 1),
    "Int32": st.integers(-(2**31), 2**31 - 1),
    "Bool": st.booleans(),
}


@st.composite
def columns(draw: st.DrawFn) -> tuple[list[InputColumn], list[list[Any]]]:
    """Some inputs, and rows of them."""
    dtypes = draw(st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=5))
    rows = draw(st.integers(1, 4))
    values = [draw(st.lists(st.none() | VALUES[dtype], min_size=rows, max_size=rows)) for dtype in dtypes]
    return [InputColumn(name=f"x{place}", dtype=dtype) for place, dtype in enumerate(dtypes)], values


def given_of(inputs: list[InputColumn], values: list[list[Any]]) -> Columns:
    types = [ARROW_TYPES[each.dtype] for each in inputs]
    arrays = [pa.array(column, kind) for column, kind in zip(values, types, strict=True)]
    table = pa.Table.from_arrays(arrays, names=[each.name for each in inputs])
    return Columns(rows=len(values[0]), values=values, types=types, table=lambda: table)


@settings(max_examples=150, deadline=None)
@given(columns(), st.sampled_from(["float32", "float64"]), st.data())
def test_the_short_way_gives_the_bits_of_arrows(
    drawn: tuple[list[InputColumn], list[list[Any]]], dtype: Any, data: st.DataObject
) -> None:
    inputs, values = drawn
    part = st.sampled_from(
        [lambda name: Plain(input=name), lambda name: Scale(input=name, mean=0.1, deviation=data.draw(FINITE))]
    )
    parts = tuple(data.draw(part)(each.name) for each in data.draw(st.permutations(inputs)))
    given_columns, transformations = given_of(inputs, values), Fitted(parts=parts)
    way = short_way(inputs, transformations, dtype)
    assert way is not None

    with np.errstate(all="ignore"):
        short = way.matrix(given_columns)
        assert short is not None
        expected = transformations.matrix(cast_inputs(given_columns.table(), inputs), dtype)

    assert short.dtype == expected.dtype
    assert short.flags.c_contiguous
    there = ~np.isnan(expected)
    assert (np.isnan(short) == ~there).all()
    assert short[there].tobytes() == expected[there].tobytes()


def test_what_arrow_refuses_goes_to_arrow() -> None:
    inputs = [InputColumn(name="x", dtype="Float32")]
    way = short_way(inputs, Fitted(parts=(Plain(input="x"),)), "float32")
    assert way is not None
    for value in (float("inf"), 1e300):
        rows = given_of(inputs, [[value]])
        assert way.matrix(rows) is None
        with pytest.raises(DataError, match="is infinite"):
            cast_inputs(rows.table(), inputs)


def test_another_type_than_the_declared_one_goes_to_arrow() -> None:
    inputs = [InputColumn(name="x", dtype="Int64")]
    way = short_way(inputs, Fitted(parts=(Plain(input="x"),)), "float64")
    assert way is not None
    for kind in (pa.float64(), None):
        assert way.matrix(Columns(rows=1, values=[[1.5]], types=[kind], table=lambda: pa.table({}))) is None


def test_texts_and_categories_have_no_short_way() -> None:
    texts = [InputColumn(name="x", dtype="String")]
    assert short_way(texts, Fitted(parts=(Plain(input="x"),)), "float64") is None
    numbers = [InputColumn(name="x", dtype="Int64")]
    assert short_way(numbers, Fitted(parts=(OneHot(input="x", categories=("1",)),)), "float64") is None
