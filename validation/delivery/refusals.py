"""The record of refused deliveries: a line each, so that a source which sends nothing but broken drops is seen.

refused/visits.jsonl in the data folder

Nothing of a refused delivery reaches the raw zone, and whoever delivered it may be a scheduler that nobody reads.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from transformations.engine.base import storage
from transformations.engine.base.disk_faults import faults_in_words
from transformations.engine.base.errors import DataError
from transformations.engine.base.settings import Settings

_LONGEST = 500


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A delivery that was not taken. at: when (UTC). rules: the checks that it broke; none where the raw table refused
    it. rows: that were delivered, 0 where it could not be read. message: what was said, its first 500 characters.
    """

    at: datetime
    file: str
    rows: int
    rules: tuple[str, ...]
    message: str


def note_refusal(source: str, refusal: Refusal, settings: Settings) -> None:
    """Add a refusal to the record of a source. A disk that takes nothing hides no refusal, which is told anyway."""
    line = {
        "at": refusal.at.isoformat(),
        "file": refusal.file,
        "rows": refusal.rows,
        "rules": list(refusal.rules),
        "message": refusal.message[:_LONGEST],
    }
    file = _file(source, settings)
    with suppress(OSError):
        storage.make_folder(file.parent)
        with file.open("a", encoding="utf-8") as record:
            record.write(json.dumps(line, ensure_ascii=False) + "\n")


@faults_in_words()
def read_refusals(source: str, settings: Settings) -> Sequence[Refusal]:
    """The refused deliveries of a source, oldest first. DataError for a line that is none."""
    file = _file(source, settings)
    if not file.is_file():
        return ()
    return [_read(line, file) for line in file.read_text(encoding="utf-8").splitlines()]


def _read(line: str, file: Path) -> Refusal:
    try:
        said = json.loads(line)
        return Refusal(
            at=datetime.fromisoformat(said["at"]),
            file=str(said["file"]),
            rows=int(said["rows"]),
            rules=tuple(map(str, said["rules"])),
            message=str(said["message"]),
        )
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{file} holds a line that is no refusal: {line[:60]!r}. Take that line out.") from None


def _file(source: str, settings: Settings) -> Path:
    return settings.data / "refused" / f"{source}.jsonl"
