"""Naive local times of a zone as SQL over UTC: which instant each one is, and which never happened.

Built from the same time zone database as the business days, so that a timestamp and its day never disagree.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from transformations.engine.base.moments import MICROSECOND

_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
# Between these, a step further or an offset stays within the calendar; zones do not change at its ends.
_FIRST, _LAST = datetime.fromisoformat("0001-01-05"), datetime.fromisoformat("9999-12-27")


@dataclass(frozen=True)
class OffsetPeriod:
    """A stretch of time with one UTC offset; `begins` and `ends` are what the local clock shows then, or None."""

    offset: timedelta
    begins: datetime | None
    ends: datetime | None


def offset_periods_of_years(zone: str, years: Iterable[int]) -> tuple[OffsetPeriod, ...]:
    """The periods that local times of these years can fall in, in order of time; none for no years.

    Years need not follow each other: a sentinel such as 9999-12-31 does not cost the eight thousand between.
    """
    found: list[OffsetPeriod] = []
    for first, last in _stretches(years):
        begins, ends = datetime.fromisoformat(f"{first:04d}-01-01"), datetime.fromisoformat(f"{last:04d}-12-31")
        periods = list(offset_periods(zone, begins, ends))
        if found:
            found[-1], periods[0] = replace(found[-1], ends=begins), replace(periods[0], begins=begins)
        found += periods
    return tuple(found)


def offset_periods(zone: str, first: datetime, last: datetime) -> tuple[OffsetPeriod, ...]:
    """The periods that local times from `first` to `last` (naive) can fall in, in order of time."""
    first, last = max(first, _FIRST) - 2 * _DAY, min(last, _LAST) + 2 * _DAY
    transitions = list(_transitions(ZoneInfo(zone), first, last))
    starts: list[datetime | None] = [None, *(local for _, local, _ in transitions)]
    ends: list[datetime | None] = [*(local for local, _, _ in transitions), None]
    offsets = [_offset(ZoneInfo(zone), first), *(offset for _, _, offset in transitions)]
    return tuple(OffsetPeriod(*period) for period in zip(offsets, starts, ends, strict=True))


def utc_sql(local: str, periods: tuple[OffsetPeriod, ...]) -> str:
    """The SQL of the instant (TIMESTAMPTZ) of a naive local time; one that occurs twice takes the earlier offset.

    The first period that has not ended by the local clock is the right one: where the clock was set back, the earlier
    period still shows the repeated times.
    """
    *bounded, open_ended = periods
    branches = "".join(
        f"WHEN {local} < {_interval_literal(period.ends)} THEN {_subtract_micros(local, period)} " for period in bounded
    )
    naive = (
        f"CASE {branches}ELSE {_subtract_micros(local, open_ended)} END"
        if bounded
        else _subtract_micros(local, open_ended)
    )
    return instant_sql(local, naive)


def instant_sql(local: str, utc: str | None = None) -> str:
    """The SQL of the instant (TIMESTAMPTZ) of a naive time in UTC; `utc` is that time where `local` is of a zone.

    DuckDB's timezone('UTC', …) asks its calendar for every row, thirty times as slow; it is left to infinite times.
    """
    return (
        f"CASE WHEN isfinite({local}) THEN make_timestamptz(epoch_us({utc or local})) ELSE timezone('UTC', {local}) END"
    )


def nonexistent_sql(local: str, periods: tuple[OffsetPeriod, ...]) -> str:
    """The SQL condition that a naive local time was skipped when the clock was set forward."""
    gaps = [
        f"({local} >= {_interval_literal(before.ends)} AND {local} < {_interval_literal(after.begins)})"
        for before, after in pairwise(periods)
        if before.ends is not None and after.begins is not None and before.ends < after.begins
    ]
    return " OR ".join(gaps) or "FALSE"


def repeated_times(periods: tuple[OffsetPeriod, ...]) -> tuple[tuple[datetime, datetime], ...]:
    """The local times (from, until) that the clock showed twice, each time it was set back."""
    return tuple(
        (after.begins, before.ends)
        for before, after in pairwise(periods)
        if before.ends is not None and after.begins is not None and after.begins < before.ends
    )


def _stretches(years: Iterable[int]) -> list[tuple[int, int]]:
    """The years as stretches (first, last) without a gap."""
    runs: list[tuple[int, int]] = []
    for year in sorted(set(years)):
        if runs and year == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], year)
        else:
            runs.append((year, year))
    return runs


def _transitions(zone: ZoneInfo, first: datetime, last: datetime) -> Iterator[tuple[datetime, datetime, timedelta]]:
    """Each change of the offset between two UTC moments: the local clock before and after it, and the new offset."""
    moment, offset = first, _offset(zone, first)
    while moment < last:
        following = moment + 6 * _HOUR
        if (new := _offset(zone, following)) != offset:
            instant = _bisect(zone, moment, following, offset)
            new = _offset(zone, instant)
            yield instant + offset, instant + new, new
            offset, following = new, instant
        moment = following


def _bisect(zone: ZoneInfo, before: datetime, after: datetime, offset: timedelta) -> datetime:
    """The first moment, to the microsecond, at which the zone's offset is no longer `offset`."""
    while after - before > MICROSECOND:
        middle = before + (after - before) // 2
        before, after = (middle, after) if _offset(zone, middle) == offset else (before, middle)
    return after


def _offset(zone: ZoneInfo, utc: datetime) -> timedelta:
    offset = utc.replace(tzinfo=UTC).astimezone(zone).utcoffset()
    return offset if offset is not None else timedelta(0)


def _subtract_micros(local: str, period: OffsetPeriod) -> str:
    return f"{local} - to_microseconds({period.offset // MICROSECOND})"


def _interval_literal(moment: datetime | None) -> str:
    return f"TIMESTAMP '{moment}'"
