"""A model's day: counted, compared, and what of it alerts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np

from transformations.engine.base.errors import DataError, UsageError
from transformations.models.predictions.replay import Replayer
from transformations.monitoring.judging.drifts import (
    LEAST_EARLIER,
    MEASURES,
    WEEK,
    days_before,
    drifts,
    finding,
    frozen,
)
from transformations.monitoring.judging.skew import skew_of_predictions
from transformations.monitoring.judging.watched import Watched
from transformations.monitoring.reading.calendars import ORDINARY, Calendar, Calendars, last_named
from transformations.monitoring.reading.config import FILE as CONFIG_FILE
from transformations.monitoring.reading.history import (
    COUNTS,
    Finding,
    last_before,
    read_counts,
    read_findings,
    write_findings,
)
from transformations.monitoring.reading.records import SCORE, Baseline
from transformations.monitoring.reading.served import (
    Served,
    days_served,
    is_batch_alone,
    newest_day,
    read_day,
    versions_served,
)
from transformations.monitoring.statistics.draws import EARLIER


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A judged day. findings: alerts first, by the importance of what they are about."""

    model: str
    day: date
    findings: tuple[Finding, ...]

    @property
    def alerts(self) -> tuple[Finding, ...]:
        """What somebody is to look at."""
        return tuple(each for each in self.findings if each.alerts)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """What about the judging itself needs somebody's hand."""
        return tuple(each for each in self.findings if each.state == "warning")


def judge_day(watched: Watched, day: date | None = None, replayer: Replayer | None = None) -> Judged:
    """Judge a UTC day (by default the newest with predictions) and write it into the history, in place of what it had.

    The same predictions give the same findings, whenever and however often. replayer: computes a sample again; without
    it that is not done. DataError for a day without predictions, naming the nearest that have some.
    """
    settings = watched.settings
    day = newest_day(watched.model, settings) if day is None else day
    versions = versions_served(watched.model, day, settings) if day else []
    if day is None or not versions:
        raise _nothing(watched, day)
    findings: list[Finding] = []
    calendars: dict[str, Calendar] = {}
    rows = 0
    for version in versions:
        baseline = watched.baseline(version)
        calendars |= baseline.calendars
        served = read_day(baseline, day, settings, watched.declared.segments)
        if served is not None:
            rows += served.rows
            findings += _of_version(watched, baseline, served)
    findings += _volume(watched, day, rows)
    findings += _ended(watched, day, calendars)
    if replayer is not None:
        findings.append(skew_of_predictions(watched, day, replayer))
    before = last_before(watched.model, day, settings)
    since = _bad_since(read_findings(watched.model, before, settings)) if before else {}
    dated = [
        replace(each, first_bad=since.get((each.part, each.subject), day if each.alerts else None))
        if each.alerts or each.state == "held"
        else each
        for each in findings
    ]
    write_findings(watched.model, day, dated, settings)
    return Judged(model=watched.model, day=day, findings=ranked(dated))


def ranked(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Alerts first, then warnings, what is held back, judged and shown; in each the most important first, then the
    farthest from fine.
    """
    order = {"alert": 0, "warning": 1, "held": 2, "fine": 3, "shown": 4}

    def place(each: Finding) -> tuple[int, float, float, str, str]:
        excess = abs(each.value or 0.0) / each.limit if each.limit else 0.0
        weight = each.importance if each.importance is not None else float("inf")
        return order[each.state], -weight, -excess, each.subject, each.measure

    return tuple(sorted((each for each in findings if each.measure != COUNTS), key=place))


def _of_version(watched: Watched, baseline: Baseline, served: Served) -> Iterator[Finding]:
    importance = watched.importance(baseline.version)
    owners = {name: watched.owner_of(baseline.version, each.view) for name, each in baseline.inputs.items()} | {
        SCORE: watched.owner
    }
    days = days_before(watched, baseline, served.day)
    for each in (
        *drifts(baseline, served, days),
        *frozen(watched, baseline, served),
        *_stored(watched, baseline, served.day),
        *_predictions(watched, baseline, served),
    ):
        yield replace(
            each,
            importance=importance.get(each.subject),
            owner=each.owner or owners.get(each.subject, watched.owner),
        )


def _volume(watched: Watched, day: date, rows: int) -> Iterator[Finding]:
    """Rows of the day beside those of the same weekday before, of all versions: a rollout moves rows between them."""
    days = (day - timedelta(days=WEEK * each) for each in range(1, EARLIER + 1))
    counted = (read_counts(watched.model, each, {"predictions"}, watched.settings) for each in days)
    earlier = [sum(each.rows for each in found) for found in counted if found]
    if not rows or len(earlier) < LEAST_EARLIER:
        return
    usual, volume = float(np.median(earlier)), watched.config.volume
    times = rows / usual
    yield Finding(
        day=day,
        version=0,
        part="data",
        subject="volume",
        measure="rows",
        value=times,
        limit=volume.at_least if times < 1 else volume.at_most,
        state="fine" if volume.at_least <= times <= volume.at_most else "alert",
        rows=rows,
        owner=watched.owner,
        text=f"times the usual {usual:,.0f} rows of the weekday",
    )


def _ended(watched: Watched, day: date, calendars: Calendars) -> Iterator[Finding]:
    """Calendars that name no day as late as this one: whether it is like others, nobody has said."""
    for name, calendar in sorted(calendars.items()):
        last = last_named(calendar)
        if day > last:
            text = (
                f"days since the last one that it names, {last}: each of them counts as {ORDINARY}. Name the coming "
                f"ones under calendars.{name} of {CONFIG_FILE}"
            )
            yield Finding(
                day=day,
                version=0,
                part="data",
                subject=f"calendar {name}",
                measure="ended",
                value=float((day - last).days),
                state="warning",
                owner=watched.owner,
                text=text,
            )


def _stored(watched: Watched, baseline: Baseline, day: date) -> Iterator[Finding]:
    """What the tables held for the day's population. Where a batch has scored that day, its record is just that."""
    if is_batch_alone(watched.model, baseline.version, day, watched.settings):
        return
    try:
        snapshots = watched.snapshots(baseline.version)
        if snapshots is None:
            return
        found = snapshots.of_day(day)
    except (DataError, UsageError) as error:
        text = f"not compared: {error.message.splitlines()[0]}"
        subject, measure = "population", MEASURES["day"]
        yield Finding(
            day=day, version=baseline.version, part="stored", subject=subject, measure=measure, value=None, text=text
        )
        return
    for each in drifts(baseline, found, days_before(watched, baseline, day, "stored"), "stored"):
        if found.is_declared or not each.measure.startswith(MEASURES["day"]) or each.state == "shown":
            yield each
        else:
            text = f"{each.text}; shown alone, since the reference has no row for each entity that the views know"
            yield replace(each, state="shown", limit=None, text=text)


def _predictions(watched: Watched, baseline: Baseline, served: Served) -> Iterator[Finding]:
    def shown(subject: str, measure: str, value: float | None, text: str) -> Finding:
        return replace(
            finding(baseline, served, subject, measure, value, text=text), part="predictions", owner=watched.owner
        )

    yield shown(SCORE, "mean", served.mean_score, "mean score")
    if served.decided:
        share = served.acted / served.decided
        yield shown("decision", "acted on", share, "share of predictions at or above the threshold")
    yield shown("answers", "unanswered", served.unanswered / served.rows, "share that nobody can have seen")
    if served.latency is not None:
        for name, seconds in zip(("median", "95th percentile", "99th percentile"), served.latency, strict=True):
            yield shown("latency", name, seconds, "seconds from request to score")
    for group in served.groups:
        subject = f"{group.column}={group.value}"
        yield shown(subject, "mean", group.mean_score, f"mean score of {group.rows:,} rows")
        if served.decided:
            text = f"share of {group.rows:,} rows at or above the threshold"
            yield shown(subject, "acted on", group.acted / group.rows, text)
    degraded = served.degraded / served.rows
    limit = watched.config.degraded
    text = "share of predictions that were made without features"
    yield replace(
        shown("degraded", "share", degraded, text), limit=limit, state="alert" if degraded > limit else "fine"
    )
    for view, rows in served.stale.items():
        text = "share of rows that it was too old for: it has missed a business day"
        found = shown(view, "stale", rows / served.rows, text)
        owner = watched.owner_of(baseline.version, view)
        yield replace(found, part="data", limit=0.0, state="alert" if rows else "fine", owner=owner)


def _bad_since(findings: Sequence[Finding]) -> dict[tuple[str, str], date]:
    """By part and subject, since when it alerts without a break; a day on which it is held back is none."""
    found: dict[tuple[str, str], date] = {}
    for each in findings:
        if each.first_bad is not None:
            key = each.part, each.subject
            found[key] = min(each.first_bad, found.get(key, each.first_bad))
    return found


def _nothing(watched: Watched, day: date | None) -> DataError:
    known = days_served(watched.model, watched.settings)
    if day is None or not known:
        return DataError(
            f"model {watched.model} has no recorded prediction, so there is nothing to watch. Score a day first: "
            f"features model predict {watched.model} --as-of DAY"
        )
    near = ", ".join(map(str, sorted(sorted(known, key=lambda each: abs(each - day))[:3])))
    return DataError(f"model {watched.model} has no prediction on {day} (UTC). The nearest days with some are {near}.")
