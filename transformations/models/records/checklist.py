"""The checklist of reproducibility: what was performed for a version, when, and with which result."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from transformations.models.records.base import Instant, ModelName, Part, Record, Sha256, Version

FILE = "checklist.json"
CheckName = Literal["dataset", "retrain", "rollback", "trace", "setup"]


class PerformedCheck(Part):
    """One check. at: when it was performed; None where it never was. seconds: that it took. found: the evidence, or why
    the answer is no, or why there is nothing to perform, as a first version in production has none to roll back to.
    """

    check: CheckName
    answer: Literal["yes", "no", "not applicable"]
    at: Instant | None
    seconds: Annotated[float, Field(ge=0)] | None = None
    found: str


class Checklist(Record):
    """The checks of a version, in their order. registered_at: of the version; older evidence says nothing about it."""

    model: ModelName
    version: Version
    artifact: Sha256
    registered_at: Instant
    at: Instant
    checks: tuple[PerformedCheck, ...] = Field(min_length=1)

    @property
    def passed(self) -> bool:
        """Whether no answer is no."""
        return all(each.answer != "no" for each in self.checks)
