"""What is expected of a feature's values beside what its newest version holds: by statistic, a range and a mark."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transformations.engine.expected.checking import as_of_day
from transformations.engine.expected.drafting import unit_of
from transformations.engine.expected.judging import LEAST_ENTITIES
from transformations.engine.expected.measured import Observed, Snapshot, snapshots
from transformations.engine.expected.model import SHARE_GROUP, Band, ExpectedView, Statistic, number

if TYPE_CHECKING:
    from transformations.engine.tables.offline_tables import TableVersion
    from transformations.engine.vocabulary.resolution import Feature, Resolved

_WIDTH = 100.0
_LEAST_BAND = 0.8
"""A range of one value is still seen."""


@dataclass(frozen=True, kw_only=True)
class Track:
    """One statistic. left, width, mark: of the expected range and of the found value, in hundredths of the axis."""

    statistic: str
    expected: str
    found: str
    left: float
    width: float
    mark: float
    is_broken: bool


@dataclass(frozen=True, kw_only=True)
class ExpectedPlot:
    """Statistics on one axis from `low` to `high`. as_of: the day of the values; entities: that have a row then."""

    as_of: str
    entities: int
    axis: str
    low: str
    high: str
    tracks: tuple[Track, ...]


def expected_plots(
    resolved: Resolved, expected: ExpectedView, version: TableVersion, names: Sequence[str]
) -> Mapping[str, tuple[ExpectedPlot, ...]]:
    """By feature, its values' quantiles and its shares of entities, as-of the newest day of the version.

    names: the features to show. Nothing of a version that was built by another definition.
    """
    shown = [name for name in names if name in expected.features]
    if not shown or not version.files or version.run.definition_hash != resolved.hash:
        return {}
    features = {each.name: each for each in resolved.features}
    with snapshots(resolved, version.files, version.rows, [as_of_day(version.run)], shown) as found:
        (snapshot,) = found
        return {name: tuple(_plots(snapshot, features[name], expected)) for name in shown if name in snapshot.features}


def _plots(snapshot: Snapshot, feature: Feature, expected: ExpectedView) -> Iterator[ExpectedPlot]:
    rules = expected.features[feature.name].rules
    listed = [each.name for each in rules if each.group == SHARE_GROUP]
    seen: list[tuple[Statistic, Band, Observed]] = []
    for statistic, rule in rules.items():
        observed = snapshot.features[feature.name].observed(statistic, listed)
        if observed is not None:
            seen.append((statistic, rule.on(snapshot.day, expected.last), observed))
    is_judged = snapshot.entities >= LEAST_ENTITIES and snapshot.day >= expected.first
    for is_value in (True, False):
        chosen = [each for each in seen if each[0].is_quantile == is_value]
        if chosen:
            axis = f"value, {unit_of(feature)}" if is_value else "share of entities"
            yield _plot(snapshot, chosen, axis, is_value=is_value, is_judged=is_judged)


def _plot(
    snapshot: Snapshot,
    seen: Sequence[tuple[Statistic, Band, Observed]],
    axis: str,
    *,
    is_value: bool,
    is_judged: bool,
) -> ExpectedPlot:
    ends = [end for _, band, observed in seen for end in (band.low, band.high, observed.value)]
    low, high = (min(ends) if is_value else 0.0), max(ends)
    span = (high - low) or 1.0

    def place(value: float) -> float:
        return round(_WIDTH * (value - low) / span, 2)

    def figure(value: float) -> str:
        return number(value) if is_value else number(round(100 * value, 2))

    def text(value: float) -> str:
        return figure(value) if is_value else f"{figure(value)} %"

    return ExpectedPlot(
        as_of=snapshot.day.isoformat(),
        entities=snapshot.entities,
        axis=axis,
        low=text(low),
        high=text(high),
        tracks=tuple(
            Track(
                statistic=str(statistic),
                expected=text(band.low) if band.low == band.high else f"{figure(band.low)} to {text(band.high)}",
                found=text(observed.value),
                left=min(place(band.low), _WIDTH - _LEAST_BAND),
                width=max(place(band.high) - place(band.low), _LEAST_BAND),
                mark=place(observed.value),
                is_broken=is_judged and observed.breaks(band),
            )
            for statistic, band, observed in seen
        ),
    )
