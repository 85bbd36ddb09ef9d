"""Through which business day a source is complete: as a drop declares, as its rows imply, and after a retraction.

A drop that declares nothing completes the day before its newest row, provided that the days without rows may be quiet
days. They may if the source has been as quiet before:

- a stretch of them is at most QUIET_DAYS long, or twice the usual gap between days with rows (the median), or as long
  as two earlier stretches were;
- any four weeks have at most QUIET_DAYS more of them than usual (the median of four weeks).

So a daily source may miss a week once, but not a week and then another:

    days      1 ...... 60  (61 - 67 quiet)  68        (69 - 75 quiet)  76
    taken     through 59                    yes, 67                    no: 14 of the last 28 days, usually 0

Anything else, the command must declare. A declared day holds until a correction takes it back, and quiet days up to it
are no longer counted. A day that follows from rows alone goes when these rows go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from transformations.contracts import Contract
from transformations.engine.base.business_days import day_number, day_of_instant, day_of_number
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.words import plural

if TYPE_CHECKING:
    from transformations.engine.raw.drops import Drop

QUIET_DAYS = 7
"""Weekends and holidays: this many consecutive days without rows count as days without events."""
FOUR_WEEKS = 28
MEMORY_DAYS = 400
"""How far back a source's usual quiet days are counted: a year and the holidays around its start."""


@dataclass(frozen=True)
class DayHistory:
    """What is known about a source's days before a drop.

    previous: the day through which it is complete; declared: the day through which a command last declared it so.
    days_within: the business days (numbers) in a range that have stored rows; called only if a drop leaves days without
    rows.
    """

    previous: date | None
    declared: date | None
    days_within: Callable[[range], set[int]]


def declared_through(contract: Contract, asked: date, previous: date | None, now: datetime, correction: bool) -> date:
    """The day a command declares; UsageError if it has not ended yet, or takes days back without being a correction."""
    name, zone = contract.name, contract.business_day_zone
    if contract.event_time is None:
        raise UsageError(
            f"{contract.file_name}: {name} has no event time; its content holds until it is replaced, "
            f"and is always complete. Leave the day out."
        )
    yesterday = day_of_instant(now, zone) - timedelta(days=1)
    if asked > yesterday:
        raise UsageError(
            f"{name} cannot be complete through {asked}: in {zone} the last day that ended is {yesterday}."
        )
    if previous is not None and asked < previous and not correction:
        raise UsageError(
            f"{name} is complete through {previous} already; {asked} would take days back. Leave --complete-through "
            f"out, or add --correction if the days after {asked} were not delivered after all."
        )
    return asked


def derived_through(contract: Contract, days: Sequence[int], history: DayHistory, now: datetime) -> date | None:
    """The day that a drop's own rows complete: the one before its newest, which may still be filling.

    days: the business days of its rows, as numbers. DataError if days in between may be missing rather than quiet.
    """
    previous = history.previous
    today = day_number(day_of_instant(now, contract.business_day_zone))
    known = sorted(day for day in days if day <= today)
    if not known:
        return previous
    newest = known[-1] - 1 if known[-1] < today else today - 1
    start = None if previous is None else day_number(previous)
    if start is not None and newest <= start:
        return previous
    completed = range(known[0] if start is None else start + 1, newest + 1)
    if set(completed) - set(known):
        memory = range(completed.start - MEMORY_DAYS, completed.stop)
        with_rows = {*known, *history.days_within(memory)}
        _refuse_long_stretch(contract, sorted(with_rows if start is None else with_rows | {start}), completed, previous)
        if start is not None:
            _refuse_many_quiet_days(contract, sorted(with_rows), completed, history)
    return day_of_number(newest)


def remaining_through(drops: Sequence[Drop], newest: date | None) -> date | None:
    """The day through which a source stays complete after rows were taken back; newest: the last day with rows."""
    through = drops[-1].complete_through
    since = 0
    for position, (before, drop) in enumerate(pairwise(drops), start=1):
        if drop.is_declared and drop.complete_through and before.complete_through:
            since = position if drop.complete_through < before.complete_through else since
    days = [drop.complete_through for drop in drops[since:] if drop.is_declared and drop.complete_through]
    days += [] if newest is None else [newest - timedelta(days=1)]
    return None if through is None or not days else min(through, max(days))


def _refuse_long_stretch(contract: Contract, days: Sequence[int], completed: range, previous: date | None) -> None:
    """DataError if the completed days contain a stretch without rows that is longer than usual."""
    stretches = [(after - before - 1, before, after) for before, after in pairwise(days)]
    suspect = max((each for each in stretches if each[2] > completed.start), default=(0, 0, 0))
    others = sorted((length for length, before, _ in stretches if before != suspect[1]), reverse=True)
    twice_before = others[1] if len(others) > 1 else 0
    length, before, after = suspect
    if length <= max(QUIET_DAYS, 2 * median(others or [0]), twice_before):
        return
    newest = day_of_number(completed[-1])
    raise DataError(
        f"{contract.name}: of {plural(length, 'day')} between {day_of_number(before)} and {day_of_number(after)} there "
        f"is no row; the longest such stretch beside it has {others[0] if others else 0:,}. To complete {newest} would "
        f"make them days without events. {_remedy_text(newest, previous or day_of_number(before))}"
    )


def _refuse_many_quiet_days(contract: Contract, days: Sequence[int], completed: range, history: DayHistory) -> None:
    """DataError if four weeks have more days without rows than usual, although no single stretch is long."""
    first = days[0]
    is_quiet = np.ones(completed.stop - first, dtype=bool)
    is_quiet[[day - first for day in days if day < completed.stop]] = False
    before = _sums_of_four_weeks(is_quiet[: max(0, completed.start - first)])
    if not before.size:
        return
    usual = int(np.median(before))
    if history.declared is not None:
        is_quiet[: max(0, day_number(history.declared) - first + 1)] = False
    sums = _sums_of_four_weeks(is_quiet)[-len(completed) :]
    worst = int(np.argmax(sums))
    if sums[worst] <= usual + QUIET_DAYS:
        return
    last, newest = completed.stop - len(sums) + worst, day_of_number(completed[-1])
    raise DataError(
        f"{contract.name}: of the four weeks from {day_of_number(last - FOUR_WEEKS + 1)} to {day_of_number(last)}, "
        f"{plural(int(sums[worst]), 'day')} have no row and were not declared to be without events; usually {usual:,} "
        f"have none. To complete {newest} would make them days without events. "
        f"{_remedy_text(newest, history.previous or day_of_number(first))}"
    )


def _sums_of_four_weeks(is_quiet: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """The number of quiet days in each 28 consecutive days, oldest first."""
    total = np.concatenate([[0], np.cumsum(is_quiet)])
    return total[FOUR_WEEKS:] - total[:-FOUR_WEEKS] if len(total) > FOUR_WEEKS else total[:0]


def _remedy_text(newest: date, known: date) -> str:
    return (
        f"Ingest what is missing first. If nothing is missing, say --complete-through {newest}; if it is still "
        f"to come, say --complete-through {known}. Nothing was written."
    )
