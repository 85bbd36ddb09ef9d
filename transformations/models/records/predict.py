"""What `predict(artifact, rows)` takes and gives: the one way from a row to its score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

import pyarrow as pa

Artifact_contra = TypeVar("Artifact_contra", contravariant=True)


@dataclass(frozen=True)
class Predictions:
    """A score a row, in the order of the rows; with a decision where the artifact holds one.

    scores: float64 without nulls: the probability of the label, calibrated where the artifact says so, or the value of
    a regression. decisions: whether to act.
    """

    scores: pa.DoubleArray
    decisions: pa.BooleanArray | None


class Predict(Protocol[Artifact_contra]):
    """The signature of `predict`.

    rows: a table with a column of the artifact's every input, by name; others are ignored. Each column is cast once to
    the dtype that the artifact declares: an integer that the dtype cannot hold and a text in place of a number are
    refused by column and row. NaN is null. Null and what training never saw (a category, say) are missing values, which
    every trainer has a documented answer to. Infinity is refused.

    The score of a row is the same bits alone, in any batch, at any place in it, with any number of threads, and after
    saving and loading. No rows give no scores.
    """

    def __call__(self, artifact: Artifact_contra, rows: pa.Table, /) -> Predictions:
        """The score of every row."""
        ...
