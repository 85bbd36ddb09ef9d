"""The points of the report's charts, few enough to be drawn."""

from __future__ import annotations

import numpy as np

from transformations.models.evaluation.facts import Bin, Curve, Histogram
from transformations.models.evaluation.intervals import MODEL, Scored
from transformations.models.evaluation.metrics import Bools, Floats, by_threshold, edges_of

_MOST_POINTS = 200
_HISTOGRAM_BINS = 25


def reliability(scored: Scored) -> tuple[Bin, ...]:
    """The bins of the calibration error that hold rows, from the lowest scores up."""
    scores, labels = scored.predictions[MODEL], scored.labels.astype(np.float64)
    places = np.searchsorted(edges_of(scores, scored.bins), scores)
    rows = np.bincount(places, minlength=scored.bins)
    means = [np.bincount(places, values, scored.bins) for values in (scores, labels)]
    return tuple(
        Bin(score=float(means[0][each] / rows[each]), label=float(means[1][each] / rows[each]), rows=int(rows[each]))
        for each in np.flatnonzero(rows)
    )


def precision_recall(name: str, labels: Bools, scores: Floats) -> Curve:
    """Precision over recall; x: the share of true labels that are caught, y: the share of alarms that are right."""
    caught, alarms = by_threshold(labels, scores)
    chosen = _spread(caught)
    precision = caught[chosen] / (caught[chosen] + alarms[chosen])
    return Curve(name=name, x=_tuple(caught[chosen] / caught[-1]), y=_tuple(precision))


def roc(name: str, labels: Bools, scores: Floats) -> Curve:
    """x: the share of false labels that raise an alarm, y: the share of true ones that do."""
    caught, alarms = by_threshold(labels, scores)
    chosen = _spread(caught + alarms)
    ends = (np.concatenate(([0.0], values[chosen] / values[-1])) for values in (alarms, caught))
    x, y = ends
    return Curve(name=name, x=_tuple(x), y=_tuple(y))


def distributions(scored: Scored) -> tuple[Histogram, ...]:
    """Of a classification, the scores of rows by their label; of a regression, the errors."""
    scores = scored.predictions[MODEL]
    if scored.is_classification:
        edges = np.linspace(0, 1, _HISTOGRAM_BINS + 1)
        parts = {"true": scores[scored.labels.astype(np.bool_)], "false": scores[~scored.labels.astype(np.bool_)]}
    else:
        errors = scores - scored.labels
        edges = np.histogram_bin_edges(errors, _HISTOGRAM_BINS)
        parts = {"prediction less label": errors}
    return tuple(
        Histogram(name=name, edges=_tuple(edges), rows=tuple(np.histogram(values, edges)[0].tolist()))
        for name, values in parts.items()
    )


def _spread(progress: Floats) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """The places of at most `most` points, evenly spread over what has been reached, first and last among them."""
    if len(progress) <= _MOST_POINTS:
        return np.arange(len(progress))
    wanted = np.linspace(progress[0], progress[-1], _MOST_POINTS)
    return np.unique(np.searchsorted(progress, wanted))


def _tuple(values: Floats) -> tuple[float, ...]:
    return tuple(float(f"{value:.6g}") for value in values)
