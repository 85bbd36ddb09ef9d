"""Which version answers, computed from a model's events and the clock alone: all servers that follow them agree."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from transformations.engine.base.errors import UsageError
from transformations.models.records.events import ModelEvent, RolloutStep, StageChanged


@dataclass(frozen=True, kw_only=True)
class Route:
    """Who answers for a model at a moment. event: the number of the event that it comes from.

    canary: the version that answers `percent` of the rows, by the hash of `salt` and of the columns `unit`; production
    answers the others. shadow: the version that scores what production answered, and answers nothing itself.
    step: of the rollout, from 1; None where there is none.
    """

    event: int
    production: int | None = None
    canary: int | None = None
    percent: float = 0.0
    shadow: int | None = None
    salt: str = ""
    unit: tuple[str, ...] = ()
    step: int | None = None

    @property
    def candidate(self) -> int | None:
        """The version that is rolled out, in shadow or as a canary."""
        return self.canary or self.shadow

    @property
    def versions(self) -> tuple[int, ...]:
        """Every version that a server must have loaded to follow this route."""
        return tuple(dict.fromkeys(each for each in (self.production, self.canary, self.shadow) if each is not None))


NOWHERE = Route(event=0)
"""The route of a model without events."""


def route_at(events: Iterable[ModelEvent], clock: datetime) -> Route:
    """The route at a moment: a pure function.

    events: of one model, oldest first. One counts from its `effective_at` on, inclusively, or at once where it has
    none; among those that count, the later number wins. So an abort that follows an advance ends it for good, whether
    or not the advance has come into effect yet.

    A version that reaches production, or leaves the stage from which it was rolled out, ends the rollout.
    """
    route = NOWHERE
    for event in events:
        if event.effective_at is None or event.effective_at <= clock:
            route = _after(route, event)
    return route


def next_change(events: Iterable[ModelEvent], clock: datetime) -> datetime | None:
    """The next moment at which an event that is known comes into effect; None where none is waiting."""
    waiting = (event.effective_at for event in events if event.effective_at is not None and event.effective_at > clock)
    return min(waiting, default=None)


def serving_route(model: str, events: Iterable[ModelEvent], clock: datetime) -> Route:
    """The route at a moment of a model that is to be served. UsageError where nothing is in production."""
    route = route_at(events, clock)
    if route.production is None:
        raise UsageError(
            f"model {model} has no version in production, so nothing can answer. Bring one there: "
            f"features model promote {model} VERSION --to production"
        )
    return route


def _after(route: Route, event: ModelEvent) -> Route:
    match event.change:
        case StageChanged() as change:
            return _moved(route, event, change)
        case RolloutStep() as step if step.action == "abort":
            return Route(event=event.number, production=route.production)
        case RolloutStep() as step if step.action == "finish":
            return route  # the last step stays as it is until the version is in production
        case RolloutStep() as step:
            return Route(
                event=event.number,
                production=route.production,
                canary=event.version if step.percent else None,
                percent=step.percent,
                shadow=event.version if step.shadow else None,
                salt=step.salt,
                unit=step.unit,
                step=step.step,
            )
    return route  # registrations and evaluations route nothing


def _moved(route: Route, event: ModelEvent, change: StageChanged) -> Route:
    if change.to_stage == "production":
        return Route(event=event.number, production=event.version)
    if event.version == route.production:
        route = replace(route, production=None, event=event.number)
    if event.version == route.candidate:
        route = Route(event=event.number, production=route.production)
    return route
