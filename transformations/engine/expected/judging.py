"""Holds a snapshot against a view's expectations: every rule that it breaks, with what was found and an example."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from transformations.engine.base import duck
from transformations.engine.base.business_days import start_of_day
from transformations.engine.expected import measured_sql as sql
from transformations.engine.expected.measured import Observed, Snapshot, shows_values
from transformations.engine.expected.measured_sql import form_of
from transformations.engine.expected.model import (
    NULL_SHARE,
    OUTSIDE_RANGE,
    SHARE_GROUP,
    Band,
    ExpectedView,
    Statistic,
    number,
)
from transformations.engine.vocabulary.resolution import Feature

LEAST_ENTITIES = 100
"""Fewer entities are not judged: by chance alone they would break rules."""


@dataclass(frozen=True, kw_only=True)
class Breach:
    """One rule that one feature's values break. example: an entity, where one stands for it; stops: or warns."""

    feature: str
    statistic: str
    expected: str
    found: str
    example: str
    stops: bool

    def __str__(self) -> str:
        such = f"; such as {self.example}" if self.example else ""
        return f"{self.feature}: {self.statistic} is {self.found}, expected {self.expected}{such}"

    def document(self) -> dict[str, object]:
        """As JSON keeps it."""
        return asdict(self)


def breaches(snapshot: Snapshot, expected: ExpectedView) -> list[Breach]:
    """The broken rules, in the order of the features; none as-of a day before the measured ones.

    Of few entities only their number is judged.
    """
    if snapshot.day < expected.first:
        return []
    found = list(_breach_of_entities(snapshot, expected))
    return found if snapshot.entities < LEAST_ENTITIES else [*found, *_breaches(snapshot, expected)]


def _breach_of_entities(snapshot: Snapshot, expected: ExpectedView) -> Iterator[Breach]:
    band = None if expected.entities is None else expected.entities.on(snapshot.day, expected.last)
    if band is not None and not band.low <= snapshot.total <= band.high:
        yield Breach(
            feature="entities",
            statistic="number",
            expected=f"{number(math.ceil(max(0.0, band.low)))} to {number(math.floor(band.high))}",
            found=number(snapshot.total),
            example="",
            stops=True,
        )


def _breaches(snapshot: Snapshot, expected: ExpectedView) -> Iterator[Breach]:
    for feature in snapshot.resolved.features:
        rules, measured = expected.features.get(feature.name), snapshot.features.get(feature.name)
        if rules is None or measured is None:
            continue
        listed = [each.name for each in rules.rules if each.group == SHARE_GROUP]
        for statistic, rule in rules.rules.items():
            observed, band = measured.observed(statistic, listed), rule.on(snapshot.day, expected.last)
            if observed is not None and observed.breaks(band):
                yield Breach(
                    feature=feature.name,
                    statistic=str(statistic),
                    expected=_text(statistic, band),
                    found=_text(statistic, Band(observed.value, observed.value)),
                    example=_example(snapshot, feature, statistic, observed, band),
                    stops=rules.stops(statistic),
                )


def _text(statistic: Statistic, band: Band) -> str:
    if statistic.is_quantile:
        return str(band)
    low, high = (f"{number(round(100 * end, 2))} %" for end in (band.low, band.high))
    return low if band.low == band.high else f"{low} to {high}"


def _example(snapshot: Snapshot, feature: Feature, statistic: Statistic, observed: Observed, band: Band) -> str:
    """One of the entities of which there are too many; without its value where that leads to a person."""
    condition = _condition(snapshot, feature, statistic, observed, band)
    found = snapshot.example(feature, condition) if condition else None
    if found is None:
        return ""
    key, value = found
    if value is not None and not shows_values(snapshot.resolved, feature):
        return key
    return f"{key} ({'null' if value is None else value})"


def _condition(
    snapshot: Snapshot, feature: Feature, statistic: Statistic, observed: Observed, band: Band
) -> str | None:
    is_above = observed.value > band.high
    form = form_of(feature.dtype)
    if statistic.is_quantile:
        begin = start_of_day(snapshot.day, snapshot.resolved.zone)
        end = band.high if is_above else band.low
        return f"{sql.measured(feature.name, form, begin)} {'>' if is_above else '<'} {duck.literal(end)}"
    if statistic.name == NULL_SHARE:
        return sql.is_null(feature.name, form) if is_above else None
    if statistic.name == OUTSIDE_RANGE and feature.declared.expect is not None:
        return sql.outside(feature.name, feature.declared.expect)
    if statistic.group == SHARE_GROUP and is_above:
        return f"CAST({duck.identifier(feature.name)} AS VARCHAR) = {duck.literal(statistic.name)}"
    return None
