"""What the one that decides does next: a pure function of the events, the clock, the plan and what was seen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from transformations.models.records.events import ModelEvent, RolloutStep
from transformations.models.records.rollout_plan import RolloutPlan
from transformations.models.rollout.routing import Route, route_at
from transformations.models.rollout.verdicts import Reading

_EVER = datetime.max.replace(tzinfo=UTC)

Action = Literal["nothing", "wait", "advance", "abort", "finish", "promote"]


@dataclass(frozen=True)
class Decision:
    """What to do next, and why. `nothing`: no rollout is going on. `finish`: every step has passed; `promote`: that was
    written down, and the version is not in production yet.
    """

    action: Action
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Running:
    """A rollout that is going on. route: as last written, in effect or not. change: the last one written.
    effective: since when the route is in effect, or from when on.
    """

    route: Route
    change: RolloutStep
    effective: datetime

    @property
    def candidate(self) -> int:
        """The version that is rolled out."""
        return self.route.candidate or 0


def running(events: Iterable[ModelEvent]) -> Running | None:
    """The rollout that the events leave going on, whether or not its last step is in effect yet; None without one."""
    events = tuple(events)
    route = route_at(events, _EVER)
    if route.candidate is None or route.production is None:
        return None
    steps = [(event, event.change) for event in events if isinstance(event.change, RolloutStep)]
    began = next(event for event, _ in steps if event.number == route.event)
    return Running(route=route, change=steps[-1][1], effective=began.effective_at or began.at)


def decide(
    rollout: Running | None,
    plan: RolloutPlan,
    reading: Reading | None,
    clock: datetime,
    *,
    behind: tuple[str, ...] = (),
    outcomes: tuple[str, ...] = (),
) -> Decision:
    """The next action.

    reading: of the step in effect, None where none is. behind: the servers that do not follow the last event yet, which
    no next step leaves behind. outcomes: what of the experiment's outcomes is missing, where the plan waits for them.
    """
    if rollout is None:
        return Decision("nothing", ("no rollout is going on",))
    if reading is not None and reading.breaches:
        return Decision("abort", reading.breaches)
    if rollout.change.action == "finish":
        return Decision("promote", ("every step has passed",))
    if clock < rollout.effective or reading is None:
        step = plan.steps[rollout.change.step - 1]
        return Decision("wait", (f"{step.name} comes into effect at {rollout.effective:%Y-%m-%d %H:%M:%S} UTC",))
    waits = [*reading.waits, *(f"server {name} does not follow the last event yet" for name in behind)]
    number = rollout.change.step  # of the present step, from 1: the place of the next one, from 0
    is_last = number >= len(plan.steps)
    if plan.wait_for == "outcomes" and (is_last or plan.steps[number].percent >= 100):
        waits += outcomes
    if waits:
        return Decision("wait", tuple(waits))
    passed = f"{plan.steps[number - 1].name}: no limit was breached in {reading.rows:,} rows"
    return Decision("finish" if is_last else "advance", (passed,))


def effective_from(clock: datetime, poll_seconds: float) -> datetime:
    """When servers follow a step that is written now: after two polls, by when each of them has read of it."""
    return clock + timedelta(seconds=2 * poll_seconds)
