"""The record of a prediction: everything that was known and said at its moment, on one line of JSON."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, model_validator

from transformations.models.records.base import (
    Instant,
    ModelName,
    Part,
    Record,
    Role,
    Sha256,
    Version,
    canonical_text,
    text_hash,
)

Value = bool | int | float | str | None
"""A key, a request field or a feature value, as JSON has it."""
Status = Literal["PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE"]
"""Feast's own statuses of a served value."""


class ServedView(Part):
    """What of a view was loaded when it answered: its table's version, and through which moment it was loaded."""

    table_version: Annotated[int, Field(ge=0)] | None
    loaded_through: Instant | None


class ServedFeature(Part):
    """A feature's value as it was served. row_timestamp: of its stored row; None where no row was found, and of an
    on-demand feature.
    """

    value: Value
    status: Status
    row_timestamp: Instant | None = None


class PredictionRecord(Record):
    """One row's prediction. Where a served value is personal data, it is kept, hashed or absent as declared.

    id: chosen by the client or by the server; records of one id are one prediction. request_timestamp: the moment of
    the features, in microseconds. answered: False where nobody can have seen the answer. event: the number of the
    model's event by which the server routed; None in batch. as_of: of a batch. holdout: nobody is to act on it, so that
    what happens by itself stays known. degraded: made with defaults, because features could not be read.
    latency_seconds: from request to score; None in batch.
    """

    id: Annotated[str, Field(min_length=1, max_length=128)]
    request_timestamp: Instant
    model: ModelName
    version: Version
    artifact: Sha256
    role: Role
    event: Annotated[int, Field(ge=1)] | None = None
    as_of: Instant | None = None
    keys: Mapping[str, Value]
    request: Mapping[str, Value] = Field(default_factory=dict)
    features: Mapping[str, ServedFeature]
    views: Mapping[str, ServedView] = Field(default_factory=dict)
    score: float
    decision: bool | None = None
    holdout: bool = False
    degraded: bool = False
    answered: bool = True
    latency_seconds: Annotated[float, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _batch_has_a_moment(self) -> PredictionRecord:
        if (self.role == "batch") != (self.as_of is not None):
            raise ValueError("as_of is given for the role batch, and for no other")
        if self.role == "batch" and self.event is not None:
            raise ValueError("a batch follows no rollout event")
        return self

    @property
    def day(self) -> str:
        """The UTC day that the record is filed under: `2020-02-01`."""
        return self.request_timestamp.date().isoformat()

    def line(self) -> str:
        """The record as one line of JSON, with its line end."""
        return self.model_dump_json() + "\n"


def batch_id(
    model: str, version: int, moment: datetime, keys: Mapping[str, Value], request: Mapping[str, Value]
) -> str:
    """The id of a batch's prediction: the same however often and in whatever batch the row is scored.

    moment: of the row's features. The hash is of keys and request fields as canonical JSON, cut to 96 bits.
    """
    row = text_hash(canonical_text({"keys": dict(keys), "request": dict(request)}))[:24]
    return f"{model}-{version}-{moment:%Y%m%dT%H%M%S%fZ}-{row}"


def request_id(moment: datetime) -> str:
    """An id for a request that has none: a UUID of version 7, in hexadecimal, which tells its moment.

    A row's prediction is called by it and the row's number: `018f9533e80071c2a9d1b0b1c2d3e4f5-0`.
    """
    millis = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    return UUID(int=millis << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62)).hex


@dataclass(frozen=True)
class Told:
    """What an id tells of its prediction: the UTC day of its moment; of a batch's row, the model and version, too."""

    day: date
    model: str | None = None
    version: int | None = None


def told_by(prediction: str) -> Told | None:
    """What the id of a prediction tells; None for one that somebody else has made up."""
    try:
        if found := _OF_BATCH.fullmatch(prediction):
            return Told(datetime.strptime(found[3], "%Y%m%d").replace(tzinfo=UTC).date(), found[1], int(found[2]))
        if found := _OF_REQUEST.fullmatch(prediction):
            return Told(datetime.fromtimestamp(int(found[1], 16) / 1000, UTC).date())
    except (ValueError, OverflowError, OSError):  # no day that a calendar has
        pass
    return None


_OF_BATCH = re.compile(r"([a-z][a-z0-9_]*)-(\d+)-(\d{8})T\d{12}Z-[0-9a-f]{24}")
_OF_REQUEST = re.compile(r"([0-9a-f]{12})7[0-9a-f]{3}[89ab][0-9a-f]{15}-\d+")
