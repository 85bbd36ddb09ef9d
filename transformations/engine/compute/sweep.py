"""One task's work: from the events of some entities to the rows that their view's table needs. NumPy and Arrow, no
Spark.

Events are sorted by entity and day; each (entity, day) is a tile. Values can change only as-of the day after a tile,
and as-of the day on which a tile leaves a window. At these days all features are folded from tiles, and a row is kept
if a value differs from the one before. Stored rows that are no longer true are re-asserted.

    events of user 1                   as-of days at which a two-day sum can change, and its value there
    day   amount                       day   why                       sum    row written
    3     10, 5    tile of day 3       4     tile 3 enters             15     yes
    4     1        tile of day 4       5     tile 4 enters             16     yes
                                       6     tile 3 has left           1      yes
                                       7     tile 4 has left           0      yes
    As-of day D the window is [D - 2, D): day D itself is not in it. No row is needed as-of day 8 or later: that of day
    7 still holds. If the table already has (user 1, day 5, 12.0), that row is wrong, and 16 is written with a later
    created_timestamp; if it has 16, nothing is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transformations.engine.base.business_days import merge_stretches, starts_of_days
from transformations.engine.base.moments import CREATED_TIMESTAMP, EVENT_TIMESTAMP, instant_to_micros
from transformations.engine.compute.folds import Folds, Tiles, carry_schema
from transformations.engine.raw.files import BUSINESS_DAY, RAW_TIMESTAMP
from transformations.engine.tables.offline_tables import TIMESTAMP, table_schema
from transformations.engine.vocabulary.aggregations import Ranges
from transformations.engine.vocabulary.columns import (
    canonical,
    changes,
    distinct,
    group_codes,
    integers,
    micros,
    order_by,
    rows_differ,
)
from transformations.engine.vocabulary.resolution import Resolved
from transformations.engine.vocabulary.windows import Window

Int64s = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

FROM_DAY = "_from_day"
LAST_DAY = "_last_day"
KNOWN = "_known"
FIRST_DAY = -1_000_000  # before any business day
_LONG_AGO = np.iinfo(np.int64).min


@dataclass(frozen=True, kw_only=True)
class SweepPlan:
    """What every task has to do.

    first_day: the first as-of day to write, for entities without an earlier mark; None: each entity's first event.
    last_day: the last as-of day. initial: the table holds nothing before first_day, so every entity seen by then gets
    a row. created: the rows' created_timestamp unless their event timestamp is later; None: rows count as on time (see
    `knowledge` for the law). carried_day: the last as-of day of the earlier run whose state is carried over, for
    entities without a mark; None: nothing is carried over.
    """

    resolved: Resolved
    first_day: int | None
    last_day: int
    initial: bool
    created: datetime | None = None
    carried_day: int | None = None

    @property
    def longest(self) -> int:
        """The days of the longest window; 0 if there are only lifetimes."""
        return max((f.declared.window.days or 0 for f in self.resolved.features), default=0)

    @property
    def days(self) -> tuple[range, ...]:
        """The business days whose events a sweep needs for entities without a mark, ascending.

        With carried-over state: the new days, the days that leave a window whose result can be undone, and all days of
        other windows.
        """
        if self.carried_day is None:
            return (range(FIRST_DAY, self.last_day),)
        needed = [range(self.carried_day, self.last_day)]
        for feature in self.resolved.features:
            if (length := feature.declared.window.days) is not None:
                can_undo = all(part.can_undo for part in feature.declared.aggregation.parts())
                stop = self.last_day - length if can_undo else self.carried_day
                needed.append(range(self.carried_day - length, min(stop, self.carried_day)))
        return merge_stretches(needed)


@dataclass(frozen=True)
class Swept:
    """The rows to write, in the schema of the view's table, and the state to carry over, in `carry_schema`."""

    rows: pa.Table
    carry: pa.Table


def sweep(plan: SweepPlan, events: pa.Table, marks: pa.Table, stored: pa.Table, carried: pa.Table) -> Swept:
    """The rows that these entities need, sorted by key and time.

    events: join keys, `_business_day`, `_event_timestamp` and the columns that features read; those of the plan's
    `days` or, for marked entities, of all days before the last as-of day. marks: one row per marked entity with its
    join keys and its deviations from the plan: `_from_day`, the first as-of day to check again; `_last_day`; `_known`,
    the created timestamp in microseconds. A null or a missing column means: as planned. stored: the table's rows of
    these entities from that day on, in the table's schema. carried: state carried over from the last run, in
    `carry_schema`; ignored for marked entities, whose events are all given.
    """
    keys = list(plan.resolved.join_keys)
    entities, (of_event, of_mark, of_stored, of_carried) = group_codes([events, marks, stored, carried], keys)
    if entities.num_rows == 0:
        return Swept(table_schema(plan.resolved).empty_table(), carry_schema(plan.resolved).empty_table())
    carried, of_carried = _usable_carry(carried, of_carried, of_mark)
    events, of_event = _in_order(plan.resolved, events, of_event)
    calendar = _calendar(plan, events, marks)
    tiles = _tiles(plan, events, of_event, of_carried, calendar)
    spans = _spans(plan, marks, of_mark, entities.num_rows, calendar)
    written = _written_rows(stored, of_stored, calendar, spans)
    row_keys, asked = _rows_to_check(plan, tiles, spans, written.row_keys, calendar)
    folds = Folds(plan.resolved, events, tiles, carried)
    features, seen = _features(plan.resolved, folds, tiles, row_keys)
    kept = _rows_to_write(features, seen, row_keys, asked, written, calendar)
    created = _created_moments(spans, row_keys[kept], written, calendar)
    rows = _assemble(plan, entities, features, row_keys=row_keys, kept=kept, created=created, calendar=calendar)
    return Swept(rows, _carry_over(plan, entities, folds, tiles, calendar))


@dataclass(frozen=True)
class _Calendar:
    """Day offsets from `base`. A key is an entity's number times `span` plus an offset, so keys of different entities
    never overlap.
    """

    base: int
    span: int
    event_timestamps: Int64s


@dataclass(frozen=True)
class _Spans:
    """Per entity: the keys of the first and the last as-of day to check, the time from which changes count as known
    (microseconds UTC), and whether an entity seen by the first day gets a row there in any case.
    """

    first: Int64s
    last: Int64s
    known: Int64s
    initial: Mask


@dataclass(frozen=True)
class _Written:
    """The table's current rows among those to check: their keys, ascending, values, and created timestamps."""

    row_keys: Int64s
    values: pa.Table
    created: Int64s


def _in_order(resolved: Resolved, events: pa.Table, of_event: Int64s) -> tuple[pa.Table, Int64s]:
    """Events by entity and time; in their total order where an aggregation depends on it."""
    ordered = any(part.needs_order for f in resolved.features for part in f.declared.aggregation.parts())
    moments = micros(events[RAW_TIMESTAMP]) if ordered else integers(events[BUSINESS_DAY])
    sort_keys = [of_event, moments - (moments.min() if moments.size else 0)]
    if ordered:
        sort_keys += [group_codes([events], [name])[1][0] for name in order_columns(resolved)]
    order = order_by(sort_keys)
    events = events.take(pa.array(order)).combine_chunks()
    for function in resolved.definition.derived:
        events = events.append_column(
            function.name, function.evaluate({name: events[name] for name in function.inputs})
        )
    return events, of_event[order]


def order_columns(resolved: Resolved) -> list[str]:
    """The columns that make the order of events total after their time: the contract's key or, without one, all."""
    return list(resolved.contract.key) or sorted(column.name for column in resolved.contract.columns)


def _usable_carry(carried: pa.Table, of_carried: Int64s, of_mark: Int64s) -> tuple[pa.Table, Int64s]:
    """The carried-over state of unmarked entities, sorted by entity."""
    rows = np.flatnonzero(~np.isin(of_carried, of_mark))
    rows = rows[np.argsort(of_carried[rows])]
    return carried.take(pa.array(rows)).combine_chunks(), of_carried[rows]


def _calendar(plan: SweepPlan, events: pa.Table, marks: pa.Table) -> _Calendar:
    days = integers(events[BUSINESS_DAY])
    first = [plan.last_day if plan.first_day is None else plan.first_day - 1, plan.last_day - plan.longest]
    first += [int(days.min())] if days.size else []
    first += [int(earliest) - 1] if (earliest := pc.min(marks[FROM_DAY]).as_py()) is not None else []
    first += [plan.carried_day - 1] if plan.carried_day is not None else []
    base = min(first)
    delay = int(plan.resolved.definition.available_after.total_seconds() * 1_000_000)
    starts = starts_of_days(base, plan.last_day, plan.resolved.zone)
    return _Calendar(base, plan.last_day - base + plan.longest + 3, starts + delay)


def _tiles(plan: SweepPlan, events: pa.Table, of_event: Int64s, of_carried: Int64s, calendar: _Calendar) -> Tiles:
    keys = of_event * calendar.span + (integers(events[BUSINESS_DAY]) - calendar.base)
    begins = np.flatnonzero(np.diff(keys, prepend=-1))
    if plan.carried_day is None:
        return Tiles(keys[begins], np.append(begins, len(keys)), np.empty(0, dtype=np.int64), calendar.span)
    carried_keys = of_carried * calendar.span + (plan.carried_day - 1 - calendar.base)
    every = np.concatenate([keys[begins], carried_keys])
    order = np.argsort(every, kind="stable")
    cuts = np.append(np.concatenate([begins, np.searchsorted(keys, carried_keys, side="right")])[order], len(keys))
    return Tiles(every[order], cuts, np.flatnonzero(order >= len(begins)), calendar.span)


def _spans(plan: SweepPlan, marks: pa.Table, of_mark: Int64s, entities: int, calendar: _Calendar) -> _Spans:
    first = 0 if plan.first_day is None else plan.first_day - calendar.base
    known = _LONG_AGO if plan.created is None else instant_to_micros(plan.created)
    from_day, has_from = _of_entities(marks, FROM_DAY, of_mark, entities, first + calendar.base)
    last_day, _ = _of_entities(marks, LAST_DAY, of_mark, entities, plan.last_day)
    moments, _ = _of_entities(marks, KNOWN, of_mark, entities, known)
    starts = np.arange(entities, dtype=np.int64) * calendar.span - calendar.base
    return _Spans(starts + from_day, starts + last_day, moments, np.logical_and(plan.initial, ~has_from))


def _of_entities(marks: pa.Table, name: str, of_mark: Int64s, entities: int, otherwise: int) -> tuple[Int64s, Mask]:
    """A column of the marks, by entity, and which entities have a value there."""
    values, own = np.full(entities, otherwise, dtype=np.int64), np.zeros(entities, dtype=np.bool_)
    if name in marks.column_names:
        own[of_mark] = np.asarray(marks[name].is_valid().to_numpy(), dtype=np.bool_)
        values[of_mark] = integers(pc.fill_null(marks[name], otherwise))
    return values, own


def _written_rows(stored: pa.Table, of_stored: Int64s, calendar: _Calendar, spans: _Spans) -> _Written:
    """The stored rows to check: for each key and time, the one created last."""
    day = np.searchsorted(calendar.event_timestamps, micros(stored[EVENT_TIMESTAMP]))
    row_keys = of_stored * calendar.span + day
    created = micros(stored[CREATED_TIMESTAMP])
    order = np.lexsort((created, row_keys))
    newest = order[np.flatnonzero(np.diff(row_keys[order], append=np.iinfo(np.int64).max))]
    entity = of_stored[newest]
    newest = newest[(row_keys[newest] >= spans.first[entity]) & (row_keys[newest] <= spans.last[entity])]
    return _Written(row_keys[newest], stored.take(pa.array(newest)), created[newest])


def _rows_to_check(
    plan: SweepPlan, tiles: Tiles, spans: _Spans, written: Int64s, calendar: _Calendar
) -> tuple[Int64s, Mask]:
    """The keys at which features are computed, ascending, and which of them may be written.

    The others are anchors: an entity's last state before its first day to check, which shows whether that day changes
    anything.
    """
    windows = {f.declared.window.days for f in plan.resolved.features}
    of_events = np.delete(tiles.keys, tiles.carried)
    entered = [of_events + 1]
    left = [of_events + 1 + days for days in sorted(days for days in windows if days is not None)]
    entity = of_events // calendar.span
    keys = np.concatenate([*entered, *left])
    entity = np.tile(entity, 1 + len(left))
    keys = keys[(keys >= spans.first[entity]) & (keys <= spans.last[entity])]
    start = np.where(spans.initial, spans.first, spans.first - 1)
    first_tile = np.searchsorted(tiles.keys, np.arange(len(start)) * calendar.span)
    seen_before = np.zeros(len(start), dtype=np.bool_)
    has_tile = first_tile < len(tiles.keys)
    seen_before[has_tile] = tiles.keys[first_tile[has_tile]] < start[has_tile]
    every = distinct(np.concatenate([keys, written, start[seen_before]]))
    asked = every >= spans.first[every // calendar.span]
    return every, asked


def _created_moments(spans: _Spans, row_keys: Int64s, written: _Written, calendar: _Calendar) -> Int64s:
    """When each row counts as known: never before it is available, and after the row that it replaces."""
    entity, day = np.divmod(row_keys, calendar.span)
    created = np.maximum(calendar.event_timestamps[day], spans.known[entity])
    place = np.searchsorted(written.row_keys, row_keys)
    place[place == len(written.row_keys)] = 0
    replaces = written.row_keys[place] == row_keys if len(written.row_keys) else np.zeros(len(row_keys), dtype=np.bool_)
    created[replaces] = np.maximum(created[replaces], written.created[place[replaces]] + 1)
    return created


def _features(resolved: Resolved, folds: Folds, tiles: Tiles, row_keys: Int64s) -> tuple[pa.Table, Mask]:
    """Every feature at every row, and which rows' entities have been seen by then; the others get `unseen` values."""
    entity_start = row_keys // tiles.span * tiles.span
    last = np.searchsorted(tiles.keys, row_keys, side="left")
    ranges: dict[Window, Ranges] = {}
    for window in {f.declared.window for f in resolved.features}:
        begin = entity_start if window.days is None else np.maximum(row_keys - window.days, entity_start)
        first = np.searchsorted(tiles.keys, begin, side="left")
        ranges[window] = Ranges(first=first, last=last, row_keys=row_keys, window=window, span=tiles.span)
    seen = last > np.searchsorted(tiles.keys, entity_start, side="left")
    all_seen = bool(seen.all())
    columns = []
    for feature in resolved.features:
        aggregation = feature.declared.aggregation
        parts = [folds.of(part, ranges[feature.declared.window]) for part in aggregation.parts()]
        values = canonical(aggregation.combine(parts), feature.dtype)
        if not all_seen:
            values = pc.if_else(pa.array(seen), values, pa.scalar(aggregation.unseen, feature.dtype.arrow))
        columns.append(values)
    return pa.table(columns, names=[f.name for f in resolved.features]), seen


def _rows_to_write(
    features: pa.Table, seen: Mask, row_keys: Int64s, asked: Mask, written: _Written, calendar: _Calendar
) -> Int64s:
    """The rows at which a value changes and none is stored, and the stored rows that are wrong."""
    entity = row_keys // calendar.span
    follows = np.zeros(len(row_keys), dtype=np.bool_)
    follows[1:] = (entity[1:] == entity[:-1]) & seen[:-1]
    changed = changes(features)
    write = asked & seen & (~follows | changed)
    positions = np.searchsorted(row_keys, written.row_keys)
    stored_as_is = features.take(pa.array(positions))
    write[positions] = rows_differ(stored_as_is, written.values.select(features.column_names))
    return np.flatnonzero(write)


def _assemble(
    plan: SweepPlan,
    entities: pa.Table,
    features: pa.Table,
    *,
    row_keys: Int64s,
    kept: Int64s,
    created: Int64s,
    calendar: _Calendar,
) -> pa.Table:
    entity, day = np.divmod(row_keys[kept], calendar.span)
    event = calendar.event_timestamps[day]
    kept_features = features if len(kept) == features.num_rows else features.take(pa.array(kept))
    columns: Mapping[str, pa.ChunkedArray | pa.Array] = {
        **{name: entities[name].take(pa.array(entity)) for name in entities.column_names},
        EVENT_TIMESTAMP: pa.array(event).cast(TIMESTAMP),
        CREATED_TIMESTAMP: pa.array(created).cast(TIMESTAMP),
        **{name: kept_features[name] for name in features.column_names},
    }
    return pa.table(columns).cast(table_schema(plan.resolved))


def _carry_over(plan: SweepPlan, entities: pa.Table, folds: Folds, tiles: Tiles, calendar: _Calendar) -> pa.Table:
    """The state as-of the last day, from which the next run continues, of every entity seen by then."""
    starts = np.arange(entities.num_rows, dtype=np.int64) * calendar.span
    ends = starts + (plan.last_day - calendar.base)
    last = np.searchsorted(tiles.keys, ends)
    seen = np.flatnonzero(last > np.searchsorted(tiles.keys, starts))
    keys = [entities[name].take(pa.array(seen)) for name in entities.column_names]
    since = {
        window: np.searchsorted(tiles.keys, (starts if window.days is None else ends - window.days)[seen])
        for window in {feature.declared.window for feature in plan.resolved.features}
    }
    schema = carry_schema(plan.resolved)
    return pa.table([*keys, *folds.carry(since, last[seen])], names=schema.names).cast(schema)
