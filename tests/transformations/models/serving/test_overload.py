"""Under more load than can be answered, or while Redis hangs or is flushed, each request is told so in time."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from feast import FeatureStore

from tests.transformations.models.batch.conftest import by_hand
from tests.transformations.stores.servers.conftest import Server
from tests.worlds import weekly
from transformations.models.serving.api.app import create_app

from .conftest import NOW, ask, is_ready, recorded, running, until
from .test_faults import redis_server  # noqa: F401

DEADLINE = 0.3


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURES_PREDICT_CONCURRENCY", "4")
    monkeypatch.setenv("FEATURES_PREDICT_DEADLINE_MS", str(int(1_000 * DEADLINE)))
    monkeypatch.setenv("FEATURES_REDIS_READ_TIMEOUT_MS", "30000")


@asynccontextmanager
async def load(client: httpx.AsyncClient, clients: int) -> AsyncIterator[list[tuple[httpx.Response, float]]]:
    """Requests without an end from some clients; what was answered, and how long it took."""
    answers: list[tuple[httpx.Response, float]] = []
    is_over = False

    async def go_on() -> None:
        while not is_over:
            began = time.monotonic()
            answer = await ask(client, 7)
            answers.append((answer, time.monotonic() - began))
            await asyncio.sleep(0 if answer.status_code == 200 else 0.01)

    asking = [asyncio.create_task(go_on()) for _ in range(clients)]
    yield answers
    is_over = True
    await asyncio.wait_for(asyncio.gather(*asking), 10)


@pytest.mark.usefixtures("limits")
async def test_a_hung_redis_costs_each_request_its_deadline_and_nothing_more(
    redis_server: Server,  # noqa: F811
) -> None:
    async with running(create_app([weekly.MODEL])) as client:
        await until(lambda: is_ready(client))
        score = (await ask(client, 7)).json()["predictions"][0]["score"]
        redis_server.freeze()
        async with load(client, clients=12) as answers:
            await asyncio.sleep(4 * DEADLINE)
        redis_server.thaw()
        codes = Counter(answer.json()["error"]["code"] for answer, _ in answers)
        assert codes.keys() == {"deadline", "overloaded"}
        assert {(answer.status_code, answer.headers["retry-after"]) for answer, _ in answers} == {(503, "1")}
        assert max(seconds for _, seconds in answers) < DEADLINE + 1
        assert codes["deadline"] <= 4 * (4 + 2), "no more wait at once than may"
        assert len(list(recorded())) == 1, "who was refused was not recorded"
        again = await ask(client, 7)
        assert (again.status_code, again.json()["predictions"][0]["score"]) == (200, score)


@pytest.mark.proof
async def test_a_redis_that_is_flushed_and_loaded_again_under_load_gives_defaults_or_the_truth(
    redis_server: Server,  # noqa: F811
    weekly_production: Path,
) -> None:
    async with running(create_app([weekly.MODEL])) as client:
        await until(lambda: is_ready(client))
        unknown = (await ask(client, 999)).json()["predictions"][0]["score"]
        async with load(client, clients=4) as answers:
            await asyncio.sleep(0.1)
            redis_server.client.flushall()
            await asyncio.sleep(0.1)
            store = FeatureStore(repo_path=str(weekly_production / "repo"))
            await asyncio.to_thread(store.materialize, weekly.MONDAY, NOW)
            await asyncio.sleep(0.2)
        last = (await ask(client, 7)).json()["predictions"][0]
    scores = Counter(answer.json()["predictions"][0]["score"] for answer, _ in answers)
    assert scores.keys() == {by_hand(NOW)[7], unknown}
    assert last["score"] == by_hand(NOW)[7]
