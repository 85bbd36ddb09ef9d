"""Fitting a calibrator on rows that neither early stopping nor tuning saw."""

from __future__ import annotations

from typing import Literal

import numpy as np

from transformations.models.records.artifact import Calibrator
from transformations.models.scoring.calibration import logistic
from transformations.models.trainers.interface import Floats

_STEPS = 100


def fit_calibrator(method: Literal["sigmoid", "isotonic"], margins: Floats, labels: Floats) -> Calibrator:
    """The calibrator of log-odds for these labels, which must include both kinds."""
    return _sigmoid(margins, labels) if method == "sigmoid" else _isotonic(logistic(margins), labels)


def _sigmoid(margins: Floats, labels: Floats) -> Calibrator:
    """Platt's two numbers, by Newton's method on his smoothed labels, which keep them finite on separated classes."""
    positives = labels.sum()
    targets = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (len(labels) - positives + 2))
    slope, intercept = 1.0, 0.0
    for _ in range(_STEPS):
        probabilities = logistic(slope * margins + intercept)
        residuals, spread = probabilities - targets, np.maximum(probabilities * (1 - probabilities), 1e-12)
        gradient = np.array([(residuals * margins).sum(), residuals.sum()])
        cross = (spread * margins).sum()
        hessian = np.array([[(spread * margins**2).sum() + 1e-9, cross], [cross, spread.sum() + 1e-9]])
        step = np.linalg.solve(hessian, gradient)
        # A step that would worsen the loss is halved until it does not.
        scale = 1.0
        loss = _loss(slope * margins + intercept, targets)
        while (
            scale > 1e-10 and _loss((slope - scale * step[0]) * margins + intercept - scale * step[1], targets) > loss
        ):
            scale /= 2
        slope, intercept = slope - scale * step[0], intercept - scale * step[1]
        if np.abs(scale * step).max() < 1e-10:
            break
    return Calibrator(method="sigmoid", x=(float(slope),), y=(float(intercept),))


def _loss(margins: Floats, targets: Floats) -> float:
    return float((np.logaddexp(0.0, margins) - targets * margins).sum())


def _isotonic(scores: Floats, labels: Floats) -> Calibrator:
    """Pool adjacent violators. No probability is 0 or 1: half a row of the other class is granted at each end."""
    values, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    sums = np.bincount(places, weights=labels)
    blocks: list[list[float]] = []  # first and last value, sum, count
    for value, total, count in zip(values.tolist(), sums.tolist(), counts.tolist(), strict=True):
        blocks.append([value, value, total, count])
        while len(blocks) > 1 and blocks[-2][2] * blocks[-1][3] >= blocks[-1][2] * blocks[-2][3]:
            _, last, total_above, count_above = blocks.pop()
            blocks[-1] = [blocks[-1][0], last, blocks[-1][2] + total_above, blocks[-1][3] + count_above]
    least = 0.5 / len(labels)
    points: dict[float, float] = {}
    for first, last, total, count in blocks:
        points[first] = points[last] = min(max(total / count, least), 1 - least)
    return Calibrator(method="isotonic", x=tuple(points), y=tuple(points.values()))
