"""Boosted trees by LightGBM, stored as its own text. A missing value goes the way that training learned for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from transformations.models.records.artifact import Task
from transformations.models.records.base import Part
from transformations.models.trainers.interface import Explainer, Files, Floats, Job, Matrix, Scorer, Trainer

if TYPE_CHECKING:
    import lightgbm.callback

_FILE = "model.txt"
_Share = Annotated[float, Field(gt=0, le=1)]
_OBJECTIVES: Mapping[Task, tuple[str, str]] = {
    "binary_classification": ("binary", "binary_logloss"),
    "regression": ("regression", "rmse"),
}


class Settings(Part):
    """Hyperparameters under LightGBM's own names. With early stopping the model keeps the best iteration's trees."""

    rounds: Annotated[int, Field(ge=1)] = 200
    early_stopping_rounds: Annotated[int, Field(ge=1)] | None = None
    num_leaves: Annotated[int, Field(ge=2)] = 31
    max_depth: int = -1
    learning_rate: Annotated[float, Field(gt=0)] = 0.1
    min_data_in_leaf: Annotated[int, Field(ge=1)] = 20
    bagging_fraction: _Share = 1.0
    bagging_freq: Annotated[int, Field(ge=0)] = 0
    feature_fraction: _Share = 1.0
    lambda_l1: Annotated[float, Field(ge=0)] = 0.0
    lambda_l2: Annotated[float, Field(ge=0)] = 0.0
    max_bin: Annotated[int, Field(ge=2)] = 255


def _fit(job: Job) -> Files:
    import lightgbm

    settings = Settings.model_validate(job.settings.model_dump())
    objective, metric = _OBJECTIVES[job.task]
    parameters = settings.model_dump(exclude={"rounds", "early_stopping_rounds"}) | {
        "objective": objective,
        "metric": metric,
        "seed": job.seed,
        "num_threads": job.threads,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    train = lightgbm.Dataset(job.train.matrix, job.train.labels, weight=job.train.weights, params=parameters)
    watched = []
    if job.validation is not None:
        rows = job.validation
        watched = [train.create_valid(rows.matrix, rows.labels, weight=rows.weights)]

    def report(environment: lightgbm.callback.CallbackEnv) -> None:
        values = {f"validation_{each[1]}": float(each[2]) for each in environment.evaluation_result_list or ()}
        job.report(environment.iteration + 1, values)

    callbacks: list[Callable[[lightgbm.callback.CallbackEnv], None]] = [report]
    if settings.early_stopping_rounds and watched:
        callbacks.append(_early_stopping(settings.early_stopping_rounds))
    booster = lightgbm.train(
        parameters,
        train,
        settings.rounds,
        valid_sets=watched,
        valid_names=["validation"] * len(watched),
        callbacks=callbacks,
    )
    best = booster.best_iteration if booster.best_iteration > 0 else None
    return {_FILE: _without_parameters(booster.model_to_string(num_iteration=best)).encode()}


def _early_stopping(rounds: int) -> Callable[[lightgbm.callback.CallbackEnv], None]:
    import lightgbm

    stop = lightgbm.early_stopping(rounds, verbose=False)

    def after_iteration(environment: lightgbm.callback.CallbackEnv) -> None:
        stop(environment)

    return after_iteration


def _without_parameters(text: str) -> str:
    """The model's text without the parameters it was trained with, which name the number of threads."""
    before, _, rest = text.partition("\nparameters:\n")
    _, _, after = rest.partition("end of parameters\n")
    return f"{before}\n{after}"


def _load(files: Files, _task: Task, threads: int) -> Scorer:
    import lightgbm

    booster = lightgbm.Booster(model_str=files[_FILE].decode())

    def score(matrix: Matrix) -> Floats:
        if not len(matrix):
            return np.empty(0)
        return np.asarray(booster.predict(matrix, raw_score=True, num_threads=threads), dtype=np.float64)

    return score


def _explain(files: Files, _task: Task) -> Explainer:
    """Exact TreeSHAP, which LightGBM has built in."""
    import lightgbm

    booster = lightgbm.Booster(model_str=files[_FILE].decode())

    def explain(matrix: Matrix) -> Floats:
        found = booster.predict(matrix, pred_contrib=True, num_threads=1)
        return np.asarray(found, dtype=np.float64).reshape(len(matrix), -1)

    return explain


trainer = Trainer(name="lightgbm", fit=_fit, load=_load, settings=Settings, library="lightgbm", explain=_explain)
