"""Linear models as numbers in JSON, scored by sums in one fixed order.

A product of matrices by BLAS gives one row and the same row of a batch different bits; a running sum does not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from transformations.engine.base.errors import DataError
from transformations.models.records.base import canonical_text
from transformations.models.trainers.interface import Explainer, Files, Floats, Matrix, Scorer

_FILE = "model.json"
_BLOCK = 65_536


@contextmanager
def one_thread() -> Iterator[None]:
    """Let linear algebra use one thread: the sums of several have another order, and so other bits."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield


def standardised(matrix: Matrix) -> tuple[Floats, Floats, Floats]:
    """The matrix with missing values at their column's mean and columns in units of their deviation; means, deviations.

    A column that is missing throughout, or does not vary, is 0.
    """
    values = np.asarray(matrix, dtype=np.float64)
    there = ~np.isnan(values)
    counts = np.maximum(there.sum(axis=0), 1)
    means = np.where(there, values, 0.0).sum(axis=0) / counts
    filled = np.where(there, values, means)
    deviations = filled.std(axis=0)
    return (filled - means) / np.where(deviations > 0, deviations, 1.0), means, deviations


def files_of(weights: Floats, intercept: float, means: Floats, deviations: Floats) -> Files:
    """The model of standardised columns, as one of the columns as they are."""
    scaled = np.where(deviations > 0, weights / np.where(deviations > 0, deviations, 1.0), 0.0)
    document = {"intercept": float(intercept), "weights": scaled.tolist(), "means": means.tolist()}
    if not all(np.isfinite([document["intercept"], *scaled, *means])):
        raise DataError("the linear model has weights that are no finite numbers. Scale its inputs, or raise l2.")
    return {_FILE: canonical_text(document).encode()}


def load(files: Files) -> Scorer:
    """Score by the sum of weight × (value − mean) from the first column to the last, and the intercept; missing: 0."""
    model = _read(files)

    def score(matrix: Matrix) -> Floats:
        scores = np.empty(len(matrix))
        for start in range(0, len(matrix), _BLOCK):
            terms = model.terms(matrix[start : start + _BLOCK])
            scores[start : start + _BLOCK] = np.add.accumulate(terms, axis=1)[:, -1] + model.intercept
        return scores

    return score


def explain(files: Files) -> Explainer:
    """The terms themselves, and the intercept: what a row of mean values scores."""
    model = _read(files)

    def terms(matrix: Matrix) -> Floats:
        return np.column_stack([model.terms(matrix), np.full(len(matrix), model.intercept)])

    return terms


@dataclass(frozen=True)
class _Model:
    weights: Floats
    means: Floats
    intercept: float

    def terms(self, matrix: Matrix) -> Floats:
        """Weight × (value − mean); 0 where the value is missing."""
        distances = np.asarray(matrix, dtype=np.float64) - self.means
        found: Floats = np.where(np.isnan(distances), 0.0, distances) * self.weights
        return found


def _read(files: Files) -> _Model:
    document = json.loads(files[_FILE])
    return _Model(np.asarray(document["weights"]), np.asarray(document["means"]), float(document["intercept"]))
