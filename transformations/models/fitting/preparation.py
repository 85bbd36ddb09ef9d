"""Fitting the declared transformations on the train split."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transformations.engine.base.errors import DataError
from transformations.models.declaration.config import DeclaredTransformation
from transformations.models.declaration.resolution import Resolved
from transformations.models.fitting.split import Split
from transformations.models.records.artifact import InputColumn
from transformations.models.scoring.fitted import (
    Fitted,
    OneHot,
    Plain,
    Scale,
    TargetEncoding,
    Transformation,
    Vocabulary,
    as_texts,
    places,
)
from transformations.models.scoring.inputs import numbers
from transformations.models.trainers.interface import Floats, Matrix, Trainer

_FOLDS = 5


def fit_transformations(resolved: Resolved, train: Split) -> Fitted:
    """The transformation of each input, fitted on the train split."""
    declared = resolved.declaration.transformations
    parts = [_fit(column, declared.get(column.name), train) for column in resolved.inputs]
    return Fitted(parts=tuple(parts))


def train_matrix(fitted: Fitted, resolved: Resolved, train: Split, trainer: Trainer) -> Matrix:
    """The train split's matrix. A row's target encoding comes from the other folds of rows, not its own label."""
    matrix = fitted.matrix(train.inputs, trainer.dtype)
    names = list(fitted.columns)
    for part in fitted.parts:
        if isinstance(part, TargetEncoding):
            smoothing = resolved.declaration.transformations[part.input].smoothing
            matrix[:, names.index(part.input)] = _out_of_fold(part, train, smoothing)
    return matrix


def _fit(column: InputColumn, declared: DeclaredTransformation | None, train: Split) -> Transformation:
    if declared is None:
        return Plain(input=column.name)
    values = train.inputs[column.name]
    if declared.kind == "scale":
        found = numbers(values)
        known = found[~np.isnan(found)]
        mean, deviation = (float(known.mean()), float(known.std())) if len(known) else (0.0, 0.0)
        return Scale(input=column.name, mean=mean, deviation=deviation)
    categories = _most_frequent(column.name, values, declared.most)
    if declared.kind == "one_hot":
        return OneHot(input=column.name, categories=categories)
    if declared.kind == "category":
        return Vocabulary(input=column.name, categories=categories)
    codes = places(values, categories)
    means, prior = _means(codes, train.labels, len(categories), declared.smoothing)
    return TargetEncoding(input=column.name, categories=categories, means=tuple(means.tolist()), prior=prior)


def _most_frequent(name: str, values: pa.Array, most: int) -> tuple[str, ...]:
    """The most frequent categories, of equal counts the first in the alphabet; in the order of the alphabet."""
    counts = pc.value_counts(as_texts(values).drop_null()).to_pylist()
    if not counts:
        raise DataError(f"{name} is null in every row of the train split, so it has no categories. Leave it out.")
    chosen = sorted(counts, key=lambda entry: (-entry["counts"], entry["values"]))[:most]
    return tuple(sorted(str(entry["values"]) for entry in chosen))


def _means(codes: npt.NDArray[np.int64], labels: Floats, categories: int, smoothing: float) -> tuple[Floats, float]:
    """The smoothed mean of the label in each category, and over all rows."""
    prior = float(labels.mean()) if len(labels) else 0.0
    known = codes >= 0
    inside = codes[known]
    sums = np.bincount(inside, weights=labels[known], minlength=categories)
    counts = np.bincount(inside, minlength=categories)
    return np.where(
        counts + smoothing > 0, (sums + smoothing * prior) / np.maximum(counts + smoothing, 1e-300), prior
    ), prior


def _out_of_fold(part: TargetEncoding, train: Split, smoothing: float) -> Floats:
    """Rows stand in a shuffled order, so that every fifth of them is a fold."""
    codes = places(train.inputs[part.input], part.categories)
    folds = np.arange(len(codes)) % _FOLDS
    encoded = np.empty(len(codes))
    for fold in range(_FOLDS):
        own = folds == fold
        means, prior = _means(codes[~own], train.labels[~own], len(part.categories), smoothing)
        encoded[own] = np.append(means, prior)[codes[own]]
    return encoded
