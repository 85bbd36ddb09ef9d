"""The one way from a row to its score; batch, evaluation and the server call nothing else."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transformations.engine.base.errors import DataError
from transformations.models.records.predict import Predict, Predictions
from transformations.models.scoring.artifact import Artifact
from transformations.models.scoring.calibration import calibrated
from transformations.models.scoring.columns import Columns
from transformations.models.scoring.inputs import cast_inputs
from transformations.models.trainers.interface import Floats, Matrix


def predict(artifact: Artifact, rows: pa.Table, /) -> Predictions:
    """The score of every row, and the decision where the artifact holds one; see records/predict.py for the promise."""
    return predict_matrix(artifact, matrix_of(artifact, rows))


def predict_values(artifact: Artifact, rows: Columns) -> tuple[list[float], list[bool] | None]:
    """As `predict`, from and to Python's own values, to the bit: a request of one row feels the way through Arrow."""
    scores, decisions = _decided(artifact, matrix_of(artifact, rows))
    return scores.tolist(), None if decisions is None else decisions.tolist()


def matrix_of(artifact: Artifact, rows: pa.Table | Columns) -> Matrix:
    """The rows as the model takes them, in the order of its columns."""
    if isinstance(rows, Columns):
        matrix = artifact.short_way.matrix(rows) if artifact.short_way else None
        if matrix is not None:
            return matrix
        rows = rows.table()
    inputs = cast_inputs(rows, artifact.manifest.scores.inputs)
    return artifact.transformations.matrix(inputs, artifact.trainer.dtype)


def predict_matrix(artifact: Artifact, matrix: Matrix) -> Predictions:
    """The scores of rows that are in the model's form already."""
    scores, decisions = _decided(artifact, matrix)
    return Predictions(scores=pa.array(scores), decisions=None if decisions is None else pa.array(decisions))


def _decided(artifact: Artifact, matrix: Matrix) -> tuple[Floats, npt.NDArray[np.bool_] | None]:
    scores, decision = _scores(artifact, matrix), artifact.manifest.scores.decision
    return scores, None if decision is None else scores >= decision.threshold


def _scores(artifact: Artifact, matrix: Matrix) -> Floats:
    if not len(matrix):
        return np.empty(0)
    raw = np.ascontiguousarray(artifact.scorer(matrix), dtype=np.float64)
    if raw.shape != (len(matrix),) or not np.isfinite(raw).all():
        raise DataError(
            f"trainer {artifact.trainer.name}: its scorer gave {raw.shape} for {len(matrix):,} rows, or a score that "
            f"is no finite number. Mend the trainer."
        )
    if artifact.manifest.scores.task == "regression":
        return raw
    return calibrated(raw, artifact.manifest.scores.calibrator)


_: Predict[Artifact] = predict
