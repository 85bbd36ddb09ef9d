"""Watching: every model that has predictions, its days in their order, and the data behind all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from feast import FeatureStore

from transformations.engine.base import storage
from transformations.engine.base.disk_faults import faults_in_words
from transformations.engine.base.errors import DataError, UsageError, nearest
from transformations.engine.base.settings import Settings
from transformations.models.log.event_log import EventLog
from transformations.models.predictions.finding import models_recorded
from transformations.monitoring.judging.data import judge_data
from transformations.monitoring.judging.day import Judged, judge_day
from transformations.monitoring.judging.outcomes import Outcomes, outcomes
from transformations.monitoring.judging.watched import Watched
from transformations.monitoring.reading.history import model_folder
from transformations.monitoring.reading.served import days_served, newest_day


@dataclass(frozen=True, kw_only=True)
class Monitored:
    """What was judged. newest: of each model its last judged day, and the data, if they were looked at."""

    judged: tuple[Judged, ...]
    newest: tuple[Judged, ...]
    watched: dict[str, Watched]


@faults_in_words()
def monitor(
    names: Sequence[str],
    repository: Path,
    log: EventLog,
    settings: Settings,
    *,
    day: date | None = None,
    span: tuple[date, date] | None = None,
    report: Callable[[str], None] = lambda _text: None,
    open_store: Callable[[], FeatureStore] | None = None,
) -> Monitored:
    """Judge a day of the models named, or of all that have predictions: the newest one, `day`, or the days of `span`
    that have predictions. Without names and days the data are judged, too, as they are now. open_store: without it
    stored values are not read, and skew is not measured.

    UsageError for a model without predictions; DataError for a day without any.
    """
    known = [name for name in models_recorded(settings) if newest_day(name, settings) is not None]
    for name in names:
        if name not in known and name not in log.models():
            raise UsageError(f"there is no model {name!r}: {nearest(name, log.models())}.")
    judged: list[Judged] = []
    newest: list[Judged] = []
    watched: dict[str, Watched] = {}
    if not names and day is None and span is None:
        newest.append(judge_data(settings, report, open_store))
    for name in names or known:
        model = Watched(name, repository, log, settings, open_store=open_store)
        watched[name] = model
        lock = storage.exclusive(model_folder(name, settings) / ".monitor.lock", f"the monitoring of {name}")
        with lock, model.replaying() as replayer:
            found = [judge_day(model, each, replayer) for each in _days(model, day, span)]
        judged += found
        newest.append(found[-1])
    if not names and not known and not newest:
        raise DataError("no model has a recorded prediction, so there is nothing to watch.")
    data = [each for each in newest if each.model not in watched]
    return Monitored(judged=(*data, *judged), newest=tuple(newest), watched=watched)


@faults_in_words()
def outcomes_of(
    name: str,
    repository: Path,
    log: EventLog,
    settings: Settings,
    first: date | None = None,
    last: date | None = None,
) -> Outcomes:
    """What became of a model's predictions; see outcomes.py."""
    return outcomes(Watched(name, repository, log, settings), first, last)


def _days(watched: Watched, day: date | None, span: tuple[date, date] | None) -> list[date | None]:
    if span is None:
        return [day]
    first, last = span
    if last < first:
        raise UsageError(f"the last day, {last}, is before the first, {first}.")
    found: list[date | None] = [each for each in days_served(watched.model, watched.settings) if first <= each <= last]
    if not found:
        raise DataError(f"model {watched.model} has no prediction from {first} to {last} (UTC).")
    return found
