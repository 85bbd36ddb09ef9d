"""The rules that every feature keeps: a meaning, a unit, an expected range, and a telling name. They need no Feast."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_NUMERIC = ("Int32", "Int64", "Float32", "Float64")
_DURATIONS = ("seconds", "minutes", "hours", "days", "weeks", "months", "years")
_WINDOWED = re.compile(r"[a-z][a-z0-9_]*_[a-z]+_(\d+d|lifetime)")


@dataclass(frozen=True)
class Problem:
    """One rule that one object breaks. place: the object, such as `user_visits:count`; remedy: what to write.

    line: where in the file that declares the object, if not where it begins.
    """

    place: str
    fault: str
    remedy: str
    line: int | None = None

    def __str__(self) -> str:
        return f"{self.place} {self.fault}. {self.remedy}."


@dataclass(frozen=True, kw_only=True)
class FeatureFacts:
    """What the rules look at of a feature, stored or on demand."""

    view: str
    name: str
    dtype: str
    facts: Mapping[str, str]
    is_windowed: bool


def feature_problems(feature: FeatureFacts) -> Iterator[Problem]:
    """The rules that one feature breaks."""
    place = f"feature {feature.view}:{feature.name}"
    for fact in ("description", "unit"):
        if not feature.facts.get(fact, "").strip():
            yield Problem(place, f"has no {fact}", f"Write {fact}=… where it is declared")
    if feature.dtype in _NUMERIC and not feature.facts.get("expect", "").strip():
        yield Problem(place, "is a number without an expected range", "Write expect=…, such as at_least(0)")
    yield from _name_problems(place, feature)


def _name_problems(place: str, feature: FeatureFacts) -> Iterator[Problem]:
    words = feature.name.split("_")
    unit = feature.facts.get("unit", "")
    if feature.is_windowed and not _WINDOWED.fullmatch(feature.name):
        yield Problem(place, "is not named <measure>_<aggregation>_<window>", "Rename its measure")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", feature.name):
        yield Problem(place, "is not in lower case letters, digits and _", "Rename it")
    if (feature.dtype == "Bool") != (words[0] in ("is", "has")):
        yield Problem(place, f"is {feature.dtype}; is_… and has_… are for Bool, and Bool for them", "Rename it")
    if unit == "rate" and "rate" not in words:
        yield Problem(place, "is a rate, and its name does not say so", "End the measure's name in _rate")
    if unit in _DURATIONS and feature.dtype in _NUMERIC and unit not in words:
        yield Problem(place, f"is in {unit}, and its name does not say so", f"Put {unit} into its name")
