"""Counts of events and of distinct values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from transformations.engine.vocabulary.aggregations.base import (
    Aggregation,
    ColumnAggregation,
    Int64s,
    Ranges,
    Selection,
    codes_of,
    counts,
    expand_ranges,
)
from transformations.engine.vocabulary.columns import order_by
from transformations.engine.vocabulary.dtypes import INT64, Dtype


@dataclass(frozen=True, eq=False, kw_only=True)
class Count(Aggregation):
    """The number of events; 0 over an empty window."""

    suffix = "count"
    accumulates = True
    can_undo = True

    def dtype(self, columns: Mapping[str, Dtype]) -> Dtype:
        return INT64

    def tile(self, selection: Selection) -> Selection:
        return selection

    def fold(self, tiles: Selection, ranges: Ranges) -> pa.Array:
        return pa.array(counts(tiles, ranges))

    def reference(self, values: Sequence[object]) -> int:
        return len(values)


@dataclass(frozen=True)
class _Appearances:
    """Per tile and distinct value in it: the tile's key, and the key at which the entity next shows the value (or a
    far one).
    """

    at: Int64s
    next_at: Int64s
    first_at: Int64s


@dataclass(frozen=True, eq=False, kw_only=True)
class CountDistinct(ColumnAggregation):
    """The exact number of different non-null values; 0 over an empty window.

    A value that appears on day d counts as-of d + 1 until it leaves the window or appears again, whichever is first:
    so the count as-of D is the number of such spells begun minus the number ended, and no set is ever built.
    """

    suffix = "count"
    accumulates = True

    def dtype(self, columns: Mapping[str, Dtype]) -> Dtype:
        return INT64

    def tile(self, selection: Selection) -> _Appearances:
        codes, _ = codes_of(selection.values)
        tile = selection.tile_of_event
        entity = selection.tile_keys[tile] // selection.span if len(tile) else tile
        order = order_by((entity, codes, tile))
        codes, tile, entity = codes[order], tile[order], entity[order]
        fresh = np.ones(len(tile), dtype=np.bool_)
        fresh[1:] = (tile[1:] != tile[:-1]) | (codes[1:] != codes[:-1])
        codes, entity, at = codes[fresh], entity[fresh], selection.tile_keys[tile[fresh]]
        follows = (codes[1:] == codes[:-1]) & (entity[1:] == entity[:-1])
        next_at = np.full(len(at), np.iinfo(np.int64).max, dtype=np.int64)
        next_at[:-1] = np.where(follows, at[1:], next_at[:-1])
        first = np.ones(len(at), dtype=np.bool_)
        first[1:] = ~follows
        return _Appearances(np.sort(at), next_at[np.argsort(at, kind="stable")], np.sort(at[first]))

    def fold(self, tiles: _Appearances, ranges: Ranges) -> pa.Array:
        if ranges.window.days is None:
            entity_start = ranges.row_keys // ranges.span * ranges.span
            begun = np.searchsorted(tiles.first_at, ranges.row_keys, side="left")
            before = np.searchsorted(tiles.first_at, entity_start, side="left")
            return pa.array((begun - before).astype(np.int64))
        ends = np.sort(np.minimum(tiles.at + ranges.window.days, tiles.next_at))
        begun = np.searchsorted(tiles.at, ranges.row_keys, side="left")
        ended = np.searchsorted(ends, ranges.row_keys, side="left")
        return pa.array((begun - ended).astype(np.int64))

    def compact(
        self, selection: Selection, tiles: _Appearances, first: Int64s, last: Int64s
    ) -> tuple[pa.Array, Int64s]:
        sizes = selection.cuts[last] - selection.cuts[first]
        positions = expand_ranges(selection.cuts[first], sizes)
        codes, _ = codes_of(selection.values.take(pa.array(positions)))
        row = np.repeat(np.arange(len(first), dtype=np.int64), sizes)
        kept = np.sort(np.unique(row * (int(codes.max(initial=0)) + 1) + codes, return_index=True)[1])
        return selection.values.take(pa.array(positions[kept])), np.bincount(row[kept], minlength=len(first)).astype(
            np.int64
        )

    def reference(self, values: Sequence[object]) -> int:
        return len(set(values))
