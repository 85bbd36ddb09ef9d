"""`features model rollout`: started, stepped, aborted and shown, with the codes that a scheduler goes by."""

import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.worlds import weekly
from transformations.cli.commands.data.model import model
from transformations.engine.base.settings import get_settings
from transformations.models.log.event_log import EventLog
from transformations.models.rollout.board import Board
from transformations.models.rollout.presence import Presence
from transformations.models.rollout.routing import route_at
from transformations.models.rollout.tables import RolloutTables
from transformations.models.rollout.tally import Tally

Run = Callable[..., Result]


@pytest.fixture
def run(weekly_challenged: Path) -> Run:
    return lambda *arguments: CliRunner().invoke(model, [str(each) for each in arguments])


def later(**span: float) -> None:
    os.environ["FEATURES_CLOCK"] = (get_settings().now() + timedelta(**span)).isoformat()


def serve(difference: float) -> None:
    """A server scores 120 rows by both versions in the step that is in effect."""
    route = route_at(EventLog("shop").events(weekly.MODEL), get_settings().now())
    tally = Tally(weekly.MODEL, route.event, route.salt, "server")
    tally.scored([f"[{number}]" for number in range(120)], [0.5 + difference] * 120, [0.5] * 120)
    tally.flush(Board(RolloutTables("shop")), 1, 0)


@pytest.mark.proof
def test_a_rollout_by_a_scheduler(run: Run) -> None:
    started = run("rollout", weekly.MODEL, "--start", 2, "--why", "better")
    assert started.exit_code == 0, started.output
    assert "user_return version 2: step 1 of 3, shadow from 2024-05-21 12:00:02 UTC on" in started.stdout
    assert "steps: shadow, 10 %, 100 %; sticks to user_id" in started.stdout

    waits = run("rollout", weekly.MODEL, "--step")
    assert (waits.exit_code, "waits: shadow comes into effect at" in waits.stdout) == (0, True)
    later(seconds=2)
    serve(0.01)
    later(hours=1)
    advanced = run("rollout", weekly.MODEL, "--step")
    assert "user_return: advances: shadow: no limit was breached in 120 rows" in advanced.stdout
    later(seconds=2)
    shown = run("rollout", weekly.MODEL)
    assert "user_return version 2 against 1: step 2 of 3, 10 %" in shown.stdout
    assert "missing: 0 of 110 rows were scored by both versions" in shown.stdout

    serve(0.4)
    breached = run("rollout", weekly.MODEL, "--step")
    assert breached.exit_code == 3
    assert "user_return version 2 was taken back: divergence: the scores of 120 units" in breached.output
    again = run("rollout", weekly.MODEL, "--step", "--json")
    assert (again.exit_code, json.loads(again.stdout)["action"]) == (0, "nothing")
    assert "rollout: abort" in run("show", weekly.MODEL, 2).stdout


def test_an_abort_is_done_when_every_server_follows_it(run: Run) -> None:
    run("rollout", weekly.MODEL, "--start", 2)
    Presence(RolloutTables("shop")).beat(weekly.MODEL, "far:1:a", 99)
    ended = run("rollout", weekly.MODEL, "--abort")
    assert (ended.exit_code, "the rollout has ended; every live server follows" in ended.stdout) == (0, True)
    assert "no rollout is going on" in run("rollout", weekly.MODEL, "--abort").stdout
    status = json.loads(run("rollout", weekly.MODEL, "--status", "--json").stdout)
    assert status["route"]["production"] == 1
    assert status["servers"][0]["name"] == "far:1:a"


def test_a_rollback_that_a_server_does_not_follow_ends_with_4_and_names_it(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformations.models.rollout.presence.SECONDS_TO_FOLLOW", 0.2)
    monkeypatch.setattr(Presence.wait, "__defaults__", (0.2,))
    run("promote", weekly.MODEL, 2, "--to", "production")
    Presence(RolloutTables("shop")).beat(weekly.MODEL, "far:1:a", 3)
    back = run("rollback", weekly.MODEL)
    assert back.exit_code == 4
    assert "user_return version 1: production, after" in back.output
    assert "1 servers do not follow it after 0.2 s: far:1:a is at event 3" in back.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--start", 2, "--step"), "give one of"),
        (("--start", 1), "version 1 is in production"),
        (("--start", 2, "--why", " "), "say why"),
    ],
)
def test_wrong_usage_ends_with_2(run: Run, arguments: tuple[object, ...], said: str) -> None:
    refused = run("rollout", weekly.MODEL, *arguments)
    assert (refused.exit_code, said in refused.output) == (2, True)


def test_a_model_that_nobody_trained_is_named(run: Run) -> None:
    assert run("rollout", "unknown", "--status").exit_code == 2
    assert run("rollout", "unknown", "--step").exit_code == 0
