"""Extremes and the order of events: Min, Max, First, Last, LastK, and Latest for plain views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
    expand_ranges,
)
from transformations.engine.vocabulary.dtypes import BOOL, Dtype, array_of
from transformations.engine.vocabulary.windows import LIFETIME


@dataclass(frozen=True)
class _Extremes:
    """Tables of the winning rank over 1, 2, 4, … tiles from each tile on, and the value of each rank."""

    selection: Selection
    levels: list[Int64s]
    values: pa.Array


@dataclass(frozen=True, eq=False, kw_only=True)
class Min(ColumnAggregation):
    """The smallest non-null value; null over an empty window. Strings compare by code point."""

    suffix = "min"
    accumulates = True

    def dtype(self, columns: Mapping[str, Dtype]) -> Dtype:
        if columns[self.column] == BOOL:
            raise DefinitionError(
                f"{type(self).__name__}({self.column!r}): Bool has no order. Count the true ones instead."
            )
        return columns[self.column]

    def tile(self, selection: Selection) -> _Extremes:
        ranks, ordered = self._ranks(selection.values)
        starts, ends = selection.cuts[:-1], selection.cuts[1:]
        level = np.full(len(starts), np.iinfo(np.int64).max, dtype=np.int64)
        filled = ends > starts
        if filled.any():
            level[filled] = np.minimum.reduceat(ranks, starts[filled])
        levels = [level]
        width = 1
        while width < len(level):  # as long as twice as many tiles lie side by side
            level = np.minimum(level[:-width], level[width:])
            levels.append(level)
            width *= 2
        return _Extremes(selection, levels, ordered)

    def fold(self, tiles: _Extremes, ranges: Ranges) -> pa.Array:
        length = ranges.last - ranges.first
        present = counts(tiles.selection, ranges) > 0
        level_of_row = np.frexp(np.maximum(length, 1).astype(np.float64))[1] - 1
        best = np.zeros(len(length), dtype=np.int64)
        for number, level in enumerate(tiles.levels):
            rows = np.flatnonzero(present & (level_of_row == number))
            if rows.size:
                first, last = ranges.first[rows], ranges.last[rows] - (1 << number)
                best[rows] = np.minimum(level[first], level[last])
        return tiles.values.take(pa.array(best, mask=~present))

    def compact(self, selection: Selection, tiles: _Extremes, first: Int64s, last: Int64s) -> tuple[pa.Array, Int64s]:
        lifetime = Ranges(first=first, last=last, row_keys=first, window=LIFETIME, span=selection.span)
        best = self.fold(tiles, lifetime)
        return best.drop_null(), (counts(selection, lifetime) > 0).astype(np.int64)

    def reference(self, values: Sequence[Any]) -> object:
        return min(values, default=None)

    def _ranks(self, values: pa.Array) -> tuple[Int64s, pa.Array]:
        """Each value's rank, the winning one lowest, and the values by rank."""
        encoded = pc.dictionary_encode(values)
        order = pc.sort_indices(encoded.dictionary, sort_keys=[("", self._direction)]).to_numpy()
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        return rank[encoded.indices.to_numpy(zero_copy_only=False)], encoded.dictionary.take(pa.array(order))

    @property
    def _direction(self) -> str:
        return "ascending"


@dataclass(frozen=True, eq=False, kw_only=True)
class Max(Min):
    """The largest non-null value; null over an empty window. Strings compare by code point."""

    suffix = "max"

    def reference(self, values: Sequence[Any]) -> object:
        return max(values, default=None)

    @property
    def _direction(self) -> str:
        return "descending"


@dataclass(frozen=True, eq=False, kw_only=True)
class First(ColumnAggregation):
    """The first non-null value in the window, in the total order of events; null over an empty window."""

    suffix = "first"
    needs_order = True

    def dtype(self, columns: Mapping[str, Dtype]) -> Dtype:
        return columns[self.column]

    def tile(self, selection: Selection) -> Selection:
        return selection

    def fold(self, tiles: Selection, ranges: Ranges) -> pa.Array:
        position = self._position(tiles.cuts[ranges.first], tiles.cuts[ranges.last])
        return tiles.values.take(pa.array(position, mask=counts(tiles, ranges) == 0))

    def compact(self, selection: Selection, tiles: Selection, first: Int64s, last: Int64s) -> tuple[pa.Array, Int64s]:
        begin, end = selection.cuts[first], selection.cuts[last]
        present = end > begin
        return selection.values.take(pa.array(self._position(begin, end)[present])), present.astype(np.int64)

    def reference(self, values: Sequence[Any]) -> object:
        return values[0] if values else None

    def _position(self, first: Int64s, last: Int64s) -> Int64s:
        return first


@dataclass(frozen=True, eq=False, kw_only=True)
class Last(First):
    """The last non-null value in the window, in the total order of events; null over an empty window."""

    suffix = "last"

    def reference(self, values: Sequence[Any]) -> object:
        return values[-1] if values else None

    def _position(self, first: Int64s, last: Int64s) -> Int64s:
        return last - 1


@dataclass(frozen=True, eq=False, kw_only=True)
class Latest(Last):
    """The column of the last event, null included: how a plain view reads an attribute that may be taken away again."""

    suffix = "latest"
    keeps_nulls = True


@dataclass(frozen=True, eq=False, kw_only=True)
class LastK(ColumnAggregation):
    """The last `k` non-null values, newest first; an empty list over an empty window."""

    suffix = "last"
    accumulates = True
    needs_order = True
    options = ("k",)
    k: int

    def dtype(self, columns: Mapping[str, Dtype]) -> Dtype:
        return array_of(columns[self.column])

    def tile(self, selection: Selection) -> Selection:
        return selection

    def fold(self, tiles: Selection, ranges: Ranges) -> pa.Array:
        last = tiles.cuts[ranges.last]
        sizes = np.minimum(last - tiles.cuts[ranges.first], self.k)
        return lists(tiles.values, np.repeat(last - 1, sizes) - expand_ranges(np.zeros_like(sizes), sizes), sizes)

    def compact(self, selection: Selection, tiles: Selection, first: Int64s, last: Int64s) -> tuple[pa.Array, Int64s]:
        end = selection.cuts[last]
        sizes = np.minimum(end - selection.cuts[first], self.k)
        return selection.values.take(pa.array(expand_ranges(end - sizes, sizes))), sizes

    def reference(self, values: Sequence[Any]) -> list[Any]:
        return list(values[-self.k :][::-1])


def lists(values: pa.Array, positions: npt.NDArray[np.int64], sizes: Int64s) -> pa.Array:
    """One list per row: the values at these positions, cut into lists of these sizes."""
    offsets = np.zeros(len(sizes) + 1, dtype=np.int32)
    np.cumsum(sizes, out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets), values.take(pa.array(positions)))
