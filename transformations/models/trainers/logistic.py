"""Logistic regression with a quadratic penalty. A missing value counts as its column's mean in training."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from transformations.models.records.artifact import Task
from transformations.models.records.base import Part
from transformations.models.trainers import linear_sums
from transformations.models.trainers.interface import Explainer, Files, Job, Scorer, Trainer


class Settings(Part):
    """l2: the penalty on the weights of standardised columns, as 1 / C of scikit-learn."""

    l2: Annotated[float, Field(gt=0)] = 1.0
    iterations: Annotated[int, Field(ge=1)] = 1_000
    tolerance: Annotated[float, Field(gt=0)] = 1e-6


def _fit(job: Job) -> Files:
    from sklearn.linear_model import LogisticRegression

    settings = Settings.model_validate(job.settings.model_dump())
    matrix, means, deviations = linear_sums.standardised(job.train.matrix)
    model = LogisticRegression(C=1 / settings.l2, max_iter=settings.iterations, tol=settings.tolerance)
    with linear_sums.one_thread():
        model.fit(matrix, job.train.labels, sample_weight=job.train.weights)
    return linear_sums.files_of(model.coef_[0], model.intercept_[0], means, deviations)


def _load(files: Files, _task: Task, _threads: int) -> Scorer:
    return linear_sums.load(files)


def _explain(files: Files, _task: Task) -> Explainer:
    return linear_sums.explain(files)


trainer = Trainer(
    name="logistic",
    fit=_fit,
    load=_load,
    settings=Settings,
    tasks=("binary_classification",),
    library="scikit-learn",
    explain=_explain,
)
