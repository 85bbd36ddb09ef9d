"""Linear models as numbers in JSON, scored by sums in one fixed order.

A product of matrices by BLAS gives one row and the same row of a batch different bits; a running sum does not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from transformations.engine.base.errors import DataError
from transformations.models.records.base import canonical_text
from transformations.models.trainers.interface import Files, Floats, Matrix, Scorer

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
    document = json.loads(files[_FILE])
    weights, means = np.asarray(document["weights"]), np.asarray(document["means"])
    intercept = float(document["intercept"])

    def score(matrix: Matrix) -> Floats:
        scores = np.empty(len(matrix))
        for start in range(0, len(matrix), _BLOCK):
            distances = np.asarray(matrix[start : start + _BLOCK], dtype=np.float64) - means
            terms = np.where(np.isnan(distances), 0.0, distances) * weights
            scores[start : start + _BLOCK] = np.add.accumulate(terms, axis=1)[:, -1] + intercept
        return scores

    return score
