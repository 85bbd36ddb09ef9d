"""One task's work on entities whose past was changed: one sweep for each drop that changed something.

The law is in `knowledge`. Each entity goes through stages of its own, one for each drop that changed a day that was
already complete; the last stage, which all entities share, is today's state. A stage re-asserts earlier rows that are
no longer true, and adds the days that became available before the next stage. An entity whose events all arrived on
time has one stage: the plain sweep.

    A first load of as-of days 1 to 10. Drop 4 came between the availability of days 7 and 8 and changed day 5 of user
    1; drop 6 came between that of days 8 and 9 and changed his day 2. The stages of user 1, in order:

    includes     as-of days    writes
    drops 1-3    1 to 7        every change, created on time
    drops 1-4    6 to 8        days 6 and 7 where they are no longer true, created when drop 4 came; day 8 on time
    drops 1-6    3 to 10       days 3 to 8 where they are no longer true, created when drop 6 came; days 9, 10 on time
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transformations.engine.base.moments import CREATED_TIMESTAMP, EVENT_TIMESTAMP
from transformations.engine.compute.knowledge import ALWAYS, FOREVER, SINCE, UNTIL, Timeline
from transformations.engine.compute.sweep import FROM_DAY, KNOWN, LAST_DAY, SweepPlan, sweep
from transformations.engine.raw.files import BUSINESS_DAY, DROP
from transformations.engine.vocabulary.columns import group_codes

Int64s = npt.NDArray[np.int64]

_PLANNED = np.iinfo(np.int64).min
_NOBODY = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Replay:
    """What every task has to do: the plan of the last stage, and the drops that are stages before it.

    line: None if the run has nothing to replay and sweeps the current events. new_from: the first drop that the table
    does not include; for drops from there on, days before the plan's first are checked again, too. `FOREVER`: there is
    none, or no table yet. reads_stored: whether the table's rows are checked.
    """

    plan: SweepPlan
    line: Timeline | None
    new_from: int = FOREVER
    reads_stored: bool = True


@dataclass(frozen=True)
class Replayed:
    """The rows to write, sorted by key and time, and the state to carry over.

    late_entities: how many entities had days before the plan's first checked again.
    """

    rows: pa.Table
    carry: pa.Table
    late_entities: int


def replay(work: Replay, events: pa.Table, marks: pa.Table, stored: pa.Table, carried: pa.Table) -> Replayed:
    """The rows that these entities need, and the state to carry over.

    events: as for `sweep`, but in every version, each with the drops since and until which it is known (`_since`,
    `_until`) or with the number of its `_drop`. marks: the entities whose events are given in full.
    """
    keys = list(work.plan.resolved.join_keys)
    stored = stored if work.reads_stored else stored[:0]
    entities, (of_event, of_mark, _, _) = group_codes([events, marks, stored, carried], keys)
    history = _History(work, events, of_event)
    stages = _stages_of(work, history, entities.num_rows)
    rows: list[pa.Table] = []
    carry = carried[:0]
    for left in range(int(stages.left.max(initial=0)), -1, -1):
        now = stages.of(left)
        to_check = pa.concat_tables([stored, *(each.cast(stored.schema) for each in rows)])
        if left:
            known = to_check.filter(pa.array(np.isin(_entities_of(to_check, entities, keys), now.entity)))
            swept = sweep(work.plan, history.during(now, entities.num_rows), now.marks(entities), known, carried[:0])
        else:
            others = np.setdiff1d(of_mark, now.entity)
            swept = sweep(work.plan, history.current(), now.marks(entities, others), to_check, carried)
        rows.append(swept.rows)
        carry = swept.carry
    before_first = (stages.first < (work.plan.first_day or 0)) & (stages.first != _PLANNED)
    late = len(np.unique(stages.entity[(stages.drop >= work.new_from) & before_first]))
    return Replayed(in_order(rows, keys), carry, late)


def in_order(rows: Sequence[pa.Table], keys: Sequence[str]) -> pa.Table:
    """The rows of several sweeps, sorted by key and time."""
    filled = [each for each in rows if each.num_rows]
    if len(filled) <= 1:
        return filled[0] if filled else rows[0]
    names = [*keys, EVENT_TIMESTAMP, CREATED_TIMESTAMP]
    return pa.concat_tables(filled).sort_by([(name, "ascending") for name in names])


@dataclass(frozen=True, kw_only=True)
class _Stages:
    """One row per stage: the entity's number, the stage's drop, its as-of days (`first` is `_PLANNED` for the plan's
    own), when that drop was known, and how many stages of the entity follow.
    """

    entity: Int64s
    drop: Int64s
    first: Int64s
    last: Int64s
    known: Int64s
    left: Int64s

    def of(self, left: int) -> _Stages:
        """The stages that are followed by `left` others of their entity."""
        return _Stages(**{name: column[self.left == left] for name, column in vars(self).items()})

    def marks(self, entities: pa.Table, others: Int64s = _NOBODY) -> pa.Table:
        """The marks for a sweep: of these stages' entities, with their days, and of `others`, as planned."""
        plans = pa.array(self.first == _PLANNED)
        marked = entities.take(pa.array(np.concatenate([self.entity, others])))
        nulls = pa.nulls(len(others), pa.int64())
        for name, column in ((FROM_DAY, self.first), (LAST_DAY, self.last), (KNOWN, self.known)):
            values = pa.array(column)
            if name != LAST_DAY:
                values = pc.if_else(plans, pa.scalar(None, pa.int64()), values)
            marked = marked.append_column(name, pa.concat_arrays([values, nulls]))
        return marked


class _History:
    """All versions of a task's events, each with its entity's number and the drops between which it is known.

    Whatever arrived, changed or went before its day was complete counts as if it had been so from the start.
    """

    def __init__(self, work: Replay, events: pa.Table, of_event: Int64s) -> None:
        since, until = _known_times(work, events)
        self.days = np.asarray(events[BUSINESS_DAY].to_numpy(), dtype=np.int64)
        if work.line is not None:
            completed = work.line.completed_by(self.days)
            since = np.where(since <= completed, ALWAYS, since)
            until = np.where(until <= completed, ALWAYS, until)
        self.entity, self.since, self.until = of_event, since, until
        self._last_day = work.plan.last_day
        self._events = events.select([name for name in events.column_names if name not in (SINCE, UNTIL, DROP)])

    def current(self) -> pa.Table:
        """The events before the plan's last as-of day, as known after all drops."""
        return self._events.filter(pa.array((self.until == FOREVER) & (self.days < self._last_day)))

    def during(self, stages: _Stages, entities: int) -> pa.Table:
        """The events that these stages include, of their entities and before their last as-of days."""
        drop, last = (np.full(entities, -1, dtype=np.int64) for _ in range(2))
        drop[stages.entity], last[stages.entity] = stages.drop, stages.last
        at = drop[self.entity]
        known = (self.since <= at) & (at < self.until) & (self.days < last[self.entity])
        return self._events.filter(pa.array(known))


def _known_times(work: Replay, events: pa.Table) -> tuple[Int64s, Int64s]:
    if SINCE in events.column_names:
        since, until = (np.asarray(events[name].to_numpy(), dtype=np.int64) for name in (SINCE, UNTIL))
        return since, until
    until = np.full(events.num_rows, FOREVER, dtype=np.int64)
    if work.line is None or DROP not in events.column_names:
        return np.zeros(events.num_rows, dtype=np.int64), until
    numbers = work.line.since(work.plan.resolved.contract.name)
    of_drop = np.zeros(max(drop for drop, _ in numbers) + 1, dtype=np.int64)
    for drop, number in numbers:
        of_drop[drop] = number
    return of_drop[np.asarray(events[DROP].to_numpy(), dtype=np.int64)], until


def _stages_of(work: Replay, history: _History, entities: int) -> _Stages:
    """The stages of all entities that have any, by entity and drop."""
    entity, drop, day = _first_changed_days(work, history)
    if work.line is None or not len(entity):
        return _Stages(**dict.fromkeys(_Stages.__dataclass_fields__, _NOBODY))
    plan, is_load = work.plan, work.plan.initial
    begin = int(history.days.min()) + 1 if plan.first_day is None else plan.first_day
    births = work.line.births(begin, plan.last_day)
    relevant = (drop >= work.new_from) | (drop > _known_at_first(plan, births))
    entity, drop, day = entity[relevant], drop[relevant], day[relevant]
    is_first = np.diff(entity, prepend=-1) != 0
    is_last = np.diff(entity, append=entities) != 0
    before = begin - 1 + np.searchsorted(births, drop, side="left")  # the last as-of day of the stage before
    last = np.where(is_last, plan.last_day, np.append(before[1:], plan.last_day))
    mark = day + 1 if is_load else np.where(drop < work.new_from, np.maximum(day + 1, begin), day + 1)
    first = np.minimum(mark, before + 1)
    kept, based = is_last | (first <= last), is_first & (before >= begin)
    columns = [
        np.concatenate([entity[based], entity[kept]]),
        np.concatenate([drop[based] - 1, drop[kept]]),
        np.concatenate([np.full(int(based.sum()), _PLANNED), first[kept]]),
        np.concatenate([before[based], last[kept]]),
    ]
    order = np.lexsort((columns[1], columns[0]))
    entity, drop, first, last = (column[order] for column in columns)
    ends = np.flatnonzero(np.diff(entity, append=entities))
    left = np.repeat(ends, np.diff(ends, prepend=-1)) - np.arange(len(entity))
    known = work.line.moments(drop)
    return _Stages(entity=entity, drop=drop, first=first, last=last, known=known, left=left)


def _known_at_first(plan: SweepPlan, births: Int64s) -> int:
    """The newest drop that needs no stage of its own, because even the first rows to write include it."""
    if plan.first_day is None:
        return ALWAYS
    return int(births[0]) if len(births) else FOREVER


def _first_changed_days(work: Replay, history: _History) -> tuple[Int64s, Int64s, Int64s]:
    """For each entity and drop that changed its past, the first day that changed; sorted by entity and drop."""
    done = history.days < work.plan.last_day
    came, went = done & (history.since > ALWAYS), done & (history.until > ALWAYS) & (history.until < FOREVER)
    came &= history.until > ALWAYS
    entity = np.concatenate([history.entity[came], history.entity[went]])
    drop = np.concatenate([history.since[came], history.until[went]])
    day = np.concatenate([history.days[came], history.days[went]])
    order = np.lexsort((day, drop, entity))
    entity, drop, day = entity[order], drop[order], day[order]
    new = (np.diff(entity, prepend=-1) != 0) | (np.diff(drop, prepend=-1) != 0)
    return entity[new], drop[new], day[new]


def _entities_of(rows: pa.Table, entities: pa.Table, keys: Sequence[str]) -> Int64s:
    """The number of each row's entity."""
    return group_codes([entities, rows], keys)[1][1]
