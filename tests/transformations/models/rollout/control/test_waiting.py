"""A rollout that waits for outcomes: from shadow to production by the command alone, and not before they are known."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner

from tests.worlds import weekly
from transformations.cli.commands.data.model import model as command
from transformations.engine.base.settings import get_settings, present_moment
from transformations.models.log.event_log import EventLog
from transformations.models.predictions.published import Place, table_of, write_place
from transformations.models.records.events import RolloutStep
from transformations.models.records.predictions import PredictionRecord
from transformations.models.rollout.board import Board
from transformations.models.rollout.routing import Route, route_at
from transformations.models.rollout.splitting import share_of, unit_text
from transformations.models.rollout.tables import RolloutTables
from transformations.models.rollout.tally import Tally

MODEL = weekly.MODEL
PLAN = {
    "unit": ["user_id"],
    "steps": [{"percent": percent, "rows": 110, "time": "1 hours"} for percent in (0, 50, 100)],
    "wait_for": "outcomes",
    "horizon": "35 days",
}
MONDAYS = [datetime(2024, 4, 15, 6, tzinfo=UTC) + timedelta(weeks=week) for week in range(5)]
"""On which both arms are asked, once half of the users have the new version."""


def at(moment: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURES_CLOCK", moment.isoformat())


def route() -> Route:
    return route_at(EventLog("shop").events(MODEL), present_moment())


def serve() -> None:
    """A server sees rows of 120 users scored by both versions, in the step that is in effect."""
    tally = Tally(MODEL, route().event, route().salt, f"server at {present_moment()}")
    tally.scored([f"[{number}]" for number in range(120)], [0.5] * 120, [0.5] * 120)
    tally.flush(Board(RolloutTables("shop")), int(present_moment().timestamp()), 0)


def record(moment: datetime) -> None:
    """What both arms said on a Monday, collected."""
    now, found = route(), dict[int, list[PredictionRecord]]()
    for user in range(1, weekly.USERS + 1):
        is_candidate = bool(share_of([unit_text([user])], now.salt, 50)[0])
        version = now.canary if is_candidate else now.production
        assert version is not None
        found.setdefault(version, []).append(
            PredictionRecord(
                id=f"{user}-{moment:%m%d}",
                request_timestamp=moment,
                model=MODEL,
                version=version,
                artifact="0" * 64,
                role="canary" if is_candidate else "production",
                event=now.event,
                keys={"user_id": user},
                features={},
                score=0.5,
                decision=True,
            )
        )
    for version, mine in found.items():
        write_place(Place(MODEL, moment.date(), version), table_of(mine), get_settings())


def rollout(*arguments: str) -> str:
    done = CliRunner().invoke(command, ["rollout", MODEL, *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def test_nobody_gets_all_of_it_before_the_outcomes_are_known(
    weekly_production: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = weekly.challenge(weekly_production, rollout=PLAN)
    at(datetime(2024, 4, 8, tzinfo=UTC), monkeypatch)
    rollout("--start", str(number))
    at(datetime(2024, 4, 8, 1, tzinfo=UTC), monkeypatch)
    serve()
    at(datetime(2024, 4, 9, tzinfo=UTC), monkeypatch)
    assert "advances" in rollout("--step"), "half of the users need no outcomes"
    at(datetime(2024, 4, 9, 1, tzinfo=UTC), monkeypatch)
    serve()
    at(MONDAYS[0] - timedelta(hours=1), monkeypatch)
    assert "of none of the predictions" in rollout("--step") or "nothing is recorded" in rollout("--step")

    for monday in MONDAYS:
        at(monday, monkeypatch)
        record(monday)
        said = rollout("--step")
        assert "waits" in said
        assert "and the experiment is planned until 2024-05-14" in said
    assert (route().percent, route().production) == (50, 1)

    at(datetime(2024, 5, 27, tzinfo=UTC), monkeypatch)
    later = weekly.visits().slice(0, 1)
    moment = pa.array([datetime(2024, 5, 22, tzinfo=UTC)], weekly.TIMESTAMP)
    weekly.deliver(later.set_column(1, "at", moment), get_settings(), date(2024, 5, 26))
    assert "advances" in rollout("--step")
    at(datetime(2024, 5, 27, 1, tzinfo=UTC), monkeypatch)
    serve()
    at(datetime(2024, 5, 27, 3, tzinfo=UTC), monkeypatch)
    assert "in production" in rollout("--step")
    assert route().production == number
    steps = [event.change for event in EventLog("shop").events(MODEL) if isinstance(event.change, RolloutStep)]
    assert [step.action for step in steps] == ["start", "advance", "advance", "finish"]
