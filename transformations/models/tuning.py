"""Searching the hyperparameters of a declared model: on train and validation rows alone, the same for the same seed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from pydantic import JsonValue

from transformations.engine.base.disk_faults import faults_in_words
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.settings import Settings
from transformations.models.checking.check import check_dataset, refuse_breaches
from transformations.models.declaration.config import Declaration, Span, Tuning
from transformations.models.declaration.reading import FOLDER, read_declared
from transformations.models.declaration.resolution import Resolved, resolve
from transformations.models.evaluation.metrics import measure
from transformations.models.fitting.fit import threads_of
from transformations.models.fitting.preparation import fit_transformations, train_matrix
from transformations.models.fitting.split import Split, halves_by_time, refuse_one_class, split_of
from transformations.models.records.criteria import HIGHER_IS_BETTER, Metric
from transformations.models.scoring.calibration import calibrated
from transformations.models.tracking.runs import run_of
from transformations.models.trainers.interface import Job, Matrix, Rows, refuse_missing_library, trainer_of
from transformations.models.training import Pinned, pinned_dataset

if TYPE_CHECKING:
    import optuna

Hyperparameters = dict[str, JsonValue]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One trial. hyperparameters: of the space. value: of the metric; None where nothing could be learned with them."""

    number: int
    run_id: str
    hyperparameters: Mapping[str, JsonValue]
    value: float | None


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What a search found. hyperparameters: all of the best trial, for the declaration. run_id: the trials' parent."""

    model: str
    metric: Metric
    run_id: str
    best: Trial
    hyperparameters: Mapping[str, JsonValue]
    trials: tuple[Trial, ...]


@faults_in_words()
def tune(
    name: str, repository: Path, settings: Settings, *, done: Callable[[Trial], None] = lambda _trial: None
) -> Tuned:
    """Search the space that a declaration writes under `tuning`; the declaration itself stays as it is.

    Each trial trains on the train split and is measured on validation rows: the earlier half where calibrator or
    threshold need the later one. The test split is never read but to verify its hash. The declared hyperparameters are
    the first trial. The same declaration, dataset and libraries give the same trials. done: called after each.

    UsageError where no space is declared; DataError where no trial learned anything; ServiceUnavailableError without
    MLflow, in which the search is a run and each trial a child of it.
    """
    declaration = read_declared(repository, name)
    tuning = _tuning_of(declaration)
    trainer = trainer_of(declaration.trainer)
    refuse_missing_library(trainer)
    optuna = _optuna()
    dataset = pinned_dataset(declaration.dataset, settings)
    resolved = resolve(declaration, dataset.manifest, dataset.columns)
    rows = {split: dataset.rows(split) for split in ("train", "validation")}
    refuse_breaches(declaration.dataset, check_dataset(dataset.manifest, rows, settings.contracts))
    metric: Metric = tuning.metric or ("log_loss" if declaration.task == "binary_classification" else "rmse")
    candidate = _Candidate.of(resolved, dataset, metric)
    study = optuna.create_study(
        direction="maximize" if metric in HIGHER_IS_BETTER else "minimize",
        sampler=optuna.samplers.TPESampler(seed=declaration.seed),
    )
    study.enqueue_trial(_declared(declaration, tuning))
    trials: list[Trial] = []
    with run_of(name, settings) as parent:
        parent.describe(
            {"trials": tuning.trials, "metric": metric, "seed": declaration.seed, "dataset": declaration.dataset},
            {"features.dataset_hash": dataset.hash, "mlflow.runName": f"tuning of {name}"},
        )
        for number in range(tuning.trials):
            asked = study.ask()
            chosen = {key: _suggest(asked, key, span) for key, span in tuning.space.items()}
            with run_of(name, settings, parent) as run:
                run.describe({f"hyperparameters.{key}": value for key, value in chosen.items()}, {})
                value = candidate.value_of(chosen)
                if value is not None:
                    run.record({f"validation_{metric}": value}, 0)
            study.tell(asked, value, state=None if value is not None else optuna.trial.TrialState.FAIL)
            trials.append(Trial(number=number + 1, run_id=run.id, hyperparameters=chosen, value=value))
            done(trials[-1])
        best = _best(name, trials, metric)
        parent.record({f"validation_{metric}": best.value or 0.0, "best_trial": best.number}, 0)
    return Tuned(
        model=name,
        metric=metric,
        run_id=parent.id,
        best=best,
        hyperparameters={**declaration.hyperparameters, **best.hyperparameters},
        trials=tuple(trials),
    )


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    """What every trial shares: the rows as the trainer takes them, and those that it is measured on."""

    resolved: Resolved
    metric: Metric
    job: Job
    measured: Split
    matrix: Matrix

    @classmethod
    def of(cls, resolved: Resolved, dataset: Pinned, metric: Metric) -> _Candidate:
        declaration, trainer = resolved.declaration, trainer_of(resolved.declaration.trainer)
        train = split_of(dataset.rows("train"), "train", resolved)
        validation = split_of(dataset.rows("validation"), "validation", resolved)
        seen = halves_by_time(validation)[0] if declaration.holds_rows_back else validation
        if declaration.task == "binary_classification":
            refuse_one_class(train, "there is nothing to tell apart")
            refuse_one_class(seen, "trials cannot be told apart")
        transformations = fit_transformations(resolved, train)
        matrix = transformations.matrix(seen.inputs, trainer.dtype)
        learned = train_matrix(transformations, resolved, train, trainer)
        job = Job(
            task=declaration.task,
            train=Rows(matrix=learned, labels=train.labels, weights=train.weights),
            validation=Rows(matrix=matrix, labels=seen.labels, weights=seen.weights),
            settings=trainer.settings.model_validate(declaration.hyperparameters),
            seed=declaration.seed,
            threads=threads_of(declaration)[0],
        )
        return cls(resolved=resolved, metric=metric, job=job, measured=seen, matrix=matrix)

    def value_of(self, chosen: Hyperparameters) -> float | None:
        """The metric with these hyperparameters; None where the model's scores are not finite numbers."""
        declaration = self.resolved.declaration
        trainer = trainer_of(declaration.trainer)
        settings = trainer.settings.model_validate({**declaration.hyperparameters, **chosen})
        files = trainer.fit(replace(self.job, settings=settings))
        raw = np.asarray(
            trainer.load(files, declaration.task, threads_of(declaration)[0])(self.matrix), dtype=np.float64
        )
        if not np.isfinite(raw).all():
            return None
        scores = raw if declaration.task == "regression" else calibrated(raw, None)
        value = measure(self.metric, self.measured.labels, scores, quantile=declaration.evaluation.quantile)
        return float(value) if np.isfinite(value) else None


def _tuning_of(declaration: Declaration) -> Tuning:
    if declaration.tuning is None:
        raise UsageError(
            f"{FOLDER}/{declaration.name}.yaml says nothing of tuning. Write the space to search, such as\n"
            f"tuning:\n  trials: 30\n  space:\n    max_depth: {{low: 2, high: 8}}"
        )
    return declaration.tuning


def _declared(declaration: Declaration, tuning: Tuning) -> Hyperparameters:
    """The declared hyperparameters that lie in the space; the others are left to the search."""
    given = {key: value for key, value in declaration.hyperparameters.items() if key in tuning.space}
    return {
        key: tuning.space[key].choices.index(value) if tuning.space[key].choices else value
        for key, value in given.items()
        if _lies_in(value, tuning.space[key])
    }


def _lies_in(value: JsonValue, span: Span) -> bool:
    if span.choices:
        return value in span.choices
    if span.low is None or span.high is None or not isinstance(value, int | float):
        return False
    return span.low <= value <= span.high


def _suggest(trial: optuna.Trial, key: str, span: Span) -> JsonValue:
    if span.choices:
        place = trial.suggest_categorical(key, list(range(len(span.choices))))
        return span.choices[place]
    if span.low is None or span.high is None:
        raise ValueError(f"{key} has no span")
    if isinstance(span.low, int) and isinstance(span.high, int):
        return trial.suggest_int(key, span.low, span.high, log=span.log)
    return trial.suggest_float(key, float(span.low), float(span.high), log=span.log)


def _best(name: str, trials: list[Trial], metric: Metric) -> Trial:
    """The best trial; of equal ones the first."""
    known = [trial for trial in trials if trial.value is not None]
    if not known:
        raise DataError(f"model {name}: none of {len(trials)} trials learned anything. Narrow the space.")
    sign = -1.0 if metric in HIGHER_IS_BETTER else 1.0
    return min(known, key=lambda trial: sign * (trial.value or 0.0))


def _optuna() -> ModuleType:
    if importlib.util.find_spec("optuna") is None:
        raise UsageError("Optuna, which searches, is not installed: pip install 'feature-platform[models]'.")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
