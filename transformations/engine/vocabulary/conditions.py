"""Conditions on events: `column("kind") == "link"`, joined with `&`, `|` and `~`, each side in parentheses.

Three-valued, as in SQL. A comparison with a null is unknown, and so is `~` of it; `&` is false where either side is
false, `|` true where either side is true, and otherwise both are unknown as soon as one side is. An event is selected
where the condition is true: a null is selected neither by `column("x") > 5` nor by `~(column("x") > 5)`. To have it,
too, say `| column("x").is_null()`. Only `is_null` and `not_null` are never unknown.

`holds` and `mask` are the one definition: for single events (tests, preview, the reference) and for the Arrow tables
that Spark's workers hand to the engine. No condition is ever translated to SQL.
"""

from __future__ import annotations

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transformations.engine.base.errors import DefinitionError
from transformations.engine.vocabulary.columns import one_array

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
_INT64 = np.iinfo(np.int64)

HOW_TO_JOIN = (
    "Join conditions with & (and), | (or) and ~ (not), each side in parentheses: "
    '(column("a") == 1) & (column("b") > 2). A range is column("b").between(low, high), a choice of values '
    'column("a").isin(1, 2).'
)


class Condition(ABC):
    """A statement that is true, false or unknown for an event."""

    @abstractmethod
    def truth(self, event: Mapping[str, object]) -> bool | None:
        """Whether it is true for one event; None where that is unknown."""

    @abstractmethod
    def truths(self, events: pa.Table) -> pa.Array:
        """Whether it is true for each row of a table; null where that is unknown."""

    @abstractmethod
    def leaves(self) -> Iterator[Leaf]:
        """The comparisons and tests for null that it is made of."""

    def columns(self) -> frozenset[str]:
        """Every column that it reads."""
        return frozenset(name for leaf in self.leaves() for name in leaf.reads())

    def holds(self, event: Mapping[str, object]) -> bool:
        """Whether one event meets the condition: the definition, used by the reference."""
        return self.truth(event) is True

    def mask(self, events: pa.Table) -> Mask:
        """Which rows of a table meet the condition."""
        met = pc.fill_null(self.truths(events), False)
        return np.asarray(met.to_numpy(zero_copy_only=False), dtype=np.bool_)

    def __and__(self, other: Condition) -> Both:
        return Both(self, _require_condition(self, "&", other))

    def __or__(self, other: Condition) -> Either:
        return Either(self, _require_condition(self, "|", other))

    def __rand__(self, other: object) -> NoReturn:
        _refuse_operand(other, "&", self)

    def __ror__(self, other: object) -> NoReturn:
        _refuse_operand(other, "|", self)

    def __invert__(self) -> Not:
        return Not(self)

    def __bool__(self) -> NoReturn:
        # Python calls this for `and`, `or`, `not`, `in`, `if` and for chained comparisons, and would drop one side.
        raise DefinitionError(
            f"condition `{self}` is neither true nor false before it meets an event, so `and`, `or`, `not`, `in`, `if` "
            f"and chains such as 15 < column(…) < 60 would lose a part of it. {HOW_TO_JOIN}"
        )


@dataclass(frozen=True)
class OtherColumn:
    """A column on the right side of a comparison."""

    name: str

    def __repr__(self) -> str:
        return f"column({self.name!r})"


@dataclass(frozen=True)
class Comparison(Condition):
    """One column against a literal, or against another column of the same event."""

    column: str
    symbol: str
    value: Literal | OtherColumn

    def truth(self, event: Mapping[str, object]) -> bool | None:
        actual = event[self.column]
        other = event[self.value.name] if isinstance(self.value, OtherColumn) else self.value
        return None if actual is None or other is None else bool(_OPERATORS[self.symbol][0](actual, other))

    def truths(self, events: pa.Table) -> pa.Array:
        values = one_array(events[self.column])
        if isinstance(self.value, OtherColumn):
            return pc.call_function(_OPERATORS[self.symbol][1], [values, one_array(events[self.value.name])])
        return _compare_exactly(values, self.symbol, self.value)

    def leaves(self) -> Iterator[Leaf]:
        yield self

    def reads(self) -> tuple[str, ...]:
        """The columns compared."""
        return (self.column, self.value.name) if isinstance(self.value, OtherColumn) else (self.column,)

    def __str__(self) -> str:
        return f"{self.column} {self.symbol} {self.value!r}"


@dataclass(frozen=True)
class IsNull(Condition):
    """Whether a column is null: never unknown."""

    column: str

    def truth(self, event: Mapping[str, object]) -> bool | None:
        return event[self.column] is None

    def truths(self, events: pa.Table) -> pa.Array:
        return one_array(events[self.column]).is_null()

    def leaves(self) -> Iterator[Leaf]:
        yield self

    def reads(self) -> tuple[str, ...]:
        """The column."""
        return (self.column,)

    def __str__(self) -> str:
        return f"{self.column} is null"


@dataclass(frozen=True)
class Both(Condition):
    """Two conditions that must both hold."""

    left: Condition
    right: Condition

    def truth(self, event: Mapping[str, object]) -> bool | None:
        sides = self.left.truth(event), self.right.truth(event)
        return False if False in sides else None if None in sides else True

    def truths(self, events: pa.Table) -> pa.Array:
        return pc.and_kleene(self.left.truths(events), self.right.truths(events))

    def leaves(self) -> Iterator[Leaf]:
        yield from self.left.leaves()
        yield from self.right.leaves()

    def __str__(self) -> str:
        return f"({self.left} and {self.right})"


@dataclass(frozen=True)
class Either(Condition):
    """Two conditions of which one must hold."""

    left: Condition
    right: Condition

    def truth(self, event: Mapping[str, object]) -> bool | None:
        sides = self.left.truth(event), self.right.truth(event)
        return True if True in sides else None if None in sides else False

    def truths(self, events: pa.Table) -> pa.Array:
        return pc.or_kleene(self.left.truths(events), self.right.truths(events))

    def leaves(self) -> Iterator[Leaf]:
        yield from self.left.leaves()
        yield from self.right.leaves()

    def __str__(self) -> str:
        return f"({self.left} or {self.right})"


@dataclass(frozen=True)
class Not(Condition):
    """A condition that must be false; where it is unknown, so is this."""

    negated: Condition

    def truth(self, event: Mapping[str, object]) -> bool | None:
        found = self.negated.truth(event)
        return None if found is None else not found

    def truths(self, events: pa.Table) -> pa.Array:
        return pc.invert(self.negated.truths(events))

    def leaves(self) -> Iterator[Leaf]:
        yield from self.negated.leaves()

    def __str__(self) -> str:
        return f"not ({self.negated})"


@dataclass(frozen=True)
class OneOf(Condition):
    """One column that must equal one of several literals."""

    column: str
    values: tuple[Literal, ...]

    def truth(self, event: Mapping[str, object]) -> bool | None:
        actual = event[self.column]
        return None if actual is None else any(actual == value for value in self.values)

    def truths(self, events: pa.Table) -> pa.Array:
        return reduce(pc.or_kleene, (leaf.truths(events) for leaf in self.leaves()))

    def leaves(self) -> Iterator[Leaf]:
        for value in self.values:
            yield Comparison(self.column, "==", value)

    def __str__(self) -> str:
        return f"{self.column} in ({', '.join(map(repr, self.values))})"


Leaf: TypeAlias = Comparison | IsNull


def _require_condition(left: Condition, symbol: str, right: object) -> Condition:
    if not isinstance(right, Condition):
        _refuse_operand(right, symbol, left)
    return right


def _refuse_operand(operand: object, symbol: str, condition: Condition) -> NoReturn:
    raise DefinitionError(f"{symbol} joins `{condition}` with {operand!r}, which is no condition. {HOW_TO_JOIN}")


def _compare_exactly(values: pa.Array, symbol: str, value: Literal) -> pa.Array:
    """Arrow's comparison, exact for integers against any number, as Python's is."""
    if pa.types.is_floating(values.type):
        value = float(value)
    elif pa.types.is_integer(values.type) and isinstance(value, int | float):
        among_integers = _among_integers(symbol, value)
        if isinstance(among_integers, bool):
            return pc.if_else(values.is_valid(), among_integers, pa.scalar(None, pa.bool_()))
        symbol, value = among_integers
    return pc.call_function(_OPERATORS[symbol][1], [values, pa.scalar(value)])


def _among_integers(symbol: str, value: int | float) -> tuple[str, int] | bool:
    """A comparison of an Int64 with any number as one with an Int64, or its outcome where that is always the same."""
    if not _INT64.min <= value <= _INT64.max:  # so it is for every Int64 as it is for 0
        return bool(_OPERATORS[symbol][0](0, value))
    below = math.floor(value)
    if below == value:
        return symbol, below
    if symbol in ("==", "!="):
        return symbol == "!="
    return {"<": "<=", ">=": ">"}.get(symbol, symbol), below
