"""What a contract lets a drop of events do without a word: lie after the clock, replace rows, come late."""

import re
from datetime import timedelta

from validation.contracts.document import Node
from validation.contracts.model import SUPERSEDES_ALLOWED

_DURATION = re.compile(r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")


def future_allowed(properties: Node, event_time: str | None) -> timedelta:
    """How far a row may lie after the clock; nothing by default."""
    text = properties.optional("futureAllowed", str, "a duration, such as PT2H or P1D")
    if text is None:
        return timedelta(0)
    if event_time is None:
        raise properties.error("futureAllowed", "is given, yet there is no eventTime that could lie ahead. Remove it.")
    duration = duration_of(text)
    if duration is None:
        raise properties.error("futureAllowed", f"is {text!r}. Write a duration as ISO 8601 has it: PT2H, P1D, P2W.")
    return duration


def supersedes_allowed(properties: Node, event_time: str | None) -> float:
    """The share of a drop's rows that may replace stored ones; one in a hundred by default."""
    share = properties.number("supersedesAllowed")
    if share is None:
        return SUPERSEDES_ALLOWED
    if event_time is None:
        raise properties.error("supersedesAllowed", "is given, yet rows without eventTime replace none. Remove it.")
    if not 0 <= share <= 1:
        raise properties.error("supersedesAllowed", f"is {share}. Write a share of the rows of a drop, from 0 to 1.")
    return float(share)


def duration_of(text: str) -> timedelta | None:
    """A duration as ISO 8601 writes it, in weeks, days, hours, minutes and seconds; None where it is not one."""
    found = _DURATION.fullmatch(text)
    if found is None or not any(found.groups()):
        return None
    weeks, days, hours, minutes, seconds = (int(number or 0) for number in found.groups())
    try:
        return timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    except OverflowError:
        return None
