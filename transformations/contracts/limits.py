"""The limits of a contract: how far rows may lie ahead, how many may replace others, how fresh and on which days."""

import re
from datetime import date, timedelta

from transformations.contracts.document import Node
from transformations.contracts.model import SUPERSEDES_ALLOWED
from transformations.contracts.quality import EVERY_DAY, WEEKDAYS, Bound, ExpectedDays, QualityRule
from transformations.contracts.quality_reader import list_of, severity_of
from transformations.contracts.texts import nearest

_DURATION = re.compile(r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")

_UNITS = {
    **dict.fromkeys(("min", "minute", "minutes"), timedelta(minutes=1)),
    **dict.fromkeys(("h", "hour", "hours"), timedelta(hours=1)),
    **dict.fromkeys(("d", "day", "days"), timedelta(days=1)),
    **dict.fromkeys(("w", "week", "weeks"), timedelta(weeks=1)),
}
_MOST = 100_000


def future_allowed(properties: Node) -> timedelta:
    """How far a row, or the moment from which a drop holds, may lie after the clock; nothing by default."""
    text = properties.optional("futureAllowed", str, "a duration, such as PT2H or P1D")
    if text is None:
        return timedelta(0)
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


def quarantine_allowed(properties: Node, delivery: object) -> float | None:
    """The share of a drop's rows that may be set aside; None where none may.

    Where a missing row means that it is gone (whole days, snapshots), setting one aside would retract its stored row.
    """
    share = properties.number("quarantineAllowed")
    if share is not None and delivery in ("snapshot", "replace-partition"):
        raise properties.error(
            "quarantineAllowed",
            f"does not go with delivery {delivery}: a row set aside would count as gone. Remove it.",
        )
    if share is not None and not 0 < share <= 1:
        raise properties.error("quarantineAllowed", f"is {share}. Write a share of a drop's rows, such as 0.01.")
    return None if share is None else float(share)


def freshness(document: Node, event_time: str | None) -> timedelta | None:
    """How long after the end of its last complete day a source may stay without a further one; None: not promised.

    The sum of the standard's `slaProperties` frequency (how often a day's data comes; one day by default) and latency
    (how long after the day; none by default).
    """
    promised: dict[str, timedelta] = {}
    for node in document.children("slaProperties"):
        name = node.values.get("property")
        if name not in ("frequency", "latency"):
            continue
        if name in promised:
            raise node.error("property", f"{name!r} stands twice. Keep one: it holds for the whole source.")
        if event_time is None:
            raise node.error("property", f"{name!r} is promised, yet without eventTime no day is complete. Remove it.")
        promised[str(name)] = _parse_duration(node, str(name))
    if not promised:
        return None
    return promised.get("frequency", timedelta(days=1)) + promised.get("latency", timedelta(0))


def freshness_rule(document: Node, promised: timedelta | None) -> tuple[QualityRule, ...]:
    """The rule that a drop is as fresh as `slaProperties` promise, where one of them has a severity."""
    for node in document.children("slaProperties"):
        if node.values.get("property") not in ("frequency", "latency"):
            continue
        properties = node.custom(("severity",))
        if promised is not None and properties.values.get("severity") is not None:
            hours = promised / timedelta(hours=1)
            return (
                QualityRule(
                    name="freshness",
                    measure="freshness",
                    bound=Bound("mustBeLessOrEqualTo", (hours,)),
                    severity=severity_of(properties),
                    description="Hours since the end of the drop's newest business day",
                    place=node.place,
                ),
            )
    return ()


def expected_days(properties: Node) -> ExpectedDays:
    """On which business days the source has rows: every day, unless `expectedDays` says otherwise."""
    if properties.values.get("expectedDays") is None:
        return EVERY_DAY
    node = properties.child("expectedDays", "a mapping such as { weekdays: [monday, friday], except: ['2020-12-25'] }")
    if unknown := [str(key) for key in node.values if key not in ("weekdays", "except")]:
        raise node.error(unknown[0], f"is unknown; {nearest(unknown[0], ('weekdays', 'except'))}.")
    names = list_of(node, "weekdays", "monday")
    if not names and "weekdays" in node.values:
        raise node.error("weekdays", "is empty: no day would be expected. Name some, or leave it out for all.")
    names = names or list(WEEKDAYS)
    if strange := [name for name in names if name not in WEEKDAYS]:
        raise node.error("weekdays", f"holds {strange[0]!r}; {nearest(str(strange[0]), WEEKDAYS)}.")
    days = tuple(_parse_day(node, each) for each in list_of(node, "except", "'2020-12-25'"))
    return ExpectedDays(tuple(sorted({WEEKDAYS.index(str(name)) for name in names})), days)


def _parse_day(node: Node, value: object) -> date:
    try:
        return value if isinstance(value, date) else date.fromisoformat(str(value))
    except ValueError:
        raise node.error("except", f"holds {value!r}, no day. Write it as '2020-12-25'.") from None


def _parse_duration(node: Node, name: str) -> timedelta:
    unit = node.text("unit", f"the unit of {name}: h, d or w")
    if unit not in _UNITS:
        raise node.error("unit", f"of {name} is {unit!r}. Write one of {', '.join(_UNITS)}.")
    number = node.number("value")
    if number is None or not 0 <= number <= _MOST:
        raise node.error("value", f"of {name} is {number}. Write a number from 0 to {_MOST:,}.")
    return number * _UNITS[unit]


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
