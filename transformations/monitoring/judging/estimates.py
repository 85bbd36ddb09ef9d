"""What can be said of predictions before their outcomes are known: an estimate from their own scores, marked as one.

Confidence-based performance estimation (CBPE; Białek, Kuberski, Perrakis and Bifet, Estimating Model Performance Under
Covariate Shift Without Labels, 2024): a calibrated score is the probability of the label, so that a metric's expected
value follows from the scores alone. It sees moved inputs and no moved relation of inputs and label, so it never gates
and never alerts; and it is given only while the version's calibration passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from transformations.models.declaration.config import Declaration
from transformations.models.evaluation.facts import MetricFigure
from transformations.models.evaluation.metrics import Floats

METHOD = "confidence-based performance estimation"
_CALIBRATION = "calibration_error"


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Expected figures of predictions whose outcomes are not known yet. calibration: the error that passes, as it was
    realised, or as the evaluation measured it where no outcome is known; allowed: what it may be.

    precision: the expected share of true labels among those to act on; None where nobody is.
    """

    version: int
    rows: int
    label_mean: float
    log_loss: float
    brier: float
    precision: float | None
    calibration: float
    allowed: float


def estimate(
    version: int, scores: Floats, decisions: np.ndarray | None, calibration: tuple[float, float] | None
) -> Estimate | None:
    """The expected figures of scores; None without any, or where calibration does not pass.

    scores: probabilities. decisions: by row whether to act on it. calibration: its error and what is allowed.
    """
    if not len(scores) or calibration is None or calibration[0] > calibration[1]:
        return None
    entropy = np.zeros_like(scores)
    for part in (scores, 1 - scores):
        entropy -= part * np.log(np.where(part > 0, part, 1.0))
    acted = scores[decisions.astype(np.bool_)] if decisions is not None else scores[:0]
    return Estimate(
        version=version,
        rows=len(scores),
        label_mean=float(scores.mean()),
        log_loss=float(entropy.mean()),
        brier=float((scores * (1 - scores)).mean()),
        precision=float(acted.mean()) if len(acted) else None,
        calibration=calibration[0],
        allowed=calibration[1],
    )


def calibration_of(
    declaration: Declaration, realised: Sequence[MetricFigure], promised: Sequence[MetricFigure]
) -> tuple[float, float] | None:
    """A version's calibration error, and what is allowed of it: by its gate, or else the upper end of the evaluation's
    interval. None where neither says what is allowed, or nothing has been measured.
    """
    figures = {"realised": _figure(realised), "promised": _figure(promised)}
    measured = figures["realised"] or figures["promised"]
    gates = [each.at_most for each in declaration.evaluation.gates if each.metric == _CALIBRATION]
    allowed = [each for each in gates if each is not None]
    said = figures["promised"]
    if not allowed and said is not None and said.interval is not None:
        allowed = [said.interval.high]
    if measured is None or measured.value is None or not allowed:
        return None
    return measured.value, min(allowed)


def _figure(figures: Sequence[MetricFigure]) -> MetricFigure | None:
    return next((each for each in figures if each.metric == _CALIBRATION and each.value is not None), None)
