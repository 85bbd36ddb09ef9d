"""A rollout from shadow to production by the controller alone: idempotent, killed anywhere, and stopped by a breach."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.worlds import weekly
from transformations.engine.base.errors import ConflictError, DataError, UsageError
from transformations.engine.base.settings import get_settings
from transformations.models import versions
from transformations.models.log.event_log import EventLog
from transformations.models.log.standing import standing_of
from transformations.models.records.base import text_hash
from transformations.models.records.events import ModelEvent, RolloutStep
from transformations.models.rollout.board import Board
from transformations.models.rollout.control.controller import READINGS, Controller
from transformations.models.rollout.deciding import running
from transformations.models.rollout.routing import Route, route_at
from transformations.models.rollout.tables import RolloutTables
from transformations.models.rollout.tally import Tally
from transformations.models.rollout.verdicts import Reading

MODEL = weekly.MODEL


class World:
    """A controller whose clock stands until it is moved, and a server that scores rows by both versions."""

    def __init__(self) -> None:
        self.now = get_settings().now()
        self.controller = Controller(
            log=EventLog("shop"),
            settings=get_settings(),
            clock=lambda: self.now,
            who="ada",
            tables=RolloutTables("shop"),
        )

    @property
    def events(self) -> tuple[ModelEvent, ...]:
        return self.controller.log.events(MODEL)

    @property
    def route(self) -> Route:
        return route_at(self.events, self.now)

    def later(self, **span: float) -> None:
        self.now += timedelta(**span)

    def serve(self, rows: int = 120, difference: float = 0.01, failing: int = 0) -> None:
        """A server sees that many rows, each of another unit, in the step that is in effect."""
        tally = Tally(MODEL, self.route.event, self.route.salt, f"server at {self.now}")
        units: list[str | None] = [f"[{number}]" for number in range(rows)]
        tally.scored(units[failing:], [0.5 + difference] * (rows - failing), [0.5] * (rows - failing))
        tally.failed(units[:failing])
        tally.flush(Board(self.controller.tables), int(self.now.timestamp()), 0)

    def step(self) -> str:
        return self.controller.step(MODEL).decision.action

    def number_of_events(self) -> int:
        return len(self.events)


@pytest.fixture
def world(weekly_challenged: Path) -> World:
    return World()


def test_from_shadow_to_production(world: World) -> None:
    began = world.controller.start(MODEL, 2, "better")
    assert world.route.candidate is None
    assert began.effective_at == world.now + timedelta(seconds=2)
    seen = []
    for _ in range(3):
        assert world.step() == "wait", "the step is not in effect yet"
        world.later(seconds=2)
        seen.append((world.route.shadow, world.route.canary, world.route.percent))
        assert world.step() == "wait"
        world.serve()
        assert world.step() == "wait", "it has not lasted"
        world.later(hours=1)
        action = world.step()
    assert action == "promote"
    assert seen == [(2, None, 0), (None, 2, 10), (None, 2, 100)]
    assert world.route == Route(event=world.number_of_events(), production=2)
    changes = [event.change for event in world.events if isinstance(event.change, RolloutStep)]
    assert [(change.action, change.step) for change in changes] == [
        ("start", 1),
        ("advance", 2),
        ("advance", 3),
        ("finish", 3),
    ]
    assert len({change.salt for change in changes}) == 1
    assert world.step() == "nothing"


def test_the_evidence_of_a_step_is_kept_by_its_hash(world: World) -> None:
    world.controller.start(MODEL, 2, "better")
    world.later(seconds=2)
    world.serve()
    world.later(hours=1)
    event = world.controller.step(MODEL).event
    assert event is not None
    text = (get_settings().models_dir / MODEL / READINGS / f"{event.evidence}.json").read_text()
    assert text_hash(text) == event.evidence
    assert Reading.from_text(text, "reading").rows == 120


@pytest.mark.parametrize(
    ("served", "why"),
    [
        ({"difference": 0.3}, "divergence: the scores of 120 units differ"),
        ({"failing": 5}, "errors: it failed on 5 units"),
    ],
)
def test_a_breach_takes_the_version_back_at_once_and_once(world: World, served: dict[str, float], why: str) -> None:
    world.controller.start(MODEL, 2, "better")
    world.later(seconds=2)
    world.serve(**served)  # type: ignore[arg-type]
    stepped = world.controller.step(MODEL)
    assert stepped.decision.action == "abort"
    assert stepped.event is not None
    assert stepped.event.why.startswith(why)
    assert (stepped.event.effective_at, world.route) == (None, Route(event=stepped.event.number, production=1))
    assert world.step() == "nothing"
    assert world.events[-1] == stepped.event


def test_a_breach_stops_an_advance_that_was_written_and_is_not_in_effect(world: World) -> None:
    world.controller.start(MODEL, 2, "better")
    world.later(seconds=2)
    world.serve()
    world.later(hours=1)
    assert world.step() == "advance"
    world.serve(difference=0.9)
    world.serve(rows=60, failing=60)
    assert world.step() == "abort"
    world.later(days=9)
    assert world.route.candidate is None


class Killed(BaseException):
    """The controller's process ends here."""


class KilledLog(EventLog):
    """Ends before or after the n-th event is written."""

    def __init__(self, after: int, *, is_written: bool) -> None:
        super().__init__("shop")
        self.left, self.is_written = after, is_written

    def append(self, event: ModelEvent) -> None:
        self.left -= 1
        if self.left == 0 and not self.is_written:
            raise Killed
        super().append(event)
        if self.left == 0:
            raise Killed


@pytest.mark.parametrize("is_written", [False, True])
@pytest.mark.parametrize("after", [1, 2, 3, 4])
def test_killed_around_any_event_the_next_call_goes_on(world: World, after: int, is_written: bool) -> None:
    """Two advances, the finish and the promotion: killed before or after each is written."""
    world.controller.start(MODEL, 2, "better")
    mortal = replace(world.controller, log=KilledLog(after, is_written=is_written))
    kills = 0
    for _ in range(40):
        try:
            mortal.step(MODEL)
        except Killed:
            kills += 1
            mortal = world.controller
        if world.route.production == 2:
            break
        if world.route.candidate:
            world.serve()
        world.later(minutes=40)
    assert (kills, world.route.production) == (1, 2)
    changes = [event.change for event in world.events if isinstance(event.change, RolloutStep)]
    assert [change.action for change in changes] == ["start", "advance", "advance", "finish"]
    assert [event.number for event in world.events] == list(range(1, world.number_of_events() + 1))


def test_of_two_that_decide_at_once_one_event_counts(world: World) -> None:
    world.controller.start(MODEL, 2, "better")
    world.later(seconds=2)
    world.serve()
    world.later(hours=1)

    class Slow(EventLog):
        """Another controller appends between this one's reading and its writing."""

        def append(self, event: ModelEvent) -> None:
            world.step()
            super().append(event)

    found = replace(world.controller, log=Slow("shop")).step(MODEL)
    assert (found.decision.action, found.event) == ("wait", None)
    assert "another event was written at the same moment" in found.decision.reasons[0]
    changes = [event.change for event in world.events if isinstance(event.change, RolloutStep)]
    assert [change.action for change in changes] == ["start", "advance"]


def test_no_step_leaves_a_server_behind(world: World) -> None:
    world.controller.start(MODEL, 2, "better")
    world.later(seconds=2)
    world.serve()
    world.later(hours=1)
    presence = world.controller.presence
    presence.beat(MODEL, "far:1:a", world.number_of_events() - 1)
    found = world.controller.step(MODEL)
    assert found.decision.reasons == ("server far:1:a does not follow the last event yet",)
    presence.beat(MODEL, "far:1:a", world.number_of_events())
    assert world.step() == "advance"


def test_a_model_that_asks_for_a_reviewer_waits_for_one_at_the_end(weekly_production: Path) -> None:
    plan = {"unit": ["user_id"], "steps": [{"percent": 100, "rows": 110, "time": "1 hours"}]}
    version = weekly.challenge(weekly_production, rollout=plan, approval="required")
    world = World()
    world.controller.start(MODEL, version, "better")
    world.later(seconds=2)
    world.serve()
    world.later(hours=1)
    found = world.controller.step(MODEL)
    assert (found.decision.action, found.event) == ("wait", None)
    assert "--reviewer NAME" in found.decision.reasons[0]
    assert world.route.percent == 100
    assert world.step() == "wait"
    versions.promote(
        MODEL, version, "production", world.controller.log, get_settings(), why="reviewed", reviewer="grace"
    )
    assert world.route.production == version


def test_an_abort_is_idempotent_and_a_rollback_ends_a_rollout(world: World) -> None:
    world.controller.start(MODEL, 2, "better")
    first = world.controller.abort(MODEL, "enough")
    assert first is not None
    assert world.controller.abort(MODEL, "enough") is None
    again = world.controller.start(MODEL, 2, "once more")
    assert isinstance(again.change, RolloutStep)
    assert again.change.salt != first.change.salt  # type: ignore[union-attr]
    assert running(world.events) is not None


def refusal(world: World, act: Callable[[], object], kind: type[Exception] = UsageError) -> str:
    before = world.number_of_events()
    with pytest.raises(kind) as raised:
        act()
    assert world.number_of_events() == before
    return str(raised.value)


def test_what_cannot_be_started_is_refused_with_the_remedy(world: World) -> None:
    start = world.controller.start
    assert "has no version 9" in refusal(world, lambda: start(MODEL, 9, "x"))
    assert "version 1 is in production" in refusal(world, lambda: start(MODEL, 1, "x"))
    start(MODEL, 2, "better")
    assert "rollout of version 2 is going on" in refusal(world, lambda: start(MODEL, 2, "x"))
    world.controller.abort(MODEL, "enough")
    manifest = (
        versions.artifact_folder(MODEL, standing_of(MODEL, world.events).version(2), get_settings()) / "manifest.json"
    )
    document = json.loads(manifest.read_text())
    document["facts"]["declaration"]["rollout"] = None
    manifest.write_text(json.dumps(document))
    assert "trained without a rollout" in refusal(world, lambda: start(MODEL, 2, "x"))
    manifest.unlink()
    assert "missing" in refusal(world, lambda: start(MODEL, 2, "x"), DataError)


def test_a_lost_race_at_the_start_writes_nothing(world: World) -> None:
    class Slow(EventLog):
        def append(self, event: ModelEvent) -> None:
            EventLog("shop").append(event)
            super().append(event)

    with pytest.raises(ConflictError):
        replace(world.controller, log=Slow("shop")).start(MODEL, 2, "x")
    assert running(world.events) is not None


def test_in_turn_only_the_holder_of_the_lease_decides(world: World) -> None:
    world.controller.start(MODEL, 2, "better")
    assert world.controller.step_in_turn(MODEL, "a", 30) is not None
    assert world.controller.step_in_turn(MODEL, "b", 30) is None


def test_a_status_tells_what_is_missing(world: World) -> None:
    assert world.controller.status(MODEL).rollout is None
    world.controller.start(MODEL, 2, "better")
    assert world.controller.status(MODEL).reading is None
    world.later(seconds=2)
    status = world.controller.status(MODEL)
    assert status.reading is not None
    assert "0 of 110 rows were scored by both versions" in status.reading.waits
