"""Typed conditions on events: `column("event_type") == "purchase"`, combined with `&` and `|`. Null never meets one."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Literal: TypeAlias = str | int | float | bool
Mask: TypeAlias = npt.NDArray[np.bool_]

_OPERATORS: dict[str, tuple[Callable[[Any, Any], bool], str]] = {
    "==": (operator.eq, "equal"),
    "!=": (operator.ne, "not_equal"),
    "<": (operator.lt, "less"),
    "<=": (operator.le, "less_equal"),
    ">": (operator.gt, "greater"),
    ">=": (operator.ge, "greater_equal"),
}


@dataclass(frozen=True)
class Comparison:
    """One column against one literal."""

    column: str
    symbol: str
    value: Literal

    def holds(self, event: Mapping[str, object]) -> bool:
        """Whether one event meets the condition: the definition, used by the reference."""
        actual = event[self.column]
        return actual is not None and bool(_OPERATORS[self.symbol][0](actual, self.value))

    def mask(self, events: pa.Table) -> Mask:
        """Which rows of a table meet the condition."""
        compared = pc.call_function(_OPERATORS[self.symbol][1], [events[self.column], pa.scalar(self.value)])
        return np.asarray(pc.fill_null(compared, False).to_numpy(zero_copy_only=False), dtype=np.bool_)

    def comparisons(self) -> Iterator[Comparison]:
        """Itself: the leaves of the condition."""
        yield self

    def __and__(self, other: Condition) -> Both:
        return Both(self, other)

    def __or__(self, other: Condition) -> Either:
        return Either(self, other)

    def __str__(self) -> str:
        return f"{self.column} {self.symbol} {self.value!r}"


@dataclass(frozen=True)
class Both:
    """Two conditions that must both hold."""

    left: Condition
    right: Condition

    def holds(self, event: Mapping[str, object]) -> bool:
        return self.left.holds(event) and self.right.holds(event)

    def mask(self, events: pa.Table) -> Mask:
        return self.left.mask(events) & self.right.mask(events)

    def comparisons(self) -> Iterator[Comparison]:
        yield from self.left.comparisons()
        yield from self.right.comparisons()

    def __and__(self, other: Condition) -> Both:
        return Both(self, other)

    def __or__(self, other: Condition) -> Either:
        return Either(self, other)

    def __str__(self) -> str:
        return f"({self.left} and {self.right})"


@dataclass(frozen=True)
class Either:
    """Two conditions of which one must hold."""

    left: Condition
    right: Condition

    def holds(self, event: Mapping[str, object]) -> bool:
        return self.left.holds(event) or self.right.holds(event)

    def mask(self, events: pa.Table) -> Mask:
        return self.left.mask(events) | self.right.mask(events)

    def comparisons(self) -> Iterator[Comparison]:
        yield from self.left.comparisons()
        yield from self.right.comparisons()

    def __and__(self, other: Condition) -> Both:
        return Both(self, other)

    def __or__(self, other: Condition) -> Either:
        return Either(self, other)

    def __str__(self) -> str:
        return f"({self.left} or {self.right})"


Condition: TypeAlias = Comparison | Both | Either


@dataclass(frozen=True)
class EachValue:
    """One feature for each of these values of a column."""

    column: str
    values: tuple[Literal, ...]


class ColumnName:
    """A source column in a condition; comparing it gives a `Comparison`."""

    __hash__ = None  # type: ignore[assignment]  # equality builds a condition, so instances cannot be keys

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, value: Literal) -> Comparison:  # type: ignore[override]
        return Comparison(self.name, "==", value)

    def __ne__(self, value: Literal) -> Comparison:  # type: ignore[override]
        return Comparison(self.name, "!=", value)

    def __lt__(self, value: Literal) -> Comparison:
        return Comparison(self.name, "<", value)

    def __le__(self, value: Literal) -> Comparison:
        return Comparison(self.name, "<=", value)

    def __gt__(self, value: Literal) -> Comparison:
        return Comparison(self.name, ">", value)

    def __ge__(self, value: Literal) -> Comparison:
        return Comparison(self.name, ">=", value)

    def each(self, *values: Literal) -> EachValue:
        """One feature for each of these values: `Count(..., per=column("event_type").each("click", "view"))`."""
        return EachValue(self.name, values)


def column(name: str) -> ColumnName:
    """A column of the source, of a lookup or a derived one, to state a condition on."""
    return ColumnName(name)
