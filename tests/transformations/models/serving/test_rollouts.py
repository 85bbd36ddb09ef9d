"""A holdout is marked wherever it is seen, and no step forward is taken while the log is out of reach."""

import asyncio
import threading
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from tests.worlds import weekly
from transformations.engine.base.settings import get_settings
from transformations.models.log.event_log import EventLog
from transformations.models.records.events import ModelEvent, RolloutStep
from transformations.models.rollout.splitting import Holdout, unit_text
from transformations.models.serving.api.app import create_app

from .conftest import NOW, Serve, ask, recorded, running, until, version
from .test_following import release_another

USERS = range(1, 61)


async def test_who_is_held_out_is_marked_in_answer_and_record_whatever_version_answers(
    serve: Serve, project: Path
) -> None:
    rollout = {"unit": ["user_id"], "holdout": "20 %"}
    release_another(project, hyperparameters={"l2": 3.0}, rollout=rollout)
    append(RolloutStep(action="start", step=1, percent=50, salt="s", unit=("user_id",)), NOW)
    holdout = Holdout(percent=20, unit=("user_id",), salt=f"{weekly.MODEL} holdout")
    async with serve() as client:
        before = (await ask(client, *USERS)).json()["predictions"]
    assert not any(row["holdout"] for row in before), "version 1, in production, declares none"

    from transformations.models.versions import promote

    promote(weekly.MODEL, 2, "production", EventLog("shop"), get_settings(), why="better")
    release_another(project, hyperparameters={"l2": 9.0}, rollout={**rollout, "holdout": 0})
    append(RolloutStep(action="start", step=1, percent=50, salt="s", unit=("user_id",)), NOW, candidate=3)
    async with serve() as client:
        rows = (await ask(client, *USERS, id="held")).json()["predictions"]
        tensor = {"name": "user_id", "shape": [len(USERS)], "datatype": "INT64", "data": list(USERS)}
        infer = (await client.post(f"/v2/models/{weekly.MODEL}/infer", json={"inputs": [tensor]})).json()

    expected = holdout.rows({"user_id": list(USERS)}, len(USERS)).tolist()
    assert 4 < sum(expected) < 25
    assert [row["holdout"] for row in rows] == expected
    assert {(row["role"], row["holdout"]) for row in rows} >= {("canary", True), ("production", True)}
    assert next(each["data"] for each in infer["outputs"] if each["name"] == "holdout") == expected
    mine = {record.id: record.holdout for record in recorded() if record.id.startswith("held")}
    assert [mine[row["id"]] for row in rows] == expected
    assert unit_text([1]) == "[1]"


def append(change: RolloutStep, effective: datetime, candidate: int = 2) -> None:
    log = EventLog("shop")
    number = len(log.events(weekly.MODEL)) + 1
    log.append(
        ModelEvent(
            model=weekly.MODEL,
            number=number,
            at=NOW - timedelta(minutes=1),
            who="ada",
            why="because",
            version=candidate,
            change=change,
            effective_at=effective,
        )
    )


def begin_rollout_in_an_hour(project: Path) -> None:
    """Another version answers everybody from then on."""
    release_another(project, hyperparameters={"l2": 3.0})
    append(RolloutStep(action="start", step=1, percent=100, salt="s", unit=("user_id",)), NOW + timedelta(hours=1))


async def test_a_step_that_comes_due_while_the_log_is_out_of_reach_waits_until_it_was_read_again(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_rollout_in_an_hour(project)
    moment = NOW
    reads = EventLog.events
    is_away, refused = False, 0

    def events(log: EventLog, model: str) -> tuple[ModelEvent, ...]:
        nonlocal refused
        if is_away:
            refused += 1
            raise OperationalError("SELECT", {}, Exception("the registry is away"))
        return reads(log, model)

    monkeypatch.setattr(EventLog, "events", events)
    async with running(create_app([weekly.MODEL], clock=lambda: moment)) as client:
        await until(lambda: _answers(client, 1))
        is_away = True
        seen = (await client.get("/metrics")).text
        await until(lambda: _has_aged(client))
        while refused < 2:  # by then no read is still under way that began before
            await asyncio.sleep(0.05)
        moment = NOW + timedelta(hours=2)
        assert await version(client) == 1, "the step is due, and the log was not read since"
        is_away = False
        await until(lambda: _answers(client, 2))
    assert "features_model_state_timestamp_seconds" in seen


async def test_what_a_slow_read_of_the_log_has_found_is_as_old_as_its_begin(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step is taken back while the server still reads the log of before, and comes due meanwhile."""
    begin_rollout_in_an_hour(project)
    moment = NOW
    reads = EventLog.events
    goes_on, has_read = threading.Event(), threading.Event()
    goes_on.set()

    def events(log: EventLog, model: str) -> tuple[ModelEvent, ...]:
        found = reads(log, model)
        if not goes_on.is_set():
            has_read.set()
            goes_on.wait(30)
        return found

    monkeypatch.setattr(EventLog, "events", events)
    async with running(create_app([weekly.MODEL], clock=lambda: moment)) as client:
        await until(lambda: _answers(client, 1))
        goes_on.clear()
        assert await asyncio.to_thread(has_read.wait, 30)
        await asyncio.sleep(1)  # others who read the log, the reporter of counters, come and wait, too
        monkeypatch.setattr(EventLog, "events", reads)
        append(RolloutStep(action="abort", step=1, salt="s", unit=("user_id",)), NOW + timedelta(hours=1))
        moment = NOW + timedelta(hours=2)
        goes_on.set()
        answered = {await version(client) for _ in range(100)}
    assert answered == {1}


async def _answers(client, number: int) -> bool:  # type: ignore[no-untyped-def]
    answer = await ask(client, 7)
    return answer.status_code == 200 and answer.json()["predictions"][0]["model_version"] == number


async def _has_aged(client) -> bool:  # type: ignore[no-untyped-def]
    """Whether the log was last read some polls ago, by what the server exports of it."""
    import time

    text = (await client.get("/metrics")).text
    (line,) = [line for line in text.splitlines() if line.startswith("features_model_state_timestamp_seconds ")]
    return time.time() - float(line.split()[1]) > 0.8
