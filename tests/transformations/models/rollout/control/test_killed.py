"""A process that is killed in the middle of a step keeps its turn for a while; then another goes on from the log."""

import signal
import time
from pathlib import Path

import pytest

from tests.worlds import processes
from transformations.models.log.event_log import EventLog
from transformations.models.records.events import RolloutStep

from .test_controller import MODEL, World

TURN = 2.0
DYING = f"""
import os, signal, sys
from datetime import datetime
from transformations.engine.base.settings import get_settings
from transformations.models.log.event_log import EventLog
from transformations.models.rollout.control import controller
from transformations.models.rollout.tables import RolloutTables

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

append = EventLog.append
if sys.argv[1] == "before the evidence":
    assert controller.replacing, "what publishes a reading"
    controller.replacing = die
elif sys.argv[1] == "before the event":
    EventLog.append = die
elif sys.argv[1] == "after the event":
    EventLog.append = lambda log, event: (append(log, event), die())
else:
    controller.promote = die
now = datetime.fromisoformat(sys.argv[2])
found = controller.Controller(
    log=EventLog("shop"), settings=get_settings(), clock=lambda: now, who="dying", tables=RolloutTables("shop")
)
print(found.step_in_turn("{MODEL}", "dying", {TURN}).decision)
"""


ROUNDS = (
    (("before the evidence", "before the event"), 0, "advance"),
    (("after the event",), 1, "wait"),
    (("at the promotion",), 1, "promote"),
)
"""Where processes die at each of three steps, how many events are written by then, and what the next process does."""


@pytest.fixture
def world(weekly_challenged: Path) -> World:
    return World()


@pytest.mark.proof
def test_another_takes_the_turn_over_and_no_event_is_lost_or_written_twice(world: World, tmp_path: Path) -> None:
    world.controller.start(MODEL, 2, "better")
    world.later(seconds=2)
    for points, written, action in ROUNDS:
        world.serve()
        world.later(hours=2)
        before = world.number_of_events()
        for point in points:
            dying = processes.start(DYING, point, world.now.isoformat(), output=tmp_path / point)
            code, printed = dying.wait()
            assert code == -signal.SIGKILL, printed
        ended = time.monotonic()
        assert world.number_of_events() == before + written
        assert world.controller.step_in_turn(MODEL, "next", TURN) is None, "the turn of the dead one is not over"
        while (stepped := world.controller.step_in_turn(MODEL, "next", TURN)) is None:
            assert time.monotonic() - ended < 5 * TURN
            time.sleep(0.05)
        assert stepped.decision.action == action, points
        world.later(seconds=2)
        time.sleep(TURN + 0.1)  # the turn of `next` is over

    assert world.route.production == 2
    steps = [event.change for event in world.events if isinstance(event.change, RolloutStep)]
    assert [step.action for step in steps] == ["start", "advance", "advance", "finish"]
    assert [event.number for event in EventLog("shop").events(MODEL)] == list(range(1, world.number_of_events() + 1))
    assert world.controller.step(MODEL).decision.action == "nothing"
