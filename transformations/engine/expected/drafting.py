"""A view's expectations from measured days: what was seen, with room to move, for a person to review."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import date, timedelta

from transformations.engine.expected.measured import (
    MeasuredFeature,
    Observed,
    Snapshot,
    listed_values,
    shows_values,
    snapshots,
)
from transformations.engine.expected.measured_sql import Form, form_of
from transformations.engine.expected.model import (
    NULL_SHARE,
    OTHERS,
    OUTSIDE_RANGE,
    QUANTILE_GROUP,
    QUANTILES,
    SHARE_GROUP,
    Band,
    ExpectedFeature,
    ExpectedView,
    Growth,
    Rule,
    Statistic,
)
from transformations.engine.tables.offline_tables import TableVersion
from transformations.engine.vocabulary.dtypes import INT64
from transformations.engine.vocabulary.resolution import Feature, Resolved

MOST_VALUES = 20
"""The most values of a text column that get a share of their own; the others share one."""
MOST_DAYS = 15
_LEAST_ROOM = 0.02
"""The least room of a share, either way."""
_ROOM_OF_ENTITIES = 0.1
"""How far the number of entities may be off, as a share of it: what matters is that most of them are there."""


@dataclass
class Draft:
    """Gathers snapshots, oldest day first, and drafts rules that all of them keep.

    tolerance: the room of a quantile as a share of its distance to the next ones; of a share of entities as a share of
    itself; of a growth as a share of the daily growth.
    """

    resolved: Resolved
    tolerance: float
    _: KW_ONLY
    days: list[date] = field(default_factory=list)
    entities: list[int] = field(default_factory=list)
    measured: list[Mapping[str, MeasuredFeature]] = field(default_factory=list)

    def add(self, snapshot: Snapshot) -> None:
        """Take in the statistics of one more day; a day without entities says nothing."""
        if snapshot.entities:
            self.days.append(snapshot.day)
            self.entities.append(snapshot.total)
            self.measured.append(snapshot.features)

    def expected(self, warns: Mapping[str, frozenset[str]]) -> ExpectedView:
        """The drafted rules. warns: by feature, what a reviewed file lets only warn, which is kept where it fits."""
        found = {}
        for feature in self.resolved.features:
            rules = dict(self._rules(feature))
            names = {each.name for each in rules} | {each.group for each in rules}
            found[feature.name] = ExpectedFeature(rules=rules, warns=warns.get(feature.name, frozenset()) & names)
        first, last = self.days[0], self.days[-1]
        return ExpectedView(
            view=self.resolved.name, first=first, last=last, entities=self._rule_of_entities(), features=found
        )

    def _rule_of_entities(self) -> Growth:
        """Entities come or stay away, and never go. Of a single day nobody knows how fast: by the tolerance."""
        counts = [(day, float(count)) for day, count in zip(self.days, self.entities, strict=True)]
        _, was = counts[-1]
        room = _ROOM_OF_ENTITIES * was
        if len(counts) == 1:
            return Growth(was=was, a_day=Band(0.0, math.ceil(self.tolerance * was)), within=math.ceil(room))
        rule = self._growth(counts, room)
        return Growth(was=was, a_day=Band(0.0, max(0.0, rule.a_day.high)), within=math.ceil(rule.within))

    def _rules(self, feature: Feature) -> list[tuple[Statistic, Rule]]:
        seen = [each[feature.name] for each in self.measured]
        found: list[tuple[Statistic, Rule]] = [
            (Statistic("", NULL_SHARE), self._share([each.nulls.value for each in seen]))
        ]
        outside = [each.outside.value for each in seen if each.outside is not None]
        if outside:
            found.append((Statistic("", OUTSIDE_RANGE), Band(0.0, _round(max(outside), up=True))))
        if form_of(feature.dtype) is Form.TEXTS:
            return [*found, *self._shares(feature, [each for each in seen if each.known])]
        return [*found, *self._quantiles(feature, seen)]

    def _shares(self, feature: Feature, seen: Sequence[MeasuredFeature]) -> list[tuple[Statistic, Rule]]:
        listed = listed_values(self.resolved, feature)
        if not seen or not (listed or shows_values(self.resolved, feature)):
            return []
        latest = seen[-1].counts
        values = sorted(listed or latest, key=lambda value: (-latest.get(value, 0), value))[:MOST_VALUES]
        found: list[tuple[Statistic, Rule]] = []
        for statistic in [*(Statistic(SHARE_GROUP, value) for value in values), Statistic("", OTHERS)]:
            observed = [each.observed(statistic, values) for each in seen]
            found.append((statistic, self._share([each.value for each in observed if each is not None])))
        return found

    def _share(self, values: Sequence[float]) -> Band:
        low, high = min(values), max(values)
        room = max(_LEAST_ROOM, self.tolerance * min(high, 1 - low))
        return Band(max(0.0, _round(low - room, up=False)), min(1.0, _round(high + room, up=True)))

    def _quantiles(self, feature: Feature, seen: Sequence[MeasuredFeature]) -> list[tuple[Statistic, Rule]]:
        known = [(day, each.quantiles) for day, each in zip(self.days, seen, strict=True) if each.quantiles]
        if not known:
            return []
        distances = [_distances(quantiles) for _, quantiles in known]
        rooms = {name: self.tolerance * max(each[name] for each in distances) for name in QUANTILES}
        found: list[tuple[Statistic, Rule]] = []
        for name in QUANTILES:
            values, room = [(day, quantiles[name].value) for day, quantiles in known], rooms[name]
            if grows(feature) and self.days[0] < self.days[-1]:
                rule: Rule = self._growth(values, room)
            else:
                rule = _with_room(feature, Band(min(v for _, v in values), max(v for _, v in values)), room)
            found.append((Statistic(QUANTILE_GROUP, name), rule))
        return found

    def _growth(self, values: Sequence[tuple[date, float]], room: float) -> Growth:
        """The growth a day between each of the measured days and the last, and as much room as all of them need.

        A rule counts from the last day of the draft, on which a feature may have had no value.
        """
        last, was = values[-1]
        far = [
            (day, value) for day, value in values if (last - day).days * 4 >= (last - values[0][0]).days and day < last
        ]
        rates = [(was - value) / (last - day).days for day, value in far] or [0.0]
        play = self.tolerance * max(map(abs, rates))
        a_day = Band(_round(min(rates) - play, up=False), _round(max(rates) + play, up=True))
        exact = Growth(was=was, a_day=a_day, within=0.0)
        off = 0.0
        for day, value in values:
            band = exact.on(day, self.days[-1])
            off = max(off, band.low - value, value - band.high)
        return Growth(was=_nearest(was), a_day=a_day, within=_round(off + room + abs(was - _nearest(was)), up=True))


def draft(
    resolved: Resolved,
    version: TableVersion,
    days: Sequence[date],
    *,
    tolerance: float,
    warns: Mapping[str, frozenset[str]],
) -> ExpectedView | None:
    """Expectations that a table's version keeps as-of each of these days, oldest first; None where no day has rows."""
    found = Draft(resolved, tolerance)
    with snapshots(resolved, version.files, version.rows, days) as each_day:
        for snapshot in each_day:
            found.add(snapshot)
    return found.expected(warns) if found.days else None


def days_to_measure(first: date, last: date) -> list[date]:
    """At most MOST_DAYS days from first to last, both among them, evenly apart."""
    span = (last - first).days
    steps = min(span, MOST_DAYS - 1)
    return [first + timedelta(days=span * step // steps) for step in range(steps + 1)] if steps else [last]


def grows(feature: Feature) -> bool:
    """Whether the values move by construction: over a lifetime, counts, sums and extremes add up, and moments age."""
    declared = feature.declared
    return declared.window.days is None and (declared.aggregation.accumulates or form_of(feature.dtype) is Form.AGES)


def notes_of(resolved: Resolved) -> Mapping[str, str]:
    """By feature, what its numbers are: meaning and unit."""
    found = {}
    for feature in resolved.features:
        found[feature.name] = f"{feature.declared.description}; {unit_of(feature)}"
    return found


def unit_of(feature: Feature) -> str:
    """What a feature's numbers count as they are measured: its own unit, days of moments, items of lists."""
    return form_of(feature.dtype).unit or feature.declared.aggregation.unit


def _distances(quantiles: Mapping[str, Observed]) -> Mapping[str, float]:
    """Each quantile's mean distance to its neighbours; never 0, so that a constant may move a little."""
    values = [quantiles[name].value for name in QUANTILES]
    spread = (values[-1] - values[0]) / 2 or abs(values[0]) or 1.0
    found = {}
    for place, name in enumerate(QUANTILES):
        near = values[max(place - 1, 0) : place + 2]
        found[name] = (near[-1] - near[0]) / (len(near) - 1) or spread / 2
    return found


def _with_room(feature: Feature, seen: Band, room: float) -> Band:
    """What was seen with room on either side, rounded outwards, and cut to the range that the definition declares."""
    low, high = seen.low - room, seen.high + room
    if feature.dtype == INT64:
        low, high = float(math.floor(low)), float(math.ceil(high))
    else:
        low, high = _round(low, up=False), _round(high, up=True)
    expect, form = feature.declared.expect, form_of(feature.dtype)
    least = 0.0 if form is Form.LENGTHS else expect.minimum if expect is not None and form is Form.NUMBERS else None
    most = expect.maximum if expect is not None and form is Form.NUMBERS else None
    if least is not None:
        low = max(low, min(least, seen.low))
    if most is not None:
        high = min(high, max(most, seen.high))
    return Band(low, high)


def _round(value: float, *, up: bool) -> float:
    """Three digits, rounded away from or towards less, as asked: a range never becomes narrower."""
    if value == 0:
        return 0.0
    if not math.isfinite(value):  # the room around a value near the greatest one
        return math.copysign(sys.float_info.max, value)
    unit = 10.0 ** max(math.floor(math.log10(abs(value))) - 2, -300)
    rounded = (math.ceil if up else math.floor)(value / unit) * unit
    return float(f"{rounded:.10g}") if math.isfinite(rounded) else math.copysign(sys.float_info.max, value)


def _nearest(value: float) -> float:
    return float(f"{value:.4g}")
