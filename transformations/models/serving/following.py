"""What a server follows: the events of its models' logs, every version they route to loaded and warm.

A poll reads the log. Where it has new events, the versions that they route to are loaded beside those that answer, and
take over at once when all of them are ready; requests that have begun end with what they began with. Where one cannot
be loaded, or the log cannot be read, the last state stays, and says why and how old it is. A server that has no last
state, because it has only begun, has that of before the rollout whose candidate cannot be loaded: production answers.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from feast import FeatureStore

from transformations.engine.base.errors import DataError, FeaturesError
from transformations.engine.base.settings import Settings
from transformations.engine.base.words import show_reason
from transformations.models.log.event_log import EventLog
from transformations.models.log.standing import Standing, standing_of
from transformations.models.records.events import ModelEvent, RolloutStep
from transformations.models.rollout.deciding import running
from transformations.models.rollout.routing import Route, next_change, route_at, serving_route
from transformations.models.serving.loading import Served, load
from transformations.models.serving.requests import Form

_LOG = logging.getLogger(__name__)

Clock = Callable[[], datetime]
_FRESH_POLLS = 2
_SECONDS_TO_READ = 0.5
"""That a look at the log may take."""


@dataclass(eq=False, kw_only=True)
class Followed:
    """A model as this server answers for it. served: the loaded versions by number. events: those that it follows.
    is_fresh: whether the log was read of late.
    """

    name: str
    events: tuple[ModelEvent, ...]
    served: Mapping[int, Served]
    form: Form
    is_fresh: Callable[[], bool]
    _route: Route
    _until: datetime | None

    def route(self, moment: datetime) -> Route:
        """Who answers at a moment, which never goes back. Costs nothing while no event waits to come into effect.

        An event that comes into effect while the log is out of reach waits until it was read again: meanwhile another
        may have taken it back.
        """
        if self._until is not None and moment >= self._until and self.is_fresh():
            self._route, self._until = route_at(self.events, moment), next_change(self.events, moment)
        return self._route


@dataclass(kw_only=True)
class Follower:
    """Follows the logs of some models. All but `look` is for the event loop alone; `look` takes long.

    trouble: by model why its newest events are not followed. looked: when the last look at the log began, by
    the monotonic clock: what came to the log since, it may lack. None before the first.
    """

    names: tuple[str, ...]
    log: EventLog
    store: FeatureStore
    settings: Settings
    clock: Clock
    models: dict[str, Followed] = field(default_factory=dict)
    trouble: dict[str, str] = field(default_factory=dict)
    looked: float | None = None

    def is_fresh(self) -> bool:
        """Whether the log was read within the last two polls, by when a step that is written has come into effect."""
        seconds = _FRESH_POLLS * self.settings.predict_poll_seconds + _SECONDS_TO_READ
        return self.looked is not None and time.monotonic() - self.looked <= seconds

    def reason(self, name: str) -> str:
        """Why a model is not as its log says."""
        return self.trouble.get(name, "it is being loaded")

    def look(self) -> dict[str, Followed | str]:
        """Read the logs and load what is new; call it from a thread, and `take` what it gives from the event loop.

        By model its new state, or why there is none; a model without new events is left out.
        """
        found: dict[str, Followed | str] = {}
        for name in self.names:
            events = self.log.events(name)
            before = self.models.get(name)
            if before is not None and before.events == events:
                if name in self.trouble:
                    found[name] = before
                continue
            try:
                found[name] = self._follow(name, events, before)
            except FeaturesError as error:
                found[name] = self._begun_before(name, events, before) or error.message
            except Exception as error:  # whatever a library makes of a damaged file: the last state must stay
                _LOG.exception("model %s: event %s cannot be followed", name, len(events))
                found[name] = self._begun_before(name, events, before) or show_reason(error)
        return found

    def take(self, found: Mapping[str, Followed | str], began: float) -> None:
        """Answer from now on by what a `look` has found that began at this moment of the monotonic clock."""
        self.looked = began
        for name, state in found.items():
            if isinstance(state, str):
                if self.trouble.get(name) != state:
                    _LOG.error("model %s: its newest events are not followed: %s", name, state)
                self.trouble[name] = state
            else:
                self.trouble.pop(name, None)
                self.models[name] = state

    def _follow(self, name: str, events: tuple[ModelEvent, ...], before: Followed | None) -> Followed:
        moment = self.clock()
        route = serving_route(name, events, moment)
        standing = standing_of(name, events)
        loaded = before.served if before else {}
        served = {number: self._load(name, number, standing, loaded) for number in _versions(route, events, moment)}
        if standing.previous is not None and standing.previous not in served:
            try:  # so that a rollback finds it warm
                served[standing.previous] = self._load(name, standing.previous, standing, loaded)
            except FeaturesError as error:
                _LOG.warning("model %s: version %s could not come back: %s", name, standing.previous, error.message)
        refuse_other_shapes(name, served, route, before)
        form = (
            before.form if before else Form(name, served[route.production or 0].shape, self.settings.predict_max_rows)
        )
        return Followed(
            name=name,
            events=events,
            served=served,
            form=form,
            is_fresh=self.is_fresh,
            _route=route,
            _until=next_change(events, moment),
        )

    def _begun_before(self, name: str, events: tuple[ModelEvent, ...], before: Followed | None) -> Followed | None:
        """The state of before a rollout, for a server without any whose candidate cannot be loaded; the next look says
        what is wrong. None where there is none.
        """
        if before is not None or running(events) is None:
            return None
        steps = [(place, event.change) for place, event in enumerate(events) if isinstance(event.change, RolloutStep)]
        began = max(place for place, step in steps if step.action == "start")
        with suppress(Exception):  # then it is not the candidate's fault, and the first error says what is
            return self._follow(name, events[:began], None)
        return None

    def _load(self, name: str, number: int, standing: Standing, loaded: Mapping[int, Served]) -> Served:
        return loaded.get(number) or load(name, standing.version(number), self.store, self.settings)


def refuse_other_shapes(name: str, served: Mapping[int, Served], route: Route, before: Followed | None) -> None:
    """DataError where a version takes or gives something else than those that answer under the same name."""
    shape = before.form.shape if before else served[route.production or 0].shape
    for number, each in served.items():
        if differences := shape.differences(each.shape):
            raise DataError(
                f"version {number} of model {name} cannot answer under its name: {'; '.join(differences)}. Callers "
                f"would have to change; release it as a model of another name."
            )


def _versions(route: Route, events: Iterable[ModelEvent], moment: datetime) -> list[int]:
    """The versions that answer now, and those that will by an event that waits to come into effect."""
    events, found = tuple(events), dict.fromkeys(route.versions)
    while (change := next_change(events, moment)) is not None:
        moment = change
        found |= dict.fromkeys(route_at(events, moment).versions)
    return list(found)
