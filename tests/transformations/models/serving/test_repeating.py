"""A request that is sent again, to another worker, is answered by who answered it, whatever has happened since."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from transformations.engine.base.settings import get_settings
from transformations.models.predictions.collect import collect
from transformations.models.predictions.segments import SUFFIX, checked, segments_folder
from transformations.models.records.events import RolloutStep
from transformations.models.serving import answering

from .conftest import NOW, PATH, Serve, ask, recorded
from .test_following import release_another
from .test_rollouts import USERS, append


async def again(client: httpx.AsyncClient, *users: int, attempt: str = "2") -> httpx.Response:
    body = {"id": "a", "rows": [{"user_id": user} for user in users]}
    return await client.post(PATH, json=body, headers={"X-Attempt": attempt})


@pytest.mark.parametrize("is_told", [True, False])
async def test_a_repeated_request_keeps_its_versions_and_one_record_after_a_step_of_the_rollout(
    serve: Serve, project: Path, is_told: bool
) -> None:
    release_another(project, hyperparameters={"l2": 3.0})
    append(RolloutStep(action="start", step=1, percent=50, salt="s", unit=("user_id",)), NOW)
    async with serve() as one:
        first = (await ask(one, *USERS, id="a")).json()["predictions"]
    assert {row["model_version"] for row in first} == {1, 2}
    append(RolloutStep(action="advance", step=2, percent=100, salt="s", unit=("user_id",)), NOW)
    async with serve() as other:
        assert {row["model_version"] for row in (await ask(other, *USERS)).json()["predictions"]} == {2}
        repeated = (await again(other, *USERS, attempt="2" if is_told else "1")).json()["predictions"]

    answers = [[row[name] for name in ("model_version", "role", "score")] for row in repeated]
    assert (answers == [[row[name] for name in ("model_version", "role", "score")] for row in first]) is is_told
    mine = [record for record in recorded() if record.id.startswith("a-")]
    assert len(mine) == 2 * len(USERS)
    assert (len({record.event for record in mine}) == 1) is is_told
    assert collect(get_settings()).repeats >= len(USERS)


async def test_a_version_that_was_taken_back_answers_no_more_whoever_asks_again(serve: Serve, project: Path) -> None:
    release_another(project, hyperparameters={"l2": 3.0})
    append(RolloutStep(action="start", step=1, percent=100, salt="s", unit=("user_id",)), NOW)
    async with serve() as one:
        assert (await ask(one, 7, id="a")).json()["predictions"][0]["model_version"] == 2
    append(RolloutStep(action="abort", step=1, salt="s"), NOW)
    async with serve() as other:
        assert (await again(other, 7)).json()["predictions"][0]["model_version"] == 1


async def test_other_rows_under_the_id_are_refused_and_an_id_that_nobody_answered_is_answered(serve: Serve) -> None:
    async with serve() as one:
        await ask(one, 7, 8, id="a")
    async with serve() as other:
        for users in ((7, 9), (7,), (8, 7)):
            refused = await again(other, *users)
            assert (refused.status_code, refused.json()["error"]["code"]) == (409, "id_reused")
        body = {"id": "b", "rows": [{"user_id": 7}]}
        assert (await other.post(PATH, json=body, headers={"X-Attempt": "3"})).status_code == 200


async def test_a_segment_that_cannot_be_searched_costs_nobody_his_answer(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve() as one:
        await ask(one, 7, id="a")
    folder = segments_folder(get_settings())
    (folder / f"{'9' * 20}{SUFFIX}").mkdir()  # as one whose disk fails
    (folder / f"{'8' * 20}{SUFFIX}").write_bytes(checked(b'{"format":1,"id":"b-0","of":"a later release"}\n'))
    async with serve() as other:
        for name in ("a", "b"):
            body = {"id": name, "rows": [{"user_id": 7}]}
            assert (await other.post(PATH, json=body, headers={"X-Attempt": "2"})).status_code == 200
    said = [message for message in caplog.messages if "searched for what was answered before" in message]
    assert {message[:1] for message in said} == {"9", "8"}


async def test_who_asks_again_waits_for_a_disk_no_longer_than_for_scores_and_nobody_else_waits_for_it(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATURES_PREDICT_DEADLINE_MS", "300")
    is_back, really = threading.Event(), answering.answered_before

    def hang(*given: Any) -> Any:
        is_back.wait(60)
        return really(*given)

    monkeypatch.setattr(answering, "answered_before", hang)
    async with serve() as client:
        try:
            # More than the loop has threads: it reads the log of models by them, and asks Redis for health.
            bodies = [{"id": f"id-{number}", "rows": [{"user_id": 7}]} for number in range(40)]
            refused = await asyncio.gather(
                *(client.post(PATH, json=body, headers={"X-Attempt": "2"}) for body in bodies)
            )
            assert {(each.status_code, each.json()["error"]["code"]) for each in refused} == {(503, "deadline")}
            assert list(recorded()) == []
            async with asyncio.timeout(20):
                assert (await client.get("/health")).status_code == 200
            assert (await ask(client, 7, id="other")).status_code == 200
        finally:
            is_back.set()
        assert (await again(client, 7)).status_code == 200
    assert [record.id for record in recorded()] == ["other-0", "a-0"]
