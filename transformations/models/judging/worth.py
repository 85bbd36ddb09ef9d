"""What deciding by a version is worth on rows that it never saw, beside acting on everybody and on nobody."""

from __future__ import annotations

import numpy as np

from transformations.models.declaration.config import Costs
from transformations.models.evaluation.evaluation import CONFIDENCE
from transformations.models.evaluation.facts import Deciding, ExpectedValue
from transformations.models.evaluation.intervals import Figure
from transformations.models.evaluation.metrics import Bools, Floats
from transformations.models.evaluation.resampling import Clusters, times_drawn
from transformations.models.records.artifact import Decision


def deciding(
    decision: Decision,
    costs: Costs | None,
    acts: Bools,
    labels: Bools,
    clusters: Clusters,
    *,
    draws: int,
    seed: int,
) -> Deciding:
    """How often a version acts, how often rightly, and with costs the mean worth of a row with its interval.

    acts: its decisions. Entities are resampled whole, and acting on all or none is measured in the same draws.
    """
    return Deciding(
        threshold=decision.threshold,
        chosen_by=decision.chosen_by,
        acted=int(acts.sum()),
        hits=int((acts & labels).sum()),
        value=None if costs is None else _value(costs, acts, labels, clusters, draws=draws, seed=seed),
    )


def _value(costs: Costs, acts: Bools, labels: Bools, clusters: Clusters, *, draws: int, seed: int) -> ExpectedValue:
    ours = _mean(_worth(costs, acts, labels), clusters, draws, seed)
    never = _mean(_worth(costs, np.zeros_like(acts), labels), clusters, draws, seed)
    always = _mean(_worth(costs, np.ones_like(acts), labels), clusters, draws, seed)
    simple = always if always.value > never.value else never
    gain = Figure(ours.value - simple.value, ours.draws - simple.draws)
    return ExpectedValue(
        unit=costs.unit,
        mean=ours.value,
        interval=ours.interval(CONFIDENCE),
        never=never.value,
        always=always.value,
        gain=gain.value,
        gain_interval=gain.interval(CONFIDENCE),
    )


def _worth(costs: Costs, acts: Bools, labels: Bools) -> Floats:
    acting = np.where(labels, costs.true_positive, costs.false_positive)
    waiting = np.where(labels, costs.false_negative, costs.true_negative)
    return np.where(acts, acting, waiting)


def _mean(worth: Floats, clusters: Clusters, draws: int, seed: int) -> Figure:
    sums = np.bincount(clusters.numbers, weights=worth, minlength=clusters.count)
    counts = np.bincount(clusters.numbers, minlength=clusters.count)
    means = np.empty(draws)
    for draw in range(draws):
        times = times_drawn(clusters.count, seed, draw).astype(np.float64)
        means[draw] = (times * sums).sum() / (times * counts).sum()
    return Figure(float(worth.mean()), means)
