"""Linear regression with a quadratic penalty. A missing value counts as its column's mean in training."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from transformations.models.records.artifact import Task
from transformations.models.records.base import Part
from transformations.models.trainers import linear_sums
from transformations.models.trainers.interface import Explainer, Files, Job, Scorer, Trainer


class Settings(Part):
    """l2: the penalty on the weights of standardised columns; 0 for none."""

    l2: Annotated[float, Field(ge=0)] = 1.0


def _fit(job: Job) -> Files:
    from sklearn.linear_model import Ridge

    settings = Settings.model_validate(job.settings.model_dump())
    matrix, means, deviations = linear_sums.standardised(job.train.matrix)
    model = Ridge(alpha=settings.l2, solver="svd")
    with linear_sums.one_thread():
        model.fit(matrix, job.train.labels, sample_weight=job.train.weights)
    return linear_sums.files_of(model.coef_, model.intercept_, means, deviations)


def _load(files: Files, _task: Task, _threads: int) -> Scorer:
    return linear_sums.load(files)


def _explain(files: Files, _task: Task) -> Explainer:
    return linear_sums.explain(files)


trainer = Trainer(
    name="linear",
    fit=_fit,
    load=_load,
    settings=Settings,
    tasks=("regression",),
    library="scikit-learn",
    explain=_explain,
)
