"""Metrics over resampled entities: how far a figure would move had other entities been seen.

Rows of one entity belong together, so whole entities are drawn, with replacement, as many as there are. A draw is a
number of times for each entity, and so a weight for each of its rows: scores are sorted once, and each draw costs a
look-up and a running sum over the rows. All predictions are measured on the same draws, which makes differences
between them paired.

    entities a b c     rows  a: 0.9 true   a: 0.2 false   b: 0.7 false   c: 0.6 true
    draw 0:  2 0 1     counts the rows of a twice, of b never, of c once

Draw k of a seed is always the same, whichever others are computed beside it: its random numbers are those of a
counter-based generator (Philox) under the key (seed, k). Sums of weights are integers and therefore exact; sums of
losses have a fixed order. One thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from transformations.models.evaluation.metrics import (
    BINS,
    MEANS,
    Bools,
    Floats,
    Integers,
    edges_of,
    finish,
    losses_of,
)
from transformations.models.records.criteria import Metric

DRAWS = 1_000
Times: TypeAlias = npt.NDArray[np.unsignedinteger]
"""How often each entity counts."""


@dataclass(frozen=True)
class Clusters:
    """Which entity each row is of, as numbers from 0 to `count` − 1."""

    numbers: Integers
    count: int

    @classmethod
    def of(cls, entities: npt.NDArray[np.generic]) -> Clusters:
        """The rows' entities, which may be of any type that sorts."""
        names, numbers = np.unique(entities, return_inverse=True)
        return cls(np.asarray(numbers, dtype=np.int64), len(names))

    def holding(self, rows: Bools) -> int:
        """How many entities have one of these rows at least."""
        return len(np.unique(self.numbers[rows]))

    def only(self, rows: Bools) -> Clusters:
        """The clusters of some of the rows."""
        return Clusters.of(self.numbers[rows])


def times_drawn(entities: int, seed: int, draw: int) -> Times:
    """How often each entity is in a draw."""
    generator = np.random.Philox(key=np.array([seed, draw], dtype=np.uint64))
    high = generator.random_raw(entities) >> np.uint64(32)
    drawn = (high * np.uint64(entities)) >> np.uint64(32)  # uniform to one part in 2^32 / entities
    times = np.bincount(drawn.astype(np.int64), minlength=entities)
    return times.astype(np.uint8 if times.max() < 256 else np.uint32)  # a small table: the rows look up in it


def resample(
    labels: Bools | Floats,
    predictions: Mapping[str, Floats],
    clusters: Clusters,
    metrics: Sequence[Metric],
    *,
    draws: int = DRAWS,
    seed: int = 0,
    quantile: float = 0.5,
    bins: int = BINS,
) -> dict[str, dict[Metric, Floats]]:
    """Each metric of each named prediction in every draw. NaN where a draw leaves a metric undefined.

    The calibration error keeps the bins of all rows, undrawn.
    """
    rows = _Rows(labels, clusters)
    prepared = {name: _Prepared.of(rows, values, metrics, quantile, bins) for name, values in predictions.items()}
    found = {name: np.empty((len(metrics), draws)) for name in predictions}
    for draw in range(draws):
        times = times_drawn(clusters.count, seed, draw)
        for name, each in prepared.items():
            values = each.measure(times)
            found[name][:, draw] = [values[metric] for metric in metrics]
    return {name: dict(zip(metrics, values, strict=True)) for name, values in found.items()}


def resample_mean(values: Floats, clusters: Clusters, *, draws: int = DRAWS, seed: int = 0) -> Floats:
    """The mean of the rows' values in every draw, which are those of `resample`."""
    sums, rows = _sums(clusters.numbers, values, clusters.count), np.bincount(clusters.numbers)
    times = (times_drawn(clusters.count, seed, draw) for draw in range(draws))
    return np.array([(each * sums).sum() / (each * rows).sum() for each in times])


@dataclass(frozen=True)
class _Rows:
    """What all predictions are measured against."""

    labels: Bools | Floats
    clusters: Clusters


@dataclass(frozen=True)
class _Prepared:
    """One prediction's rows in the form that a draw reads. ranking, calibration: where a metric asks for it.

    For means over rows, the sum of losses and the number of rows of each entity are all that a draw needs.
    """

    rows: Integers
    losses: Mapping[Metric, Floats]
    ranking: _Ranking | None
    excess: Floats | None
    """By bin of the calibration error and entity, the sum of scores less the number of true labels."""

    @classmethod
    def of(cls, rows: _Rows, values: Floats, metrics: Sequence[Metric], quantile: float, bins: int) -> _Prepared:
        numbers, count = rows.clusters.numbers, rows.clusters.count
        truth = rows.labels.astype(np.bool_)
        means = [metric for metric in metrics if metric in MEANS]
        excess = None
        if "calibration_error" in metrics:
            places = np.searchsorted(edges_of(values, bins), values) * count + numbers
            excess = _sums(places, values - truth, bins * count).reshape(bins, count)
        return cls(
            np.bincount(numbers, minlength=count),
            {
                metric: _sums(numbers, losses_of(metric, rows.labels, values, quantile=quantile), count)
                for metric in means
            },
            _Ranking.of(truth, values, rows.clusters) if {"average_precision", "roc_auc"} & {*metrics} else None,
            excess,
        )

    def measure(self, times: Times) -> dict[Metric, float]:
        """Every metric, where each entity counts as often as the draw says."""
        rows = float((times * self.rows).sum())
        found = {metric: finish(metric, float((times * losses).sum()) / rows) for metric, losses in self.losses.items()}
        if self.ranking is not None:
            found |= self.ranking.measure(times)
        if self.excess is not None:
            found["calibration_error"] = float(np.abs((self.excess * times).sum(axis=1)).sum()) / rows
        return found


@dataclass(frozen=True, kw_only=True)
class _Ranking:
    """Rows sorted by score: a threshold is a distinct score of a true label, in ascending order.

    Threshold k takes in the true rows from `first[k]` on; `below[k]` false rows score less, `through[k]` no more.
    """

    true: npt.NDArray[np.intp]
    false: npt.NDArray[np.intp]
    first: Integers
    below: Integers
    through: Integers

    @classmethod
    def of(cls, labels: Bools, scores: Floats, clusters: Clusters) -> _Ranking:
        true_scores, true = _sorted(scores[labels], clusters.numbers[labels])
        false_scores, false = _sorted(scores[~labels], clusters.numbers[~labels])
        first = np.flatnonzero(np.diff(true_scores, prepend=np.nan) != 0)
        thresholds = true_scores[first]
        below = np.searchsorted(false_scores, thresholds, side="left")
        through = np.searchsorted(false_scores, thresholds, side="right")
        return cls(true=true, false=false, first=np.append(first, len(true)), below=below, through=through)

    def measure(self, times: Times) -> dict[Metric, float]:
        true, false = _running(times, self.true)[self.first], _running(times, self.false)
        added = np.diff(true)
        caught = true[-1] - true[:-1]
        below = false[self.below]
        alarms = false[-1] - below
        precision = added * (caught / np.maximum(caught + alarms, 1))
        beaten = added * (below + false[self.through]).astype(np.float64)
        with np.errstate(invalid="ignore"):  # without one of the classes both are undefined
            return {
                "average_precision": float(precision.sum() / np.float64(true[-1])),
                "roc_auc": float(beaten.sum() / 2 / (np.float64(true[-1]) * np.float64(false[-1]))),
            }


def _sums(places: Integers, values: Floats, count: int) -> Floats:
    return np.asarray(np.bincount(places, values, count), dtype=np.float64)


def _sorted(scores: Floats, numbers: Integers) -> tuple[Floats, npt.NDArray[np.intp]]:
    order = np.argsort(scores, kind="stable")
    return scores[order], numbers[order].astype(np.intp)


def _running(times: Times, numbers: npt.NDArray[np.intp]) -> Integers:
    """How many rows have been drawn before each row, and in all at last."""
    running = np.zeros(len(numbers) + 1, dtype=np.int64)
    np.cumsum(np.take(times, numbers, mode="clip"), out=running[1:])
    return running
