"""Business days: the local calendar dates of a zone, as integers, and the UTC instants at which they start.

A business day is numbered by days since 1970-01-01 of its local date. As-of D is the start of day D, so it covers
days up to D - 1. All instants are UTC microseconds since the epoch.

Arrow's assume_timezone is no substitute. It gives the same days from 1900 to 2037, but applies no clock change after
that (in 17 of 35 zones, days then begin an hour off), and it reads only the system's zones, not the tzdata package.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from transformations.engine.base.moments import EPOCH, instant_to_micros, micros_to_instant

Int64s = npt.NDArray[np.int64]

_EPOCH_DAY = EPOCH.date()


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - _EPOCH_DAY).days


def day_of_number(number: int) -> date:
    """The local date of a business day's number."""
    return _EPOCH_DAY + timedelta(days=number)


def start_of_day(day: date, zone: str) -> datetime:
    """The UTC instant at which a business day begins.

    Where midnight does not exist (a clock change at 00:00), the day begins at the first instant that does; where it
    occurs twice, at the earlier one.
    """
    return micros_to_instant(_start_micros(day_number(day), zone))


def starts_of_days(first: int, last: int, zone: str) -> Int64s:
    """UTC microseconds of the starts of the days `first`..`last` (numbers, both inclusive), ascending."""
    return np.fromiter((_start_micros(day, zone) for day in range(first, last + 1)), dtype=np.int64)


def days_of_instants(micros: Int64s, zone: str) -> npt.NDArray[np.int32]:
    """The business day of each instant (UTC microseconds): the day whose start is the last one not after it."""
    if micros.size == 0:
        return np.empty(0, dtype=np.int32)
    microseconds_a_day = 86_400_000_000
    first = int(micros.min() // microseconds_a_day) - 1
    last = int(micros.max() // microseconds_a_day) + 1
    starts = starts_of_days(first, last, zone)
    return (np.searchsorted(starts, micros, side="right") - 1 + first).astype(np.int32)


def day_of_instant(instant: datetime, zone: str) -> date:
    """The business day that an instant falls in."""
    micros = np.array([instant_to_micros(instant)], dtype=np.int64)
    return day_of_number(int(days_of_instants(micros, zone)[0]))


def merge_stretches(stretches: Iterable[range]) -> tuple[range, ...]:
    """The fewest stretches that hold the same days, ascending."""
    found: list[range] = []
    for stretch in sorted((each for each in stretches if each), key=lambda each: each.start):
        if found and stretch.start <= found[-1].stop:
            found[-1] = range(found[-1].start, max(found[-1].stop, stretch.stop))
        else:
            found.append(stretch)
    return tuple(found)


def remaining_stretches(whole: range, stretches: Sequence[range]) -> tuple[range, ...]:
    """The days of `whole` that are in none of these ascending stretches."""
    begins = [whole.start, *(each.stop for each in stretches)]
    ends = [*(each.start for each in stretches), whole.stop]
    return tuple(range(begin, end) for begin, end in zip(begins, ends, strict=True) if begin < end)


@lru_cache(maxsize=65_536)
def _start_micros(day: int, zone: str) -> int:
    midnight = datetime.combine(day_of_number(day), time(), tzinfo=ZoneInfo(zone))
    instant = instant_to_micros(midnight.astimezone(UTC))
    if micros_to_instant(instant).astimezone(ZoneInfo(zone)).replace(tzinfo=None) == midnight.replace(tzinfo=None):
        return instant
    return _end_of_gap(midnight)


def _end_of_gap(midnight: datetime) -> int:
    """The start of a day whose midnight falls into a gap: the instant at which the clocks jump."""
    before = instant_to_micros(midnight.replace(fold=1).astimezone(UTC)) - 1
    after = instant_to_micros(midnight.astimezone(UTC))  # the transition lies between the two readings, both included
    zone, day = midnight.tzinfo, midnight.date()
    while after - before > 1:
        middle = (before + after) // 2
        if micros_to_instant(middle).astimezone(zone).date() >= day:
            after = middle
        else:
            before = middle
    return after
