"""The most frequent values of a window."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transformations.engine.base.errors import DefinitionError
from transformations.engine.vocabulary.aggregations.base import (
    ColumnAggregation,
    Int64s,
    Ranges,
    Selection,
    expand_ranges,
)
from transformations.engine.vocabulary.aggregations.order import lists
from transformations.engine.vocabulary.dtypes import BOOL, Dtype, array_of

_EVENTS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class _Ranked:
    """The selection with each value replaced by its rank in ascending order, and the values by rank."""

    cuts: Int64s
    ranks: Int64s
    values: pa.Array


@dataclass(frozen=True, eq=False, kw_only=True)
class TopK(ColumnAggregation):
    """The `k` most frequent non-null values, most frequent first, the smaller value first among equals; empty when
    none.
    """

    suffix = "top"
    accumulates = True
    options = ("k",)
    k: int

    def dtype(self, columns: Mapping[str, Dtype]) -> Dtype:
        if columns[self.column] == BOOL:
            raise DefinitionError(
                f"TopK({self.column!r}): a Bool has two values at most. Use Share or Count with a condition."
            )
        return array_of(columns[self.column])

    def tile(self, selection: Selection) -> _Ranked:
        encoded = pc.dictionary_encode(selection.values)
        order = pc.sort_indices(encoded.dictionary).to_numpy()
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        ranks = rank[encoded.indices.to_numpy(zero_copy_only=False)] if len(order) else np.empty(0, dtype=np.int64)
        return _Ranked(selection.cuts, ranks, encoded.dictionary.take(pa.array(order)))

    def fold(self, tiles: _Ranked, ranges: Ranges) -> pa.Array:
        first, last = tiles.cuts[ranges.first], tiles.cuts[ranges.last]
        rows = len(first)
        if rows == 0:
            return lists(tiles.values, np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
        ends = np.cumsum(last - first)
        chunks = np.unique([0, *np.searchsorted(ends, np.arange(_EVENTS_AT_ONCE, ends[-1], _EVENTS_AT_ONCE)), rows])
        return pa.concat_arrays([self._top(tiles, first[a:b], last[a:b]) for a, b in itertools.pairwise(chunks)])

    def _top(self, tiles: _Ranked, first: Int64s, last: Int64s) -> pa.Array:
        """Lay the windows' events end to end, count by (row, value), and keep the first k of each row."""
        lengths = last - first
        row = np.repeat(np.arange(len(first), dtype=np.int64), lengths)
        rank = tiles.ranks[expand_ranges(first, lengths)]
        pairs, frequency = np.unique(row * max(len(tiles.values), 1) + rank, return_counts=True)
        row, rank = np.divmod(pairs, max(len(tiles.values), 1))
        order = np.lexsort((rank, -frequency, row))
        row, rank = row[order], rank[order]
        sizes = np.bincount(row, minlength=len(first)).astype(np.int64)
        kept = expand_ranges(np.zeros_like(sizes), sizes) < self.k
        return lists(tiles.values, rank[kept], np.bincount(row[kept], minlength=len(first)).astype(np.int64))

    def reference(self, values: Sequence[Any]) -> list[Any]:
        frequency = Counter(values)
        return sorted(frequency, key=lambda value: (-frequency[value], value))[: self.k]
