"""Features that know too much: one that tells the label nearly alone, or only when it is read just before the label.

Each feature is judged by itself, as a score of its own: the mean label in each of its bins, learned on half of the
entities and asked of the others. A feature that carries the label under another name tells it almost always. One that
carries something of the label's own future tells it well at the row's moment, and hardly any more when the entity's row
of one horizon earlier is read instead, whereas what is honestly known of an entity changes little in that time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from transformations.engine.base.errors import UsageError
from transformations.engine.base.moments import MICROSECOND
from transformations.models.checking.rows import Labelled, folds_of
from transformations.models.evaluation.baselines import fit_baselines
from transformations.models.evaluation.metrics import Bools, Integers, roc_auc
from transformations.models.records.criteria import Baseline

TOO_GOOD = 0.98
_CLEAR = 0.8
_KEPT = 1 / 3
_LEAST_ROWS = 200
_MOST_ROWS = 100_000
_BINS = 50


@dataclass(frozen=True)
class Suspect:
    """A feature that may leak. area: its ROC AUC; earlier: that of its value one horizon before, where it was read."""

    feature: str
    area: float
    earlier: float | None

    @property
    def message(self) -> str:
        """What is wrong with it."""
        if self.earlier is None:
            return f"{self.feature}: alone it tells the label with ROC AUC {self.area:.3f}"
        return (
            f"{self.feature}: alone it tells the label with ROC AUC {self.area:.3f}, and {self.earlier:.3f} when it is "
            f"read one horizon earlier"
        )


def suspects(rows: Labelled, seed: int = 0) -> tuple[Suspect, ...]:
    """The features that may leak, the clearest first; none in a regression, or where all labels are alike."""
    rows = rows.head(_MOST_ROWS)
    if not len(rows) or not rows.is_classification or rows.labels.all() or not rows.labels.any():
        return ()
    learned = folds_of(rows.entities, 2, seed) == 0
    if learned.all() or not learned.any():
        return ()
    earlier = rows_one_horizon_earlier(rows)
    found = (_judge(rows, feature, learned, earlier) for feature in rows.features)
    return tuple(sorted((each for each in found if each is not None), key=lambda each: (-each.area, each.feature)))


def rows_one_horizon_earlier(rows: Labelled) -> Integers:
    """For each row the place of the same entity's newest row that is a horizon older at least; −1 where there is none.

    who  day    horizon 7 days: the row of day 8 finds that of day 1; that of day 1 finds none
    a    1
    a    8
    """
    entities, moments = rows.entities, rows.moments
    known, rank = np.unique(moments, return_inverse=True)
    place = entities * len(known)  # an entity's rows are neighbours, in the order of their moments
    order = np.argsort(place + rank, kind="stable")
    wanted = np.searchsorted(known, moments - rows.horizon // MICROSECOND, side="right") - 1
    found = np.searchsorted((place + rank)[order], place + wanted, side="right") - 1
    candidate = order[np.clip(found, 0, None)]
    fits = (found >= 0) & (wanted >= 0) & (entities[candidate] == entities)
    return np.where(fits, candidate, -1)


def _judge(rows: Labelled, feature: str, learned: Bools, earlier: Integers) -> Suspect | None:
    declared = {feature: Baseline(kind="binned_feature", feature=feature, bins=_BINS)}
    column, labels = rows.table.select([feature]), rows.labels
    try:
        scores = fit_baselines(declared, column.filter(learned), labels[learned])[feature].predict(column)
    except UsageError:
        return None  # of a type that no model takes either
    area = roc_auc(labels[~learned], scores[~learned])
    if area >= TOO_GOOD:
        return Suspect(feature, area, None)
    compared = ~learned & (earlier >= 0)
    if area < _CLEAR or compared.sum() < _LEAST_ROWS:
        return None
    now, then = (roc_auc(labels[compared], each) for each in (scores[compared], scores[earlier[compared]]))
    collapses = now >= _CLEAR and then - 0.5 < (now - 0.5) * _KEPT
    return Suspect(feature, now, then) if collapses else None
