"""The criteria that a model is judged by, as its declaration writes them: evaluation, baselines and gates."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from transformations.engine.base.errors import nearest
from transformations.models.records.base import Part, content_id

Metric = Literal[
    "average_precision", "roc_auc", "log_loss", "brier", "calibration_error", "mae", "rmse", "quantile_loss"
]
HIGHER_IS_BETTER: frozenset[str] = frozenset({"average_precision", "roc_auc"})
"""The metrics for which higher is better; for all others lower is."""
CLASSIFICATION_METRICS: frozenset[str] = frozenset(
    {"average_precision", "roc_auc", "log_loss", "brier", "calibration_error"}
)
PRODUCTION = "production"
"""The baseline that is the version in production, on the same rows."""


class Baseline(Part):
    """A predictor that a model must be worth more than; fitted on the train split.

    prior: the label's mean. binned_feature: the label's mean in each bin of one feature, with nulls as a bin of their
    own. rule: the label's mean where a condition holds, and where it does not, such as
    `visits_28d == 0 or last_visit_at is none`.
    """

    kind: Literal["prior", "binned_feature", "rule"]
    feature: str | None = None
    bins: Annotated[int, Field(ge=2, le=1_000)] = 20
    when: str | None = None

    @model_validator(mode="after")
    def _says_what_it_reads(self) -> Baseline:
        for key, kind in (("feature", "binned_feature"), ("when", "rule")):
            if (getattr(self, key) is None) == (self.kind == kind):
                needs = "needs" if self.kind == kind else "takes no"
                raise ValueError(f"a baseline of kind {self.kind} {needs} {key}")
        return self


class Gate(Part):
    """One criterion. An improvement is the model's metric minus the baseline's, its sign turned where lower is better.

    beats: the lower end of the paired interval of the improvement over that baseline must exceed the margin.
    not_worse_than: it must exceed minus the margin. at_least, at_most: the metric's own interval must lie there.
    Fewer entities than said, or fewer entities with a true label than `positives`, is not enough evidence, whatever the
    figures. segments: judge every value of that column apart; their gates share one error rate.
    """

    metric: Metric
    beats: str | None = None
    not_worse_than: str | None = None
    at_least: float | None = None
    at_most: float | None = None
    margin: Annotated[float, Field(ge=0)] = 0.0
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    entities: Annotated[int, Field(ge=1)] = 200
    positives: Annotated[int, Field(ge=0)] = 200
    segments: str | None = None

    @model_validator(mode="after")
    def _one_comparison(self) -> Gate:
        given = [name for name in COMPARISONS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of {', '.join(COMPARISONS)}, not {' and '.join(given) or 'none'}")
        if self.margin and given[0] in ("at_least", "at_most"):
            raise ValueError(f"{given[0]} takes no margin: change its limit")
        return self

    @property
    def comparison(self) -> Comparison:
        """Which of the comparisons is declared."""
        return next(name for name in COMPARISONS if getattr(self, name) is not None)

    @property
    def baseline(self) -> str | None:
        """The baseline that the gate compares with, if it does."""
        return self.beats or self.not_worse_than

    @property
    def name(self) -> str:
        """The gate as one reads it: `log_loss beats prior by 0.01`."""
        limit = self.at_least if self.at_least is not None else self.at_most
        by = f" by {self.margin:g}" if self.margin else ""
        what = f"{self.baseline}{by}" if self.baseline else f"{limit:g}"
        each = f" in every {self.segments}" if self.segments else ""
        return f"{self.metric} {self.comparison.replace('_', ' ')} {what}{each}"


Comparison = Literal["beats", "not_worse_than", "at_least", "at_most"]
COMPARISONS: tuple[Comparison, ...] = ("beats", "not_worse_than", "at_least", "at_most")


class Criteria(Part):
    """What a declaration says under `evaluation` and `gates`. Its hash is fixed when training begins.

    entity: the dataset's column whose values are resampled whole; draws: of the bootstrap. segments: columns of the
    dataset by whose values figures are shown. quantile: of the quantile loss. calibration_bins: of equal frequency.
    """

    entity: str
    draws: Annotated[int, Field(ge=100, le=100_000)] = 1_000
    seed: int = 0
    segments: tuple[str, ...] = ()
    quantile: Annotated[float, Field(gt=0, lt=1)] = 0.5
    calibration_bins: Annotated[int, Field(ge=2, le=1_000)] = 10
    baselines: dict[str, Baseline] = Field(default_factory=dict)
    gates: tuple[Gate, ...] = ()

    @model_validator(mode="after")
    def _known_baselines(self) -> Criteria:
        if PRODUCTION in self.baselines:
            raise ValueError(f"{PRODUCTION!r} is the version in production; name the baseline otherwise")
        known = [*self.baselines, PRODUCTION]
        for gate in self.gates:
            if gate.baseline is not None and gate.baseline not in known:
                raise ValueError(f"gate {gate.name!r}: no baseline {gate.baseline!r}; {nearest(gate.baseline, known)}")
        names = [gate.name for gate in self.gates]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"gate {twice[0]!r} stands twice")
        return self

    @property
    def hash(self) -> str:
        """SHA-256 of the criteria's canonical JSON."""
        return content_id(self)
