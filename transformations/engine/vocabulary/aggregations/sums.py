"""Sums and moments, exact: correctly rounded results of exact arithmetic, whatever the order of the events."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transformations.engine.base.errors import DefinitionError
from transformations.engine.vocabulary.aggregations.base import (
    ColumnAggregation,
    Int64s,
    Ranges,
    Selection,
    counts,
    null_where,
)
from transformations.engine.vocabulary.aggregations.exact import ExactPrefix, exact_prefix, exact_prefix_of_squares
from transformations.engine.vocabulary.dtypes import FLOAT64, INT64, Dtype


@dataclass(frozen=True)
class _IntegerPrefix:
    """Prefix sums of integers; differences are exact as long as the sums themselves fit into 64 bits."""

    running: Int64s

    def between(self, first: Int64s, last: Int64s) -> Int64s:
        return self.running[last] - self.running[first]

    def integers_between(self, first: Int64s, last: Int64s) -> npt.NDArray[np.object_]:
        return self.between(first, last).astype(object)


@dataclass(frozen=True)
class _Sums:
    """The selection's counts and the prefix sums of its values at the tiles' cuts."""

    selection: Selection
    prefix: ExactPrefix | _IntegerPrefix


@dataclass(frozen=True, eq=False, kw_only=True)
class _Numeric(ColumnAggregation):
    """An aggregation of a number column."""

    def dtype(self, columns: Mapping[str, Dtype]) -> Dtype:
        if columns[self.column] not in (INT64, FLOAT64):
            raise DefinitionError(
                f"{type(self).__name__}({self.column!r}) needs a number, the column is {columns[self.column]}. "
                f"Aggregate an Int64 or Float64 column, or use Count, CountDistinct or Last."
            )
        return FLOAT64


@dataclass(frozen=True, eq=False, kw_only=True)
class _Summed(_Numeric):
    """An aggregation whose tiles are sums."""

    can_undo = True

    def tile(self, selection: Selection) -> _Sums:
        return _sums(selection)

    def compact(self, selection: Selection, tiles: _Sums, first: Int64s, last: Int64s) -> tuple[pa.Array, Int64s]:
        prefix = tiles.prefix
        if isinstance(prefix, _IntegerPrefix):
            return pa.array(prefix.between(first, last)), np.ones(len(first), dtype=np.int64)
        limbs = prefix.expansion_between(first, last)
        return pa.array(np.stack(limbs, axis=1).ravel()), np.full(len(first), len(limbs), dtype=np.int64)

    def undone(self, values: pa.Array) -> pa.Array:
        return pc.negate(values)


@dataclass(frozen=True, eq=False, kw_only=True)
class Sum(_Summed):
    """The sum of a column; 0 over an empty window. Float64 sums are rounded once, as `math.fsum` does."""

    suffix = "sum"
    accumulates = True

    def dtype(self, columns: Mapping[str, Dtype]) -> Dtype:
        _Numeric.dtype(self, columns)
        return columns[self.column]

    def fold(self, tiles: _Sums, ranges: Ranges) -> pa.Array:
        return pa.array(tiles.prefix.between(ranges.first, ranges.last))

    def reference(self, values: Sequence[float]) -> float | int:
        return _exact_total(values)


@dataclass(frozen=True, eq=False, kw_only=True)
class Mean(_Summed):
    """The sum divided by the number of non-null values; null over an empty window."""

    suffix = "mean"

    def fold(self, tiles: _Sums, ranges: Ranges) -> pa.Array:
        number = counts(tiles.selection, ranges)
        total = tiles.prefix.between(ranges.first, ranges.last).astype(np.float64)
        return null_where(total / np.maximum(number, 1), number == 0, pa.float64())

    def reference(self, values: Sequence[float]) -> float | None:
        return float(_exact_total(values)) / len(values) if values else None


@dataclass(frozen=True, eq=False, kw_only=True)
class Variance(_Numeric):
    """The sample variance (divided by n - 1, as SQL's VARIANCE); null for fewer than two values.

    Computed as (n Σx² - (Σx)²) / (n (n - 1)) in exact integers and rounded once, so large means cost no digits.
    Integers are taken as doubles.
    """

    suffix = "variance"

    def tile(self, selection: Selection) -> tuple[_Sums, ExactPrefix]:
        values = _float_values(selection)
        sums = _Sums(selection, exact_prefix(values, selection.cuts))
        return sums, exact_prefix_of_squares(values, selection.cuts)

    def fold(self, tiles: tuple[_Sums, ExactPrefix], ranges: Ranges) -> pa.Array:
        sums, squares = tiles
        assert isinstance(sums.prefix, ExactPrefix)
        number = counts(sums.selection, ranges)
        enough = number >= 2
        first, last = ranges.first[enough], ranges.last[enough]
        n = number[enough].astype(object)
        totals = sums.prefix.integers_between(first, last)
        totals_of_squares = squares.integers_between(first, last)
        scale = squares.exponent - 2 * sums.prefix.exponent
        left, right = (scale, 0) if scale >= 0 else (0, -scale)
        numerators = n * (totals_of_squares << left) - (totals * totals << right)
        unit = Fraction(2) ** min(squares.exponent, 2 * sums.prefix.exponent)
        values = np.zeros(len(number), dtype=np.float64)
        values[enough] = [
            self._finish(Fraction(numerator, k * (k - 1)) * unit) for numerator, k in zip(numerators, n, strict=True)
        ]
        return null_where(values, ~enough, pa.float64())

    def reference(self, values: Sequence[float]) -> float | None:
        if len(values) < 2:
            return None
        exact = [Fraction(float(value)) for value in values]
        mean = sum(exact, Fraction(0)) / len(exact)
        return self._finish(sum(((value - mean) ** 2 for value in exact), Fraction(0)) / (len(exact) - 1))

    def _finish(self, variance: Fraction) -> float:
        return float(variance)


@dataclass(frozen=True, eq=False, kw_only=True)
class StdDev(Variance):
    """The square root of the sample variance; null for fewer than two values."""

    suffix = "stddev"

    def _finish(self, variance: Fraction) -> float:
        return math.sqrt(float(variance))


def _float_values(selection: Selection) -> npt.NDArray[np.float64]:
    return np.asarray(selection.values.to_numpy(zero_copy_only=False), dtype=np.float64)


def _sums(selection: Selection) -> _Sums:
    if pa.types.is_integer(selection.values.type):
        running = np.zeros(len(selection.values) + 1, dtype=np.int64)
        np.cumsum(selection.values.to_numpy(zero_copy_only=False), out=running[1:])
        return _Sums(selection, _IntegerPrefix(running[selection.cuts]))
    return _Sums(selection, exact_prefix(_float_values(selection), selection.cuts))


def _exact_total(values: Sequence[float]) -> float | int:
    if all(isinstance(value, int) for value in values) and values:
        return sum(values)
    return math.fsum(values)
