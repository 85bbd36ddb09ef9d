"""What is measured of a model's predictions, each metric one function over NumPy arrays.

Labels are booleans for classification and float64 for regression; scores are probabilities of the label being true,
predictions are in the label's unit; all finite. A row counts `weights` times, once without them: a weight of 2 gives
what the row written twice would give. Rows without weight count as if they were not there. Equal scores are one
threshold, whatever the order of rows. What a metric is not defined for gives NaN: no rows, and for average precision
no true label, for ROC AUC only one class.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from transformations.models.records.criteria import HIGHER_IS_BETTER, Metric

Floats: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]
Integers: TypeAlias = npt.NDArray[np.int64]

BINS = 10
"""Bins of the calibration error, unless said otherwise."""
_LEAST_PROBABILITY = float(np.finfo(np.float64).eps)


CLASSIFICATION: tuple[Metric, ...] = ("average_precision", "roc_auc", "log_loss", "brier", "calibration_error")
REGRESSION: tuple[Metric, ...] = ("mae", "rmse", "quantile_loss")
MEANS: frozenset[Metric] = frozenset({"log_loss", "brier", "mae", "rmse", "quantile_loss"})
"""Metrics that are a mean over rows (see `losses_of`), or made of one."""
TITLES: Mapping[Metric, str] = {
    "average_precision": "average precision",
    "roc_auc": "ROC AUC",
    "log_loss": "log loss",
    "brier": "Brier score",
    "calibration_error": "calibration error",
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
    "quantile_loss": "quantile loss",
}


def improvement(metric: Metric, ours: Floats, theirs: Floats) -> Floats:
    """By how much our values beat theirs: positive is better, whichever way the metric points."""
    return ours - theirs if metric in HIGHER_IS_BETTER else theirs - ours


def measure(
    metric: Metric,
    labels: Bools | Floats,
    predictions: Floats,
    weights: Floats | None = None,
    *,
    quantile: float = 0.5,
    bins: int = BINS,
) -> float:
    """A metric by its name. quantile: that of the quantile loss; bins: of the calibration error."""
    match metric:
        case "calibration_error":
            edges = edges_of(predictions, bins) if len(predictions) else np.zeros(0)
            return calibration_error(_booleans(labels), predictions, edges, weights)
        case "average_precision":
            return average_precision(_booleans(labels), predictions, weights)
        case "roc_auc":
            return roc_auc(_booleans(labels), predictions, weights)
        case _:
            losses = losses_of(metric, labels, predictions, quantile=quantile)
            return finish(metric, _mean(losses, weights))


def average_precision(labels: Bools, scores: Floats, weights: Floats | None = None) -> float:
    """Precision at each threshold, averaged over the true labels that the threshold adds: 1 where all true labels
    score above all others; the share of true labels where all scores are equal.
    """
    caught, alarms = by_threshold(labels, scores, weights)
    if not len(caught) or not caught[-1]:
        return float("nan")
    precision = np.divide(caught, caught + alarms, out=np.zeros_like(caught), where=caught > 0)
    return float(np.sum(np.diff(caught, prepend=0) * precision) / caught[-1])


def roc_auc(labels: Bools, scores: Floats, weights: Floats | None = None) -> float:
    """The chance that a row with a true label scores above one without; equal scores count half."""
    caught, alarms = by_threshold(labels, scores, weights)
    if not len(caught) or not caught[-1] or not alarms[-1]:
        return float("nan")
    width, height = np.diff(alarms, prepend=0), (caught + np.concatenate(([0.0], caught[:-1]))) / 2
    return float(np.sum(width * height) / (caught[-1] * alarms[-1]))


def calibration_error(labels: Bools, scores: Floats, edges: Floats, weights: Floats | None = None) -> float:
    """The mean distance between a bin's mean score and its share of true labels, each bin counting by its rows.

    edges: of bins of equally many rows, as `edges_of` makes them; equal scores stay together. It is never below 0, so
    chance alone makes it positive, and more so the fewer rows there are: an upper end errs on the safe side.
    """
    if not len(scores):
        return float("nan")
    weights = np.ones(len(scores)) if weights is None else weights
    places, bins = np.searchsorted(edges, scores), len(edges) + 1
    scored = np.bincount(places, weights * scores, bins)
    true = np.bincount(places, weights * labels, bins)
    total = weights.sum()
    return float(np.abs(scored - true).sum() / total) if total else float("nan")


def edges_of(scores: Floats, bins: int = BINS) -> Floats:
    """The inner edges of bins of equally many scores; a score is in the bin of the first edge that it does not pass."""
    return np.asarray(np.quantile(scores, np.linspace(0, 1, bins + 1)[1:-1]), dtype=np.float64)


def losses_of(metric: Metric, labels: Bools | Floats, predictions: Floats, *, quantile: float = 0.5) -> Floats:
    """What each row adds to a metric that is a mean over rows, or made of one.

    log loss: −log of the probability that was given to what happened, no less than 2.2e-16, in nats. Brier score: the
    squared distance. Quantile loss: a prediction too low costs `quantile` per unit, one too high 1 − `quantile`.
    """
    truth = labels.astype(np.float64)
    match metric:
        case "log_loss":
            given = np.clip(predictions, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
            return np.asarray(-np.log(np.where(labels, given, 1 - given)), dtype=np.float64)
        case "brier" | "rmse":
            return (predictions - truth) ** 2
        case "mae":
            return np.abs(predictions - truth)
        case "quantile_loss":
            short = truth - predictions
            return np.maximum(quantile * short, (quantile - 1) * short)
        case _:
            raise ValueError(f"{metric} is no mean over rows")


def finish(metric: Metric, mean_loss: float) -> float:
    """A metric from the mean of its losses."""
    return float(np.sqrt(mean_loss)) if metric == "rmse" else float(mean_loss)


def _mean(losses: Floats, weights: Floats | None) -> float:
    total = float(len(losses)) if weights is None else float(weights.sum())
    summed = losses.sum() if weights is None else (losses * weights).sum()
    return float(summed / total) if total else float("nan")


def by_threshold(labels: Bools, scores: Floats, weights: Floats | None = None) -> tuple[Floats, Floats]:
    """Weight of true and of false labels at or above each distinct score, from the highest score down."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last = np.flatnonzero(np.append(np.diff(ranked) != 0, True)) if len(ranked) else np.empty(0, dtype=np.int64)
    weight = np.ones(len(scores)) if weights is None else weights[order]
    true = labels[order]
    return np.cumsum(weight * true)[last], np.cumsum(weight * ~true)[last]


def _booleans(labels: Bools | Floats) -> Bools:
    return labels.astype(np.bool_)
