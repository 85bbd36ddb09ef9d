"""The manifest of an artifact: what determines its scores, hashed into its id, and beside that how it came about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, JsonValue, model_validator

from transformations.models.records.base import Instant, ModelName, Part, Record, Sha256, content_id

FILE = "manifest.json"
Task = Literal["binary_classification", "regression"]
InputType = Literal["Float64", "Float32", "Int64", "Int32", "Bool", "String"]
"""Feast's names of the dtypes that a model can take."""


class InputColumn(Part):
    """A column that `predict` takes, with the dtype that it is cast to, once."""

    name: str
    dtype: InputType


class Calibrator(Part):
    """What makes a probability of a raw score.

    sigmoid: 1 / (1 + exp(-(slope × margin + intercept))), where margin is the raw score's log-odds, x = [slope] and
    y = [intercept]. isotonic: straight lines between the points (x, y), flat beyond the first and the last.
    """

    method: Literal["sigmoid", "isotonic"]
    x: tuple[float, ...]
    y: tuple[float, ...]

    @model_validator(mode="after")
    def _paired(self) -> Calibrator:
        if len(self.x) != len(self.y) or not self.x:
            raise ValueError("x and y are as long as each other, and not empty")
        if list(self.x) != sorted(self.x):
            raise ValueError("x ascends")
        return self


class Decision(Part):
    """Act where the score is at least the threshold.

    chosen_by: how the declaration asked for it. A top-k is the threshold that k rows a day reached on the validation
    split, on average, so that a row's decision depends on no other row.
    """

    threshold: float
    chosen_by: Literal["threshold", "costs", "top_k"]


class DecisionValue(Part):
    """What deciding is worth: the mean per validation row with its 95 % interval, in the unit of the declared costs."""

    unit: str
    expected: float
    low: float
    high: float


class ScoreIdentity(Part):
    """All that determines the score of a row: two artifacts with equal parts score every row alike, bit for bit.

    trainer: which code reads the model's files. files: SHA-256 by name. transformations: SHA-256 of the fitted
    transformations' canonical JSON. columns: the model's own columns, in its order, made from the inputs. loader: the
    hash of the code that scores, of a trainer that is not the house's; absent otherwise.
    """

    format: Literal[1] = 1
    task: Task
    trainer: str
    inputs: tuple[InputColumn, ...] = Field(min_length=1)
    columns: tuple[str, ...] = Field(min_length=1)
    transformations: Sha256
    files: Mapping[str, Sha256]
    calibrator: Calibrator | None = None
    decision: Decision | None = None
    loader: str | None = Field(None, exclude_if=lambda value: value is None)

    @model_validator(mode="after")
    def _distinct(self) -> ScoreIdentity:
        for what, names in (("inputs", [each.name for each in self.inputs]), ("columns", list(self.columns))):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"{what} name {twice[0]!r} twice")
        return self


class RunFacts(Part):
    """How an artifact came about: nothing here changes a score, and nothing here is part of the id.

    dataset_hash: of the dataset's manifest. criteria_hash: of the declared evaluation and gates, fixed before training
    began. declaration: as it was read. run_id: MLflow's, and the name of the artifact's folder. rows: by split.
    decision_value: where costs are declared. machine: system and processor, on which the bits of sums depend; empty in
    old records. trainer_code: the hash of the code that trained, of a trainer that is not the house's.
    """

    model: ModelName
    run_id: str
    dataset: str
    dataset_hash: Sha256
    criteria_hash: Sha256
    declaration: Mapping[str, JsonValue]
    code_revision: str
    libraries: Mapping[str, str]
    started_at: Instant
    finished_at: Instant
    rows: Mapping[str, int]
    metrics: Mapping[str, float] = Field(default_factory=dict)
    decision_value: DecisionValue | None = None
    machine: str = ""
    trainer_code: str | None = None


class ArtifactManifest(Record):
    """The `manifest.json` of an artifact's folder.

    id: SHA-256 of the canonical JSON of `scores`. reference: SHA-256 of `reference.json`, the histograms of the train
    split, against which monitoring compares.
    """

    id: Sha256
    scores: ScoreIdentity
    reference: Sha256 | None = None
    facts: RunFacts

    @model_validator(mode="after")
    def _id_follows(self) -> ArtifactManifest:
        if self.id != (expected := content_id(self.scores)):
            raise ValueError(f"id is not the hash of scores, which is {expected}")
        return self
