"""Conditions lose nothing: three-valued, equal for one event and for a table, and never taken for a truth value."""

# ruff: noqa: SIM300  # a column that is compared with a literal is no Yoda

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformations import column
from transformations.engine.base.errors import DefinitionError
from transformations.engine.vocabulary.conditions import Condition

DELAY, ORIGIN = column("dep_delay"), column("origin")
SCHEMA = pa.schema([("n", pa.int64()), ("m", pa.int64()), ("x", pa.float64()), ("s", pa.string()), ("b", pa.bool_())])
Event = Mapping[str, Any]
Truth = Callable[[Event], bool | None]


def selected(condition: Condition, *delays: int | None) -> list[int | None]:
    """The delays that a condition selects from a table, which must be those that it selects one by one."""
    table = pa.table({"dep_delay": pa.array(delays, pa.int64())})
    found = [delay for delay, is_met in zip(delays, condition.mask(table), strict=True) if is_met]
    assert found == [delay for delay in delays if condition.holds({"dep_delay": delay})]
    return found


# --- what Python would cut a half from -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written",
    [
        lambda: 15 < DELAY < 60,
        lambda: (ORIGIN == "EWR") and (DELAY > 15),
        lambda: (ORIGIN == "EWR") or (DELAY > 15),
        lambda: not (DELAY > 15),
        lambda: ORIGIN in ["EWR", "JFK"],
        lambda: ORIGIN == "EWR" == True,
        lambda: [DELAY > 15 if ORIGIN == "EWR" else DELAY > 60],
        lambda: all([ORIGIN == "EWR", DELAY > 15]),
        lambda: max(DELAY, column("arr_delay")),
        lambda: bool(DELAY > 15),
        # & binds more tightly than comparisons
        lambda: ORIGIN == "EWR" & (DELAY > 15),
        lambda: DELAY > 15 & DELAY < 60,
        lambda: (ORIGIN == "EWR") & True,
        lambda: (ORIGIN == "EWR") | "JFK",
        lambda: ORIGIN & (DELAY > 15),
        lambda: ~column("is_late"),
        lambda: not column("is_late"),
        lambda: DELAY == (ORIGIN == "EWR"),
    ],
)
def test_what_would_lose_a_part_is_refused_with_the_way_to_write_it(written: Callable[[], object]) -> None:
    with pytest.raises(DefinitionError, match=r"& \(and\), \| \(or\) and ~ \(not\), each side in parentheses"):
        written()


@pytest.mark.parametrize(
    ("written", "remedy"),
    [
        (lambda: ORIGIN == None, r"column\('origin'\)\.is_null\(\)"),  # noqa: E711
        (lambda: ORIGIN != None, r"column\('origin'\)\.not_null\(\)"),  # noqa: E711
        (
            lambda: DELAY == float("nan"),  # noqa: PLW0177
            r"NaN is null here.*is_null",
        ),
        (lambda: DELAY > np.float64(math.nan), "is_null"),
        (lambda: ORIGIN.isin("EWR", None), "is_null"),
        (lambda: ORIGIN == ["EWR", "JFK"], r"column\('origin'\)\.isin"),
        (ORIGIN.isin, "Name at least one"),
        (ORIGIN.each, "Name at least one"),
        (lambda: ORIGIN.each(["EWR", "JFK"]), "several values"),  # type: ignore[arg-type]
        (lambda: DELAY.between(60, 15), "lower bound is above"),
        (lambda: "EW" in ORIGIN, "holds no values to look through"),  # type: ignore[operator]
        (lambda: list(ORIGIN), "holds no values"),  # type: ignore[call-overload]
        (lambda: ORIGIN[0], "holds no values"),  # type: ignore[index]
        (lambda: DELAY + 5 > 15, "under @derived"),  # type: ignore[operator]
        (lambda: DELAY - column("arr_delay") > 0, "under @derived"),  # type: ignore[operator]
        (lambda: DELAY > object(), "value of <class 'object'>"),
    ],
)
def test_what_a_column_cannot_mean_is_refused_with_a_remedy(written: Callable[[], object], remedy: str) -> None:
    with pytest.raises(DefinitionError, match=remedy):
        written()


def test_a_column_is_no_key_of_a_set_or_mapping() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        {DELAY}  # noqa: B018


def test_a_column_in_a_text_says_that_it_is_one() -> None:
    assert f"{DELAY}" == "column('dep_delay')"


# --- what conditions select ------------------------------------------------------------------------------------------


def test_values_that_are_equal_in_python_and_of_different_types_all_stay() -> None:
    assert str(DELAY.isin([True, 1, 1.0, "1", 1, True])) == "dep_delay in (True, 1, 1.0, '1')"


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ((DELAY > 15) & (DELAY < 60), [16, 59]),
        (DELAY.between(15, 60), [15, 16, 59, 60]),
        ((DELAY > 15) & (np.int64(60) > DELAY), [16, 59]),
        (DELAY.isin(15, 60, 61), [15, 60]),
        (DELAY.isin([15, 60]), [15, 60]),
        (~(DELAY > 15), [15]),  # of a null it is unknown whether it is greater, and so whether it is not
        (~(DELAY > 15) | DELAY.is_null(), [15, None]),
        (~DELAY.isin(15, 60), [16, 59]),
        (DELAY.is_null(), [None]),
        (DELAY.not_null(), [15, 16, 59, 60]),
        (~DELAY.not_null(), [None]),
        (DELAY == column("dep_delay"), [15, 16, 59, 60]),
    ],
)
def test_a_null_meets_no_comparison_and_no_negated_one(condition: Condition, found: list[int | None]) -> None:
    assert selected(condition, 15, 16, 59, 60, None) == found


def test_integers_beyond_what_a_float_holds_are_compared_exactly() -> None:
    assert selected(DELAY == 2.0**53, 2**53, 2**53 + 1) == [2**53]
    assert selected(DELAY > 15.5, 15, 16, 2**53 + 1) == [16, 2**53 + 1]
    assert selected(DELAY != 15.5, 15, None) == [15]
    assert selected(DELAY < 2**70, 15, None) == [15]
    assert selected(DELAY < float("-inf"), 15, None) == []


# --- against a brute force that knows SQL's tables of truth alone ----------------------------------------------------

COMPARE = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
TRUTHS = (True, False, None)
AND = {
    (a, b): False if a is False or b is False else None if a is None or b is None else True
    for a in TRUTHS
    for b in TRUTHS
}
OR = {
    (a, b): True if a is True or b is True else None if a is None or b is None else False
    for a in TRUTHS
    for b in TRUTHS
}
NOT = {True: False, False: True, None: None}
INTEGERS = st.integers(-3, 3) | st.sampled_from([2**53, 2**53 + 1, -(2**63), 2**63 - 1])
FLOATS = st.sampled_from([-1.5, -0.0, 0.0, 0.5, 2.0, 2.0**53, float("inf"), -float("inf")])
LITERALS: dict[str, st.SearchStrategy[Any]] = {
    "n": INTEGERS | FLOATS | st.just(2**70),
    "x": FLOATS | st.integers(-3, 3),
    "s": st.sampled_from(["", "a", "b", "é"]),
}
EVENTS = st.lists(
    st.fixed_dictionaries(
        {
            "n": st.none() | INTEGERS,
            "m": st.none() | INTEGERS,
            "x": st.none() | FLOATS,
            "s": st.none() | LITERALS["s"],
            "b": st.none() | st.booleans(),
        }
    ),
    max_size=8,
)


@st.composite
def compared(draw: st.DrawFn) -> tuple[Condition, Truth]:
    name = draw(st.sampled_from(sorted(LITERALS)))
    symbol, value = draw(st.sampled_from(sorted(COMPARE))), draw(LITERALS[name])
    compare = COMPARE[symbol]
    return compare(column(name), value), lambda event: None if event[name] is None else compare(event[name], value)


@st.composite
def other(draw: st.DrawFn) -> tuple[Condition, Truth]:
    symbol = draw(st.sampled_from(sorted(COMPARE)))
    compare = COMPARE[symbol]
    return compare(
        column("n"), column("m")
    ), lambda event: None if event["n"] is None or event["m"] is None else compare(event["n"], event["m"])


@st.composite
def chosen(draw: st.DrawFn) -> tuple[Condition, Truth]:
    name = draw(st.sampled_from(sorted(LITERALS)))
    values = draw(st.lists(LITERALS[name], min_size=1, max_size=3))
    return column(name).isin(values), lambda event: None if event[name] is None else event[name] in values


@st.composite
def absent(draw: st.DrawFn) -> tuple[Condition, Truth]:
    name = draw(st.sampled_from(SCHEMA.names))
    if draw(st.booleans()):
        return column(name).is_null(), lambda event: event[name] is None
    return column(name).not_null(), lambda event: event[name] is not None


@st.composite
def flag(draw: st.DrawFn) -> tuple[Condition, Truth]:
    value = draw(st.booleans())
    return column("b") == value, lambda event: None if event["b"] is None else event["b"] is value


def joined(parts: st.SearchStrategy[tuple[Condition, Truth]]) -> st.SearchStrategy[tuple[Condition, Truth]]:
    both = st.tuples(parts, parts)
    return (
        both.map(lambda p: (p[0][0] & p[1][0], lambda event: AND[p[0][1](event), p[1][1](event)]))
        | both.map(lambda p: (p[0][0] | p[1][0], lambda event: OR[p[0][1](event), p[1][1](event)]))
        | parts.map(lambda p: (~p[0], lambda event: NOT[p[1](event)]))
    )


CONDITIONS = st.recursive(compared() | other() | chosen() | absent() | flag(), joined, max_leaves=6)


@given(pair=CONDITIONS, events=EVENTS)
def test_any_condition_selects_what_sqls_three_valued_logic_says(
    pair: tuple[Condition, Truth], events: list[Event]
) -> None:
    condition, truth = pair
    expected = [truth(event) for event in events]
    assert [condition.truth(event) for event in events] == expected
    assert condition.truths(pa.Table.from_pylist(list(events), SCHEMA)).to_pylist() == expected
    assert [condition.holds(event) for event in events] == [found is True for found in expected]
