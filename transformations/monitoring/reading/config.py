"""What can stand in `feature_repo/monitoring.yaml`: how much may be told in vain, and what is too little to tell."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, StrictInt, ValidationError, model_validator

from transformations.contracts import ContractError
from transformations.contracts.document import read_yaml, shown_path, text_of
from transformations.engine.base.errors import UsageError
from transformations.models.declaration.reading import complaints
from transformations.models.records.base import Part
from transformations.monitoring.reading.calendars import Calendars

FILE = "monitoring.yaml"
DAYS = 90
"""The days that `false_alerts` counts."""


class LeastEffects(Part):
    """Effects that do not matter, however sure they are. nulls, unseen: shares of all rows."""

    psi: Annotated[float, Field(ge=0)] = 0.02
    jensen_shannon: Annotated[float, Field(ge=0, le=1)] = 0.005
    nulls: Annotated[float, Field(ge=0, le=1)] = 0.02
    unseen: Annotated[float, Field(ge=0, le=1)] = 0.01


class Volume(Part):
    """How many rows a day may have, as multiples of the same weekday's median over the four weeks before."""

    at_least: Annotated[float, Field(ge=0)] = 0.5
    at_most: Annotated[float, Field(gt=0)] = 2.0

    @model_validator(mode="after")
    def _in_order(self) -> Volume:
        if self.at_least >= self.at_most:
            raise ValueError("at_least is below at_most")
        return self


class Monitoring(Part):
    """How all models are watched.

    false_alerts: at most so many a model in 90 days, of a world that does not change. least_rows: a day or week of
    fewer is shown and not judged. draws, seed: of the resampled days that the limits come from. degraded: the greatest
    share of predictions that were made without features. sample: so many predictions of a day, and entities of each
    view, are compared bit for bit; 0 for none. calendars: days that are unlike others, for models that follow one.
    runbook: where alerts lead to, unless a model names its own.
    """

    false_alerts: Annotated[float, Field(gt=0)] = 1.0
    least_rows: Annotated[StrictInt, Field(ge=20)] = 100
    least_effects: LeastEffects = LeastEffects()
    volume: Volume = Volume()
    degraded: Annotated[float, Field(ge=0, le=1)] = 0.01
    draws: Annotated[StrictInt, Field(ge=100, le=100_000)] = 1_000
    seed: Annotated[StrictInt, Field(ge=0, lt=2**31)] = 0
    sample: Annotated[StrictInt, Field(ge=0)] = 200
    calendars: Calendars = Field(default_factory=dict)
    runbook: str = "docs/monitoring.md"


def read_monitoring(repository: Path) -> Monitoring:
    """What a feature repository says; the defaults where it has no such file. UsageError with a line for each fault."""
    path = repository / FILE
    if not path.exists():
        return Monitoring()
    try:
        document, text = read_yaml(path), text_of(path)
    except ContractError as error:
        raise UsageError(str(error)) from None
    if document is None:
        return Monitoring()
    if not isinstance(document, Mapping):
        raise UsageError(f"{shown_path(path)}: holds no keys. Write `false_alerts: 1`, or leave the file out.")
    try:
        return Monitoring.model_validate(document)
    except ValidationError as error:
        raise UsageError("\n".join(complaints(shown_path(path), text, error, Monitoring, document))) from None
