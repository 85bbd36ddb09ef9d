"""Rollouts simulated end to end: requests of clustered units, split, tallied, flushed, and judged by the controller.

What is simulated is what two versions make of a row: scores, failures, seconds. Everything from there on is the
platform's own code: the route, the split of the rows, the tally of a server, what judges and what decides; and, where a
simulation is `whole`, the tables, the controller and its log. No simulation computes what is judged by.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from tests.worlds import weekly
from transformations.engine.base.settings import get_settings
from transformations.models.log.event_log import EventLog
from transformations.models.records.events import ModelEvent, RolloutStep
from transformations.models.records.rollout_plan import RolloutPlan
from transformations.models.rollout.board import DIFFERENCE, FAILURE, LATENCY, Board, Counters, Observation, Seen
from transformations.models.rollout.control.controller import Controller
from transformations.models.rollout.deciding import Decision, decide, effective_from, running
from transformations.models.rollout.routing import Route, route_at
from transformations.models.rollout.splitting import split, units_of
from transformations.models.rollout.tables import RolloutTables
from transformations.models.rollout.tally import Tally
from transformations.models.rollout.verdicts import Subject, judge

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
    """One rollout in the project of `weekly`. begun: the events before it. whole: whether the controller decides, with
    its log and its tables in a database in memory; else the functions that it decides by, which takes a tenth as long.
    """

    def __init__(
        self, begun: tuple[ModelEvent, ...], behaviour: Behaviour, generator: np.random.Generator, *, whole: bool = True
    ) -> None:
        self.now = START
        self._behaviour, self._generator = behaviour, generator
        self._decider: Decider = ByController(begun, lambda: self.now) if whole else ByFunctions(begun)
        self._of_units: dict[int, tuple[float, bool]] = {}
        self._rows: dict[int, int] = {}

    def run(self, traffic: Traffic, *, poll_hours: float = 12.0) -> Ending:
        """Let the traffic come, and decide twice a day."""
        self._decider.begin(1, self.now)
        self.now += timedelta(minutes=1)
        for window in self._windows(traffic, poll_hours * 3_600):
            self._serve(window)
            decision = self._decider.step(self.now)
            if decision.action in ("abort", "promote", "finish"):
                action = "abort" if decision.action == "abort" else "promote"
                return Ending(action=action, why="; ".join(decision.reasons), rows=dict(self._rows))
            self.now += timedelta(minutes=1)  # the next step is in effect before the next requests
        return Ending(action="wait", why="", rows=dict(self._rows))

    def rows_until_stopped(self, traffic: Traffic, at_step: int, most: int = 1_000) -> int | None:
        """Rows that both versions scored in a step until an abort, where it is decided after each row; None where it
        was none after the most rows.
        """
        self._decider.begin(at_step, self.now)
        self.now += timedelta(minutes=1)
        for row in range(len(traffic.units)):
            before = self._rows.get(at_step, 0)
            self._serve(slice_of(traffic, row, row + 1))
            if self._rows.get(at_step, 0) == before:
                continue
            if self._decider.step(self.now).action == "abort":
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
        route = self._decider.route(self.now)
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
        for number, (one, other) in enumerate(self._generator.lognormal(-7, 0.3, (len(users), 2)).tolist()):
            tally.took(one * self._behaviour.slowness, other, number // 10 * 60.0)  # as if ten rows came in a minute
        tally.flush(self._decider.board, int(self.now.timestamp() * 1e6), 1e12)

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


class Decider(Protocol):
    """Who decides about a simulated rollout."""

    @property
    def board(self) -> Board:
        """Where servers write what they saw."""

    def begin(self, step: int, at: datetime) -> None:
        """Start the rollout of version 2, and bring it to a step."""

    def route(self, at: datetime) -> Route:
        """Who answers at a moment."""

    def step(self, at: datetime) -> Decision:
        """Judge what was seen and do what comes next."""


class ByController:
    """The controller itself, which judges by PLAN whatever the version was trained with."""

    def __init__(self, begun: tuple[ModelEvent, ...], clock: Callable[[], datetime]) -> None:
        log = EventLog("simulated", "sqlite://")
        for event in begun:
            log.append(event)
        tables = RolloutTables("simulated", "sqlite://")
        self._controller = PlannedController(
            log=log, settings=get_settings(), clock=clock, who="simulation", tables=tables
        )
        self.board = Board(tables)

    def begin(self, step: int, at: datetime) -> None:
        controller = self._controller
        started = controller.start(weekly.MODEL, 2, "simulated")
        for place in range(2, step + 1):
            controller.log.append(_advanced(started, place, place - 1, at))

    def route(self, at: datetime) -> Route:
        return route_at(self._controller.log.events(weekly.MODEL), at)

    def step(self, at: datetime) -> Decision:
        del at
        return self._controller.step(weekly.MODEL).decision


class PlannedController(Controller):
    """The controller, with the plan of the simulations."""

    def plan(self, model: str, version: int, standing: object) -> RolloutPlan:
        """The plan of the simulations."""
        return PLAN


class ByFunctions:
    """The functions that the controller calls, `judge`, `decide` and `route_at`, over events and rows in memory."""

    def __init__(self, begun: tuple[ModelEvent, ...]) -> None:
        self._events = list(begun)
        self.board = MemoryBoard()

    def begin(self, step: int, at: datetime) -> None:
        number = len(self._events) + 1
        change = _change("start", 1, f"{weekly.MODEL}-2-{number}")
        started = _event(number, change, at, effective_from(at, 1.0))
        self._events.append(started)
        for place in range(2, step + 1):
            self._events.append(_advanced(started, place, place - 1, at))

    def route(self, at: datetime) -> Route:
        return route_at(self._events, at)

    def step(self, at: datetime) -> Decision:
        route = route_at(self._events, at)
        reading = None
        if route.candidate is not None and route.production is not None and route.step is not None:
            began = self._events[route.event - 1]
            subject = Subject(
                model=weekly.MODEL,
                version=route.candidate,
                production=route.production,
                step=route.step,
                event=route.event,
                began=began.effective_at or began.at,
                most_difference=1.0,
            )
            reading = judge(PLAN, subject, self.board.seen(weekly.MODEL, route.event), at)
        rollout = running(self._events)
        decision = decide(rollout, PLAN, reading, at)
        if rollout is not None and decision.action in ("advance", "abort"):
            is_next = decision.action == "advance"
            change = _change(decision.action, rollout.change.step + is_next, rollout.change.salt)
            effective = effective_from(at, 1.0) if is_next else None
            self._events.append(_event(len(self._events) + 1, change, at, effective))
        return decision


class MemoryBoard(Board):
    """The board without a database: counters by server, and of each unit the first observation."""

    def __init__(self) -> None:
        self._counters: dict[tuple[int, str], Counters] = {}
        self._values: dict[tuple[int, str], dict[str, float]] = {}

    def write(
        self, model: str, step: int, server: str, counters: Counters, observations: Sequence[Observation], micros: int
    ) -> None:
        self._counters[step, server] = counters
        for each in observations:
            self._values.setdefault((step, each.kind), {}).setdefault(each.unit, each.value)

    def seen(self, model: str, step: int) -> Seen:
        mine = [counters for (at, _), counters in self._counters.items() if at == step]
        values = {kind: list(self._values.get((step, kind), {}).values()) for kind in (DIFFERENCE, FAILURE, LATENCY)}
        return Seen(
            counters=Counters(
                clean=sum(each.clean for each in mine),
                failed=sum(each.failed for each in mine),
                shed=sum(each.shed for each in mine),
            ),
            differences=np.asarray(values[DIFFERENCE], dtype=np.float64),
            failures=len(values[FAILURE]),
            ratios=np.asarray(values[LATENCY], dtype=np.float64),
        )


def _change(action: Literal["start", "advance", "abort"], place: int, salt: str) -> RolloutStep:
    planned = PLAN.steps[place - 1]
    percent = planned.percent if action != "abort" else 0.0
    is_shadow = planned.is_shadow and action != "abort"
    return RolloutStep(action=action, step=place, shadow=is_shadow, percent=percent, salt=salt, unit=PLAN.unit)


def _event(number: int, change: RolloutStep, at: datetime, effective: datetime | None) -> ModelEvent:
    return ModelEvent(
        model=weekly.MODEL,
        number=number,
        at=at,
        who="simulation",
        why="simulated",
        version=2,
        change=change,
        effective_at=effective,
    )


def _advanced(started: ModelEvent, place: int, further: int, at: datetime) -> ModelEvent:
    """The event that brings a rollout straight to a step; it counts at once."""
    return _event(started.number + further, _change("advance", place, "simulated"), at, None)


def slice_of(traffic: Traffic, first: int, last: int) -> Traffic:
    return Traffic(units=traffic.units[first:last], seconds=traffic.seconds[first:last])
