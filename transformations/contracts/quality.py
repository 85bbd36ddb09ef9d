"""Quality rules of a contract as plain values: what is measured, of which columns, and what the result must be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal, TypeAlias

Measure: TypeAlias = Literal[
    "nullValues",
    "missingValues",
    "invalidValues",
    "duplicateValues",
    "rowCount",
    "freshness",
    "sql",
    "distribution",
    "expectation",
]
Severity: TypeAlias = Literal["error", "warning"]
Unit: TypeAlias = Literal["rows", "percent"]

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_WORDS = {
    "mustBe": "{}",
    "mustNotBe": "anything but {}",
    "mustBeGreaterThan": "more than {}",
    "mustBeGreaterOrEqualTo": "at least {}",
    "mustBeLessThan": "less than {}",
    "mustBeLessOrEqualTo": "at most {}",
    "mustBeBetween": "{} to {}",
    "mustNotBeBetween": "below {} or above {}",
}
OPERATORS = tuple(_WORDS)
"""The standard's operators; the ends of `mustBeBetween` are allowed, those of `mustNotBeBetween` are not."""


@dataclass(frozen=True)
class Bound:
    """What a measured number must be: one of OPERATORS with its one or two numbers."""

    operator: str
    limits: tuple[float, ...]

    def holds(self, value: float) -> bool:
        """Whether a measured number is allowed."""
        low, high = self.limits[0], self.limits[-1]
        return {
            "mustBe": value == low,
            "mustNotBe": value != low,
            "mustBeGreaterThan": value > low,
            "mustBeGreaterOrEqualTo": value >= low,
            "mustBeLessThan": value < low,
            "mustBeLessOrEqualTo": value <= low,
            "mustBeBetween": low <= value <= high,
            "mustNotBeBetween": not low <= value <= high,
        }[self.operator]

    def may_still_hold(self, value: float) -> bool:
        """Whether a number that can only grow may yet become allowed."""
        if self.operator in ("mustBe", "mustBeBetween"):
            return value <= self.limits[-1]
        return self.holds(value) or self.operator not in ("mustBeLessThan", "mustBeLessOrEqualTo")

    def text(self, unit: str = "") -> str:
        """As a person says it: `at least 100,000 rows`."""
        return _WORDS[self.operator].format(*(number_text(limit) for limit in self.limits)) + unit


@dataclass(frozen=True, kw_only=True)
class QualityRule:
    """One rule of a contract about the content of a drop.

    columns: what it is about; empty for the rows as a whole. bound: None where Great Expectations decides alone.
    is_daily: each business day is measured on its own. values: validValues, or missingValues (None means null).
    query: of a `sql` rule. expectation, arguments: of a `custom` rule, by the names of Great Expectations. place: its
    key path in the contract. An error refuses the drop, a warning is told.
    """

    name: str
    measure: Measure
    columns: tuple[str, ...] = ()
    bound: Bound | None = None
    unit: Unit = "rows"
    severity: Severity = "error"
    is_daily: bool = False
    values: tuple[object, ...] = ()
    pattern: str | None = None
    query: str = ""
    expectation: str = ""
    arguments: Mapping[str, object] = field(default_factory=dict, hash=False)
    description: str = ""
    place: str = ""

    @property
    def identifier(self) -> str:
        """Its name as that of a column: letters of any language, digits and _."""
        return "".join(letter if letter.isalnum() else "_" for letter in self.name).lower()


@dataclass(frozen=True)
class ExpectedDays:
    """The business days on which a source has rows: the given weekdays (0 is Monday) but for some dates."""

    weekdays: tuple[int, ...] = tuple(range(7))
    exceptions: tuple[date, ...] = ()

    def expects(self, day: date) -> bool:
        """Whether rows of this day are expected."""
        return day.weekday() in self.weekdays and day not in self.exceptions


EVERY_DAY = ExpectedDays()


def number_text(value: float, digits: int = 6) -> str:
    """A number in a message: integers without a fraction, others with at most `digits` significant digits."""
    return f"{int(value):,}" if float(value).is_integer() else f"{value:,.{digits}g}"
