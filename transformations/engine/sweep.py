"""One task's work: from the events of some entities to the rows that their view's table needs. NumPy and Arrow, no
Spark.

Events are sorted by entity and day; each (entity, day) is a tile. Values can change only as-of the day after a tile,
and as-of the day on which a tile leaves a window; at these days, all features are folded from tiles, and a row is kept
where a value differs from the one before. Where rows may have been stored already, each stored one that no longer
tells the truth is re-asserted as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transformations.engine.aggregations import Aggregation, Ranges, Selection
from transformations.engine.business_days import instant_to_micros, starts_of_days
from transformations.engine.columns import canonical, changes, distinct, group_codes, rows_differ
from transformations.engine.offline_tables import CREATED_TIMESTAMP, EVENT_TIMESTAMP, TIMESTAMP, table_schema
from transformations.engine.resolution import Resolved
from transformations.engine.windows import Window

Int64s = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

BUSINESS_DAY = "_business_day"
RAW_TIMESTAMP = "_event_timestamp"
FROM_DAY = "_from_day"


@dataclass(frozen=True)
class SweepPlan:
    """What a run asks of every task.

    first_day: the first as-of day to write, of entities without an earlier mark; None: from each entity's first event.
    last_day: the last as-of day. initial: the table holds nothing before first_day, so every entity seen by then gets
    a row. created: the rows' created_timestamp, or None where history counts as on time (it then equals
    event_timestamp); on_time_before: as-of days before this one count as on time as well (a declared backfill), None:
    none do.
    """

    resolved: Resolved
    first_day: int | None
    last_day: int
    initial: bool
    created: datetime | None
    on_time_before: int | None = None


def sweep(plan: SweepPlan, events: pa.Table, marks: pa.Table, stored: pa.Table) -> pa.Table:
    """The rows to write, sorted by key and time, in the schema of the view's table.

    events: join keys, `_business_day`, `_event_timestamp` and the columns that features read, of days before the last
    as-of day. marks: join keys and `_from_day`, the first as-of day to check again, for entities touched by late or
    corrected events. stored: the table's rows of these entities from that day on, in the table's schema.
    """
    keys = list(plan.resolved.join_keys)
    entities, (of_event, of_mark, of_stored) = group_codes([events, marks, stored], keys)
    if entities.num_rows == 0:
        return table_schema(plan.resolved).empty_table()
    events, of_event = _in_order(plan.resolved, events, of_event)
    calendar = _calendar(plan, events, marks, stored, of_event)
    tiles = _tiles(events, of_event, calendar)
    from_day = _from_days(plan, marks, of_mark, tiles, entities.num_rows, calendar)
    written = _current(stored, of_stored, calendar, from_day)
    row_keys, asked = _rows_to_check(plan, tiles, from_day, written.row_keys, calendar)
    features, seen = _features(plan.resolved, events, tiles, row_keys, calendar)
    kept = _rows_to_write(features, seen, row_keys, asked, written, calendar)
    return _assembled(plan, entities, features, row_keys, kept, calendar)


@dataclass(frozen=True)
class _Calendar:
    """Day offsets from `base`; a key is an entity's number times `span` plus an offset, so keys of entities never
    overlap.
    """

    base: int
    span: int
    event_timestamps: Int64s


@dataclass(frozen=True)
class _Tiles:
    keys: Int64s
    cuts: Int64s


@dataclass(frozen=True)
class _Written:
    """The current rows of the table among those that are checked again: their keys, ascending, and their values."""

    row_keys: Int64s
    values: pa.Table


def _in_order(resolved: Resolved, events: pa.Table, of_event: Int64s) -> tuple[pa.Table, Int64s]:
    """Events by entity and time; in their total order where an aggregation depends on it."""
    ordered = any(part.needs_order for f in resolved.features for part in f.declared.aggregation.parts())
    sort_keys: list[npt.NDArray[np.generic]] = []
    if ordered:
        tie_break = order_columns(resolved)
        sort_keys += [group_codes([events], [name])[1][0] for name in reversed(tie_break)]
        sort_keys.append(_micros(events[RAW_TIMESTAMP]))
    else:
        sort_keys.append(_integers(events[BUSINESS_DAY]))
    order = np.lexsort([*sort_keys, of_event])
    events = events.take(pa.array(order)).combine_chunks()
    for function in resolved.definition.derived:
        events = events.append_column(
            function.name, function.evaluate({name: events[name] for name in function.inputs})
        )
    return events, of_event[order]


def order_columns(resolved: Resolved) -> list[str]:
    """The columns that, after the time, make the order of events total: the contract's key, or all columns without
    one.
    """
    return list(resolved.contract.key) or sorted(column.name for column in resolved.contract.columns)


def _calendar(plan: SweepPlan, events: pa.Table, marks: pa.Table, stored: pa.Table, of_event: Int64s) -> _Calendar:
    days = _integers(events[BUSINESS_DAY])
    first = [plan.last_day if plan.first_day is None else plan.first_day - 1]
    first += [int(days.min())] if days.size else []
    first += [int(_integers(marks[FROM_DAY]).min()) - 1] if marks.num_rows else []
    base = min(first)
    longest = max((f.declared.window.days or 0 for f in plan.resolved.features), default=0)
    delay = int(plan.resolved.definition.available_after.total_seconds() * 1_000_000)
    starts = starts_of_days(base, plan.last_day, plan.resolved.zone)
    return _Calendar(base, plan.last_day - base + longest + 3, starts + delay)


def _tiles(events: pa.Table, of_event: Int64s, calendar: _Calendar) -> _Tiles:
    keys = of_event * calendar.span + (_integers(events[BUSINESS_DAY]) - calendar.base)
    begins = np.flatnonzero(np.diff(keys, prepend=-1))
    return _Tiles(keys[begins], np.append(begins, len(keys)))


def _from_days(
    plan: SweepPlan, marks: pa.Table, of_mark: Int64s, tiles: _Tiles, entities: int, calendar: _Calendar
) -> Int64s:
    """Per entity, the key of the first as-of day to check."""
    first = 0 if plan.first_day is None else plan.first_day - calendar.base
    days = np.full(entities, first, dtype=np.int64)
    np.minimum.at(days, of_mark, _integers(marks[FROM_DAY]) - calendar.base)
    return np.arange(entities, dtype=np.int64) * calendar.span + days


def _current(stored: pa.Table, of_stored: Int64s, calendar: _Calendar, from_day: Int64s) -> _Written:
    """Of the stored rows to check, the newest created of each key and time."""
    day = np.searchsorted(calendar.event_timestamps, _micros(stored[EVENT_TIMESTAMP]))
    row_keys = of_stored * calendar.span + day
    order = np.lexsort((_micros(stored[CREATED_TIMESTAMP]), row_keys))
    newest = order[np.flatnonzero(np.diff(row_keys[order], append=np.iinfo(np.int64).max))]
    newest = newest[row_keys[newest] >= from_day[of_stored[newest]]]
    return _Written(row_keys[newest], stored.take(pa.array(newest)))


def _rows_to_check(
    plan: SweepPlan, tiles: _Tiles, from_day: Int64s, written: Int64s, calendar: _Calendar
) -> tuple[Int64s, Mask]:
    """The keys at which features are computed, ascending, and which of them may be written.

    The others are anchors: an entity's last state before its first day to check, which tells whether that day changes
    anything.
    """
    windows = {f.declared.window.days for f in plan.resolved.features}
    entered = [tiles.keys + 1]
    left = [tiles.keys + 1 + days for days in sorted(days for days in windows if days is not None)]
    entity = tiles.keys // calendar.span
    keys = np.concatenate([*entered, *left])
    entity = np.tile(entity, 1 + len(left))
    last = entity * calendar.span + (plan.last_day - calendar.base)
    keys = keys[(keys >= from_day[entity]) & (keys <= last)]
    first_tile = np.searchsorted(tiles.keys, np.arange(len(from_day)) * calendar.span)
    seen_before = np.zeros(len(from_day), dtype=np.bool_)
    has_tile = first_tile < len(tiles.keys)
    seen_before[has_tile] = tiles.keys[first_tile[has_tile]] < from_day[has_tile] - (0 if plan.initial else 1)
    start = from_day[seen_before] if plan.initial else from_day[seen_before] - 1
    every = distinct(np.concatenate([keys, written, start]))
    asked = every >= from_day[every // calendar.span]
    return every, asked


def _features(
    resolved: Resolved, events: pa.Table, tiles: _Tiles, row_keys: Int64s, calendar: _Calendar
) -> tuple[pa.Table, Mask]:
    """Every feature at every row, and which rows' entities have been seen by then; the others have the values of no
    row.
    """
    entity_start = row_keys // calendar.span * calendar.span
    last = np.searchsorted(tiles.keys, row_keys, side="left")
    ranges: dict[Window, Ranges] = {}
    for window in {f.declared.window for f in resolved.features}:
        begin = entity_start if window.days is None else np.maximum(row_keys - window.days, entity_start)
        ranges[window] = Ranges(np.searchsorted(tiles.keys, begin, side="left"), last, row_keys, window, calendar.span)
    seen = last > np.searchsorted(tiles.keys, entity_start, side="left")
    folded = _Folds(events, tiles, calendar.span)
    columns = []
    for feature in resolved.features:
        aggregation = feature.declared.aggregation
        values = aggregation.combine([folded.of(part, ranges[feature.declared.window]) for part in aggregation.parts()])
        unseen = pa.scalar(aggregation.unseen, feature.dtype.arrow)
        columns.append(pc.if_else(pa.array(seen), canonical(values, feature.dtype), unseen))
    return pa.table(columns, names=[f.name for f in resolved.features]), seen


class _Folds:
    """Tiles of each aggregation and values of each window, computed once however many features share them."""

    def __init__(self, events: pa.Table, tiles: _Tiles, span: int) -> None:
        self._events, self._tiles, self._span = events, tiles, span
        self._tiled: dict[tuple[object, ...], object] = {}
        self._folded: dict[tuple[tuple[object, ...], Window], pa.Array] = {}
        self._selections: dict[tuple[object, ...], Selection] = {}

    def of(self, part: Aggregation, ranges: Ranges) -> pa.Array:
        """The part's value at every row of this window."""
        computation = part.computation()
        if (computation, ranges.window) not in self._folded:
            if computation not in self._tiled:
                self._tiled[computation] = part.tile(self._selection(part))
            self._folded[computation, ranges.window] = part.fold(self._tiled[computation], ranges)
        return self._folded[computation, ranges.window]

    def _selection(self, part: Aggregation) -> Selection:
        what = (part.measured, str(part.where), part.keeps_nulls)
        if what not in self._selections:
            self._selections[what] = self._selected(part)
        return self._selections[what]

    def _selected(self, part: Aggregation) -> Selection:
        values = (
            pa.array(np.arange(self._events.num_rows, dtype=np.int64))
            if part.measured is None
            else self._events[part.measured].combine_chunks()
        )
        mask = np.ones(self._events.num_rows, dtype=np.bool_) if part.where is None else part.where.mask(self._events)
        if values.null_count and not part.keeps_nulls:
            mask &= np.asarray(values.is_valid().to_numpy(zero_copy_only=False))
        if mask.all():
            return Selection(values, self._tiles.cuts, self._tiles.keys, self._span)
        running = np.zeros(len(mask) + 1, dtype=np.int64)
        np.cumsum(mask, out=running[1:])
        return Selection(values.filter(pa.array(mask)), running[self._tiles.cuts], self._tiles.keys, self._span)


def _rows_to_write(
    features: pa.Table, seen: Mask, row_keys: Int64s, asked: Mask, written: _Written, calendar: _Calendar
) -> Int64s:
    """Rows where a value changes and none is stored, and stored rows that do not tell the truth."""
    entity = row_keys // calendar.span
    follows = np.zeros(len(row_keys), dtype=np.bool_)
    follows[1:] = (entity[1:] == entity[:-1]) & seen[:-1]
    changed = changes(features)
    write = asked & seen & (~follows | changed)
    positions = np.searchsorted(row_keys, written.row_keys)
    stored_as_is = features.take(pa.array(positions))
    write[positions] = rows_differ(stored_as_is, written.values.select(features.column_names))
    return np.flatnonzero(write)


def _assembled(
    plan: SweepPlan, entities: pa.Table, features: pa.Table, row_keys: Int64s, kept: Int64s, calendar: _Calendar
) -> pa.Table:
    entity, day = np.divmod(row_keys[kept], calendar.span)
    event = calendar.event_timestamps[day]
    if plan.created is None:
        created = event
    else:
        created = np.maximum(event, instant_to_micros(plan.created))
        if plan.on_time_before is not None:
            created = np.where(day + calendar.base < plan.on_time_before, event, created)
    columns: Mapping[str, pa.ChunkedArray | pa.Array] = {
        **{name: entities[name].take(pa.array(entity)) for name in entities.column_names},
        EVENT_TIMESTAMP: pa.array(event).cast(TIMESTAMP),
        CREATED_TIMESTAMP: pa.array(created).cast(TIMESTAMP),
        **{name: features[name].take(pa.array(kept)) for name in features.column_names},
    }
    return pa.table(columns).cast(table_schema(plan.resolved))


def _integers(column: pa.ChunkedArray) -> Int64s:
    return np.asarray(column.to_numpy(), dtype=np.int64)


def _micros(column: pa.ChunkedArray) -> Int64s:
    return np.asarray(column.cast(TIMESTAMP).cast(pa.int64()).to_numpy(), dtype=np.int64)
