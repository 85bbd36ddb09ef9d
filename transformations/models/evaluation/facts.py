"""What an evaluation found, as it is stored: the one source of the report, the model card and the gates' evidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from transformations.models.records.artifact import Task
from transformations.models.records.base import Instant, ModelName, Part, Record, Sha256, Version
from transformations.models.records.criteria import Metric
from transformations.models.records.gates import Interval

Count = Annotated[int, Field(ge=0)]


class Subject(Part):
    """What was judged, on which rows. zone: of the weeks. unit: of a regression's label."""

    model: ModelName
    version: Version
    artifact: Sha256
    description: str
    owner: str
    dataset: str
    dataset_hash: Sha256
    criteria_hash: Sha256
    split: str = "test"
    task: Task
    label: str
    entity: str
    trainer: str
    zone: str = "UTC"
    unit: str = ""
    trained_on: Mapping[str, int] = Field(default_factory=dict)


class MetricFigure(Part):
    """A metric's value with its interval; None where it is not defined."""

    metric: Metric
    value: float | None
    interval: Interval | None


class Difference(Part):
    """By how much the model is better than another predictor on the same rows; positive is better."""

    over: str
    metric: Metric
    value: float | None
    interval: Interval | None


class Predictor(Part):
    """The model, a baseline, or production, on all judged rows."""

    name: str
    figures: tuple[MetricFigure, ...]


class Group(Part):
    """A week or a segment: its size, the mean of its labels, the model's figures, and the values of the others.

    positives: entities that have a true label; 0 in a regression.
    """

    name: str
    rows: Count
    entities: Count
    positives: Count
    label_mean: float
    figures: tuple[MetricFigure, ...]
    others: Mapping[str, Mapping[Metric, float | None]]


class Segments(Part):
    """The groups of one column."""

    column: str
    groups: tuple[Group, ...]


class Bin(Part):
    """Rows of similar scores: the mean of their scores and of their labels."""

    score: float
    label: float
    rows: Count


class Curve(Part):
    """Points of a curve, at most a few hundred."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]


class Histogram(Part):
    """Rows between neighbouring edges; edges are one more than rows."""

    name: str
    edges: tuple[float, ...]
    rows: tuple[Count, ...]


class Importance(Part):
    """How much worse the loss gets where a feature's values are exchanged among the rows."""

    feature: str
    increase: float
    interval: Interval | None


class Latency(Part):
    """Milliseconds that scoring one row takes in this process. calls: how many were timed."""

    calls: Count
    median: float
    p95: float
    p99: float


class AgainstProduction(Part):
    """Both versions on the rows after all that production has seen: its training, its tuning, its label's horizon."""

    version: Version
    seen_until: Instant
    rows: Count
    entities: Count
    differences: tuple[Difference, ...]


class ExpectedValue(Part):
    """What a row is worth on average when the version decides, in the unit of the declared costs.

    never, always: what it would be worth to act on nobody, and on everybody. gain: over the better of these two.
    """

    unit: str
    mean: float
    interval: Interval | None
    never: float
    always: float
    gain: float
    gain_interval: Interval | None


class Deciding(Part):
    """The version's decisions on the judged rows. acted: rows that it acts on; hits: those of them with a true label.

    value: where costs are declared.
    """

    threshold: float
    chosen_by: Literal["threshold", "costs", "top_k"]
    acted: Count
    hits: Count
    value: ExpectedValue | None


class BusinessFigure(Part):
    """A declared business metric of the judged rows; None where it has no value. horizon: after which it is known."""

    name: str
    owner: str
    unit: str
    direction: Literal["up", "down"]
    horizon: str
    value: float | None


class Evaluation(Record):
    """One version on one held-out split. first, last: moments of its rows. look: the number of this candidate among
    those judged on that period. confidence: of the intervals here; gates have their own. loss: what importance counts.
    """

    subject: Subject
    evaluated_at: Instant
    look: Annotated[int, Field(ge=1)]
    first: Instant
    last: Instant
    rows: Count
    entities: Count
    positives: Count
    label_mean: float
    confidence: float
    draws: Count
    predictors: tuple[Predictor, ...]
    differences: tuple[Difference, ...]
    weeks: tuple[Group, ...]
    segments: tuple[Segments, ...]
    reliability: tuple[Bin, ...]
    precision_recall: tuple[Curve, ...]
    roc: tuple[Curve, ...]
    distributions: tuple[Histogram, ...]
    loss: Literal["log_loss", "mae"]
    importance: tuple[Importance, ...]
    latency: Latency | None
    production: AgainstProduction | None
    deciding: Deciding | None = None
    business: tuple[BusinessFigure, ...] = ()
