"""The events of a model: one append-only log of registrations, evaluations, stages and rollouts, numbered from 1."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from transformations.models.records.base import Instant, ModelName, Part, Record, Sha256, Stage, Version

NEXT_STAGES: dict[Stage, tuple[Stage, ...]] = {
    "development": ("staging", "archived"),
    "staging": ("production", "development", "archived"),
    "production": ("archived",),
    "archived": ("production", "development"),
}
"""Where a version can go from each stage. From archived to production is a rollback."""


class Registered(Part):
    """A new version, in stage development. run_id: of the training, and the name of the artifact's folder."""

    kind: Literal["registered"] = "registered"
    run_id: str
    artifact: Sha256
    dataset: str
    dataset_hash: Sha256
    criteria_hash: Sha256


class Evaluated(Part):
    """A look at a held-out split. The event's evidence is the hash of the gate report."""

    kind: Literal["evaluated"] = "evaluated"
    dataset: str
    dataset_hash: Sha256
    split: str
    look: Annotated[int, Field(ge=1)]
    passed: bool


class StageChanged(Part):
    """A version's move from stage to stage. One that reaches production archives the one that was there."""

    kind: Literal["stage"] = "stage"
    from_stage: Stage
    to_stage: Stage
    rollback: bool = False

    @model_validator(mode="after")
    def _possible(self) -> StageChanged:
        if self.to_stage not in NEXT_STAGES[self.from_stage]:
            ways = ", ".join(NEXT_STAGES[self.from_stage])
            raise ValueError(f"no version goes from {self.from_stage} to {self.to_stage}; from there it goes to {ways}")
        if (self.from_stage, self.to_stage) == ("archived", "production") and not self.rollback:
            raise ValueError("an archived version reaches production by a rollback only")
        return self


class RolloutStep(Part):
    """A step of the rollout of a version against the one in production.

    action: `start` and `advance` set a step; `abort` ends the rollout; `finish` says that every step has passed, and
    the version goes on answering its share until it is in production. step: its place in the declared steps, from 1.
    shadow: the version also scores what production answers. percent: the share of rows that it answers itself; who is
    among them at 10 % stays so at 50 %. salt: what the shares are hashed with. unit: the columns whose values are
    hashed, the join keys that stick to a version; where there are none, no row goes to the version.
    """

    kind: Literal["rollout"] = "rollout"
    action: Literal["start", "advance", "abort", "finish"]
    step: Annotated[int, Field(ge=1)]
    shadow: bool = False
    percent: Annotated[float, Field(ge=0, le=100)] = 0.0
    salt: str = Field(min_length=1)
    unit: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _answers_nothing_in_shadow(self) -> RolloutStep:
        if self.shadow and self.percent:
            raise ValueError("a version in shadow answers no rows: percent is 0")
        if self.action == "abort" and (self.percent or self.shadow):
            raise ValueError("after an abort the version answers nothing")
        return self


Change = Annotated[Registered | Evaluated | StageChanged | RolloutStep, Field(discriminator="kind")]


class ModelEvent(Record):
    """One event of a model's log.

    number: 1, 2, 3 … without a gap; an event is appended only as the number that its writer expects. effective_at: when
    all servers follow it together; None for at once. evidence: SHA-256 of the gate report or reading that led to it.
    """

    model: ModelName
    number: Annotated[int, Field(ge=1)]
    at: Instant
    who: str = Field(min_length=1)
    why: str = Field(min_length=1)
    version: Version
    change: Change
    evidence: Sha256 | None = None
    reviewer: str | None = None
    effective_at: Instant | None = None

    @model_validator(mode="after")
    def _not_before_it_was_said(self) -> ModelEvent:
        if self.effective_at is not None and self.effective_at < self.at:
            raise ValueError("effective_at is before the event itself")
        return self
