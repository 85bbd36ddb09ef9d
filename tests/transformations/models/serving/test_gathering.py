"""Requests that wait at the same moment share a round trip and a call of the model, and nothing else."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from tests.transformations.models.batch.conftest import by_hand
from transformations.models.serving import gathering, predicting
from transformations.models.serving.predicting import Scored
from transformations.stores.redis import channel

from .conftest import NOW, Serve, ask, recorded


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many requests were scored together, each time."""
    sizes: list[int] = []
    score = predicting.read_and_score_all

    async def counted(served: Any, requests: Sequence[Any], *rest: Any) -> list[Scored]:
        sizes.append(len(requests))
        return await score(served, requests, *rest)

    monkeypatch.setattr(predicting, "read_and_score_all", counted)
    monkeypatch.setattr(gathering, "read_and_score_all", counted)
    monkeypatch.setattr(channel, "LOOK_SECONDS", 0.0)  # else a request may be answered before the next one is there
    return sizes


async def test_together_each_request_gets_and_records_what_it_gets_alone(serve: Serve, batches: list[int]) -> None:
    expected = by_hand(NOW)
    users = list(expected)
    requests = [users[first : first + 1 + first % 3] for first in range(40)]
    async with serve() as client:
        alone = [(await ask(client, *each)).json() for each in requests]
        assert set(batches) == {1}
        answers = [each.json() for each in await asyncio.gather(*(ask(client, *each) for each in requests))]

    assert max(batches) > 5
    for one, other, mine in zip(alone, answers, requests, strict=True):
        assert [row["score"] for row in other["predictions"]] == [expected[user] for user in mine]
        assert [{**row, "id": ""} for row in one["predictions"]] == [{**row, "id": ""} for row in other["predictions"]]
    said = {record.id: record for record in recorded()}
    rows = [(answer["predictions"], mine) for answer in answers for mine in [requests[answers.index(answer)]]]
    for predictions, mine in rows:
        for row, user in zip(predictions, mine, strict=True):
            assert (said[row["id"]].keys, said[row["id"]].score) == ({"user_id": user}, row["score"])


async def test_the_fault_of_one_request_is_its_own(
    serve: Serve, batches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    predict = predicting.predict_values

    def failing(artifact: Any, rows: Any) -> Any:
        if rows.rows != 1 or rows.values[0] == [None]:  # user 999 was never seen
            raise ArithmeticError("no")
        return predict(artifact, rows)

    async with serve() as client:
        monkeypatch.setattr(predicting, "predict_values", failing)
        answers = await asyncio.gather(*(ask(client, user) for user in (7, 999, 8, 9)))

    assert max(batches) > 1
    assert [answer.status_code for answer in answers] == [200, 500, 200, 200]


async def test_a_great_request_waits_for_nobody(serve: Serve, batches: list[int]) -> None:
    async with serve() as client:
        answers = await asyncio.gather(*(ask(client, *range(1, 201)) for _ in range(4)))
    assert [answer.status_code for answer in answers] == [200] * 4
    assert max(batches) == 1
