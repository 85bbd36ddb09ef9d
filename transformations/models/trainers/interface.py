"""What a trainer is: two functions, one that makes files of rows and one that makes raw scores of the files.

One of your own is ten lines in a module that Python can import; the declaration names it as `module:name`:

    def fit(job: Job) -> Files:
        return {"mean.json": json.dumps({"mean": job.train.labels.mean()}).encode()}

    def load(files: Files, task: Task, threads: int) -> Scorer:
        mean = json.loads(files["mean.json"])["mean"]
        return lambda matrix: np.full(len(matrix), mean)

    constant = Trainer(name="my_models.means:constant", fit=fit, load=load)
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from transformations.engine.base.errors import UsageError, nearest
from transformations.engine.identity.code_hash import hash_of_function
from transformations.models.records.artifact import Task
from transformations.models.records.base import Part

Floats: TypeAlias = npt.NDArray[np.float64]
Matrix: TypeAlias = npt.NDArray[np.floating[Any]]
Files: TypeAlias = Mapping[str, bytes]
"""The model as files, by name. The same job and seed give the same bytes, with any number of threads."""
Scorer: TypeAlias = Callable[[Matrix], Floats]
"""Raw scores of a matrix: log-odds in a classification, values in a regression. A row's score depends on that row
alone. NaN is missing."""
Explainer: TypeAlias = Callable[[Matrix], Floats]
"""What each column adds to the raw scores of a matrix, a row each, and in one column more what a score begins with:
each row sums to its raw score, as nearly as its numbers allow."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A split as a trainer sees it: labels are 0 or 1 in a classification. weights: None for all alike."""

    matrix: Matrix
    labels: Floats
    weights: Floats | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a trainer is asked to do.

    validation: rows for early stopping, in a trainer that has it; not those that calibration uses. settings: the
    declared hyperparameters, read. report: called with the iteration, from 1, and metrics by name.
    """

    task: Task
    train: Rows
    validation: Rows | None = None
    settings: BaseModel
    seed: int = 0
    threads: int = 1
    report: Callable[[int, Mapping[str, float]], None] = field(default=lambda _iteration, _metrics: None)


class NoSettings(Part):
    """The hyperparameters of a trainer that has none."""


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """A way of training. settings: the form of its hyperparameters. dtype: of the matrix that it takes. library: what
    must be installed to use it, as the distribution is called; None for nothing more than the base install. explain:
    tells contributions; None where nothing can.
    """

    name: str
    fit: Callable[[Job], Files]
    load: Callable[[Files, Task, int], Scorer]
    settings: type[BaseModel] = NoSettings
    dtype: Literal["float32", "float64"] = "float64"
    tasks: tuple[Task, ...] = ("binary_classification", "regression")
    library: str | None = None
    explain: Callable[[Files, Task], Explainer] | None = None


BY_NAME = {
    "xgboost": "transformations.models.trainers.xgboost_trees:trainer",
    "lightgbm": "transformations.models.trainers.lightgbm_trees:trainer",
    "logistic": "transformations.models.trainers.logistic:trainer",
    "linear": "transformations.models.trainers.linear:trainer",
}
"""The trainers of the house."""


def trainer_of(name: str) -> Trainer:
    """The trainer of this name, or that stands at `module:name`. UsageError where there is none."""
    place = BY_NAME.get(name, name)
    module, found, attribute = place.partition(":")
    if not found or not all(part.isidentifier() for part in (*module.split("."), attribute)):
        raise UsageError(f"there is no trainer {name!r}; {nearest(name, BY_NAME)}, or one of your own as module:name.")
    try:
        trainer = getattr(importlib.import_module(module), attribute, None)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"trainer {name!r}: there is no module {error.name!r}. Install it, or put it on PYTHONPATH."
        ) from None
    except Exception as error:  # a module of somebody else's runs here, and may fail in any way
        raise UsageError(
            f"trainer {name!r}: module {module} cannot be imported: {type(error).__name__}: {error}. Correct it there."
        ) from error
    if not isinstance(trainer, Trainer):
        raise UsageError(
            f"trainer {name!r}: {attribute} of {module} is no Trainer. Make one as "
            f"transformations/models/trainers/interface.py shows."
        )
    return trainer


@dataclass(frozen=True, kw_only=True)
class TrainerCode:
    """The hashes of a trainer's two functions, with all code of ours that they reach."""

    fit: str
    load: str


def code_of(name: str) -> TrainerCode | None:
    """The code of a trainer of your own; None for one of the house, whose code the platform's version names."""
    if name in BY_NAME:
        return None
    trainer = trainer_of(name)
    return TrainerCode(fit=hash_of_function(trainer.fit), load=hash_of_function(trainer.load))


def refuse_missing_library(trainer: Trainer) -> None:
    """UsageError that says what to install, where the trainer's library is not there."""
    if trainer.library is None:
        return
    module = {"xgboost-cpu": "xgboost", "scikit-learn": "sklearn"}.get(trainer.library, trainer.library)
    if importlib.util.find_spec(module) is None:
        raise UsageError(
            f"trainer {trainer.name} needs {trainer.library}, which is not installed: "
            f"pip install 'feature-platform[models]'."
        )
