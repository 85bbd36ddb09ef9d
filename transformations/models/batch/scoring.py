"""Scoring in batch: what a weekly job calls in place of a server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from feast import FeatureStore

from transformations.engine.base.business_days import start_of_day
from transformations.engine.base.disk_faults import faults_in_words
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.moments import moment_text
from transformations.engine.base.settings import Settings
from transformations.models.batch.online import put_online, score_view_of
from transformations.models.batch.opened import Batch, Entities, Opened
from transformations.models.batch.population import (
    day_zone,
    rows_of_file,
)
from transformations.models.log.event_log import EventLog
from transformations.models.log.standing import VersionState, standing_at
from transformations.models.versions import dataset_of, standing

_MOST_DAYS = 3_660


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """What scores batches of a model. number: a version; None for the one in production at each batch's moment."""

    model: str
    number: int | None
    log: EventLog
    store: FeatureStore
    settings: Settings

    @faults_in_words()
    def day(self, day: date, entities: Entities = "declared") -> Batch:
        """Score a business day, and publish the scores at once; what is published already stays as it is.

        entities: `declared` asks the dataset's own query again and takes the rows of that day, each at its own moment;
        `known` takes every entity that the model's views know when the day begins, as does a dataset without a query.
        Without a number, the version scores that is in production when the day ends, or now if that is earlier.
        DataError for a day that has nobody or has not begun, or whose features are not there yet; UsageError where
        nothing is in production.
        """
        return next(self.days(day, day, entities))

    @faults_in_words()
    def days(
        self, first: date, last: date, entities: Entities = "declared", *, if_any: bool = False
    ) -> Iterator[Batch]:
        """Score the business days from first to last that have rows, oldest first; each is published by itself.

        Errors as of `day`, and UsageError for more than ten years; a day without rows is passed over, unless there is
        no other (if_any: even then).
        """
        if last < first:
            raise UsageError(f"the last day, {last}, is before the first, {first}.")
        if (last - first).days >= _MOST_DAYS:
            raise UsageError(
                f"{first} to {last} are {(last - first).days + 1:,} days; {_MOST_DAYS:,} can be scored at once."
            )
        zone = day_zone(dataset_of(self.model, standing(self.model, self.log).newest(), self.settings), self.settings)
        if (begins := start_of_day(last, zone)) > self.settings.now():
            raise DataError(
                f"{last} begins at {moment_text(begins, zone)}, and it is {moment_text(self.settings.now(), zone)}: "
                f"nothing is known of that day yet."
            )
        found = 0
        with Opened(self.model, self.log, self.store, self.settings) as opened:
            for day in (first + timedelta(days=each) for each in range((last - first).days + 1)):
                ends = start_of_day(day + timedelta(days=1), zone)
                batch = opened.score_day(self._version(min(ends, self.settings.now()), zone), day, entities)
                if batch is not None:
                    found += 1
                    yield batch
            if not found and not if_any:
                raise opened.nobody(first)

    @faults_in_words()
    def file(self, file: Path) -> Batch:
        """Score the rows of a Parquet or CSV file: the join keys, the request fields and a moment each."""
        rows = rows_of_file(file)
        with Opened(self.model, self.log, self.store, self.settings) as opened:
            return opened.score(self._version(self.settings.now(), "UTC"), rows)

    def refuse_offline(self) -> None:
        """UsageError where scores cannot go online: no view of them is applied, or the version named is not in
        production, so that no gate stands between it and a user.
        """
        score_view_of(self.model, self.store)
        there = standing(self.model, self.log).production
        if self.number is not None and (there is None or there.number != self.number):
            raise UsageError(
                f"model {self.model} version {self.number} is not in production, so its scores stay offline. Promote "
                f"it first, or leave --online out."
            )

    def put_online(self, batches: Sequence[Batch]) -> str:
        """Make the scores of published batches a feature view; its name. See online.py."""
        self.refuse_offline()
        return put_online(self.model, batches, self.store, self.settings)

    def _version(self, moment: datetime, zone: str) -> VersionState:
        now = standing(self.model, self.log)
        if self.number is not None:
            return now.version(self.number)
        then = standing_at(self.model, self.log.events(self.model), moment).production
        if then is None:
            there = (
                f"Version {now.production.number} is, since {moment_text(now.production.since, zone)}"
                if now.production
                else "Nothing is now"
            )
            raise UsageError(
                f"model {self.model} had nothing in production at {moment_text(moment, zone)}. {there}. Name the "
                f"version that is to score: --version {now.newest().number}."
            )
        return then
