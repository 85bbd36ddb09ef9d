"""Features that know too much: one that tells the label nearly alone, or only when it is read just before the label.

Each feature is judged by itself, as a score of its own: the mean label in each of its bins, learned on half of the
entities and asked of the others. Columns of the spine, which a model may take as request fields, are judged as features
are. Of a regression the question is whether the label is above its median. A feature that carries the label under
another name tells it almost always. One that carries something of the label's own future tells it well at the row's
moment, and hardly any more when the entity's row of one horizon earlier is read instead, whereas what is honestly known
of an entity changes little in that time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

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
    """A feature that may leak. area: its ROC AUC; earlier: that of its value one horizon before, where it was read.
    what: it tells.
    """

    feature: str
    area: float
    earlier: float | None
    what: str = "the label"

    @property
    def message(self) -> str:
        """What is wrong with it."""
        if self.earlier is None:
            return f"{self.feature}: alone it tells {self.what} with ROC AUC {self.area:.3f}"
        return (
            f"{self.feature}: alone it tells {self.what} with ROC AUC {self.area:.3f}, and {self.earlier:.3f} when it "
            f"is read one horizon earlier"
        )


def suspects(rows: Labelled, seed: int = 0) -> tuple[Suspect, ...]:
    """The features that may leak, the clearest first; none where all labels are alike."""
    rows = rows.head(_MOST_ROWS)
    labels = _labels_of(rows)
    if not len(rows) or labels.all() or not labels.any():
        return ()
    learned = folds_of(rows.entities, 2, seed) == 0
    if learned.all() or not learned.any():
        return ()
    earlier = rows_one_horizon_earlier(rows)
    found = (_judge(rows, feature, labels, learned, earlier) for feature in (*rows.features, *rows.beside))
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


def _labels_of(rows: Labelled) -> Bools:
    """The labels of a classification; of a regression whether they are above their median."""
    if rows.is_classification:
        return rows.labels
    values = np.asarray(rows.table[rows.label].cast(pa.float64()).to_numpy(), dtype=np.float64)
    return np.asarray(values > np.nanmedian(values), dtype=np.bool_)


def _judge(rows: Labelled, feature: str, labels: Bools, learned: Bools, earlier: Integers) -> Suspect | None:
    declared = {feature: Baseline(kind="binned_feature", feature=feature, bins=_BINS)}
    column = rows.table.select([feature])
    what = "the label" if rows.is_classification else "whether the label is above its median"
    try:
        scores = fit_baselines(declared, column.filter(learned), labels[learned])[feature].predict(column)
    except UsageError:
        return None  # its type is one that no model takes
    area = roc_auc(labels[~learned], scores[~learned])
    if area >= TOO_GOOD:
        return Suspect(feature, area, None, what)
    compared = ~learned & (earlier >= 0)
    if area < _CLEAR or compared.sum() < _LEAST_ROWS:
        return None
    now, then = (roc_auc(labels[compared], each) for each in (scores[compared], scores[earlier[compared]]))
    collapses = now >= _CLEAR and then - 0.5 < (now - 0.5) * _KEPT
    return Suspect(feature, now, then, what) if collapses else None
