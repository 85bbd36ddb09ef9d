"""From two splits to all parts of an artifact: transformations, model, calibrator, decision, reference histograms."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from transformations.engine.base.errors import DataError
from transformations.models.declaration.reading import settings_of
from transformations.models.declaration.resolution import Resolved
from transformations.models.evaluation.metrics import measure
from transformations.models.fitting.calibrators import fit_calibrator
from transformations.models.fitting.decisions import choose
from transformations.models.fitting.preparation import fit_transformations, train_matrix
from transformations.models.fitting.reference import histogram, input_histograms
from transformations.models.fitting.split import Split, halves_by_time, refuse_one_class, split_of
from transformations.models.records.artifact import Calibrator, DecisionValue, ScoreIdentity
from transformations.models.records.base import content_id
from transformations.models.records.criteria import Metric
from transformations.models.records.reference import Reference
from transformations.models.scoring.calibration import calibrated
from transformations.models.scoring.fitted import Fitted
from transformations.models.trainers.interface import (
    Files,
    Floats,
    Job,
    Rows,
    code_of,
    refuse_missing_library,
    trainer_of,
)

Report = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What training gives. metrics: on the validation rows that early stopping did not see, where there are such."""

    scores: ScoreIdentity
    transformations: Fitted
    files: Files
    reference: Reference
    metrics: Mapping[str, float]
    decision_value: DecisionValue | None
    rows: Mapping[str, int]
    warnings: tuple[str, ...]

    @property
    def id(self) -> str:
        """The artifact's id."""
        return content_id(self.scores)


def fit(resolved: Resolved, train_rows: pa.Table, validation_rows: pa.Table, report: Report | None = None) -> Fit:
    """Train a model on two splits of a dataset, in their order. The same rows, declaration and seed give the same id.

    report: called after each iteration of the trainer, with metrics by name. DataError where nothing can be learned.
    """
    declaration = resolved.declaration
    trainer = trainer_of(declaration.trainer)
    refuse_missing_library(trainer)
    train = split_of(train_rows, "train", resolved)
    del train_rows
    validation = split_of(validation_rows, "validation", resolved)
    if declaration.task == "binary_classification":
        refuse_one_class(train, "there is nothing to tell apart")
    stopping, later = halves_by_time(validation) if declaration.holds_rows_back else (validation, validation)
    transformations = fit_transformations(resolved, train)
    histograms, rows = input_histograms(train), {"train": len(train), "validation": len(validation)}
    warnings = (*declaration.warnings(), *_empty_inputs(train))
    learned = Rows(
        matrix=train_matrix(transformations, resolved, train, trainer), labels=train.labels, weights=train.weights
    )
    del train  # whose columns take as much memory as the matrix
    job = Job(
        task=declaration.task,
        train=learned,
        validation=Rows(
            matrix=transformations.matrix(stopping.inputs, trainer.dtype),
            labels=stopping.labels,
            weights=stopping.weights,
        ),
        settings=settings_of(declaration),
        seed=declaration.seed,
        threads=declaration.threads,
        report=report or (lambda _iteration, _metrics: None),
    )
    files = dict(sorted(trainer.fit(job).items()))
    scorer = trainer.load(files, declaration.task, declaration.threads)
    raw = np.asarray(scorer(transformations.matrix(later.inputs, trainer.dtype)), dtype=np.float64)
    if raw.shape != (len(later),) or not np.isfinite(raw).all():
        raise DataError(
            f"trainer {trainer.name} made a model whose scores are no finite numbers. Lower its learning rate."
        )
    calibrator = _calibrator(resolved, raw, later)
    scores = raw if declaration.task == "regression" else calibrated(raw, calibrator)
    decision, decision_value = (
        (None, None)
        if declaration.decision is None
        else choose(declaration.decision, scores, later, declaration.evaluation.seed)
    )
    code = code_of(declaration.trainer)
    return Fit(
        scores=ScoreIdentity(
            task=declaration.task,
            trainer=declaration.trainer,
            inputs=resolved.inputs,
            columns=transformations.columns,
            transformations=transformations.hash,
            files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
            calibrator=calibrator,
            decision=decision,
            loader=code.load if code else None,
        ),
        transformations=transformations,
        files=files,
        reference=Reference(rows=rows["train"], features=histograms, scores=histogram(scores)),
        metrics=_metrics(resolved, scores, later),
        decision_value=decision_value,
        rows=rows,
        warnings=warnings,
    )


def _calibrator(resolved: Resolved, margins: Floats, later: Split) -> Calibrator | None:
    method = resolved.declaration.calibration
    if method == "none":
        return None
    refuse_one_class(later, "there is nothing to calibrate by")
    return fit_calibrator(method, margins, later.labels)


def _metrics(resolved: Resolved, scores: Floats, split: Split) -> dict[str, float]:
    """A few figures on the validation rows, for people who watch; evaluation has all of them, on the test split."""
    metrics: tuple[Metric, ...] = ("rmse",)
    if resolved.declaration.task == "binary_classification":
        metrics = ("log_loss", "average_precision")
    found = {f"validation_{metric}": measure(metric, split.labels, scores) for metric in metrics}
    return {name: value for name, value in found.items() if np.isfinite(value)}


def _empty_inputs(train: Split) -> list[str]:
    return [
        f"{name} is null in every row of the train split, so it tells nothing. Leave it out."
        for name, column in train.inputs.items()
        if column.null_count == len(column)
    ]
