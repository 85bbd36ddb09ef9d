"""A function that looks at other rows than its own is refused before it is applied."""

import random
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from transformations import ANYTHING, Float64, Int64, String, UnixTimestamp, on_demand
from transformations.engine.base.errors import DefinitionError
from transformations.engine.vocabulary.functions import RowFunction
from transformations.engine.vocabulary.row_by_row import refuse_unless_row_by_row


def declared(function: Any) -> RowFunction:
    return on_demand(unit="points", expect=ANYTHING)(function)


def against_mean(spent: Float64) -> Float64:
    """Less the mean of all rows."""
    return pc.subtract(spent, pc.mean(spent))


def running_total(spent: Float64) -> Float64:
    """The sum so far."""
    return pc.cumulative_sum(spent, skip_nulls=True)


def place(visits: Int64) -> Int64:
    """The rank among all rows."""
    return pc.rank(visits).cast("int64")


def filled(plan: String) -> String:
    """A null as in the row before."""
    return pc.fill_null_forward(plan)


def since_first(request_timestamp: UnixTimestamp) -> Int64:
    """Seconds since the earliest row."""
    return pc.seconds_between(pc.min(request_timestamp), request_timestamp)


def by_chance(spent: Float64) -> Float64:
    """Anything."""
    return pa.array([random.random() for _ in spent])


@pytest.mark.parametrize("function", [against_mean, running_total, place, filled, since_first, by_chance])
def test_a_function_of_other_rows_is_refused(function: Any) -> None:
    message = rf"function {function.__name__} gives .* alone, and .* for it among other rows\. A request brings"
    with pytest.raises(DefinitionError, match=message):
        refuse_unless_row_by_row(declared(function))


def test_a_function_that_fails_only_among_others_is_refused() -> None:
    def only_one(spent: Float64) -> Float64:
        """Made for one row."""
        return pa.array([spent[0].as_py()] if len(spent) == 1 else [])

    with pytest.raises(DefinitionError, match="Each of these rows alone gives a value"):
        refuse_unless_row_by_row(declared(only_one))


def reciprocal(visits: Int64) -> Float64:
    """One of the visits; fails on none and on null."""
    return pa.array([1 / value for value in visits.to_pylist()])


def against_usual(spent: Float64, usual: Float64) -> Float64:
    """Null where nothing is usual."""
    return pc.divide(spent, pc.if_else(pc.equal(usual, 0.0), None, usual))


def days_since(request_timestamp: UnixTimestamp, seen_at: UnixTimestamp) -> Float64:
    """Days from then to now."""
    return pc.divide(pc.cast(pc.seconds_between(seen_at, request_timestamp), "float64"), 86_400.0)


@pytest.mark.parametrize("function", [reciprocal, against_usual, days_since])
def test_a_function_of_its_own_row_is_accepted(function: Any) -> None:
    refuse_unless_row_by_row(declared(function))
