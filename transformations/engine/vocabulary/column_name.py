"""`column("kind")`: a column by its name, for conditions; it refuses what it cannot mean where that is written."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from transformations.engine.base.errors import DefinitionError
from transformations.engine.vocabulary.conditions import (
    HOW_TO_JOIN,
    Both,
    Comparison,
    Condition,
    IsNull,
    Literal,
    Not,
    OneOf,
    OtherColumn,
)


@dataclass(frozen=True)
class EachValue:
    """One feature for each of these values of a column."""

    column: str
    values: tuple[Literal, ...]


class ColumnName:
    """A source column in a condition; comparing it with a value or another column gives a `Condition`."""

    __hash__ = None  # type: ignore[assignment]  # equality builds a condition, so instances cannot be keys
    __array_ufunc__ = None  # NumPy's numbers leave comparisons with a column to the column

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"column({self.name!r})"

    def __eq__(self, value: Literal | ColumnName) -> Comparison:  # type: ignore[override]
        return self._compare_with("==", value)

    def __ne__(self, value: Literal | ColumnName) -> Comparison:  # type: ignore[override]
        return self._compare_with("!=", value)

    def __lt__(self, value: Literal | ColumnName) -> Comparison:
        return self._compare_with("<", value)

    def __le__(self, value: Literal | ColumnName) -> Comparison:
        return self._compare_with("<=", value)

    def __gt__(self, value: Literal | ColumnName) -> Comparison:
        return self._compare_with(">", value)

    def __ge__(self, value: Literal | ColumnName) -> Comparison:
        return self._compare_with(">=", value)

    def is_null(self) -> IsNull:
        """Events without a value here."""
        return IsNull(self.name)

    def not_null(self) -> Not:
        """Events with a value here."""
        return Not(IsNull(self.name))

    def isin(self, *values: Literal | Iterable[Literal]) -> OneOf:
        """Events with one of these values: `column("origin").isin("EWR", "JFK")`, or a list of them."""
        spread: list[object] = []
        for value in values:
            spread += value if isinstance(value, Iterable) and not isinstance(value, str) else [value]
        if not spread:
            raise DefinitionError(f"{self!r}.isin() has no values, so no event could meet it. Name at least one.")
        literals = [self._comparable_literal("isin", value) for value in spread]
        different = {(type(value), value): value for value in literals}  # to Python, True and 1 are the same key
        return OneOf(self.name, tuple(different.values()))

    def between(self, low: Literal | ColumnName, high: Literal | ColumnName) -> Both:
        """Events with a value from `low` to `high`, both included."""
        if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
            raise DefinitionError(f"{self!r}.between({low}, {high}): the lower bound is above the upper one.")
        return Both(self >= low, self <= high)

    def each(self, *values: Literal) -> EachValue:
        """One feature for each of these values: `Count(..., per=column("event_type").each("click", "view"))`."""
        if not values:
            raise DefinitionError(f"{self!r}.each() has no values, so it would make no feature. Name at least one.")
        return EachValue(self.name, tuple(self._comparable_literal("each", value) for value in values))

    def _compare_with(self, symbol: str, value: Literal | ColumnName) -> Comparison:
        if isinstance(value, ColumnName):
            return Comparison(self.name, symbol, OtherColumn(value.name))
        return Comparison(self.name, symbol, self._comparable_literal(symbol, value))

    def _comparable_literal(self, what: str, value: object) -> Literal:
        """A value to compare with; DefinitionError for what no comparison can mean."""
        plain = value.item() if isinstance(value, np.generic) else value
        if plain is None or (isinstance(plain, float) and math.isnan(plain)):
            raise DefinitionError(
                f"{self!r} {what} {value!r}: a comparison with null is never true (NaN is null here). Say "
                f"{self!r}.is_null() or {self!r}.not_null()."
            )
        if isinstance(plain, Literal):
            return plain
        if isinstance(plain, Condition):
            raise DefinitionError(f"{self!r} {what} `{plain}` compares a column with a condition. {HOW_TO_JOIN}")
        if isinstance(plain, list | tuple | set | frozenset):
            raise DefinitionError(f"{self!r} {what} {value!r} compares with several values. Say {self!r}.isin(…).")
        raise DefinitionError(
            f"{self!r} {what} {value!r}: a column is compared with a text, a number, True, False or another "
            f"column, not with a value of {type(value)}. Derive a column with @derived for anything else."
        )

    def _no_condition(self, *_: object) -> NoReturn:
        raise DefinitionError(
            f"{self!r} alone is no condition: compare it first (a Bool column with == True), and mind that & and | "
            f"bind more tightly than comparisons. {HOW_TO_JOIN}"
        )

    def _no_number(self, *_: object) -> NoReturn:
        raise DefinitionError(
            f"{self!r} stands for a column's name and cannot be computed with. Write a function under @derived, "
            f"list it in the definition's derived=[…], and compare the column that it makes."
        )

    def _no_values(self, *_: object) -> NoReturn:
        raise DefinitionError(
            f"{self!r} holds no values to look through or to take one from. A choice of values is {self!r}.isin(…); "
            f"parts of a text are a column of their own, by a function under @derived."
        )

    __bool__ = __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = __invert__ = _no_condition
    __contains__ = __iter__ = __getitem__ = _no_values
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _no_number
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = __neg__ = __abs__ = _no_number


def column(name: str) -> ColumnName:
    """A column of the source, of a lookup or a derived one, to state a condition on."""
    return ColumnName(name)
