"""What a model's declaration can say: `feature_repo/models/<name>.yaml`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, JsonValue, StrictInt, model_validator

from transformations.datasets.config import NAME as DATASET_NAME
from transformations.datasets.config import Duration
from transformations.models.declaration.monitoring import ModelMonitoring
from transformations.models.declaration.recording import Recording
from transformations.models.records.artifact import Task
from transformations.models.records.base import ModelName, Part
from transformations.models.records.criteria import CLASSIFICATION_METRICS, Criteria, Metric
from transformations.models.records.rollout_plan import RolloutPlan


def _refuse_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty")
    return text


FilledText = Annotated[str, AfterValidator(_refuse_blank)]


class DeclaredTransformation(Part):
    """How a feature is transformed before the model sees it; fitted on the train split alone.

    most: the most frequent categories that are kept; what else there is counts as never seen. smoothing: how many rows
    of the overall mean a category's own mean is mixed with, in a target encoding.
    """

    kind: Literal["one_hot", "scale", "target_encoding", "category"]
    most: Annotated[StrictInt, Field(ge=1, le=10_000)] = 50
    smoothing: Annotated[float, Field(ge=0)] = 20.0


class ClassWeights(Part):
    """How much a row of each class counts in training."""

    negative: Annotated[float, Field(gt=0)] = 1.0
    positive: Annotated[float, Field(gt=0)] = 1.0


class Costs(Part):
    """What each outcome of a decision is worth, in `unit`: a cost is negative."""

    unit: str
    true_positive: float
    false_positive: float
    true_negative: float = 0.0
    false_negative: float = 0.0


class DecisionRule(Part):
    """When to act: at a score of the threshold or more; where acting pays; or on the k rows a day of highest score.

    Of costs and top-k the threshold is chosen on the validation split.
    """

    threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    costs: Costs | None = None
    top_k_a_day: Annotated[StrictInt, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _one(self) -> DecisionRule:
        if [self.threshold, self.costs, self.top_k_a_day].count(None) != 2:
            raise ValueError("give one of threshold, costs and top_k_a_day")
        return self


class Serving(Part):
    """How the model server answers. fallback: what a request gets whose features cannot be read: an error, or a score
    of features as if nobody was known (their `unseen` defaults, else null), marked degraded.
    """

    fallback: Literal["error", "defaults"] = "error"


PREDICTIONS = "predictions"
"""The table that a business metric reads."""


class BusinessMetric(Part):
    """What the model is for, measured by SQL once outcomes are known. horizon: how long after a prediction.

    query: one SELECT of one number over `predictions`: the dataset's columns, the label among them, with `score` and
    `decision`. An evaluation asks it of the test split, which is what a version promises.
    """

    name: str
    query: str
    owner: str
    unit: str
    direction: Literal["up", "down"]
    horizon: Duration


class Span(Part):
    """Where a hyperparameter may lie: from low to high, whole numbers where both are, or among choices.

    log: try small values as often as great ones, by their order of magnitude.
    """

    low: StrictInt | float | None = None
    high: StrictInt | float | None = None
    log: bool = False
    choices: Annotated[tuple[JsonValue, ...], Field(max_length=100)] = ()

    @model_validator(mode="after")
    def _one_of_both(self) -> Span:
        if (self.low is None) != (self.high is None) or (self.low is None) == (not self.choices):
            raise ValueError("give low and high, or choices")
        if self.low is not None and self.high is not None:
            if self.low >= self.high:
                raise ValueError("low is below high")
            if self.log and self.low <= 0:
                raise ValueError("log is for spans above 0")
        elif self.log:
            raise ValueError("log is for low and high")
        return self

    @property
    def ends(self) -> tuple[JsonValue, ...]:
        """The values at its ends, or all its choices."""
        return self.choices or (self.low, self.high)


class Tuning(Part):
    """What `features model tune` searches: a number of trials, judged by one metric on validation rows."""

    trials: Annotated[StrictInt, Field(ge=1, le=10_000)] = 30
    metric: Metric | None = None
    space: Annotated[dict[str, Span], Field(min_length=1)]


class Declaration(Part):
    """A model: what it learns from, how, and what it must be worth.

    request_fields: columns of the dataset's spine that a request brings along, and that the model takes beside its
    features. leave_out: features that it does not take. calibration and a chosen decision use the later half of the
    validation split, which early stopping and tuning then do not see. approval: whether production needs a reviewer.
    rollout: how a version comes to users; without it a version reaches production by a promotion alone. serving: how
    the model server answers. recording: what becomes of personal data in the record of predictions.
    tags: of those that owners.yaml lists, and its clearance for personal data.
    """

    name: ModelName
    description: FilledText
    owner: FilledText
    tags: dict[str, str] = Field(default_factory=dict)
    dataset: Annotated[str, Field(pattern=f"^{DATASET_NAME}$")]
    task: Task
    trainer: str
    hyperparameters: dict[str, JsonValue] = Field(default_factory=dict)
    seed: Annotated[StrictInt, Field(ge=0, lt=2**31)] = 0
    threads: Annotated[StrictInt, Field(ge=1)] = 1
    leave_out: tuple[str, ...] = ()
    request_fields: tuple[str, ...] = ()
    transformations: dict[str, DeclaredTransformation] = Field(default_factory=dict)
    class_weight: Literal["balanced"] | ClassWeights | None = None
    sample_weight: str | None = None
    calibration: Literal["none", "sigmoid", "isotonic"] = "none"
    decision: DecisionRule | None = None
    evaluation: Criteria
    business: Annotated[tuple[BusinessMetric, ...], Field(max_length=3)] = ()
    approval: Literal["none", "required"] = "none"
    tuning: Tuning | None = None
    monitoring: ModelMonitoring = ModelMonitoring()
    rollout: RolloutPlan | None = None
    serving: Serving = Serving()
    recording: Recording = Recording()

    @model_validator(mode="after")
    def _fits_the_task(self) -> Declaration:
        is_classification = self.task == "binary_classification"
        for key in ("class_weight", "decision"):
            if getattr(self, key) is not None and not is_classification:
                raise ValueError(f"{key} is for a binary classification, and this is a {self.task}")
        if self.calibration != "none" and not is_classification:
            raise ValueError(f"calibration is for a binary classification, and this is a {self.task}")
        divergence = self.rollout.limits.divergence if self.rollout else None
        if is_classification and divergence is not None and divergence >= 1:
            raise ValueError("rollout: divergence is below 1: scores are probabilities")
        names = [metric.name for metric in self.business]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"business metric {twice[0]!r} stands twice")
        metric = self.tuning.metric if self.tuning else None
        if metric is not None and (metric in CLASSIFICATION_METRICS) != is_classification:
            raise ValueError(f"tuning: {metric} is no metric of a {self.task}")
        for gate in self.evaluation.gates:
            if (gate.metric in CLASSIFICATION_METRICS) != is_classification:
                raise ValueError(f"gate {gate.name!r}: {gate.metric} is no metric of a {self.task}")
        return self

    @property
    def holds_rows_back(self) -> bool:
        """Whether the later half of the validation split is kept from early stopping."""
        return self.calibration != "none" or (self.decision is not None and self.decision.threshold is None)

    def warnings(self) -> list[str]:
        """Warnings about what is allowed but probably not meant."""
        found = []
        is_weighted = self.class_weight is not None or self.sample_weight is not None
        if is_weighted and self.calibration == "none" and self.task == "binary_classification":
            found.append("weights without calibration: the scores are no probabilities. Say calibration: isotonic.")
        if not self.evaluation.gates:
            found.append("no gates: no version of this model can leave development.")
        return found
