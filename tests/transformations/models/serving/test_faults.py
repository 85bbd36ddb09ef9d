"""Redis goes away under the server: an error that says when to ask again, or a degraded answer, as the model says."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from feast import FeatureStore

from tests.transformations.stores.servers.conftest import Server
from tests.worlds import weekly
from transformations.engine.base.settings import get_settings
from transformations.models.log.event_log import EventLog
from transformations.models.serving.api.app import create_app
from transformations.models.versions import promote

from .conftest import NOW, ask, is_ready, recorded, running, until
from .test_following import release_another


@pytest.fixture
def redis_server(weekly_production: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A Redis of the test's own, which it can kill, with the project's features."""
    server = Server(tmp_path / "redis").start()
    monkeypatch.setenv("FEATURES_REDIS_URL", server.url)
    monkeypatch.setenv("FEATURES_PREDICT_POLL_SECONDS", "0.05")
    monkeypatch.setenv("FEATURES_CLOCK", NOW.isoformat())
    FeatureStore(repo_path=str(weekly_production / "repo")).materialize(weekly.MONDAY, NOW)
    yield server
    server.kill()


@pytest.mark.parametrize("fault", ["killed", "hung"])
async def test_without_redis_a_model_says_when_to_ask_again(redis_server: Server, fault: str) -> None:
    async with running(create_app([weekly.MODEL])) as client:
        await until(lambda: is_ready(client))
        before = (await ask(client, 7)).json()["predictions"][0]["score"]
        redis_server.kill() if fault == "killed" else redis_server.freeze()
        answer = await ask(client, 7)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.json()["error"]["code"] == "features_unavailable"
        assert (await client.get("/health")).status_code == 503
        assert len(list(recorded())) == 1
        if fault == "hung":
            redis_server.thaw()
            await until(lambda: is_ready(client))
            assert (await ask(client, 7)).json()["predictions"][0]["score"] == before


async def test_a_model_that_says_so_answers_from_defaults_and_its_record_tells(
    redis_server: Server, weekly_production: Path
) -> None:
    release_another(weekly_production, serving={"fallback": "defaults"})
    promote(weekly.MODEL, 2, "production", EventLog("shop"), get_settings(), why="goes on without Redis")
    async with running(create_app([weekly.MODEL])) as client:
        await until(lambda: is_ready(client))
        whole = (await ask(client, 7)).json()["predictions"][0]
        unknown = (await ask(client, 999)).json()["predictions"][0]
        redis_server.kill()
        degraded = (await ask(client, 7)).json()["predictions"][0]
        assert (await client.get("/health")).status_code == 200

    assert (whole["degraded"], degraded["degraded"]) == (False, True)
    assert degraded["score"] == unknown["score"] != whole["score"]
    assert degraded["feature_timestamps"] == {"user_visits": None}
    assert [record.degraded for record in recorded()] == [False, False, True]


async def test_a_flushed_redis_leaves_nobody_known(redis_server: Server) -> None:
    async with running(create_app([weekly.MODEL])) as client:
        await until(lambda: is_ready(client))
        unknown = (await ask(client, 999)).json()["predictions"][0]["score"]
        redis_server.client.flushall()
        answer = (await ask(client, 7)).json()["predictions"][0]
    assert (answer["score"], answer["feature_timestamps"]) == (unknown, {"user_visits": None})


async def test_without_a_registry_the_last_state_answers(redis_server: Server, weekly_production: Path) -> None:
    async with running(create_app([weekly.MODEL])) as client:
        await until(lambda: is_ready(client))
        get_settings().registry_path.rename(get_settings().registry_path.with_suffix(".away"))
        for _ in range(20):
            assert (await ask(client, 7)).status_code == 200
        assert (await client.get("/health")).status_code == 200
