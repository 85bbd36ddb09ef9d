"""Figures of one group of rows with their intervals: the whole split, a week, a segment."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from transformations.models.evaluation.metrics import BINS, Bools, Floats, Integers, improvement, measure
from transformations.models.evaluation.resampling import DRAWS, Clusters, resample
from transformations.models.records.criteria import Metric
from transformations.models.records.gates import Interval

Texts: TypeAlias = npt.NDArray[np.str_]
MODEL = "model"
"""The name of the judged model among the predictions."""
_MOST_UNDEFINED = 0.01
_BEYOND_EACH_END = 5


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Rows with their labels and what each predictor said of them.

    predictions: by name; MODEL is the judged one, others are baselines. moments: microseconds since 1970, UTC.
    segments: by column the value of each row as text. quantile, bins: of the metrics that take them.
    """

    labels: Bools | Floats
    predictions: Mapping[str, Floats]
    clusters: Clusters
    moments: Integers
    segments: Mapping[str, Texts]
    quantile: float = 0.5
    bins: int = BINS

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def is_classification(self) -> bool:
        """Whether labels are true or false."""
        return self.labels.dtype == np.bool_

    @property
    def positives(self) -> int:
        """Entities that have a true label; 0 in a regression."""
        return self.clusters.holding(self.labels.astype(np.bool_)) if self.is_classification else 0

    def where(self, rows: Bools) -> Scored:
        """Some of the rows."""
        return replace(
            self,
            labels=self.labels[rows],
            predictions={name: values[rows] for name, values in self.predictions.items()},
            clusters=self.clusters.only(rows),
            moments=self.moments[rows],
            segments={name: values[rows] for name, values in self.segments.items()},
        )

    def segment(self, column: str, value: str) -> Scored:
        """The rows with one value of a segment's column."""
        return self.where(np.asarray(self.segments[column] == value, dtype=np.bool_))


@dataclass(frozen=True)
class Figure:
    """A value with its draws. Undefined draws are NaN."""

    value: float
    draws: Floats

    def interval(self, confidence: float) -> Interval | None:
        """The draws between the two tails that confidence leaves; None where the value, or more than one draw in a
        hundred, is undefined.
        """
        defined = self.draws[np.isfinite(self.draws)]
        if not math.isfinite(self.value) or len(defined) < max(1, (1 - _MOST_UNDEFINED) * len(self.draws)):
            return None
        tail = (1 - confidence) / 2
        low, high = np.quantile(defined, [tail, 1 - tail])
        return Interval(low=float(low), high=float(high))


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Every metric of every prediction on one group of rows."""

    rows: int
    entities: int
    positives: int
    values: Mapping[str, Mapping[Metric, float]]
    draws: Mapping[str, Mapping[Metric, Floats]]

    def figure(self, name: str, metric: Metric) -> Figure:
        """A metric of one prediction."""
        return Figure(self.values[name][metric], self.draws[name][metric])

    def gain(self, over: str, metric: Metric, name: str = MODEL) -> Figure:
        """By how much a prediction is better than another one, in the same draws."""
        ours, theirs = self.figure(name, metric), self.figure(over, metric)
        value = improvement(metric, np.array([ours.value]), np.array([theirs.value]))
        return Figure(float(value[0]), improvement(metric, ours.draws, theirs.draws))


def measured(
    scored: Scored,
    metrics: Sequence[Metric],
    *,
    names: Sequence[str] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Measured:
    """Measure the named predictions, all of them by default."""
    predictions = {name: scored.predictions[name] for name in names or scored.predictions}
    return Measured(
        rows=len(scored),
        entities=scored.clusters.count,
        positives=scored.positives,
        values={
            name: {
                metric: measure(metric, scored.labels, each, quantile=scored.quantile, bins=scored.bins)
                for metric in metrics
            }
            for name, each in predictions.items()
        },
        draws=resample(
            scored.labels,
            predictions,
            scored.clusters,
            metrics,
            draws=draws,
            seed=seed,
            quantile=scored.quantile,
            bins=scored.bins,
        ),
    )


def draws_for(confidence: float, least: int = DRAWS) -> int:
    """How many draws an interval takes: enough that five lie beyond each of its ends."""
    return max(least, math.ceil(2 * _BEYOND_EACH_END / (1 - confidence) - 1e-6))
