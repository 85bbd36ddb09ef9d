"""How often a test period has been looked at: each look is recorded before its figures are computed, and none is lost.

A test period is worth less each time that a model was chosen by it. A look is kept by what was looked at, whatever the
dataset is called and whatever features it has: the entity, the label, and the period of the rows. Looks at overlapping
periods count together, so that a split which grows by a day is no fresh one, and one that has moved beyond a look is
rid of it. Judging the same artifact again is no further look.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from pydantic import ValidationError

from transformations.engine.base.errors import DataError
from transformations.engine.base.files.local import force_folder
from transformations.engine.base.files.published import pull, replacing
from transformations.engine.base.storage import exclusive, make_folder
from transformations.models.records.base import Instant, ModelName, Record, Sha256, Version

MOST_LOOKS = 10
FILE = "looks.jsonl"


class Look(Record):
    """One look at the rows of an entity and a label from `first` to `last`, both included. who: that asked for it."""

    entity: str
    label: str
    first: Instant
    last: Instant
    artifact: Sha256
    model: ModelName
    version: Version
    at: Instant
    who: str

    def shares_rows_with(self, other: Look) -> bool:
        """Whether both look at the same label of the same entity in overlapping periods."""
        same = (self.entity, self.label) == (other.entity, other.label)
        return same and self.first <= other.last and other.first <= self.last


def look_at(folder: Path, look: Look) -> int:
    """Record a look; the number of this candidate among those that have been judged on rows of that period.

    DataError where ten others have been before, and nothing is recorded then. Concurrent looks wait for each other, or
    one of two machines gets a ConflictError; the record is on disk when this returns.
    """
    make_folder(folder)
    path = folder / FILE
    with exclusive(folder / f"{FILE}.lock", "the record of looks"):
        number = pull(path)
        past = [each for each in _read(path) if each.shares_rows_with(look)]
        candidates = list(dict.fromkeys(each.artifact for each in past))
        if look.artifact not in candidates and len(candidates) >= MOST_LOOKS:
            raise DataError(
                f"the test split from {look.first:%Y-%m-%d} to {look.last:%Y-%m-%d} is spent: {MOST_LOOKS} candidates "
                f"have been judged on it or a part of it, the first one {past[0].model} version {past[0].version} on "
                f"{past[0].at:%Y-%m-%d}. What would pass now may pass by chance. Move `test` in the dataset's split to "
                f"a period that nobody has looked at, and make the dataset anew."
            )
        if all((each.artifact, each.first, each.last) != (look.artifact, look.first, look.last) for each in past):
            _append(path, look, number)
        return (*candidates, look.artifact).index(look.artifact) + 1


def looks(folder: Path) -> tuple[Look, ...]:
    """All recorded looks, oldest first."""
    pull(folder / FILE)
    return tuple(_read(folder / FILE))


def _append(path: Path, look: Look, number: int) -> None:
    """Add a look to those that were read, on disk when this returns. number: of the record that they were read from."""
    line = json.dumps(look.model_dump(mode="json"), ensure_ascii=False) + "\n"
    with replacing(path, number) as draft, draft.open("wb") as file:
        file.write(_whole(path) + line.encode())
        file.flush()
        os.fsync(file.fileno())
    force_folder(path.parent)


def _whole(path: Path) -> bytes:
    """The file without a last line that was never finished, and whose figures nobody saw."""
    content = path.read_bytes() if path.exists() else b""
    return content[: content.rfind(b"\n") + 1]


def _read(path: Path) -> list[Look]:
    found = []
    for number, line in enumerate(_whole(path).decode().splitlines(), 1):
        try:
            found.append(Look.model_validate_json(line))
        except ValidationError:
            raise DataError(f"{path}: line {number} is no look. Bring the file back from a copy.") from None
    return found
