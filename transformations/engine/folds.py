"""From events to the values of windows: which events an aggregation selects, its tiles, and its folds, each computed
once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transformations.engine.aggregations import Aggregation, Ranges, Selection
from transformations.engine.resolution import Resolved
from transformations.engine.windows import LIFETIME, Window

Int64s = npt.NDArray[np.int64]
Computation = tuple[object, ...]


@dataclass(frozen=True)
class Tiles:
    """The (entity, day) pairs that have events, ascending.

    keys: the entity's number times `span` plus the day's offset. cuts: where each tile's events begin, plus the end.
    carried: the tiles, without events of their own, that stand for what an earlier run carried over: one an entity.
    """

    keys: Int64s
    cuts: Int64s
    carried: Int64s
    span: int


def lifetime_parts(resolved: Resolved) -> list[Aggregation]:
    """The different aggregations that look back over a lifetime, in order of declaration: what a run carries over."""
    parts: dict[Computation, Aggregation] = {}
    for feature in resolved.features:
        if feature.declared.window == LIFETIME:
            parts |= {part.computation(): part for part in feature.declared.aggregation.parts()}
    return list(parts.values())


def carry_schema(resolved: Resolved) -> pa.Schema:
    """The columns of what a run carries over: the join keys, and for each lifetime part its event count and values."""
    fields = [pa.field(key, dtype.arrow) for key, dtype in resolved.join_keys.items()]
    for index, part in enumerate(lifetime_parts(resolved)):
        type_ = resolved.columns[part.measured].arrow if part.measured else pa.int64()
        fields += [pa.field(f"number_{index}", pa.int64()), pa.field(f"values_{index}", pa.list_(type_))]
    return pa.schema(fields)


class Folds:
    """Selections, tiles and folded values of a task's events, shared by all features that need the same.

    carried: rows of `carry_schema`, in the order of `tiles.carried`.
    """

    def __init__(self, resolved: Resolved, events: pa.Table, tiles: Tiles, carried: pa.Table) -> None:
        self._events, self._tiles, self._carried = events, tiles, carried
        self._lifetime = lifetime_parts(resolved)
        self._index = {part.computation(): index for index, part in enumerate(self._lifetime)}
        self._selected: dict[tuple[object, ...], Selection] = {}
        self._selections: dict[Computation, Selection] = {}
        self._tiled: dict[Computation, object] = {}
        self._folded: dict[tuple[Computation, Window], pa.Array] = {}

    def of(self, part: Aggregation, ranges: Ranges) -> pa.Array:
        """The part's value over every range; the same ranges must come with the same window."""
        computation = part.computation()
        if (computation, ranges.window) not in self._folded:
            if computation not in self._tiled:
                self._tiled[computation] = part.tile(self._selection(part))
            self._folded[computation, ranges.window] = part.fold(self._tiled[computation], ranges)
        return self._folded[computation, ranges.window]

    def carry(self, first: Int64s, last: Int64s) -> list[pa.Array]:
        """For each lifetime part the event counts and compacted values of the tiles `first[r]` to `last[r]`."""
        columns: list[pa.Array] = []
        for part in self._lifetime:
            selection = self._selection(part)
            values, sizes = part.compact(selection, first, last)
            offsets = np.zeros(len(sizes) + 1, dtype=np.int32)
            np.cumsum(sizes, out=offsets[1:])
            columns.append(pa.array(selection.numbers[last] - selection.numbers[first]))
            columns.append(pa.ListArray.from_arrays(pa.array(offsets), values))
        return columns

    def _selection(self, part: Aggregation) -> Selection:
        computation = part.computation()
        if computation not in self._selections:
            what = (part.measured, str(part.where), part.keeps_nulls)
            if what not in self._selected:
                self._selected[what] = self._select(part)
            selection = self._selected[what]
            if len(self._tiles.carried) and computation in self._index:
                selection = self._with_carried(selection, self._index[computation])
            self._selections[computation] = selection
        return self._selections[computation]

    def _select(self, part: Aggregation) -> Selection:
        rows = self._events.num_rows
        values = (
            pa.array(np.arange(rows, dtype=np.int64))
            if part.measured is None
            else self._events[part.measured].combine_chunks()
        )
        mask = np.ones(rows, dtype=np.bool_) if part.where is None else part.where.mask(self._events)
        if values.null_count and not part.keeps_nulls:
            mask &= np.asarray(values.is_valid().to_numpy(zero_copy_only=False))
        tiles = self._tiles
        if mask.all():
            return Selection(values, tiles.cuts, tiles.cuts, tiles.keys, tiles.span)
        running = np.zeros(rows + 1, dtype=np.int64)
        np.cumsum(mask, out=running[1:])
        cuts = running[tiles.cuts]
        return Selection(values.filter(pa.array(mask)), cuts, cuts, tiles.keys, tiles.span)

    def _with_carried(self, selection: Selection, index: int) -> Selection:
        """The selection with the carried values ahead of each entity's own."""
        lists = self._carried[f"values_{index}"].combine_chunks()
        sizes = np.asarray(pc.list_value_length(lists).to_numpy(zero_copy_only=False), dtype=np.int64)
        numbers = np.asarray(self._carried[f"number_{index}"].to_numpy(), dtype=np.int64)
        of_value = np.concatenate([np.repeat(self._tiles.carried, sizes), selection.tile_of_event])
        values = _concatenated([pc.list_flatten(lists), selection.values])
        return Selection(
            values.take(pa.array(np.argsort(of_value, kind="stable"))),
            selection.cuts + self._before_cuts(sizes),
            selection.numbers + self._before_cuts(numbers),
            selection.tile_keys,
            selection.span,
        )

    def _before_cuts(self, of_carried: Int64s) -> Int64s:
        amounts = np.zeros(len(self._tiles.keys) + 1, dtype=np.int64)
        amounts[self._tiles.carried + 1] = of_carried
        before: Int64s = np.cumsum(amounts)
        return before


def _concatenated(arrays: Sequence[pa.Array]) -> pa.Array:
    return pa.concat_arrays([array.cast(arrays[-1].type) for array in arrays])
