"""What a view's values are expected to look like as-of a day: ranges of statistics, or how fast these may move.

A statistic is of all entities that have a row as-of the day: the share of nulls, the share outside the declared range,
quantiles of the numbers, or the share of each value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TypeAlias

NULL_SHARE = "null_share"
OUTSIDE_RANGE = "outside_range"
OTHERS = "others"
"""The statistic of all values together that have no share of their own."""
QUANTILES: Mapping[str, float] = {"5%": 0.05, "25%": 0.25, "50%": 0.5, "75%": 0.75, "95%": 0.95}
SINGLE = (NULL_SHARE, OUTSIDE_RANGE)
QUANTILE_GROUP, SHARE_GROUP = "quantiles", "shares"


@dataclass(frozen=True)
class Band:
    """From `low` to `high`, both included."""

    low: float
    high: float

    def on(self, _day: date, _measured: date) -> Band:
        """The range on a day: always itself."""
        return self

    def __str__(self) -> str:
        return number(self.low) if self.low == self.high else f"{number(self.low)} to {number(self.high)}"


@dataclass(frozen=True, kw_only=True)
class Growth:
    """A statistic that moves by construction: `was` on the last measured day, and `a_day` more each day since.

    within: how far a value may be off on top. A day before the measured one is reckoned backwards:

        was 40, a_day 1 to 2, within 3      ten days later 47 to 63, ten days earlier 17 to 33
    """

    was: float
    a_day: Band
    within: float

    def on(self, day: date, measured: date) -> Band:
        """The range on a day."""
        days = (day - measured).days
        ends = sorted((self.a_day.low * days, self.a_day.high * days))
        return Band(self.was + ends[0] - self.within, self.was + ends[1] + self.within)

    def __str__(self) -> str:
        return f"{number(self.was)}, {self.a_day} more a day, within {number(self.within)}"


Rule: TypeAlias = Band | Growth


@dataclass(frozen=True, order=True)
class Statistic:
    """A statistic's name. group: `quantiles` or `shares`, where it is one of several; text as in the file."""

    group: str
    name: str

    def __str__(self) -> str:
        if self.group == QUANTILE_GROUP:
            return "median" if self.name == "50%" else f"{self.name[:-1]} % quantile"
        if self.group == SHARE_GROUP:
            return f"share of {self.name!r}"
        return {NULL_SHARE: "share of nulls", OUTSIDE_RANGE: "share outside the range", OTHERS: "share of others"}[
            self.name
        ]

    @property
    def is_quantile(self) -> bool:
        """Whether its value is one of the feature's; else it is a share of entities."""
        return self.group == QUANTILE_GROUP


@dataclass(frozen=True, kw_only=True)
class ExpectedFeature:
    """The rules of one feature. warns: names of statistics, or of groups, whose breach does not stop a build."""

    rules: Mapping[Statistic, Rule]
    warns: frozenset[str] = frozenset()

    def stops(self, statistic: Statistic) -> bool:
        """Whether a breach of this statistic's rule stops a build."""
        return not self.warns & {statistic.name, statistic.group}

    def texts(self) -> Iterator[tuple[str, str]]:
        """Each statistic with its rule, as a person reads them."""
        for statistic, rule in self.rules.items():
            yield str(statistic), str(rule) + ("" if self.stops(statistic) else " (warns)")


@dataclass(frozen=True, kw_only=True)
class ExpectedView:
    """The rules of one view. first, last: the as-of days that were measured; earlier days are not judged.

    entities: how many have a row as-of a day; None where that is not judged.
    """

    view: str
    first: date
    last: date
    entities: Rule | None = None
    features: Mapping[str, ExpectedFeature] = field(default_factory=dict)

    def range_of(self, feature: str, statistic: Statistic, day: date) -> Band | None:
        """The range of a statistic on a day; None without a rule for it."""
        known = self.features.get(feature)
        rule = None if known is None else known.rules.get(statistic)
        return None if rule is None else rule.on(day, self.last)


def number(value: float) -> str:
    """A number as a person writes it: `0.02`, `1500`, `-3.4e-07`."""
    if value == round(value) and abs(value) < 1e15:
        return str(round(value))
    text = f"{value:.4g}" if abs(value) < 10_000 else f"{value:.1f}"
    return text.replace("e", ".0e") if "e" in text and "." not in text else text  # YAML takes 1e-07 for a text
