"""A server follows its models' logs: versions that are moved answer, or answer no more, without a restart."""

import asyncio
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from feast import FeatureStore

from tests.worlds import weekly
from tests.worlds.samples import some_quick
from transformations.engine.base.settings import get_settings
from transformations.models import releasing
from transformations.models.log.event_log import EventLog
from transformations.models.rollout.control.controller import Controller, controller_of
from transformations.models.versions import artifact_folder, promote, rollback, standing

from .conftest import NOW, Serve, ask, until, version


async def test_a_promotion_and_a_rollback_are_followed_without_a_restart(serve: Serve, project: Path) -> None:
    async with serve() as client:
        assert await version(client) == 1
        weekly.promote_another(project)
        await until(lambda: _is(client, 2))
        rollback(weekly.MODEL, EventLog("shop"), get_settings(), why="worse")
        await until(lambda: _is(client, 1))


def release_another(project: Path, **changes: Any) -> None:
    """A second version of the model, in staging."""
    weekly.declare(project / "repo", **changes)
    store = FeatureStore(repo_path=str(project / "repo"))
    releasing.release(weekly.MODEL, project / "repo", EventLog("shop"), store, get_settings())


@pytest.mark.parametrize("damage", some_quick(["missing", "tampered"], 1))
async def test_a_version_whose_artifact_is_damaged_never_answers_and_the_last_one_does(
    serve: Serve, project: Path, damage: str
) -> None:
    release_another(project, hyperparameters={"l2": 3.0})
    log, settings = EventLog("shop"), get_settings()
    folder = artifact_folder(weekly.MODEL, standing(weekly.MODEL, log).version(2), settings)
    async with serve() as client:
        promote(weekly.MODEL, 2, "production", log, settings, why="better")
        await until(lambda: _is(client, 2))
        rollback(weekly.MODEL, log, settings, why="worse")
        await until(lambda: _is(client, 1))
    if damage == "missing":
        shutil.rmtree(folder)
    else:
        tamper(folder)
    async with serve() as client:  # begun anew, it has nothing of version 2
        bring_back_unverified(2)
        await until(lambda: _is_behind(client))
        assert await version(client) == 1
        assert (await client.get("/health")).status_code == 200


async def test_a_candidate_that_is_tampered_with_within_a_step_is_refused_by_name_and_production_goes_on(
    serve: Serve, project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that is begun anew within the step; those before it have what they verified."""
    release_another(project, hyperparameters={"l2": 3.0}, rollout={"unit": ["user_id"], "steps": [100]})
    log, settings = EventLog("shop"), get_settings()
    controller = controller_of(log, settings, who="test", clock=lambda: NOW - timedelta(seconds=1))
    event = controller.start(weekly.MODEL, 2, "try it").number
    tamper(artifact_folder(weekly.MODEL, standing(weekly.MODEL, log).version(2), settings))
    async with serve() as client:
        await until(lambda: _is_behind(client))
        assert (await ask(client, 7)).json()["predictions"][0]["role"] == "production"
        assert await version(client) == 1
        assert (await client.get("/health")).status_code == 200
        await until(lambda: _is_known_as_behind(controller, event))
        assert controller.step(weekly.MODEL).decision.action == "wait"
    assert "model.json is not what was trained" in caplog.text


async def _is_known_as_behind(controller: Controller, event: int) -> bool:
    return [server.event < event for server in controller.presence.behind(weekly.MODEL, event)] == [True]


def tamper(folder: Path) -> None:
    """Change a number of an artifact's model."""
    model = folder / "model.json"
    model.chmod(0o640)
    model.write_text(model.read_text().replace("1", "2", 1))


def bring_back_unverified(number: int) -> None:
    """As a rollback whose artifact was damaged after it was verified."""
    from transformations.models.log import stages

    now = get_settings().now()
    stages.rollback(EventLog("shop"), weekly.MODEL, who="test", why="damaged since", at=now, to_version=number)


async def test_a_version_of_another_form_is_not_routed_to(serve: Serve, project: Path) -> None:
    async with serve() as client:
        assert await version(client) == 1
        weekly.declare(project / "repo")
        release_another(project, decision=None)
        promote(weekly.MODEL, 2, "production", EventLog("shop"), get_settings(), why="other form")
        await until(lambda: _is_behind(client))
        assert await version(client) == 1
        assert (await ask(client, 7)).json()["predictions"][0]["decision"] is not None


async def _is(client: httpx.AsyncClient, number: int) -> bool:
    return await version(client) == number


async def _is_behind(client: httpx.AsyncClient) -> bool:
    return 'features_model_behind{model="user_return"} 1.0' in (await client.get("/metrics")).text


@pytest.mark.proof
async def test_no_request_is_lost_while_versions_are_exchanged(serve: Serve, project: Path) -> None:
    release_another(project, hyperparameters={"l2": 3.0})
    log, settings, answered = EventLog("shop"), get_settings(), list[tuple[int, int]]()
    is_over = False

    async def go_on(client: httpx.AsyncClient) -> None:
        while not is_over or len(answered) < 300:
            answer = await ask(client, 7)
            number = answer.json()["predictions"][0]["model_version"] if answer.status_code == 200 else 0
            answered.append((answer.status_code, number))

    async with serve() as client:
        asking = [asyncio.create_task(go_on(client)) for _ in range(8)]
        await asyncio.to_thread(promote, weekly.MODEL, 2, "production", log, settings, why="better")
        await until(lambda: _has_answered(answered, 2))
        await asyncio.to_thread(rollback, weekly.MODEL, log, settings, why="worse")
        before = len(answered)
        await until(lambda: _has_answered(answered[before:], 1))
        is_over = True
        await asyncio.gather(*asking)

    assert {status for status, _ in answered} == {200}
    assert {number for _, number in answered} == {1, 2}


async def _has_answered(answered: list[tuple[int, int]], number: int) -> bool:
    return (200, number) in answered
