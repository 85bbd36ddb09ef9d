"""Boosted trees by XGBoost, stored as its binary JSON. A missing value goes the way that training learned for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from transformations.models.records.artifact import Task
from transformations.models.records.base import Part
from transformations.models.trainers.interface import Explainer, Files, Floats, Job, Matrix, Rows, Scorer, Trainer
from transformations.models.trainers.xgboost_calls import dense_margins
from transformations.models.trainers.xgboost_walk import walked

if TYPE_CHECKING:
    import xgboost

_FILE = "model.ubj"
_Share = Annotated[float, Field(gt=0, le=1)]
_OBJECTIVES: Mapping[Task, tuple[str, str]] = {
    "binary_classification": ("binary:logistic", "logloss"),
    "regression": ("reg:squarederror", "rmse"),
}


class Settings(Part):
    """Hyperparameters under XGBoost's own names. With early stopping the model keeps the best iteration's trees."""

    rounds: Annotated[int, Field(ge=1)] = 200
    early_stopping_rounds: Annotated[int, Field(ge=1)] | None = None
    max_depth: Annotated[int, Field(ge=0)] = 6
    learning_rate: Annotated[float, Field(gt=0)] = 0.1
    min_child_weight: Annotated[float, Field(ge=0)] = 1.0
    gamma: Annotated[float, Field(ge=0)] = 0.0
    subsample: _Share = 1.0
    colsample_bytree: _Share = 1.0
    reg_alpha: Annotated[float, Field(ge=0)] = 0.0
    reg_lambda: Annotated[float, Field(ge=0)] = 1.0
    max_bin: Annotated[int, Field(ge=2)] = 256
    max_leaves: Annotated[int, Field(ge=0)] = 0
    grow_policy: Literal["depthwise", "lossguide"] = "depthwise"


def _fit(job: Job) -> Files:
    import xgboost

    settings = Settings.model_validate(job.settings.model_dump())
    objective, metric = _OBJECTIVES[job.task]
    parameters = settings.model_dump(exclude={"rounds", "early_stopping_rounds"}) | {
        "objective": objective,
        "eval_metric": metric,
        "seed": job.seed,
        "nthread": job.threads,
        "tree_method": "hist",
        "verbosity": 0,
    }
    train = _quantiles(job.train, job, settings.max_bin, None)
    watched = (
        [] if job.validation is None else [(_quantiles(job.validation, job, settings.max_bin, train), "validation")]
    )

    class Report(xgboost.callback.TrainingCallback):
        """Passes the metrics of each iteration on."""

        def after_iteration(self, _model: Any, epoch: int, evals_log: Any) -> bool:
            job.report(epoch + 1, {f"validation_{metric}": evals_log["validation"][metric][-1]} if watched else {})
            return False

    booster = xgboost.train(
        parameters,
        train,
        settings.rounds,
        evals=watched,
        early_stopping_rounds=settings.early_stopping_rounds if watched else None,
        verbose_eval=False,
        callbacks=[Report()],
    )
    if settings.early_stopping_rounds and watched:
        booster = booster[: booster.best_iteration + 1]
    booster.set_attr(best_iteration=None, best_score=None)  # describes the run and changes no score
    return {_FILE: bytes(booster.save_raw("ubj"))}


def _quantiles(rows: Rows, job: Job, bins: int, ref: xgboost.DMatrix | None) -> xgboost.QuantileDMatrix:
    import xgboost

    return xgboost.QuantileDMatrix(
        rows.matrix, rows.labels, weight=rows.weights, nthread=job.threads, max_bin=bins, ref=ref
    )


def _load(files: Files, _task: Task, threads: int) -> Scorer:
    import xgboost

    booster = xgboost.Booster({"nthread": threads}, model_file=bytearray(files[_FILE]))
    return walked(booster, dense_margins(booster), len(files[_FILE]))


def _explain(files: Files, _task: Task) -> Explainer:
    """Exact TreeSHAP, which XGBoost has built in."""
    import xgboost

    booster = xgboost.Booster({"nthread": 1}, model_file=bytearray(files[_FILE]))

    def explain(matrix: Matrix) -> Floats:
        rows = xgboost.DMatrix(matrix, missing=np.nan, nthread=1)
        found = booster.predict(rows, pred_contribs=True, validate_features=False)
        return np.asarray(found, dtype=np.float64).reshape(len(matrix), -1)

    return explain


trainer = Trainer(
    name="xgboost",
    fit=_fit,
    load=_load,
    settings=Settings,
    dtype="float32",
    library="xgboost-cpu",
    explain=_explain,
)
