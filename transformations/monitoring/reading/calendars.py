"""Calendars: days that are unlike others, by name, so that what follows one is compared within equal days alone.

    calendars:
      trading: {holiday week: [2024-11-28/2024-12-05, 2024-12-25/2025-01-01], closed: [2024-06-17]}

A state stands for all its days, each a UTC day or a span `first/last`, both inclusive; a day that no state names is
`ordinary`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from itertools import pairwise
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from transformations.models.records.base import NAME, Part

ORDINARY = "ordinary"


class Span(Part):
    """Days from first to last, both inclusive."""

    first: date
    last: date

    @model_validator(mode="after")
    def _in_order(self) -> Span:
        if self.last < self.first:
            raise ValueError(f"{self.last} is before {self.first}")
        return self


def _span(written: Any) -> Any:
    """`2024-06-17` or `2024-06-17/2024-06-20`, as ISO 8601 writes a span, as the fields of a Span."""
    if isinstance(written, date):
        return {"first": written, "last": written}
    if isinstance(written, str):
        first, _, last = written.partition("/")
        return {"first": first, "last": last or first}
    return written


def _apart(states: Mapping[str, tuple[Span, ...]]) -> Mapping[str, tuple[Span, ...]]:
    if ORDINARY in states:
        raise ValueError(f"{ORDINARY!r} is what all other days are called. Choose another name")
    spans = sorted((each.first, each.last, state) for state, days in states.items() for each in days)
    for (_, last, one), (first, _, other) in pairwise(spans):
        if first <= last:
            raise ValueError(f"{first} is a day of {one!r} and of {other!r}, or named twice. Name it once")
    return states


Days = Annotated[tuple[Annotated[Span, BeforeValidator(_span)], ...], Field(min_length=1)]
Calendar = Annotated[Mapping[str, Days], AfterValidator(_apart)]
"""By state its days."""
Calendars = Mapping[Annotated[str, Field(pattern=f"^{NAME}$")], Calendar]


def last_named(calendar: Mapping[str, tuple[Span, ...]]) -> date:
    """The last day that a state names; nobody has said of later ones whether they are like others."""
    return max(each.last for days in calendar.values() for each in days)


def state_on(calendar: Mapping[str, tuple[Span, ...]], day: date) -> str:
    """The state of a day."""
    found = (state for state, days in calendar.items() if any(each.first <= day <= each.last for each in days))
    return next(found, ORDINARY)
