"""A model on a changed feature reaches production and is taken back, on a real server under load."""

import time
from pathlib import Path

import httpx
import pytest
from feast import FeatureStore

from tests.transformations.models.batch.conftest import by_hand
from tests.worlds import weekly
from transformations.engine.base.errors import DataError
from transformations.engine.base.settings import get_settings
from transformations.models import versions
from transformations.models.log.event_log import EventLog

from .conftest import NOW, Serve, until, version
from .test_two_servers import USERS, Load, controller, numbers, started
from .test_two_servers import until as wait_until


async def test_a_version_whose_service_is_younger_than_the_server_answers(serve: Serve, project: Path) -> None:
    """Lookups go by the registry as the server has cached it, which then does not know the service yet."""
    async with serve() as client:
        assert await version(client) == 1
        number = weekly.release_on_changed_feature(project, get_settings())
        versions.promote(weekly.MODEL, number, "production", EventLog("shop"), get_settings(), why="better features")
        await until(lambda: _is(client, number))


async def _is(client: httpx.AsyncClient, number: int) -> bool:
    return await version(client) == number


@pytest.mark.proof
def test_taken_back_the_old_model_answers_with_its_own_features_and_no_request_fails(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, settings, store = EventLog("shop"), get_settings(), FeatureStore(repo_path=str(project / "repo"))
    known = by_hand(NOW)
    presence = controller().presence
    with started(1, tmp_path, monkeypatch) as servers, Load([servers[0][0]]).running() as load:
        wait_until(lambda: len(load.seen) > 5, 30)
        number = weekly.release_on_changed_feature(project, settings)
        store.materialize(weekly.MONDAY, NOW, [weekly.SECOND])
        moved = versions.promote(weekly.MODEL, number, "production", log, settings, why="better features")
        presence.wait(weekly.MODEL, moved.event.number, 30)
        newer = load.after(time.time())
        with pytest.raises(DataError, match="would be removed"):
            store.delete_feature_view("user_visits")  # the old model's, which may come back
        back = versions.rollback(weekly.MODEL, log, settings, why="complaints")
        assert presence.wait(weekly.MODEL, back.event.number) < 10
        older = load.after(time.time())

    assert load.failures == []
    assert numbers(load.seen) == {1, number}
    assert (numbers([newer]), numbers([older])) == ({number}, {1})
    own = {user: known.get(user) for user in USERS if user in known}
    assert own
    assert {user: older.scores[user] for user in own} == own, "to the bit, by features counted from the visits"
    assert {user: newer.scores[user] for user in own} != own
    for seen in load.seen:
        for user, by in seen.versions.items():
            assert seen.scores[user] == (older if by == 1 else newer).scores[user]
