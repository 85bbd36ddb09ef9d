"""From events to the values of windows: the events that an aggregation selects, their tiles, and the folds. Each is
computed once.

State carried over from an earlier run stands for the events that are not read again, as one tile per entity on the last
day before this run's own. Lifetimes continue from it. So do windows whose result can be undone: the tile holds the
window's last value, less the days that leave the window now, which are read again. For all other windows, all days are
read.

    A lifetime sum and a three-day sum of one entity; the last run ended as-of day 10, this one ends as-of day 11.

    day             7    8    9   | 10                 events to read: day 10, which is new, and day 7, which leaves
    amount          2    4    1   | 5                  the three-day window, whose sum can be undone
    carried as-of 10: lifetime 7, three days 7
                    tiles of this run, in order        both sums
                    day 7 (given again)                2
                    day 9 (carried)                    7 - 2 = 5
                    day 10 (new)                       5
    As-of 10, the three-day window folds the tiles of days 7 to 9: 2 + 5 = 7; as-of 11, those of days 8 to 10:
    5 + 5 = 10. The lifetime folds all tiles: 7, then 12. A lifetime maximum cannot be undone: its carried tile is 4,
    and day 7 is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transformations.engine.vocabulary.aggregations import Aggregation, Ranges, Selection
from transformations.engine.vocabulary.aggregations.base import expand_ranges
from transformations.engine.vocabulary.resolution import Resolved
from transformations.engine.vocabulary.windows import LIFETIME, Window

Int64s = npt.NDArray[np.int64]
Computation = tuple[object, ...]
_Selected = tuple[Computation, Window | None]
"""An aggregation, and the window whose state was carried over; None without carried state."""


@dataclass(frozen=True)
class Tiles:
    """The (entity, day) pairs that have events, ascending.

    keys: the entity's number times `span` plus the day's offset. cuts: where each tile's events begin, plus the end.
    carried: the tiles for carried-over state. They have no events; there is one per entity, after the events of its
    day.
    """

    keys: Int64s
    cuts: Int64s
    carried: Int64s
    span: int


def carried_parts(resolved: Resolved) -> list[tuple[Aggregation, Window]]:
    """The distinct aggregations and windows whose state a run carries over to the next, in order of declaration."""
    parts: dict[_Selected, tuple[Aggregation, Window]] = {}
    for feature in resolved.features:
        window = feature.declared.window
        for part in feature.declared.aggregation.parts():
            if window == LIFETIME or part.can_undo:
                parts[part.computation(), window] = part, window
    return list(parts.values())


def carry_schema(resolved: Resolved) -> pa.Schema:
    """The columns of carried-over state: the join keys, and for each of `carried_parts` its event count and, if it
    aggregates a column, its values.
    """
    fields = [pa.field(key, dtype.arrow) for key, dtype in resolved.join_keys.items()]
    for index, (part, _) in enumerate(carried_parts(resolved)):
        fields.append(pa.field(f"number_{index}", pa.int64()))
        if part.measured is not None:
            fields.append(pa.field(f"values_{index}", pa.list_(resolved.columns[part.measured].arrow)))
    return pa.schema(fields)


class Folds:
    """Selections, tiles and folded values of a task's events, shared by all features that need the same.

    carried: rows of `carry_schema`, in the order of `tiles.carried`.
    """

    def __init__(self, resolved: Resolved, events: pa.Table, tiles: Tiles, carried: pa.Table) -> None:
        self._events, self._tiles, self._carried = events, tiles, carried
        self._parts = carried_parts(resolved)
        self._index = {(part.computation(), window): index for index, (part, window) in enumerate(self._parts)}
        self._first: dict[Window, Int64s] = {}
        self._selected: dict[tuple[object, ...], Selection] = {}
        self._tiled: dict[_Selected, tuple[Selection, object]] = {}
        self._folded: dict[tuple[Computation, Window], pa.Array] = {}

    def of(self, part: Aggregation, ranges: Ranges) -> pa.Array:
        """The part's value over every range; the same ranges must come with the same window."""
        key = part.computation(), ranges.window
        if key not in self._folded:
            _, tiles = self._tiles_of(part, ranges.window)
            self._folded[key] = part.fold(tiles, ranges)
        return self._folded[key]

    def carry(self, since: Mapping[Window, Int64s], last: Int64s) -> list[pa.Array]:
        """For each of `carried_parts`: event counts and compacted values of tiles `since[window][r]` to `last[r]`."""
        columns: list[pa.Array] = []
        for part, window in self._parts:
            selection, tiles = self._tiles_of(part, window)
            first = since[window]
            columns.append(pa.array(selection.numbers[last] - selection.numbers[first]))
            if part.measured is not None:
                values, sizes = part.compact(selection, tiles, first, last)
                offsets = np.zeros(len(sizes) + 1, dtype=np.int32)
                np.cumsum(sizes, out=offsets[1:])
                columns.append(pa.ListArray.from_arrays(pa.array(offsets), values))
        return columns

    def _tiles_of(self, part: Aggregation, window: Window) -> tuple[Selection, object]:
        """The events that a part selects for a window, and their tiles."""
        carried = self._index.get((part.computation(), window)) if len(self._tiles.carried) else None
        key = part.computation(), None if carried is None else window
        if key not in self._tiled:
            selection = self._events_of_part(part)
            if carried is not None:
                selection = self._with_carried(selection, part, window, carried)
            self._tiled[key] = selection, part.tile(selection)
        return self._tiled[key]

    def _events_of_part(self, part: Aggregation) -> Selection:
        """The part's selection among the events that were read."""
        what = (part.measured, str(part.where), part.keeps_nulls)
        if what not in self._selected:
            self._selected[what] = self._select_tiles(part)
        return self._selected[what]

    def _select_tiles(self, part: Aggregation) -> Selection:
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
            return Selection(values=values, cuts=tiles.cuts, numbers=tiles.cuts, tile_keys=tiles.keys, span=tiles.span)
        running = np.zeros(rows + 1, dtype=np.int64)
        np.cumsum(mask, out=running[1:])
        cuts = running[tiles.cuts]
        chosen = values.filter(pa.array(mask))
        return Selection(values=chosen, cuts=cuts, numbers=cuts, tile_keys=tiles.keys, span=tiles.span)

    def _with_carried(self, selection: Selection, part: Aggregation, window: Window, index: int) -> Selection:
        """The selection plus the carried-over state, with no event counted twice."""
        numbers = np.asarray(self._carried[f"number_{index}"].to_numpy(), dtype=np.int64)
        first, carried = self._given_before(window), self._tiles.carried
        leaving = selection.cuts[carried] - selection.cuts[first]
        if part.measured is None:
            return replace(selection, numbers=selection.numbers + self._before_cuts(numbers - leaving))
        lists = self._carried[f"values_{index}"].combine_chunks()
        sizes = np.asarray(pc.list_value_length(lists).to_numpy(zero_copy_only=False), dtype=np.int64)
        if not part.can_undo:
            return self._insert_carried(self._only_new(selection), [(pc.list_flatten(lists), sizes)], numbers)
        undone = part.undone(selection.values.take(pa.array(expand_ranges(selection.cuts[first], leaving))))
        return self._insert_carried(selection, [(pc.list_flatten(lists), sizes), (undone, leaving)], numbers - leaving)

    def _given_before(self, window: Window) -> Int64s:
        """For each carried tile, its entity's first tile in the window that ends with it."""
        if window not in self._first:
            tiles = self._tiles
            carried = tiles.keys[tiles.carried]
            begin = carried // tiles.span * tiles.span
            if window.days is not None:
                begin = np.maximum(begin, carried + 1 - window.days)
            self._first[window] = np.searchsorted(tiles.keys, begin)
        return self._first[window]

    def _only_new(self, selection: Selection) -> Selection:
        """The selection without the events that the carried tiles stand for."""
        first, carried = self._given_before(LIFETIME), self._tiles.carried
        old = np.zeros(len(selection.tile_keys), dtype=np.bool_)
        old[expand_ranges(first, carried - first)] = True
        sizes = np.diff(selection.cuts)
        if not sizes[old].any():
            return selection
        cuts = np.zeros_like(selection.cuts)
        np.cumsum(np.where(old, 0, sizes), out=cuts[1:])
        values = selection.values.filter(pa.array(np.repeat(~old, sizes)))
        return replace(selection, values=values, cuts=cuts, numbers=cuts)

    def _insert_carried(
        self, selection: Selection, added: Sequence[tuple[pa.Array, Int64s]], numbers: Int64s
    ) -> Selection:
        """The selection with `added` values (with their number per carried tile), which count as `numbers` events."""
        of_value = [np.repeat(self._tiles.carried, sizes) for _, sizes in added]
        order = np.argsort(np.concatenate([*of_value, selection.tile_of_event]), kind="stable")
        values = _concatenate([*(values for values, _ in added), selection.values])
        sizes = np.sum([sizes for _, sizes in added], axis=0)
        return replace(
            selection,
            values=values.take(pa.array(order)),
            cuts=selection.cuts + self._before_cuts(sizes),
            numbers=selection.numbers + self._before_cuts(numbers),
        )

    def _before_cuts(self, of_carried: Int64s) -> Int64s:
        amounts = np.zeros(len(self._tiles.keys) + 1, dtype=np.int64)
        amounts[self._tiles.carried + 1] = of_carried
        before: Int64s = np.cumsum(amounts)
        return before


def _concatenate(arrays: Sequence[pa.Array]) -> pa.Array:
    return pa.concat_arrays([array.cast(arrays[-1].type) for array in arrays])
