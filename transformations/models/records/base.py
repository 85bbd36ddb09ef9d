"""What all records share: immutable, versioned, unknown keys refused, and one text for one content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from transformations.engine.base.errors import DataError, nearest
from transformations.engine.base.moments import as_utc

NAME = "[a-z][a-z0-9_]*"
"""What a model can be called; also the names of its folder and of its declaration."""
ModelName = Annotated[str, Field(pattern=f"^{NAME}$")]
Version = Annotated[int, Field(ge=1)]
"""Versions of a model are numbered from 1 in the order of their registration."""
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Instant = Annotated[AwareDatetime, AfterValidator(as_utc)]
"""A moment in UTC, in microseconds."""
Stage = Literal["development", "staging", "production", "archived"]
Role = Literal["production", "canary", "shadow", "batch"]


class Part(BaseModel):
    """A part of a record. Numbers are finite: JSON has no infinity and no NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Record(Part):
    """A document that is written once and never changed.

    format: raised when a reader of the old form could no longer read the new one.
    """

    format: Literal[1] = 1

    def text(self) -> str:
        """The record as JSON, as it is stored."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_text(cls, text: str, place: str) -> Self:
        """The record that a text holds; DataError that names the place, the key and what is wrong with it."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            (first, *_) = error.errors()
            key = ".".join(map(str, first["loc"])) or "the text"
            said = str(first["msg"]).removeprefix("Value error, ").removeprefix("Input ")
            if first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
                said = f"is no key of it; {nearest(key, cls.model_fields)}"
            raise DataError(
                f"{place} is no {cls.__name__} of format {cls.model_fields['format'].default}: {key}: {said}. Bring it "
                f"back from a copy, or read it with the release that wrote it."
            ) from None


def canonical_text(value: JsonValue | Mapping[str, JsonValue]) -> str:
    """One text for one value, whatever the order of its keys: what is hashed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def content_id(part: Part) -> str:
    """SHA-256 of the canonical text of a part, in hexadecimal."""
    return hashlib.sha256(canonical_text(part.model_dump(mode="json")).encode()).hexdigest()


def text_hash(text: str) -> str:
    """SHA-256 of a text's UTF-8, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()
