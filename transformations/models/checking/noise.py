"""How many labels are likely to be wrong: those that contradict a model where it is surest.

A model is trained on two thirds of the entities and asked about the last third, three times. Among the tenth of the
rows that it gives the lowest scores, true labels speak against it; among the tenth with the highest scores, false ones
do. Where a share of all labels was flipped, at least that share speaks against it at both ends, however good the model.
At one end it may be more, because some outcomes cannot be foreseen. So the smaller of the two shares is reported: an
upper bound of evenly flipped labels, which is close where at least one end is clear-cut.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from transformations.engine.base.words import plural
from transformations.models.checking.rows import Labelled, folds_of, matrix_of
from transformations.models.evaluation.metrics import Floats, roc_auc
from transformations.models.trainers.interface import Job, Rows, refuse_missing_library, trainer_of

_TRAINER = "xgboost"
_SETTINGS = {"rounds": 60, "max_depth": 4, "learning_rate": 0.1, "subsample": 0.8}
_FOLDS = 3
_MOST_ROWS = 30_000
_LEAST_ROWS = 500
_SUREST = 0.1
_LEAST_AUC = 0.6


@dataclass(frozen=True)
class Noise:
    """share: of labels that contradict a confident model; None where it cannot be measured, for the reason given."""

    share: float | None
    area: float | None = None
    reason: str = ""


def label_noise(rows: Labelled, seed: int = 0) -> Noise:
    """The share of labels that contradict an out-of-fold model at the end where it is surest."""
    rows = rows.head(_MOST_ROWS)
    if not rows.is_classification:
        return Noise(None, reason="the label is a number, and is not judged")
    if len(rows) < _LEAST_ROWS:
        return Noise(None, reason=f"{plural(len(rows), 'row')} of the train split, and {_LEAST_ROWS} would be enough")
    labels = rows.labels
    if labels.all() or not labels.any():
        return Noise(None, reason="all labels are alike")
    matrix = matrix_of(rows.table, rows.features)
    if not matrix.shape[1]:
        return Noise(None, reason="no feature is a number, a truth value or a text")
    scores = _out_of_fold(rows, matrix, seed)
    area = roc_auc(labels, scores)
    if area < _LEAST_AUC:
        return Noise(None, area, f"the features hardly tell labels apart (ROC AUC {area:.2f} out of fold)")
    order = np.argsort(scores, kind="stable")
    count = int(len(order) * _SUREST)
    lowest, highest = labels[order[:count]], labels[order[-count:]]
    return Noise(float(min(lowest.mean(), 1 - highest.mean())), area)


def _out_of_fold(rows: Labelled, matrix: Floats, seed: int) -> Floats:
    """The raw score of each row by a model that has seen no row of its entity."""
    trainer = trainer_of(_TRAINER)
    refuse_missing_library(trainer)
    labels = rows.labels.astype(np.float64)
    folds = folds_of(rows.entities, _FOLDS, seed)
    scores = np.zeros(len(rows))
    for fold in range(_FOLDS):
        held_out = folds == fold
        if held_out.all() or not held_out.any():
            continue
        train = Rows(matrix=matrix[~held_out].astype(trainer.dtype), labels=labels[~held_out])
        settings = trainer.settings.model_validate(_SETTINGS)
        job = Job(task="binary_classification", train=train, settings=settings, seed=seed)
        scores[held_out] = trainer.load(trainer.fit(job), "binary_classification", 1)(
            matrix[held_out].astype(trainer.dtype)
        )
    return scores
