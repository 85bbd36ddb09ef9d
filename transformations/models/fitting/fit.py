"""From two splits to all parts of an artifact: transformations, model, calibrator, decision, reference histograms."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from transformations.engine.base.errors import DataError, FeaturesError, UsageError
from transformations.engine.base.machine import processors
from transformations.engine.base.words import plural
from transformations.models.declaration.config import Declaration
from transformations.models.declaration.reading import settings_of
from transformations.models.declaration.resolution import Resolved
from transformations.models.evaluation.metrics import measure
from transformations.models.fitting.calibrators import fit_calibrator
from transformations.models.fitting.decisions import choose
from transformations.models.fitting.preparation import fit_transformations, train_matrix
from transformations.models.fitting.reference import histogram, input_histograms
from transformations.models.fitting.split import Split, halves_by_time, refuse_one_class, split_of
from transformations.models.records.artifact import FILE as MANIFEST_FILE
from transformations.models.records.artifact import Calibrator, DecisionValue, ScoreIdentity
from transformations.models.records.base import content_id
from transformations.models.records.criteria import Metric
from transformations.models.records.reference import Reference
from transformations.models.scoring.artifact import REFERENCE_FILE
from transformations.models.scoring.calibration import calibrated
from transformations.models.scoring.fitted import FILE as FITTED_FILE
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

_TRIED_ROWS = 64
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_OUR_FILES = frozenset({MANIFEST_FILE, FITTED_FILE, REFERENCE_FILE, "SHA256SUMS"})
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


def threads_of(declaration: Declaration) -> tuple[int, list[str]]:
    """The threads that a trainer gets, and a warning where the machine has fewer processors than are declared.

    The model is the same with any number.
    """
    there = processors()
    if declaration.threads <= there:
        return declaration.threads, []
    few = f"threads: {declaration.threads} are declared and {plural(there, 'processor')} there, so {there} are used"
    return there, [few]


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
    threads, capped = threads_of(declaration)
    warnings = (*declaration.warnings(), *capped, *_empty_inputs(train))
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
        threads=threads,
        report=report or (lambda _iteration, _metrics: None),
    )
    with _blaming(declaration.trainer):
        files = _files_of(trainer.fit(job), declaration.trainer)
        scorer = trainer.load(files, declaration.task, threads)
        matrix = transformations.matrix(later.inputs, trainer.dtype)
        raw = np.asarray(scorer(matrix), dtype=np.float64)
        few = np.asarray(scorer(matrix[:_TRIED_ROWS][::-1].copy()), dtype=np.float64)[::-1]
    if raw.shape != (len(later),) or not np.isfinite(raw).all():
        raise DataError(
            f"trainer {trainer.name} made a model whose scores are no finite numbers. Lower its learning rate."
        )
    if not np.array_equal(few, raw[:_TRIED_ROWS]):
        raise DataError(
            f"trainer {trainer.name} made a model that scores a row otherwise among other rows, or in another order. A "
            f"row's score must follow from that row alone."
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


@contextmanager
def _blaming(trainer: str) -> Iterator[None]:
    """Errors of a trainer of one's own as such: they are no faults of the platform."""
    try:
        yield
    except (FeaturesError, OSError, MemoryError):
        raise
    except Exception as error:
        if code_of(trainer) is None:
            raise
        raise UsageError(
            f"trainer {trainer} failed: {type(error).__name__}: {error}. Correct it; FEATURES_DEBUG=1 before the "
            f"command shows where."
        ) from error


def _files_of(made: Files, trainer: str) -> Files:
    """A trainer's files by name. UsageError for one that would be no file of the artifact's folder alone."""
    for name, content in made.items():
        if _FILE_NAME.fullmatch(name) is None or name in _OUR_FILES:
            raise UsageError(f"trainer {trainer}: {name!r} cannot be a file's name. Write such as model.json.")
        if not isinstance(content, bytes):
            raise UsageError(f"trainer {trainer}: file {name} is {type(content).__name__}. Give bytes.")
    return dict(sorted(made.items()))


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
