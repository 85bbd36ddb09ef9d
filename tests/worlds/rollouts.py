"""Rollouts simulated end to end: requests of clustered units, split, tallied, flushed, and judged by the controller.

What is simulated is what two versions make of a row: scores, failures, seconds. Everything from there on is the
platform's own code: the route, the split of the rows, the tally of a server, the tables, the controller and its log. No
simulation computes what the controller judges by.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tests.worlds import weekly
from transformations.engine.base.settings import get_settings
from transformations.models.log.event_log import EventLog
from transformations.models.records.events import ModelEvent, RolloutStep
from transformations.models.records.rollout_plan import RolloutPlan
from transformations.models.rollout.board import Board
from transformations.models.rollout.control.controller import Controller
from transformations.models.rollout.routing import Route, route_at
from transformations.models.rollout.splitting import split, units_of
from transformations.models.rollout.tables import RolloutTables
from transformations.models.rollout.tally import Tally

START = datetime(2024, 5, 21, 12, tzinfo=UTC)
LIMIT = 0.1
PLAN = RolloutPlan.model_validate(
    {"unit": ["user_id"], "steps": ["shadow", 10, 50, 100], "limits": {"divergence": LIMIT, "latency": 2.0}}
)
"""The steps, rows and times that a declaration has unless it says otherwise, and limits for all that is judged."""


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Rows in their order: whose they are, and seconds after the start."""

    units: NDArray[np.int64]
    seconds: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """What the candidate does. difference: the mean difference of its scores; failures: the share of its rows that
    fail. clustered: how much of both belongs to the unit, which then has it in all its rows. slowness: of its median
    time. broken_from: the place of the step from which on it fails so.
    """

    difference: float = 0.0
    failures: float = 0.0
    clustered: float = 0.9
    slowness: float = 1.0
    broken_from: int = 1


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a rollout ended: `promote`, `abort`, or `wait` where the traffic was over first. why: of an abort. rows: by
    place of the step, that both versions scored.
    """

    action: str
    why: str
    rows: dict[int, int]


def clustered_traffic(generator: np.random.Generator, *, users: int, days: float, a_day: float) -> Traffic:
    """Requests of users, a few of whom come often and most of whom come seldom."""
    rates = generator.gamma(0.5, 1.0, users)
    rows = generator.poisson(a_day * days)
    units = generator.choice(users, rows, p=rates / rates.sum())
    return Traffic(units=units, seconds=np.sort(generator.uniform(0, days * 86_400, rows)))


class Simulation:
    """One rollout in the project of `weekly`, in a log and tables in memory. begun: the events before it."""

    def __init__(self, begun: tuple[ModelEvent, ...], behaviour: Behaviour, generator: np.random.Generator) -> None:
        self.now = START
        self._behaviour, self._generator = behaviour, generator
        log = EventLog("simulated", "sqlite://")
        for event in begun:
            log.append(event)
        self._controller = PlannedController(
            log=log,
            settings=get_settings(),
            clock=lambda: self.now,
            who="simulation",
            tables=RolloutTables("simulated", "sqlite://"),
        )
        self._of_units: dict[int, tuple[float, bool]] = {}
        self._rows: dict[int, int] = {}

    def run(self, traffic: Traffic, *, poll_hours: float = 12.0) -> Ending:
        """Let the traffic come, and the controller decide twice a day."""
        self._controller.start(weekly.MODEL, 2, "simulated")
        self.now += timedelta(minutes=1)
        for window in self._windows(traffic, poll_hours * 3_600):
            self._serve(window)
            stepped = self._controller.step(weekly.MODEL)
            if stepped.decision.action in ("abort", "promote"):
                return Ending(
                    action=stepped.decision.action, why="; ".join(stepped.decision.reasons), rows=dict(self._rows)
                )
            self.now += timedelta(minutes=1)  # the next step is in effect before the next requests
        return Ending(action="wait", why="", rows=dict(self._rows))

    def rows_until_stopped(self, traffic: Traffic, at_step: int, most: int = 1_000) -> int | None:
        """Rows that both versions scored in a step until an abort, where the controller decides after each row; None
        where it was none after the most rows.
        """
        controller = self._controller
        controller.start(weekly.MODEL, 2, "simulated")
        for place in range(2, at_step + 1):
            change = RolloutStep(
                action="advance", step=place, percent=PLAN.steps[place - 1].percent, salt="simulated", unit=PLAN.unit
            )
            number = len(controller.log.events(weekly.MODEL)) + 1
            controller.log.append(
                ModelEvent(
                    model=weekly.MODEL,
                    number=number,
                    at=self.now,
                    who="simulation",
                    why="straight to the step",
                    version=2,
                    change=change,
                )
            )
        self.now += timedelta(minutes=1)
        for row in range(len(traffic.units)):
            before = self._rows.get(at_step, 0)
            self._serve(slice_of(traffic, row, row + 1))
            if self._rows.get(at_step, 0) == before:
                continue
            if controller.step(weekly.MODEL).decision.action == "abort":
                return self._rows[at_step]
            if self._rows[at_step] >= most:
                break
        return None

    def _windows(self, traffic: Traffic, seconds: float) -> Iterator[Traffic]:
        edges = np.arange(0, traffic.seconds[-1] + seconds, seconds)
        cuts = np.searchsorted(traffic.seconds, edges)
        for number, (first, last) in enumerate(pairwise(cuts), start=1):
            self.now = max(self.now, START + timedelta(seconds=float(edges[number])))
            yield slice_of(traffic, int(first), int(last))

    def _serve(self, window: Traffic) -> None:
        """A server answers the rows of a window, and the other version scores those that it is to score."""
        route = route_at(self._controller.log.events(weekly.MODEL), self.now)
        if route.candidate is None or not len(window.units):
            return
        columns = {"user_id": window.units.tolist()}
        if route.shadow is not None:
            places = np.arange(len(window.units))
        else:
            places = split(route, columns, len(window.units)).parts.get(route.candidate, np.arange(0))
        if not len(places):
            return
        self._rows[route.step or 0] = self._rows.get(route.step or 0, 0) + len(places)
        tally = self._tally(route)
        users = [columns["user_id"][place] for place in places]
        texts = units_of({"user_id": users}, route.unit, len(users))
        fails, gaps = self._made_of(route, users)
        production = self._generator.uniform(0.3, 0.6, len(users))
        kept = [number for number in range(len(users)) if not fails[number]]
        tally.scored(
            [texts[number] for number in kept],
            [production[number] + gaps[number] for number in kept],
            [production[number] for number in kept],
        )
        tally.failed([texts[number] for number in range(len(users)) if fails[number]])
        for number in range(len(users)):  # as if ten rows came in a minute
            one, other = self._generator.lognormal(-7, 0.3, 2)
            tally.took(one * self._behaviour.slowness, other, number // 10 * 60.0)
        tally.flush(Board(self._controller.tables), int(self.now.timestamp() * 1e6), 1e12)

    def _tally(self, route: Route) -> Tally:
        return Tally(weekly.MODEL, route.event, route.salt, f"server of {self.now:%d %H:%M:%S} {len(self._rows)}")

    def _made_of(self, route: Route, users: list[int]) -> tuple[list[bool], list[float]]:
        """By row whether the candidate fails, production not, and by how much its score is another."""
        behaviour, generator = self._behaviour, self._generator
        is_broken = (route.step or 0) >= behaviour.broken_from
        fails, gaps = [], []
        for user in users:
            if user not in self._of_units:
                self._of_units[user] = (
                    float(generator.exponential(behaviour.difference)) if behaviour.difference else 0.0,
                    bool(generator.random() < behaviour.failures),
                )
            mean, is_failing = self._of_units[user]
            own = generator.random() < behaviour.clustered
            failing = is_failing if own else generator.random() < behaviour.failures
            other_fails = generator.random() < 0.001
            fails.append(bool(is_broken and failing and not other_fails))
            gap = mean if own else float(generator.exponential(behaviour.difference or 0.0))
            gaps.append(min(gap, 0.39))
        return fails, gaps


class PlannedController(Controller):
    """The controller, which judges by PLAN whatever the version was trained with."""

    def plan(self, model: str, version: int, standing: object) -> RolloutPlan:
        """The plan of the simulations."""
        return PLAN


def slice_of(traffic: Traffic, first: int, last: int) -> Traffic:
    return Traffic(units=traffic.units[first:last], seconds=traffic.seconds[first:last])
