"""Whether a version may go on, from what was seen of its present step: a pure function of plan and sight.

The declared alpha, the chance that a version which keeps to every limit is ever stopped, is shared out: half of it to
errors, a quarter each to divergence and latency, and of each an equal part to every step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

import numpy as np
from pydantic import Field

from transformations.models.records.base import Instant, ModelName, Record, Version
from transformations.models.records.gates import Interval
from transformations.models.records.rollout_plan import RolloutPlan
from transformations.models.rollout.betting import interval
from transformations.models.rollout.board import Seen
from transformations.models.rollout.sequential import RateTest

_WIDEST = 10
"""A unit's difference counts as so many times its limit at most, so that one unit cannot decide. It is a bounded mean
that is judged, and it is never above the plain one: nobody is stopped for this."""
_AT_CHANCE, _NEARLY_ALWAYS = 0.5, 0.9


class Reading(Record):
    """What was seen of a step, and what follows. Its hash is the evidence of the event that it led to.

    step: its place in the plan, from 1; event: the number of the event that began it. failed_units: on which the
    version failed and production did not. errors: evidence of the test; it says stop at stop_at, and go at or below
    go_at. divergence: the interval of the mean difference. slow_minutes: of a process, in which the version took longer
    than its limit allows. breaches: why it must stop. waits: what is missing before the next step.
    """

    model: ModelName
    version: Version
    production: Version
    step: Annotated[int, Field(ge=1)]
    event: Annotated[int, Field(ge=1)]
    at: Instant
    plan: str
    rows: int
    failed_rows: int
    failed_units: int
    shed_rows: int
    errors: float
    stop_at: float
    go_at: float
    units: int
    mean_difference: float | None
    divergence: Interval | None
    minutes: int
    slow_minutes: int
    breaches: tuple[str, ...]
    waits: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is judged. began: when the step came into effect. most_difference: what two scores can differ by at most,
    where there is a bound: 1 of probabilities.
    """

    model: str
    version: int
    production: int
    step: int
    event: int
    began: datetime
    most_difference: float | None


def errors_test(plan: RolloutPlan) -> RateTest:
    """The test of a step's errors."""
    limit = plan.limits.errors
    return RateTest(
        acceptable=limit.acceptable,
        unacceptable=limit.unacceptable,
        alpha=plan.alpha / 2 / len(plan.steps),
        beta=limit.beta,
    )


def judge(plan: RolloutPlan, subject: Subject, seen: Seen, at: datetime) -> Reading:
    """What follows from what was seen of a step until a moment."""
    test, alpha = errors_test(plan), plan.alpha / 4 / len(plan.steps)
    errors = test.evidence(seen.counters.clean, seen.failures)
    divergence = _divergence(plan, subject, seen, alpha)
    slow = int((seen.ratios > plan.limits.latency).sum()) if plan.limits.latency is not None else 0
    slowness = RateTest(acceptable=_AT_CHANCE, unacceptable=_NEARLY_ALWAYS, alpha=alpha, beta=0.05)
    is_slow = slowness.outcome(len(seen.ratios) - slow, slow) == "stop"
    breaches = [*_breaches(plan, seen, test, divergence)]
    if is_slow:
        breaches.append(
            f"latency: more than {plan.limits.latency:g} times production's in {slow} of {len(seen.ratios)} minutes"
        )
    return Reading(
        model=subject.model,
        version=subject.version,
        production=subject.production,
        step=subject.step,
        event=subject.event,
        at=at,
        plan=plan.hash,
        rows=seen.rows,
        failed_rows=seen.counters.failed,
        failed_units=seen.failures,
        shed_rows=seen.counters.shed,
        errors=errors,
        stop_at=test.threshold,
        go_at=float(np.log(test.beta)),
        units=len(seen.differences),
        mean_difference=float(seen.differences.mean()) if len(seen.differences) else None,
        divergence=divergence,
        minutes=len(seen.ratios),
        slow_minutes=slow,
        breaches=tuple(breaches),
        waits=() if breaches else tuple(_waits(plan, subject, seen, test, divergence, at)),
    )


def _divergence(plan: RolloutPlan, subject: Subject, seen: Seen, alpha: float) -> Interval | None:
    limit = plan.limits.divergence
    if limit is None:
        return None
    most = min(_WIDEST * limit, subject.most_difference or np.inf)
    low, high = interval(np.minimum(seen.differences / most, 1.0), alpha)
    return Interval(low=low * most, high=high * most)


def _breaches(plan: RolloutPlan, seen: Seen, test: RateTest, divergence: Interval | None) -> Iterator[str]:
    if test.outcome(seen.counters.clean, seen.failures) == "stop":
        yield (
            f"errors: it failed on {seen.failures} units where production did not, in {seen.rows} rows; "
            f"acceptable are {test.acceptable:.2%} of rows"
        )
    limit = plan.limits.divergence
    if limit is not None and divergence is not None and divergence.low > limit:
        yield (
            f"divergence: the scores of {len(seen.differences)} units differ by {divergence.low:.4f} or more on "
            f"average; the limit is {limit:g}"
        )


def _waits(
    plan: RolloutPlan, subject: Subject, seen: Seen, test: RateTest, divergence: Interval | None, at: datetime
) -> Iterator[str]:
    step = plan.steps[subject.step - 1]
    if seen.rows < step.rows:
        yield f"{seen.rows:,} of {step.rows:,} rows were scored by both versions"
    if (lasted := at - subject.began) < step.time:
        yield f"the step has lasted {_rounded(lasted)} of {_rounded(step.time)}"
    if test.outcome(seen.counters.clean, seen.failures) == "open":
        yield f"errors: {seen.failures} units in {seen.rows:,} rows, which is too few to tell"
    limit = plan.limits.divergence
    if limit is not None and divergence is not None and divergence.high > limit:
        yield f"divergence lies between {divergence.low:.4f} and {divergence.high:.4f}; the limit is {limit:g}"


def _rounded(span: timedelta) -> timedelta:
    return timedelta(seconds=int(span.total_seconds()))
