"""Through which business day a source is complete: what a drop may say of it, what its rows tell, and what remains.

A drop without a word completes the day before its newest row, for as long as no day between may simply be missing: a
stretch of days without rows longer than QUIET_DAYS, and longer than twice any other of the source, has to be declared.
A declared day holds until a correction takes it back; a day known from rows alone goes with these rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from transformations.contracts import Contract
from transformations.engine.base.business_days import day_number, day_of_instant, day_of_number
from transformations.engine.base.errors import DataError, UsageError

if TYPE_CHECKING:
    from transformations.engine.raw.drops import Drop

QUIET_DAYS = 7
"""Weekends and holidays: so many days in a row without a row are taken for days without events."""


def declared_through(contract: Contract, asked: date, previous: date | None, now: datetime, correction: bool) -> date:
    """The day a command declares; UsageError where it has not ended yet, or takes back without saying so."""
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


def derived_through(
    contract: Contract,
    days: Sequence[int],
    previous: date | None,
    now: datetime,
    stored_days: Callable[[], Iterable[int]],
) -> date | None:
    """The day that a drop's own rows complete: the one before its newest, which may still be filling.

    days: business days of its rows, as numbers. stored_days: those of all stored rows, asked for only where the drop
    leaves a gap. DataError where days between may be missing rather than quiet.
    """
    today = day_number(day_of_instant(now, contract.business_day_zone))
    known = sorted(day for day in days if day <= today)
    if not known:
        return previous
    newest = known[-1] - 1 if known[-1] < today else today - 1
    start = None if previous is None else day_number(previous)
    if start is not None and newest <= start:
        return previous
    new = [day for day in known if start is None or day > start]
    if _longest_gap([*([] if start is None else [start]), *new]) > QUIET_DAYS:
        _refuse_gap(contract, {*known, *stored_days()}, start, day_of_number(newest), previous)
    return day_of_number(newest)


def remaining_through(drops: Sequence[Drop], newest: date | None) -> date | None:
    """Through which day a source stays complete when rows were taken back and `newest` is the last day with one."""
    through = drops[-1].complete_through
    since = 0
    for position, (before, drop) in enumerate(pairwise(drops), start=1):
        if drop.is_declared and drop.complete_through and before.complete_through:
            since = position if drop.complete_through < before.complete_through else since
    days = [drop.complete_through for drop in drops[since:] if drop.is_declared and drop.complete_through]
    days += [] if newest is None else [newest - timedelta(days=1)]
    return None if through is None or not days else min(through, max(days))


def _refuse_gap(contract: Contract, days: set[int], start: int | None, newest: date, previous: date | None) -> None:
    every = sorted(days if start is None else days | {start})
    gaps = sorted((after - before - 1, before, after) for before, after in pairwise(every))
    suspect = max(gap for gap in gaps if start is None or gap[1] >= start)
    usual = max((length for length, *others in gaps if others != list(suspect[1:])), default=0)
    length, before, after = suspect
    if length <= max(QUIET_DAYS, 2 * usual):
        return
    raise DataError(
        f"{contract.name}: of {length:,} days between {day_of_number(before)} and {day_of_number(after)} there is no "
        f"row; the longest such stretch beside it has {usual:,}. To complete {newest} would make them days without "
        f"events. Ingest what is missing first. If nothing is missing, say --complete-through {newest}; if it is still "
        f"to come, say --complete-through {previous or day_of_number(before)}. Nothing was written."
    )


def _longest_gap(days: Sequence[int]) -> int:
    return max((after - before - 1 for before, after in pairwise(days)), default=0)
