"""Delivered numbers as the contract's dtypes: decimals and floats are the values that Python makes of them, too."""

from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformations.contracts.model import ColumnFormat
from transformations.engine.base.duck import session
from validation.readings.conversions import conversion

PLAIN = ColumnFormat()


@pytest.fixture(scope="module")
def converted():
    """The canonical values of an Arrow column; `lossy` where one would lose something."""
    with session() as connection:

        def of(column: pa.Array, dtype: str, written: ColumnFormat = PLAIN) -> list[object]:
            drop = connection.from_arrow(pa.table({"x": column}))
            (delivered,) = drop.types
            how = conversion('"x"', str(delivered), dtype, written=written)
            assert how is not None
            rows = drop.query("drop", f"SELECT {how.lossy}, {how.value} FROM drop").fetchall()
            return ["lossy" if is_lossy else value for is_lossy, value in rows]

        yield of


@st.composite
def decimals(draw: st.DrawFn, most: int) -> tuple[pa.DataType, list[Decimal]]:
    precision = draw(st.integers(1, most))
    scale = draw(st.integers(0, precision))
    unscaled = draw(st.lists(st.integers(-(10**precision) + 1, 10**precision - 1), min_size=1))
    return pa.decimal128(precision, scale), [Decimal(number).scaleb(-scale) for number in unscaled]


@given(decimals(most=15))
def test_a_decimal_becomes_the_nearest_double(converted, column):
    kind, numbers = column
    assert converted(pa.array(numbers, kind), "Float64") == [float(number) for number in numbers]


def test_every_price_in_cents_becomes_the_nearest_double(converted):
    cents = [Decimal(cent).scaleb(-2) for cent in range(-3_000, 3_000)]
    assert converted(pa.array(cents, pa.decimal128(10, 2)), "Float64") == [float(cent) for cent in cents]


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_an_integer_becomes_a_float_exactly_or_is_lossy(converted, numbers):
    expected = [float(number) if int(float(number)) == number else "lossy" for number in numbers]
    assert converted(pa.array(numbers, pa.int64()), "Float64") == expected


@given(st.lists(st.floats(allow_nan=False) | st.integers(-(2**54), 2**54).map(float)))
def test_a_float_becomes_an_integer_where_it_can_stand_for_no_other(converted, numbers):
    number = ColumnFormat(stored_as="number")
    expected = [int(each) if each.is_integer() and abs(each) < 2**53 else "lossy" for each in numbers]
    assert converted(pa.array(numbers, pa.float64()), "Int64", number) == expected
