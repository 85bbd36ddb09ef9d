"""What each column adds to a row's raw score: the trainer's own exact account, so that all of it sums to the score."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from transformations.engine.base.errors import UsageError
from transformations.models.scoring.artifact import Artifact
from transformations.models.scoring.predict import matrix_of
from transformations.models.trainers.interface import Floats


@dataclass(frozen=True, kw_only=True)
class Contributions:
    """parts: what each of the model's columns adds, a row each. base: what the score begins with, a row each.

    base and all parts of a row sum to its raw score: log-odds before calibration, or the value of a regression.
    """

    names: tuple[str, ...]
    parts: Floats
    base: Floats


def contributions_of(artifact: Artifact, rows: pa.Table) -> Contributions:
    """The contributions of the rows that `predict` takes. UsageError where the model's trainer cannot tell them."""
    explainer = artifact.explainer()
    if explainer is None:
        raise UsageError(
            f"trainer {artifact.trainer.name} tells no contributions. Give it `explain`, or leave explain out."
        )
    found = explainer(matrix_of(artifact, rows))
    return Contributions(names=artifact.manifest.scores.columns, parts=found[:, :-1], base=found[:, -1])
