"""The manifest of a batch of predictions: whose scores they are, as of when, and what they were made from."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Literal

from pydantic import Field, model_validator

from transformations.models.records.base import Instant, ModelName, Record, Sha256, Version
from transformations.models.records.predictions import ServedView

FILE = "batch.json"
Population = Literal["declared", "known", "spine"]
"""Whose rows are scored: those that the dataset's own query gives for the day, every entity that the model's views know
when the day begins, or the rows of a file."""
Count = Annotated[int, Field(ge=0)]


class BatchManifest(Record):
    """What a published batch is; its rows are prediction records of the role `batch`.

    as_of: the start of the business day `day`, or the last moment of a spine's file. spine: SHA-256 of that file's
    values. event: the number of the model's last event when the batch was made. rows: by UTC day of their moments, as
    they are filed. as_served: whether features were read as they were known then, instead of as corrected since.
    views: the tables that features were read from. acted: rows that the decision says to act on.
    """

    model: ModelName
    version: Version
    artifact: Sha256
    as_of: Instant
    day: date | None = None
    population: Population
    spine: Sha256 | None = None
    made_at: Instant
    who: str = Field(min_length=1)
    event: Annotated[int, Field(ge=1)]
    rows: Mapping[str, Count]
    as_served: bool
    views: Mapping[str, ServedView]
    mean_score: float
    acted: Count | None = None

    @model_validator(mode="after")
    def _has_a_day_or_a_file(self) -> BatchManifest:
        if (self.population == "spine") != (self.day is None) or (self.day is None) != (self.spine is not None):
            raise ValueError("a batch is of a day, or of a spine's file")
        return self

    @property
    def total(self) -> int:
        """How many rows there are."""
        return sum(self.rows.values())
