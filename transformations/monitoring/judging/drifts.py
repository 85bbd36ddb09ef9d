"""What a day counted held against the reference, and against the days before it: drifts, jumps, frozen features.

What follows a calendar is compared within days of equal state alone. Where there are too few, its values are held back:
they are shown and not judged, and an alert that stands waits for the next day.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Protocol

import numpy as np

from transformations.models.records.reference import Histogram
from transformations.monitoring.judging.watched import Watched
from transformations.monitoring.reading.calendars import ORDINARY, state_on
from transformations.monitoring.reading.history import COUNTS, Finding, Part, counts_of, read_counts
from transformations.monitoring.reading.records import QUESTIONS, SCORE, Baseline, Compared, Question
from transformations.monitoring.reading.served import changed_since
from transformations.monitoring.statistics.draws import EARLIER, LEAST_ALIKE
from transformations.monitoring.statistics.effects import Counts, kolmogorov_smirnov, total_variation

WEEK = 7
LEAST_EARLIER = 2
"""Days before, at least, that a day is compared with."""
MEASURES: Mapping[Question, str] = {"day": "drift", "earlier": "jump", "week": "drift of the week"}
_LEAST_CHANGES = 30
"""Keys that should have changed, at least, before a feature is called frozen where fewer did."""
_FROZEN_PART = 4
"""Frozen: fewer than a quarter of the least share of the reference."""


class Counted(Protocol):
    """Rows of a day, counted on a baseline's bins. states: by column that tells a calendar's state, the day's."""

    @property
    def day(self) -> date:
        """Which day (UTC)."""

    @property
    def rows(self) -> int:
        """How many rows there are."""

    @property
    def counts(self) -> Counts:
        """The counts, in the order of the baseline's layout."""

    @property
    def absent(self) -> tuple[str, ...]:
        """What was not counted."""

    @property
    def states(self) -> Mapping[str, str]:
        """By column that tells a calendar's state, the state."""


@dataclass(frozen=True, kw_only=True)
class Before:
    """A judged day before this one: its counts, its rows, and by input that follows a calendar its state."""

    day: date
    counts: Counts
    rows: int
    states: Mapping[str, str | None] = field(default_factory=dict)


def days_before(watched: Watched, baseline: Baseline, day: date, part: Part = "features") -> list[Before]:
    """The days of this version that a day is compared with: those of its week, and the same weekdays before it.

    part: `features` for what was served (with the scores), `stored` for what the tables held.
    """
    wanted = {day - timedelta(days=each) for each in range(1, WEEK)}
    wanted |= {day - timedelta(days=WEEK * each) for each in range(1, EARLIER + 1)}
    parts: set[Part] = {part, "predictions"} if part == "features" else {part}
    found = []
    for each in sorted(wanted):
        findings = read_counts(watched.model, each, parts, watched.settings)
        known = {
            name: (counted, state)
            for name, counted, state in counts_of(findings, baseline.version)
            if name in baseline.layout.names and len(counted) == len(baseline.layout.of(name, baseline.reference))
        }
        if known:
            counts = {name: counted for name, (counted, _) in known.items()}
            found.append(
                Before(
                    day=each,
                    counts=baseline.layout.row(counts),
                    rows=max(sum(counted) for counted in counts.values()),
                    states=_states(baseline, each, {name: state for name, (_, state) in known.items()}),
                )
            )
    return found


def drifts(baseline: Baseline, counted: Counted, days: Sequence[Before], part: Part = "features") -> Iterator[Finding]:
    """How far a day's values are from those of the reference and of the days before, and its counts for later days."""
    for each in _drifts(baseline, counted, days):
        yield each if part == "features" else replace(each, part=part)


def _drifts(baseline: Baseline, counted: Counted, days: Sequence[Before]) -> Iterator[Finding]:
    layout, day = baseline.layout, counted.day
    columns = {name: counted.states.get(baseline.state_of(name) or "") for name in layout.names}
    states = _states(baseline, day, columns)
    for name in layout.names:
        if name not in counted.absent:
            counts, state = tuple(layout.of(name, counted.counts)), states.get(name) or ""
            yield finding(baseline, counted, name, COUNTS, None, counts=counts, text=state)
    for name, each in baseline.inputs.items():
        if each.way == "not compared":
            yield finding(baseline, counted, name, "drift", None, text=f"not compared: {each.why}")
        elif name in counted.absent:
            yield finding(baseline, counted, name, "drift", None, text="not compared: no record holds its value")
    earlier = [each for each in days if (day - each.day).days % WEEK == 0]
    week = [each for each in days if (day - each.day).days < WEEK]
    yield from _against(baseline, counted, "day", baseline.reference, _alike(baseline, states))
    if len(earlier) >= LEAST_EARLIER:
        yield from _against(baseline, counted, "earlier", _sum(earlier), _alike_before(baseline, states, earlier))
    if week:
        yield from _of_week(baseline, counted, states, week)


def _against(
    baseline: Baseline, counted: Counted, question: Question, reference: Counts, alike: Mapping[str, Counts | None]
) -> Iterator[Finding]:
    """A day held against a reference. alike: by what follows a calendar, its counts on days of equal state alone."""
    layout = baseline.layout
    within = reference.copy()
    for name, counts in alike.items():
        within[layout.part(name)] = 0 if counts is None else counts
    values = layout.effects(within, counted.counts).values
    shares = layout.effects(reference, counted.counts)
    for place, name in enumerate(layout.names):
        if name in counted.absent or not _is_asked(question, name, baseline):
            continue
        effects = float(values[place]), float(shares.nulls[place]), float(shares.unseen[place])
        is_held = name in alike and alike[name] is None
        if question == "day" and not is_held:
            yield _beside(baseline, counted, name, within)
        yield from _compare(baseline, counted, question, name, counted.rows, effects, is_held=is_held)


def _beside(baseline: Baseline, counted: Counted, name: str, within: Counts) -> Finding:
    """Another effect size than the one that gates, which is only shown."""
    part = baseline.layout.part(name)
    reference, current = within[part][:-1], counted.counts[part][:-1]
    if isinstance(baseline.layout.features[name], Histogram):
        value, text = kolmogorov_smirnov(reference, current), "Kolmogorov–Smirnov distance on the reference's bins"
    else:
        value, text = total_variation(reference, current), "total variation: the share of rows in another category"
    return finding(baseline, counted, name, "distance", float(value), text=text)


def _of_week(
    baseline: Baseline, counted: Counted, states: Mapping[str, str | None], week: Sequence[Before]
) -> Iterator[Finding]:
    """The seven days that a day ends; of what follows a calendar, the ordinary ones of them."""
    layout = baseline.layout
    reference, current = baseline.reference.copy(), counted.counts.copy()
    for name in states:
        part = layout.part(name)
        ordinary = baseline.states.get(name, {}).get(ORDINARY)
        reference[part] = 0 if ordinary is None else ordinary
        current[part] = 0 if states[name] != ORDINARY else current[part]
    for each in week:
        counts = each.counts.copy()
        for name in states:
            counts[layout.part(name)] *= each.states.get(name) == ORDINARY
        current += counts
    effects = layout.effects(reference, current)
    for place, name in enumerate(layout.names):
        part = layout.part(name)
        if name in counted.absent or not _is_asked("week", name, baseline) or not reference[part].any():
            continue
        if states.get(name, ORDINARY) == ORDINARY:
            found = effects.values[place], effects.nulls[place], effects.unseen[place]
            rows = int(current[part].sum())
            yield from _compare(baseline, counted, "week", name, rows, tuple(float(each) for each in found))


def _compare(
    baseline: Baseline,
    counted: Counted,
    question: Question,
    name: str,
    rows: int,
    effects: Sequence[float],
    *,
    is_held: bool = False,
) -> Iterator[Finding]:
    limit = baseline.limit(question, name, rows)
    measure = MEASURES[question]
    if limit is None:
        text = f"too few rows to judge: {rows:,}"
        yield finding(baseline, counted, name, measure, effects[0], rows=rows, text=text)
        return
    bins = baseline.layout.features[name]
    kind = "PSI" if isinstance(bins, Histogram) else "Jensen–Shannon"
    way = "" if name == SCORE else _way(baseline.inputs[name])
    against = f"against {QUESTIONS[question]}{way}"
    if is_held:
        text = f"held back: fewer than {LEAST_ALIKE} days of the state that {baseline.state_of(name)} gives this day"
        text = text if question == "day" else f"held back: too few days of equal {baseline.state_of(name)} before"
        yield replace(finding(baseline, counted, name, measure, None, rows=rows, text=text), state="held")
    else:
        within = f", within equal {state}" if (state := baseline.state_of(name)) and question != "week" else ""
        yield _judged(
            baseline,
            counted,
            name,
            measure=measure,
            value=effects[0],
            limit=limit.value,
            rows=rows,
            text=f"{kind} {against}{within}",
        )
    yield _judged(
        baseline,
        counted,
        name,
        measure=f"{measure} of nulls",
        value=effects[1],
        limit=limit.nulls,
        rows=rows,
        text=f"nulls {against}",
    )
    if not isinstance(bins, Histogram):
        text = f"categories that the reference lacks, {against}"
        yield _judged(
            baseline,
            counted,
            name,
            measure=f"{measure} of new categories",
            value=effects[2],
            limit=limit.unseen,
            rows=rows,
            text=text,
        )


def _is_asked(question: Question, name: str, baseline: Baseline) -> bool:
    limits = baseline.score_limits if name == SCORE else baseline.limits
    return any(name in each.values for each in limits.get(question, ()))


def _way(compared: Compared) -> str:
    told = f"{compared.way} ({compared.why})" if compared.way != "as is" else compared.why
    return f", {told}" if told else ""


def _states(baseline: Baseline, day: date, columns: Mapping[str, str | None]) -> dict[str, str | None]:
    """By what follows a calendar, its state on a day; None where nothing tells it. columns: what columns told."""
    found: dict[str, str | None] = {}
    for name in baseline.layout.names:
        told_by = baseline.state_of(name)
        if told_by is not None:
            calendar = baseline.calendars.get(told_by)
            found[name] = columns.get(name) or None if calendar is None else state_on(calendar, day)
    return found


def _alike(baseline: Baseline, states: Mapping[str, str | None]) -> dict[str, Counts | None]:
    """By what follows a calendar, the reference's counts on days of a state; None where those are too few."""
    found: dict[str, Counts | None] = {}
    for name, state in states.items():
        counts = baseline.states.get(name, {}).get(state or "")
        found[name] = None if counts is None else np.array(counts, dtype=np.int64)
    return found


def _alike_before(
    baseline: Baseline, states: Mapping[str, str | None], days: Sequence[Before]
) -> dict[str, Counts | None]:
    found: dict[str, Counts | None] = {}
    for name, state in states.items():
        alike = [each for each in days if state is not None and each.states.get(name) == state]
        found[name] = _sum(alike)[baseline.layout.part(name)] if len(alike) >= LEAST_EARLIER else None
    return found


def frozen(watched: Watched, baseline: Baseline, counted: Counted) -> Iterator[Finding]:
    """Features whose values stay where they were a week before though in the reference they change."""
    earlier = [counted.day - timedelta(days=WEEK * each) for each in range(1, EARLIER + 1)]
    changed = changed_since(baseline, counted.day, earlier, watched.settings)
    if changed is None:
        return
    for name, share in changed.shares.items():
        least = baseline.changed[name]
        text = f"keys whose value is another than on {changed.before}, {changed.keys:,} of both days"
        found = finding(baseline, counted, name, "changed", share, rows=changed.keys, text=text)
        if least * changed.keys < _LEAST_CHANGES:
            yield found
            continue
        limit = least / _FROZEN_PART
        yield replace(found, limit=limit, state="alert" if share < limit else "fine")


def _judged(
    baseline: Baseline, counted: Counted, name: str, *, measure: str, value: float, limit: float, rows: int, text: str
) -> Finding:
    found = finding(baseline, counted, name, measure, value, rows=rows, text=text)
    return replace(found, limit=limit, state="alert" if abs(value) > limit else "fine")


def finding(
    baseline: Baseline,
    counted: Counted,
    name: str,
    measure: str,
    value: float | None,
    *,
    rows: int | None = None,
    text: str = "",
    counts: tuple[int, ...] | None = None,
) -> Finding:
    """A finding that is only shown, of an input or the scores. rows: those of the day by default."""
    return Finding(
        day=counted.day,
        version=baseline.version,
        part="predictions" if name == SCORE else "features",
        subject=name,
        measure=measure,
        value=value,
        rows=counted.rows if rows is None else rows,
        text=text,
        counts=counts,
    )


def _sum(days: Sequence[Before]) -> Counts:
    return np.asarray(np.sum([each.counts for each in days], axis=0), dtype=np.int64)
