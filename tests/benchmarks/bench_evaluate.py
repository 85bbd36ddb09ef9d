"""`make bench-evaluate`: intervals that resample entities, 1,000 paired draws of four metrics of two models.

A million rows of 50,000 entities. The rival is one pass of scikit-learn over both models without any resampling; a
naive bootstrap would cost a thousand of them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from harness import Bar, Figures, Finding, Stopwatch, in_fresh_process, in_turns, options, report

ROWS, ENTITIES, DRAWS = 1_000_000, 50_000, 1_000
SHARE_TRUE = 0.24


def main() -> None:
    """Measure both sides in turn, and report."""
    parser = options(__doc__ or "")
    for name, default in (("rows", ROWS), ("entities", ENTITIES), ("draws", DRAWS)):
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"default {default:,}")
    given = parser.parse_args()
    sides = {
        "draws": lambda: in_fresh_process(draw, given.rows, given.entities, given.draws),
        "scikit-learn": lambda: in_fresh_process(pass_once, given.rows, given.entities),
    }
    measured = in_turns(sides, given.repeat)
    case = f"{given.rows:,} rows, {given.entities:,} entities, {given.draws:,} draws"
    findings = [
        Finding(case, figure, ours, unit, measured["scikit-learn"][figure], Bar(60, of="ratio") if bound else None)
        for figure, unit, bound in (("seconds", "s", True), ("processor seconds", "s", False))
        for ours in (measured["draws"][figure],)
    ]
    report("evaluate", findings, ["rival: one pass of scikit-learn's AP, ROC AUC, log loss and Brier score over both"])


def draw(rows: int, entities: int, draws: int) -> Figures:
    """Both models under every draw, sorting included, on one thread."""
    from transformations.models.evaluation.metrics import CLASSIFICATION
    from transformations.models.evaluation.resampling import Clusters, resample

    labels, scores, of = world(rows, entities)
    with Stopwatch() as watch:
        resample(labels, scores, Clusters.of(of), CLASSIFICATION[:4], draws=draws)
    return {"seconds": watch.seconds, "processor seconds": watch.processor_seconds}


def pass_once(rows: int, entities: int) -> Figures:
    """Each metric of each model once."""
    from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

    labels, scores, _ = world(rows, entities)
    with Stopwatch() as watch:
        for values in scores.values():
            for metric in (average_precision_score, roc_auc_score, log_loss, brier_score_loss):
                metric(labels, values)
    return {"seconds": watch.seconds, "processor seconds": watch.processor_seconds}


def world(
    rows: int, entities: int
) -> tuple[npt.NDArray[np.bool_], dict[str, npt.NDArray[np.float64]], npt.NDArray[np.int64]]:
    """Labels, the scores of two models, and each row's entity."""
    chance = np.random.default_rng(2017)
    labels = chance.random(rows) < SHARE_TRUE
    scores = {
        name: 1 / (1 + np.exp(1.5 - strength * labels - chance.normal(size=rows)))
        for name, strength in (("ours", 1.0), ("theirs", 0.8))
    }
    return labels, scores, chance.integers(0, entities, rows)


if __name__ == "__main__":
    main()
