"""While a version is rolled out, both versions score the same rows: one answers, the other one afterwards."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from tests.worlds import weekly
from transformations.engine.base.settings import get_settings
from transformations.models.log.event_log import EventLog
from transformations.models.records.predictions import PredictionRecord
from transformations.models.rollout.board import Board, Seen
from transformations.models.rollout.control.controller import controller_of
from transformations.models.rollout.presence import Presence
from transformations.models.rollout.spare import Spare
from transformations.models.rollout.splitting import bucket, unit_text
from transformations.models.rollout.tables import RolloutTables
from transformations.models.rollout.tally import Tally
from transformations.models.serving import gathering, second
from transformations.models.serving.predicting import read_and_score, read_and_score_all
from transformations.stores.redis import channel

from .conftest import NOW, Serve, ask, recorded, until
from .test_following import release_another

USERS = range(1, 61)


def begin(project: Path, *steps: object) -> int:
    """Roll out a second version by these steps; the number of its event, which has come into effect."""
    release_another(project, hyperparameters={"l2": 50.0}, rollout={"unit": ["user_id"], "steps": list(steps)})
    log = EventLog("shop")
    controller = controller_of(log, get_settings(), who="test", clock=lambda: NOW - timedelta(seconds=1))
    return controller.start(weekly.MODEL, 2, "try it").number


def seen(event: int) -> Seen:
    return Board(RolloutTables("shop")).seen(weekly.MODEL, event)


def by_role() -> dict[str, dict[str, PredictionRecord]]:
    found: dict[str, dict[str, PredictionRecord]] = {"production": {}, "canary": {}, "shadow": {}}
    for record in recorded():
        found[record.role][record.id] = record
    return found


async def follows(event: int) -> bool:
    servers = Presence(RolloutTables("shop")).servers(weekly.MODEL)
    return bool(servers) and all(server.event >= event for server in servers)


async def test_in_shadow_the_candidate_scores_what_production_answered_and_answers_nothing(
    serve: Serve, project: Path
) -> None:
    event = begin(project, "shadow", 100)
    async with serve() as client:
        await until(lambda: follows(event))
        answer = (await ask(client, *USERS, id="a")).json()
        await until(lambda: _has(lambda: seen(event).rows == len(USERS)))

    assert {(row["role"], row["model_version"]) for row in answer["predictions"]} == {("production", 1)}
    found = by_role()
    assert found["production"].keys() == found["shadow"].keys() == {row["id"] for row in answer["predictions"]}
    assert {record.version for record in found["shadow"].values()} == {2}
    pairs = [(found["production"][name].score, found["shadow"][name].score) for name in found["shadow"]]
    assert sorted(seen(event).differences) == pytest.approx(sorted(abs(one - two) for one, two in pairs))
    assert max(seen(event).differences) > 0.01


async def test_a_canary_answers_its_share_of_rows_and_production_scores_those_again(
    serve: Serve, project: Path
) -> None:
    event = begin(project, 30)
    salt = f"{weekly.MODEL}-2-{event}"
    mine = [user for user in USERS if bucket(salt, unit_text([user]) or "") < 3_000]
    assert 5 < len(mine) < 35
    async with serve() as client:
        await until(lambda: follows(event))
        first = await ask(client, *USERS)
        again = await ask(client, *USERS)
        await until(lambda: _has(lambda: seen(event).rows == 2 * len(mine)))

    rows = first.json()["predictions"]
    assert [user for user, row in zip(USERS, rows, strict=True) if row["role"] == "canary"] == mine
    assert Counter((row["role"], row["model_version"]) for row in rows) == {
        ("canary", 2): len(mine),
        ("production", 1): len(USERS) - len(mine),
    }
    assert [row["score"] for row in again.json()["predictions"]] == [row["score"] for row in rows]
    assert first.headers["x-model-route"] == "mixed"
    assert len(seen(event).differences) == len(mine)
    assert {record.version for record in by_role()["shadow"].values()} == {1}


async def test_rows_that_part_are_merged_in_order_over_the_protocol_too(serve: Serve, project: Path) -> None:
    event = begin(project, 30)
    async with serve() as client:
        await until(lambda: follows(event))
        plain = (await ask(client, *USERS)).json()["predictions"]
        tensor = {"name": "user_id", "shape": [len(USERS)], "datatype": "INT64", "data": list(USERS)}
        routed = (await client.post(f"/v2/models/{weekly.MODEL}/infer", json={"inputs": [tensor]})).json()
        named = (await client.post(f"/v2/models/{weekly.MODEL}/versions/2/infer", json={"inputs": [tensor]})).json()

    assert (routed["model_version"], routed["parameters"]["route"]) == ("1", "mixed")
    found = {each["name"]: each["data"] for each in routed["outputs"]}
    assert found["score"] == [row["score"] for row in plain]
    assert found["model_version"] == [str(row["model_version"]) for row in plain]
    of_two = {each["name"]: each["data"] for each in named["outputs"]}
    assert set(of_two["model_version"]) == {"2"}
    canary = [place for place, row in enumerate(plain) if row["role"] == "canary"]
    assert [of_two["score"][place] for place in canary] == [plain[place]["score"] for place in canary]


async def test_rows_on_which_the_candidate_fails_are_answered_by_production_and_counted(
    serve: Serve, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = begin(project, 100)

    async def failing(served, *arguments):  # type: ignore[no-untyped-def]
        if served.number == 2:
            raise ArithmeticError("it cannot")
        return await read_and_score(served, *arguments)

    monkeypatch.setattr(gathering, "read_and_score", failing)
    async with serve() as client:
        await until(lambda: follows(event))
        rows = (await ask(client, *USERS)).json()["predictions"]
        await until(lambda: _has(lambda: seen(event).counters.failed == len(USERS)))

    assert {(row["role"], row["model_version"]) for row in rows} == {("production", 1)}
    assert seen(event).failures == len(USERS)


async def test_a_loop_that_its_requests_keep_busy_sheds_the_second_score(
    serve: Serve, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = begin(project, "shadow", 100)
    monkeypatch.setattr(Spare, "is_there", lambda _: False)
    monkeypatch.setattr(second, "MOST_WAITING", 2)
    monkeypatch.setattr(second, "LONGEST_WAIT", 0.5)
    async with serve() as client:
        await until(lambda: follows(event))
        answers = [await ask(client, *USERS) for _ in range(5)]
        await until(lambda: _has(lambda: seen(event).counters.shed >= 3 * len(USERS)))  # at the door
        await until(lambda: _has(lambda: seen(event).counters.shed == 5 * len(USERS)))  # by and by

    assert {answer.status_code for answer in answers} == {200}
    assert (seen(event).rows, by_role()["shadow"]) == (0, {})


async def test_requests_that_were_scored_together_are_so_a_second_time(
    serve: Serve, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = begin(project, "shadow", 100)
    sizes: dict[str, list[int]] = {"first": [], "second": []}
    took: list[float] = []
    for name, module in (("first", gathering), ("second", second)):
        monkeypatch.setattr(module, "read_and_score_all", _noting(sizes[name]))
    monkeypatch.setattr(channel, "LOOK_SECONDS", 0.0)  # else a request may be answered before the next one is there
    monkeypatch.setattr(Tally, "took", lambda _, candidate, *rest: took.append(candidate))
    async with serve() as client:
        await until(lambda: follows(event))
        await asyncio.gather(*(ask(client, user, user + 1) for user in USERS[:12]))
        await until(lambda: _has(lambda: seen(event).rows == 24))

    assert max(sizes["first"]) > 2
    assert Counter(size for size in sizes["second"] if size > 1) == Counter(sizes["first"])
    assert len(took) == 12


@pytest.mark.parametrize("error", [ArithmeticError("it cannot"), TypeError("nor can this one")])
async def test_whatever_the_candidate_raises_in_shadow_counts_as_its_failure_on_those_rows_alone(
    serve: Serve, project: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    event = begin(project, "shadow", 100)
    score = second.read_and_score_all

    async def failing(served, requests, *rest):  # type: ignore[no-untyped-def]
        if any(7 in asked.columns["user_id"] for asked in requests):
            raise error
        return await score(served, requests, *rest)

    monkeypatch.setattr(second, "read_and_score_all", failing)
    async with serve() as client:
        await until(lambda: follows(event))
        answers = await asyncio.gather(*(ask(client, user) for user in range(1, 13)))
        await until(lambda: _has(lambda: seen(event).rows == 12))

    assert {answer.status_code for answer in answers} == {200}
    assert (seen(event).counters.failed, seen(event).failures, seen(event).counters.clean) == (1, 1, 11)


async def test_a_server_that_ends_is_not_waited_for(serve: Serve, project: Path) -> None:
    async with serve():
        await until(lambda: follows(4))
    assert Presence(RolloutTables("shop")).servers(weekly.MODEL) == []


def _noting(sizes: list[int]):  # type: ignore[no-untyped-def]
    """Scores, and notes how many requests are scored together."""

    async def score(served, requests, *rest):  # type: ignore[no-untyped-def]
        sizes.append(len(requests))
        return await read_and_score_all(served, requests, *rest)

    return score


async def _has(is_so: Callable[[], bool]) -> bool:
    return bool(np.all(is_so()))
