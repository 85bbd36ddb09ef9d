"""How a version comes to users, as its declaration writes it under `rollout`: fixed, like its gates, in training."""

from __future__ import annotations

import re
from datetime import timedelta
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StrictInt, model_validator

from transformations.datasets.config import Duration
from transformations.models.records.base import Part, content_id

SHADOW = "shadow"


def _parse_percent(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"{value!r} is no share, such as 10 or 10 %")
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?%?", value.strip())
    if found is None:
        raise ValueError(f"{value!r} is no share, such as 10 or 10 %")
    return float(found[1])


def _refuse_fine(value: float) -> float:
    if abs(value * 100 - round(value * 100)) > 1e-9:
        raise ValueError("is counted in hundredths of a percent")
    return value


Percent = Annotated[float, BeforeValidator(_parse_percent), AfterValidator(_refuse_fine), Field(ge=0, le=100)]
"""A share in hundredths of a percent: 10, 2.5 or `2 %`."""


def _parse_step(value: object) -> object:
    """A step in one word: `shadow`, or its percent."""
    if value == SHADOW:
        return {"percent": 0}
    return {"percent": value} if isinstance(value, int | float | str) else value


class PlannedStep(Part):
    """One step. percent: the share of rows that the version answers; 0 in shadow, where it answers none.

    rows, time: how many rows both versions must have scored in it, and how long it must have lasted, before the next.
    """

    percent: Percent
    rows: Annotated[StrictInt, Field(ge=1)] = 500
    time: Duration = timedelta(days=1)

    @property
    def is_shadow(self) -> bool:
        """Whether the version answers nothing."""
        return self.percent == 0

    @property
    def name(self) -> str:
        """The step as one reads it: `shadow`, `10 %`."""
        return SHADOW if self.is_shadow else f"{self.percent:g} %"


Step = Annotated[PlannedStep, BeforeValidator(_parse_step)]


class ErrorLimit(Part):
    """How often the version may fail on a row on which the other one did not.

    The test tells `acceptable` from `unacceptable`: it stops a version that fails at the acceptable rate with the
    rollout's declared alpha at most, and lets one that fails at the unacceptable rate go on with `beta` at most.
    """

    acceptable: Annotated[float, Field(gt=0, lt=1)] = 0.001
    unacceptable: Annotated[float, Field(gt=0, lt=1)] = 0.03
    beta: Annotated[float, Field(gt=0, lt=0.5)] = 0.05

    @model_validator(mode="after")
    def _ordered(self) -> ErrorLimit:
        if self.acceptable >= self.unacceptable:
            raise ValueError("acceptable is below unacceptable")
        return self


class Limits(Part):
    """What the version may differ by from the one in production, on the same rows.

    divergence: the mean difference of a unit's two scores, without its sign, in the scores' own units: a probability,
    or the label of a regression. latency: how many times as long as the other it may take to score, by the median of a
    minute. None of either: it is not judged.
    """

    errors: ErrorLimit = ErrorLimit()
    divergence: Annotated[float, Field(gt=0)] | None = None
    latency: Annotated[float, Field(gt=1)] | None = 2.0


class RolloutPlan(Part):
    """The steps of a rollout, and what ends it.

    unit: the join keys that stick to a version. alpha: the chance that a version which keeps to every limit is stopped
    nevertheless, over the whole rollout. holdout: a share of units that is scored and marked, and that nobody acts on.
    wait_for: `outcomes` keeps production from answering less than its share until the experiment's horizon has passed
    and its outcomes are known. horizon: how long the experiment between the arms is planned for.
    """

    unit: Annotated[tuple[str, ...], Field(min_length=1)]
    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=20)] = (
        PlannedStep(percent=0),
        PlannedStep(percent=10),
        PlannedStep(percent=50),
        PlannedStep(percent=100),
    )
    limits: Limits = Limits()
    alpha: Annotated[float, Field(gt=0, le=0.2)] = 0.05
    holdout: Annotated[Percent, Field(lt=50)] = 0.0
    wait_for: Literal["outcomes"] | None = None
    horizon: Duration = timedelta(days=28)

    @model_validator(mode="after")
    def _ascending(self) -> RolloutPlan:
        for one, other in pairwise(self.steps):
            if other.percent <= one.percent:
                raise ValueError(f"steps ascend, and {other.name} follows {one.name}")
        if self.steps[-1].is_shadow:
            raise ValueError("the last step answers rows; shadow alone leads nowhere")
        if twice := sorted({name for name in self.unit if self.unit.count(name) > 1}):
            raise ValueError(f"unit names {twice[0]!r} twice")
        if self.horizon <= timedelta(0):
            raise ValueError("horizon is longer than nothing")
        return self

    @property
    def hash(self) -> str:
        """SHA-256 of the plan's canonical JSON."""
        return content_id(self)
