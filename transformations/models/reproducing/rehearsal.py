"""Rehearsing a rollback: on a copy of the log, with the very artifact that would answer."""

from __future__ import annotations

import getpass
import time
from dataclasses import dataclass

from transformations.engine.base.disk_faults import faults_in_words
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.settings import Settings
from transformations.models.log import stages
from transformations.models.log.event_log import EventLog
from transformations.models.scoring.predict import predict
from transformations.models.training import pinned_dataset
from transformations.models.versions import artifact_of, standing

_ROWS = 1_000


@dataclass(frozen=True, kw_only=True)
class Rehearsed:
    """A rollback that would have worked. seconds: from the decision to scores of the earlier version."""

    from_version: int
    to_version: int
    seconds: float
    rows: int


@faults_in_words()
def rehearse_rollback(name: str, log: EventLog, settings: Settings) -> Rehearsed:
    """Roll back on a copy of the log, verify the earlier version's artifact and score rows with it; nothing moves.

    UsageError where production had nothing before; DataError where that version could no longer answer.
    """
    known = standing(name, log)
    current = known.production
    if current is None or known.previous is None:
        raise UsageError(f"model {name}: production had no version before, so there is nothing to roll back to.")
    copy = EventLog(log.project, "sqlite://")
    for event in log.events(name):
        copy.append(event)
    rows = pinned_dataset(known.version(known.previous).registered.dataset, settings).rows("validation").slice(0, _ROWS)
    began = time.monotonic()
    event = stages.rollback(copy, name, who=getpass.getuser(), why="a rehearsal", at=settings.now())
    there = standing(name, copy).production
    if there is None or there.number != event.version:
        raise DataError(f"model {name}: after the rehearsed rollback production does not hold version {event.version}.")
    scores = predict(artifact_of(name, there, settings), rows).scores
    seconds = time.monotonic() - began
    return Rehearsed(from_version=current.number, to_version=there.number, seconds=seconds, rows=len(scores))
