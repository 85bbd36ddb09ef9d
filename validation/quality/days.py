"""The business days of a drop: as SQL over its event times, and which of them a rule may judge already."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime

from transformations.contracts import Contract
from transformations.engine.base.business_days import day_number, day_of_instant, day_of_number, starts_of_days

_DAY = 86_400_000_000


def day_sql(micros: str, first: int, last: int, zone: str) -> str:
    """The SQL of the business day's number of a moment (microseconds) in the days `first` to `last`.

    The days' starts come from the same calendar as everywhere; stretches of days of 24 hours are one branch:

        CASE WHEN m >= start of 13 March THEN 17238 + (m - start of 13 March) // 24 h   -- the clock is an hour ahead
             WHEN m >= start of 12 March THEN 17237                                     -- a day of 23 hours
             ELSE 17167 + (m - start of 1 January) // 24 h END
    """
    starts = starts_of_days(first, last + 1, zone).tolist()
    stretches = [(first, starts[0])]
    for position in range(1, len(starts)):
        day, start = stretches[-1]
        if starts[position] - start != (first + position - day) * _DAY:
            before = first + position - 1
            if before > day:
                stretches.append((before, starts[position - 1]))
            stretches.append((first + position, starts[position]))
    values = [f"{day} + ({micros} - {start}) // {_DAY}" for day, start in stretches]
    branches = [
        f"WHEN {micros} >= {start} THEN {value}"
        for (_, start), value in reversed(list(zip(stretches[1:], values[1:], strict=True)))
    ]
    return f"CASE {' '.join(branches)} ELSE {values[0]} END" if branches else values[0]


@dataclass(frozen=True)
class JudgedDays:
    """The days that daily rules look at, ascending. unfinished: those that may still get rows, or need none."""

    days: tuple[int, ...]
    unfinished: frozenset[int]


def judged_days(
    contract: Contract, delivered: Collection[int], before: date | None, declared: date | None, now: datetime
) -> JudgedDays:
    """The days with rows, and every expected day without one that has come due.

    A day is due when the command declares it complete, or else when it is over by the clock and the drop has reached
    it. before: through which day the source was complete; declared: what the command says of it.

        before 3 May, declared none, now 7 May 09:00, delivered 4, 6 and 7 May
        judged: 4, 5 (no row), 6 May; 7 May is unfinished
    """
    today = day_number(day_of_instant(now, contract.business_day_zone))
    through = None if declared is None else day_number(declared)
    ends = [*delivered, *([] if through is None else [through])]
    if not ends:
        return JudgedDays((), frozenset())
    first = min(delivered, default=max(ends)) if before is None else day_number(before) + 1
    expected = {day for day in range(first, max(ends) + 1) if contract.expected_days.expects(day_of_number(day))}
    days = sorted(expected | set(delivered))
    last_due = today - 1 if through is None else through
    is_known = -1 if before is None else day_number(before)
    unfinished = {day for day in days if day > max(last_due, is_known)}
    unexpected = {day for day in days if not contract.expected_days.expects(day_of_number(day))}
    return JudgedDays(tuple(days), frozenset(unfinished | unexpected))
