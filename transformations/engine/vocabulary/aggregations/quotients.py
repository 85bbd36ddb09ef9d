"""One aggregation divided by another: Ratio and Share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from transformations.engine.base.errors import DefinitionError
from transformations.engine.vocabulary.aggregations.base import Aggregation, Event, Ranges, Selection
from transformations.engine.vocabulary.aggregations.counts import Count, CountDistinct
from transformations.engine.vocabulary.conditions import Condition
from transformations.engine.vocabulary.dtypes import FLOAT64, INT64, Dtype
from transformations.engine.vocabulary.functions import quotient


@dataclass(frozen=True, eq=False, kw_only=True)
class _Quotient(Aggregation):
    """A numerator over a denominator, as Float64; null where either is null or the denominator is 0."""

    def sides(self) -> tuple[Aggregation, Aggregation]:
        """The numerator and the denominator as declared."""
        raise TypeError(f"{type(self).__name__} defines no sides")

    def parts(self) -> tuple[Aggregation, ...]:
        condition = self.where
        sides = self.sides()
        return sides if condition is None else tuple(side.narrowed(condition) for side in sides)

    def dtype(self, columns: Mapping[str, Dtype]) -> Dtype:
        for side in self.sides():
            if isinstance(side, _Quotient) or side.dtype(columns) not in (INT64, FLOAT64):
                given = "a quotient" if isinstance(side, _Quotient) else str(side.dtype(columns))
                raise DefinitionError(
                    f"{type(self).__name__} {self.name!r}: {type(side).__name__} gives {given}, which cannot be "
                    f"divided. Divide a count, sum, mean or extreme of numbers."
                )
        return FLOAT64

    def combine(self, parts: Sequence[pa.Array]) -> pa.Array:
        numerator, denominator = (part.cast(pa.float64(), safe=False) for part in parts)
        return quotient(numerator, denominator)

    def of_events(self, events: Sequence[Event]) -> object:
        numerator, denominator = (part.of_events(events) for part in self.parts())
        if numerator is None or not denominator:
            return None
        assert isinstance(numerator, int | float)
        assert isinstance(denominator, int | float)
        return float(np.float64(numerator) / np.float64(denominator))

    def tile(self, selection: Selection) -> Any:
        raise TypeError("a quotient has no tiles of its own: its parts have")

    def fold(self, tiles: Any, ranges: Ranges) -> pa.Array:
        raise TypeError("a quotient folds nothing: it combines its parts")

    def reference(self, values: Sequence[Any]) -> object:
        raise TypeError("a quotient is defined by its parts")


@dataclass(frozen=True, eq=False, kw_only=True)
class Ratio(_Quotient):
    """One aggregation divided by another over the same window; a quotient by a count is named a mean.

    `Ratio(Sum("amount"), CountDistinct("order_id"), name="order_value")` is the mean value of an order.
    """

    numerator: Aggregation = field(kw_only=False)
    denominator: Aggregation = field(kw_only=False)

    @property
    def suffix(self) -> str:  # type: ignore[override]  # it depends on what is divided
        return "mean" if isinstance(self.denominator, Count | CountDistinct) else "ratio"

    def made_of(self) -> tuple[Aggregation, ...]:
        return self.numerator, self.denominator

    def sides(self) -> tuple[Aggregation, Aggregation]:
        return self.numerator, self.denominator


@dataclass(frozen=True, eq=False, kw_only=True)
class Share(_Quotient):
    """The part of a count or sum that meets a condition: `Share(Sum("amount"), column("channel") == "web")`."""

    suffix = "share"

    whole: Aggregation = field(kw_only=False)
    condition: Condition = field(kw_only=False)

    def made_of(self) -> tuple[Aggregation, ...]:
        return (self.whole,)

    def sides(self) -> tuple[Aggregation, Aggregation]:
        return self.whole.narrowed(self.condition), self.whole
