"""From raw scores to probabilities, the same bits for a row wherever it stands in a batch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from transformations.models.records.artifact import Calibrator
from transformations.models.trainers.interface import Floats

_LANES = 16
_FEW = 4


def logistic(margins: Floats) -> Floats:
    """1 / (1 + exp(-margin)), without overflow: of log-odds the probability."""
    small = _in_lanes(np.exp, -np.abs(margins))  # of the numbers up to 1 alone
    if len(margins) <= _FEW:  # the same two operations, without what each costs NumPy to begin
        pairs = zip(margins.tolist(), small.tolist(), strict=True)
        return np.array([1.0 / (1.0 + each) if margin >= 0 else each / (1.0 + each) for margin, each in pairs])
    return np.where(margins >= 0, 1.0 / (1.0 + small), small / (1.0 + small))


def calibrated(margins: Floats, calibrator: Calibrator | None) -> Floats:
    """The probabilities of log-odds."""
    if calibrator is None:
        return logistic(margins)
    x, y = np.asarray(calibrator.x), np.asarray(calibrator.y)
    if calibrator.method == "sigmoid":
        return logistic(margins * x[0] + y[0])
    return _between(logistic(margins), x, y)


def _between(values: Floats, x: Floats, y: Floats) -> Floats:
    """The straight lines between the points; np.interp chooses its way of computing by the number of values."""
    right = np.clip(np.searchsorted(x, values, side="right"), 1, max(len(x) - 1, 1))
    if len(x) == 1:
        return np.full(len(values), y[0])
    left = right - 1
    width = x[right] - x[left]
    share = np.clip((values - x[left]) / np.where(width > 0, width, 1.0), 0.0, 1.0)
    return y[left] + share * (y[right] - y[left])


def _in_lanes(function: Callable[[Floats], Floats], values: Floats) -> Floats:
    """A function of NumPy over whole vectors of the processor: the rest of an array may be computed in another way."""
    padded = np.zeros(-(-len(values) // _LANES) * _LANES)
    padded[: len(values)] = values
    return function(padded)[: len(values)]
