"""The report of a version's gates: what was asked, what was found, and whether the version may go on."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from transformations.models.records.base import Instant, ModelName, Part, Record, Sha256, Version
from transformations.models.records.criteria import Comparison, Metric

Outcome = Literal["pass", "fail", "not_enough_evidence"]


class Interval(Part):
    """A two-sided interval; both ends are finite."""

    low: float
    high: float

    @model_validator(mode="after")
    def _ascending(self) -> Interval:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


class GateResult(Part):
    """One gate, or one segment of it.

    value, baseline_value: the metric of the model and of the baseline; None where it is not defined, as of one class.
    interval: of the improvement over the baseline (positive is better), or of the metric itself without a baseline.
    confidence: as declared; used_confidence: after correction for looks and segments. positives: entities that have a
    true label; 0 in a regression.
    needed: what would have to be there for a verdict, or to pass; empty where the gate passed. gated: False for a
    segment that is shown only, being below the least numbers.
    """

    name: str
    metric: Metric
    comparison: Comparison
    baseline: str | None = None
    limit: float | None = None
    margin: float = 0.0
    confidence: float
    used_confidence: float
    segment: str | None = None
    value: float | None
    baseline_value: float | None = None
    interval: Interval | None
    rows: Annotated[int, Field(ge=0)]
    entities: Annotated[int, Field(ge=0)]
    positives: Annotated[int, Field(ge=0)] = 0
    gated: bool = True
    outcome: Outcome
    needed: str = ""

    @model_validator(mode="after")
    def _says_what_is_needed(self) -> GateResult:
        if self.outcome != "pass" and not self.needed:
            raise ValueError("a gate that did not pass says what is needed")
        if self.outcome == "pass" and self.interval is None:
            raise ValueError("a gate passes by its interval")
        return self


class GateReport(Record):
    """The gates of one version on one held-out split.

    artifact: its id. dataset_hash: of the dataset's manifest. criteria_hash: as fixed when training began. look: how
    often this split has been looked at, this time included. evidence: SHA-256 of the evaluation that the figures are
    from.
    """

    model: ModelName
    version: Version
    artifact: Sha256
    dataset: str
    dataset_hash: Sha256
    split: str = "test"
    criteria_hash: Sha256
    look: Annotated[int, Field(ge=1)]
    evaluated_at: Instant
    evidence: Sha256
    results: tuple[GateResult, ...] = Field(min_length=1)

    @property
    def passed(self) -> bool:
        """Whether every gate passed; what is only shown does not count."""
        return all(result.outcome == "pass" for result in self.results if result.gated)
