"""Row functions: what their declaration states, how they are evaluated, and what their hash sees."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from transformations import ANYTHING, Float64, Int64, String, UnixTimestamp, at_least, on_demand, quotient
from transformations.engine.base.errors import DataError, DefinitionError
from transformations.engine.vocabulary import functions as module

FACTOR = 2.0


def scaled(values: pa.Array) -> pa.Array:
    return pc.multiply(values, FACTOR)


@on_demand(unit="points", expect=at_least(0))
def double_of(amount: Float64) -> Float64:
    """Twice the amount;
    null where that is null."""
    return scaled(amount)


@on_demand(unit="ratio", expect=ANYTHING)
def fragile(count: Int64) -> Float64:
    """Fails on zero."""
    return pa.array([1.0 / value for value in count.to_pylist()])


def test_the_signature_is_the_declaration() -> None:
    assert double_of.name == "double_of"
    assert [(name, str(dtype)) for name, dtype in double_of.parameters] == [("amount", "Float64")]
    assert (str(double_of.returns), double_of.unit, str(double_of.expect)) == ("Float64", "points", ">= 0")
    assert double_of.description == "Twice the amount; null where that is null."


def test_nulls_stay_null_and_nan_becomes_null() -> None:
    assert double_of.evaluate({"amount": pa.array([1.5, None, float("nan")])}).to_pylist() == [3.0, None, None]


def test_a_lossless_input_is_widened() -> None:
    assert double_of.evaluate({"amount": pa.array([5], pa.int64())}).to_pylist() == [10.0]


def test_a_lossy_input_is_refused_with_its_name() -> None:
    with pytest.raises(DataError, match="fragile: input 'count' arrived as double and cannot become Int64"):
        fragile.evaluate({"count": pa.array([5.7])})


def test_a_failure_names_the_function_its_inputs_and_the_row() -> None:
    with pytest.raises(DataError, match=r"fragile failed at row 1 with {'count': 0}: ZeroDivisionError"):
        fragile.evaluate({"count": pa.array([4, 0])})


def test_a_failure_among_many_rows_is_found_by_halves() -> None:
    calls: list[int] = []

    @on_demand(unit="ratio", expect=ANYTHING)
    def counted(count: Int64) -> Float64:
        """Fails on zero."""
        calls.append(len(count))
        return pa.array([1.0 / value for value in count.to_pylist()])

    rows = [1] * 700 + [0] + [1] * 300 + [0] * 23
    with pytest.raises(DataError, match=r"counted failed at row 700 with {'count': 0}: ZeroDivisionError"):
        counted.evaluate({"count": pa.array(rows)})
    assert len(calls) < 25


def test_a_failure_of_no_row_alone_is_told_as_such() -> None:
    @on_demand(unit="ratio", expect=ANYTHING)
    def crowded(count: Int64) -> Int64:
        """Fails on three rows."""
        if len(count) == 3:
            raise ValueError("three")
        return count

    with pytest.raises(DataError, match="crowded failed on 3 rows: ValueError: three"):
        crowded.evaluate({"count": pa.array([1, 2, 3])})


def test_what_a_list_makes_of_its_values_does_not_depend_on_which_rows_come_together() -> None:
    @on_demand(unit="ratio", expect=ANYTHING)
    def listed(count: Int64) -> Float64:
        """Half of the even ones; of a list, of which Arrow guesses the type."""
        return pa.array([None if value is None or value % 2 else value // 2 for value in count.to_pylist()])

    for rows in ([4, 3, None], [4], [3], [None], []):
        result = listed.evaluate({"count": pa.array(rows, pa.int64())})
        assert result.type == pa.float64()
        assert result.to_pylist() == [None if row in (3, None) else 2.0 for row in rows]

    with pytest.raises(DataError, match="listed returned integers for Float64 that it cannot hold without loss"):
        listed.evaluate({"count": pa.array([2**54 + 4])})


def test_a_result_of_another_dtype_is_refused() -> None:
    @on_demand(unit="points", expect=ANYTHING)
    def wrong(amount: Float64) -> Int64:
        """Says Int64, gives Float64."""
        return amount

    with pytest.raises(DataError, match="wrong returned double, declared is Int64"):
        wrong.evaluate({"amount": pa.array([1.0])})


def test_a_result_of_another_length_is_refused() -> None:
    @on_demand(unit="points", expect=ANYTHING)
    def short(amount: Float64) -> Float64:
        """Forgets rows."""
        return amount.slice(1)

    with pytest.raises(DataError, match="short returned 1 value for 2 rows"):
        short.evaluate({"amount": pa.array([1.0, 2.0])})


def _no_docstring(amount: Float64) -> Float64:
    return amount


def _no_dtype(amount: Any) -> Float64:
    """Has no dtype."""
    return amount


def _no_output_of_feast(at: UnixTimestamp) -> UnixTimestamp:
    """Returns a time."""
    return at


def _time_as_text(request_timestamp: String) -> String:
    """Takes the time as text."""
    return request_timestamp


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (_no_docstring, "has no docstring"),
        (_no_dtype, "parameter 'amount' has no dtype"),
        (_no_output_of_feast, "returns UnixTimestamp"),
        (_time_as_text, "request_timestamp is a UnixTimestamp"),
    ],
)
def test_a_declaration_that_lacks_something_is_refused(function: Any, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        on_demand(unit="points", expect=ANYTHING)(function)


def test_the_hash_notices_a_change_in_a_function_it_calls_and_in_a_constant_that_one_reads() -> None:
    def hash_with(factor: float, offset: float) -> str:
        def helper(values: pa.Array) -> pa.Array:
            return pc.add(pc.multiply(values, factor), offset)

        @on_demand(unit="points", expect=ANYTHING)
        def computed(amount: Float64) -> Float64:
            """Computed by a helper."""
            return helper(amount)

        return computed.content_hash

    assert hash_with(2.0, 1.0) == hash_with(2.0, 1.0)
    assert len({hash_with(2.0, 1.0), hash_with(3.0, 1.0), hash_with(2.0, 0.0)}) == 3


def test_the_hash_follows_module_globals(monkeypatch: pytest.MonkeyPatch) -> None:
    before = double_of.content_hash
    monkeypatch.setitem(double_of.function.__globals__, "FACTOR", 3.0)
    assert module.hash_of_function(double_of.function) != before


def test_the_hash_ignores_the_docstring() -> None:
    def hash_of(function: Any) -> str:
        return module.hash_of_function(function)

    def one() -> Any:
        def same(amount: Float64) -> Float64:
            """One text."""
            return amount

        return same

    def another() -> Any:
        def same(amount: Float64) -> Float64:
            """Another text."""
            return amount

        return same

    assert hash_of(one()) == hash_of(another())


def test_a_quotient_is_null_where_either_is_null_or_the_denominator_is_zero() -> None:
    numerator, denominator = pa.array([6, 1, None, 0, 5], pa.int64()), pa.array([4.0, 0.0, 2.0, -0.0, None])
    together = quotient(numerator, denominator)
    assert together.to_pylist() == [1.5, None, None, None, None]
    alone = [quotient(numerator.slice(row, 1), denominator.slice(row, 1)) for row in range(5)]
    assert pa.concat_arrays(alone).equals(together)
