"""Comparing the arms of a rollout by what came of them: differences clustered by unit, and whether the arms are whole.

Units, not rows, were put into arms by chance, so it is units that vary: the interval of a difference is that of a
delete-a-group jackknife, which leaves out a fortieth of the units at a time (P. S. Kott, The delete-a-group jackknife,
Journal of Official Statistics 17, 2001). It takes any figure that a function makes of rows. A unit may change arms from
one step to the next, so arms are compared within each step, and the differences averaged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import erfc, sqrt

import numpy as np
from numpy.typing import NDArray

from transformations.models.rollout.splitting import bucket

GROUPS = 40
_STUDENT = 2.0227
"""The 97.5 % quantile of Student's t with 39 degrees of freedom."""
_NORMAL, _POWER = 1.9600, 0.8416
"""Of a two-sided test at 5 %, and of a power of 80 %."""
_SUSPICIOUS = 0.001

Rows = NDArray[np.bool_]
Figure = Callable[[Rows], float | None]
"""A number made of some of the rows; None where they give none."""


@dataclass(frozen=True, kw_only=True)
class Arms:
    """Rows by arm. is_candidate: one a row. steps: the percent of the step that a row is of. units: whose a row is."""

    is_candidate: Rows
    steps: NDArray[np.float64]
    units: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The candidate's figure minus production's, averaged over steps, with a 95 % interval; None of too few rows."""

    name: str
    production: float | None
    candidate: float | None
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class RatioCheck:
    """Whether a step's candidate has as many units as its share says. chance: of a ratio that is as far from it."""

    percent: float
    units: int
    candidate_units: int
    chance: float

    @property
    def is_suspicious(self) -> bool:
        """Whether something has taken units out of one arm: then no difference between the arms means anything."""
        return self.chance < _SUSPICIOUS


def ratio_checks(arms: Arms) -> tuple[RatioCheck, ...]:
    """The check of each step, by its share, ascending."""
    found = []
    units = np.asarray(arms.units)
    for percent in np.unique(arms.steps):
        mine = arms.steps == percent
        everybody = len(np.unique(units[mine]))
        candidate = len(np.unique(units[mine & arms.is_candidate]))
        share = percent / 100
        spread = sqrt(everybody * share * (1 - share))
        distance = max(0.0, abs(candidate - everybody * share) - 0.5) / spread
        found.append(
            RatioCheck(
                percent=float(percent),
                units=everybody,
                candidate_units=candidate,
                chance=erfc(distance / sqrt(2)),
            )
        )
    return tuple(found)


def difference(name: str, arms: Arms, figure: Figure) -> Difference:
    """The difference of a figure between the arms."""
    weights = _weights(arms)
    groups = np.array([bucket("jackknife", unit) % GROUPS for unit in arms.units])
    everybody = np.ones(len(arms.units), dtype=np.bool_)
    value = _stratified(arms, figure, weights, everybody)
    without = [_stratified(arms, figure, weights, groups != group) for group in range(GROUPS)]
    known = np.array([each for each in without if each is not None])
    low = high = None
    if value is not None and len(known) == GROUPS:
        error = sqrt((GROUPS - 1) / GROUPS * float(((known - known.mean()) ** 2).sum()))
        low, high = value - _STUDENT * error, value + _STUDENT * error
    return Difference(
        name=name,
        production=figure(~arms.is_candidate),
        candidate=figure(arms.is_candidate),
        value=value,
        low=low,
        high=high,
    )


def detectable_effect(values: NDArray[np.float64], percent: float) -> float:
    """The smallest difference of a mean over units that an experiment shows with a power of 80 %, at 5 %, two-sided.

    values: one a unit, as many as it will have. percent: the candidate's share. Infinite of fewer than two units.
    """
    share = percent / 100
    if len(values) < 2:
        return float("inf")
    return float((_NORMAL + _POWER) * values.std(ddof=1) / sqrt(len(values) * share * (1 - share)))


def _weights(arms: Arms) -> dict[float, float]:
    """How much each step counts: as its arms' numbers of units allow."""
    units = np.asarray(arms.units)
    found = {}
    for percent in np.unique(arms.steps):
        mine = arms.steps == percent
        one, other = (len(np.unique(units[mine & side])) for side in (arms.is_candidate, ~arms.is_candidate))
        if one and other:
            found[float(percent)] = one * other / (one + other)
    return found


def _stratified(arms: Arms, figure: Figure, weights: dict[float, float], kept: Rows) -> float | None:
    total, weight = 0.0, 0.0
    for percent, counts in weights.items():
        mine = kept & (arms.steps == percent)
        candidate, production = figure(mine & arms.is_candidate), figure(mine & ~arms.is_candidate)
        if candidate is None or production is None:
            return None
        total, weight = total + counts * (candidate - production), weight + counts
    return total / weight if weight else None
