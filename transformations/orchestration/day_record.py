"""What was done for a business day: a file a day, replaced at once, so that a killed run leaves a whole one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from transformations.engine.base.errors import DamagedError
from transformations.engine.base.settings import Settings
from transformations.engine.base.storage import exclusive, make_folder, replace_text

FOLDER = "orchestration"


class Outcome(StrEnum):
    """How a task ended. Of those that were performed: by the exit code of its command."""

    FINISHED = "finished"
    IDLE = "nothing to do"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"
    FAILED = "failed"
    BLOCKED = "blocked"

    @classmethod
    def of_code(cls, code: int) -> Outcome:
        """By an exit code: 0 done, 3 the data, 4 a service, anything else a fault."""
        return {0: cls.FINISHED, 3: cls.REFUSED, 4: cls.UNAVAILABLE}.get(code, cls.FAILED)

    @property
    def is_good(self) -> bool:
        """Whether what needs the task may go on."""
        return self in (Outcome.FINISHED, Outcome.IDLE)


class Entry(BaseModel):
    """A task that was performed. state: a fingerprint of what it had before it and left behind, once it was over.

    said: the last lines that its commands printed. tries: how often the last command was started.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    outcome: Outcome
    code: int
    state: str
    finished_at: datetime
    seconds: float
    commands: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    tries: int = 1


class DayRecord(BaseModel):
    """The performed tasks of a business day, by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    form: int = 1
    day: date
    tasks: Mapping[str, Entry] = {}


def record_path(day: date, settings: Settings) -> Path:
    """Where the record of a day lies."""
    return settings.data / FOLDER / "days" / f"{day}.json"


def read_record(day: date, settings: Settings) -> DayRecord:
    """The record of a day; an empty one where nothing was done yet. DamagedError for a file that is none."""
    path = record_path(day, settings)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return DayRecord(day=day)
    try:
        return DayRecord.model_validate_json(text)
    except ValidationError:
        raise DamagedError(
            f"{path} is no record of a day. Take the file away: what it says was done is then looked at and done anew."
        ) from None


def note(day: date, name: str, entry: Entry, settings: Settings) -> None:
    """Write how a task ended into the day's record; several processes may do so at once."""
    path = record_path(day, settings)
    make_folder(path.parent)
    with exclusive(path.with_suffix(".lock"), f"the record of {day}"):
        record: dict[str, Any] = read_record(day, settings).model_dump(mode="json")
        record["tasks"][name] = entry.model_dump(mode="json")
        replace_text(path, DayRecord.model_validate(record).model_dump_json(indent=1))
