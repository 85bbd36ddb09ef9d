"""A model's day: counted, compared, and what of it alerts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np

from transformations.engine.base.errors import DataError
from transformations.models.records.reference import Histogram
from transformations.monitoring.judging.watched import Watched
from transformations.monitoring.reading.history import (
    COUNTS,
    Finding,
    counts_of,
    last_before,
    read_findings,
    write_findings,
)
from transformations.monitoring.reading.records import QUESTIONS, SCORE, Baseline, Compared, Question
from transformations.monitoring.reading.served import (
    Served,
    changed_since,
    days_served,
    read_day,
    versions_served,
)
from transformations.monitoring.statistics.draws import EARLIER
from transformations.monitoring.statistics.effects import Counts

_WEEK = 7
_LEAST_EARLIER = 2
_LEAST_CHANGES = 30
"""Keys that should have changed, at least, before a feature is called frozen where fewer did."""
_FROZEN_PART = 4
"""Frozen: fewer than a quarter of the least share of the reference."""
MEASURES: Mapping[Question, str] = {"day": "drift", "earlier": "jump", "week": "drift of the week"}


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


def judge_day(watched: Watched, day: date | None = None) -> Judged:
    """Judge a UTC day (by default the newest with predictions) and write it into the history, in place of what it had.

    The same predictions give the same findings, whenever and however often. DataError for a day without predictions,
    naming the nearest that have some.
    """
    settings = watched.settings
    if day is None:
        known = days_served(watched.model, settings)
        day = known[-1] if known else None
    versions = versions_served(watched.model, day, settings) if day else []
    if day is None or not versions:
        raise _nothing(watched, day)
    findings: list[Finding] = []
    for version in versions:
        baseline = watched.baseline(version)
        served = read_day(baseline, day, settings, watched.declared.segments)
        if served is not None:
            findings += _of_version(watched, baseline, served)
    before = last_before(watched.model, day, settings)
    since = _bad_since(read_findings(watched.model, before, settings)) if before else {}
    dated = [
        replace(each, first_bad=since.get((each.part, each.subject), day)) if each.alerts else each for each in findings
    ]
    write_findings(watched.model, day, dated, settings)
    return Judged(model=watched.model, day=day, findings=ranked(dated))


def ranked(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Alerts first, then what is judged, then what is shown; the most important first, then the farthest from fine."""
    order = {"alert": 0, "fine": 1, "shown": 2}

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
    days = _earlier_days(watched, baseline, served.day)
    for finding in (
        *_drifts(watched, baseline, served, days),
        *_frozen(watched, baseline, served),
        *_predictions(watched, baseline, served, days),
    ):
        yield replace(
            finding,
            importance=importance.get(finding.subject),
            owner=finding.owner or owners.get(finding.subject, watched.owner),
        )


@dataclass(frozen=True, kw_only=True)
class _Before:
    """A judged day before this one: its counts, and its rows."""

    day: date
    counts: Counts
    rows: int


def _earlier_days(watched: Watched, baseline: Baseline, day: date) -> list[_Before]:
    """The days of this version that a day is compared with: those of its week, and the same weekdays before it."""
    wanted = {day - timedelta(days=each) for each in range(1, _WEEK)}
    wanted |= {day - timedelta(days=_WEEK * each) for each in range(1, EARLIER + 1)}
    found = []
    for each in sorted(wanted):
        findings = read_findings(watched.model, each, watched.settings)
        counts = {
            name: counted
            for name, counted in counts_of(findings, baseline.version)
            if name in baseline.layout.names and len(counted) == len(baseline.layout.of(name, baseline.reference))
        }
        if counts:
            row = baseline.layout.row(counts)
            found.append(_Before(day=each, counts=row, rows=max(sum(counted) for counted in counts.values())))
    return found


def _drifts(watched: Watched, baseline: Baseline, served: Served, days: Sequence[_Before]) -> Iterator[Finding]:
    layout, day = baseline.layout, served.day
    week = [each for each in days if (day - each.day).days < _WEEK]
    earlier = [each for each in days if (day - each.day).days % _WEEK == 0]
    compared: dict[Question, tuple[Counts, Counts, int]] = {
        "day": (_reference(watched, baseline, served), served.counts, served.rows)
    }
    if len(earlier) >= _LEAST_EARLIER:
        compared["earlier"] = (_sum(earlier), served.counts, served.rows)
    if week:
        rows = served.rows + sum(each.rows for each in week)
        compared["week"] = (baseline.reference, served.counts + _sum(week), rows)
    for name in layout.names:
        yield _finding(baseline, served, name, COUNTS, None, counts=tuple(layout.of(name, served.counts)))
    for name, each in baseline.inputs.items():
        if each.way == "not compared":
            yield _finding(baseline, served, name, "drift", None, text=f"not compared: {each.why}")
        elif name in served.absent:
            yield _finding(baseline, served, name, "drift", None, text="not compared: no record holds its value")
    for question, (reference, current, rows) in compared.items():
        effects = layout.effects(reference, current)
        for place, name in enumerate(layout.names):
            if name in served.absent or not _is_asked(question, name, baseline):
                continue
            values = (effects.values[place], effects.nulls[place], effects.unseen[place])
            yield from _compare(baseline, served, question, name, rows, tuple(float(each) for each in values))


def _compare(
    baseline: Baseline, served: Served, question: Question, name: str, rows: int, effects: Sequence[float]
) -> Iterator[Finding]:
    limit = baseline.limit(question, name, rows)
    if limit is None:
        text = f"too few rows to judge: {rows:,}"
        yield _finding(baseline, served, name, MEASURES[question], effects[0], rows=rows, text=text)
        return
    bins = baseline.layout.features[name]
    way = "" if name == SCORE or not baseline.inputs[name].why else f", {_way(baseline.inputs[name])}"
    kind = "PSI" if isinstance(bins, Histogram) else "Jensen–Shannon"
    against = f"against {QUESTIONS[question]}{way}"
    measure = MEASURES[question]
    yield _judged(baseline, served, name, measure, effects[0], limit.value, rows, f"{kind} {against}")
    yield _judged(baseline, served, name, f"{measure} of nulls", effects[1], limit.nulls, rows, f"nulls {against}")
    if not isinstance(bins, Histogram):
        text = f"categories that the reference lacks, {against}"
        yield _judged(baseline, served, name, f"{measure} of new categories", effects[2], limit.unseen, rows, text)


def _is_asked(question: Question, name: str, baseline: Baseline) -> bool:
    limits = baseline.score_limits if name == SCORE else baseline.limits
    return any(name in each.values for each in limits.get(question, ()))


def _way(compared: Compared) -> str:
    return f"{compared.way} ({compared.why})" if compared.way != "as is" else compared.why


def _reference(watched: Watched, baseline: Baseline, served: Served) -> Counts:
    """The reference's counts; of inputs that follow the calendar, those of days in the state that most rows have."""
    found = baseline.reference.copy()
    for name, by_state in baseline.states.items():
        state_of = baseline.inputs[name].state
        groups = [each for each in served.groups if each.column == state_of]
        state = max(groups, key=lambda each: each.rows).value if groups else None
        part = baseline.layout.part(name)
        alike = by_state.get(state or "")
        found[part] = np.array(alike, dtype=np.int64) if alike is not None else served.counts[part]
    return found


def _frozen(watched: Watched, baseline: Baseline, served: Served) -> Iterator[Finding]:
    """Features whose values stay where they were a week before though in the reference they change."""
    earlier = [served.day - timedelta(days=_WEEK * each) for each in range(1, EARLIER + 1)]
    changed = changed_since(baseline, served.day, earlier, watched.settings)
    if changed is None:
        return
    for name, share in changed.shares.items():
        least = baseline.changed[name]
        text = f"keys whose value is another than on {changed.before}, {changed.keys:,} of both days"
        if least * changed.keys < _LEAST_CHANGES:
            yield _finding(baseline, served, name, "changed", share, rows=changed.keys, text=text)
            continue
        finding = _finding(baseline, served, name, "changed", share, rows=changed.keys, text=text)
        limit = least / _FROZEN_PART
        yield replace(finding, limit=limit, state="alert" if share < limit else "fine")


def _predictions(watched: Watched, baseline: Baseline, served: Served, days: Sequence[_Before]) -> Iterator[Finding]:
    def shown(subject: str, measure: str, value: float | None, text: str) -> Finding:
        return replace(
            _finding(baseline, served, subject, measure, value, text=text), part="predictions", owner=watched.owner
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
        yield shown(f"{group.column}={group.value}", "mean", group.mean_score, f"mean score of {group.rows:,} rows")
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
    weekdays = [each.rows for each in days if (served.day - each.day).days % _WEEK == 0]
    if len(weekdays) >= _LEAST_EARLIER:
        usual = float(np.median(weekdays))
        volume = watched.config.volume
        times = served.rows / usual
        is_beyond = not volume.at_least <= times <= volume.at_most
        limit = volume.at_least if times < 1 else volume.at_most
        found = shown("volume", "rows", times, f"times the usual {usual:,.0f} rows of the weekday")
        yield replace(found, part="data", limit=limit, state="alert" if is_beyond else "fine")


def _judged(
    baseline: Baseline, served: Served, name: str, measure: str, value: float, limit: float, rows: int, text: str
) -> Finding:
    found = _finding(baseline, served, name, measure, value, rows=rows, text=text)
    return replace(found, limit=limit, state="alert" if abs(value) > limit else "fine")


def _finding(
    baseline: Baseline,
    served: Served,
    name: str,
    measure: str,
    value: float | None,
    *,
    rows: int | None = None,
    text: str = "",
    counts: tuple[int, ...] | None = None,
) -> Finding:
    return Finding(
        day=served.day,
        version=baseline.version,
        part="predictions" if name == SCORE else "features",
        subject=name,
        measure=measure,
        value=value,
        rows=served.rows if rows is None else rows,
        text=text,
        counts=counts,
    )


def _sum(days: Sequence[_Before]) -> Counts:
    return np.asarray(np.sum([each.counts for each in days], axis=0), dtype=np.int64)


def _bad_since(findings: Sequence[Finding]) -> dict[tuple[str, str], date]:
    """By part and subject, since when it alerts without a break."""
    found: dict[tuple[str, str], date] = {}
    for each in findings:
        if each.alerts and each.first_bad is not None:
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
