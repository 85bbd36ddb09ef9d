"""A server follows its models' logs: versions that are moved answer, or answer no more, without a restart."""

from pathlib import Path

from tests.worlds import weekly
from transformations.engine.base.settings import get_settings
from transformations.models.log.event_log import EventLog
from transformations.models.versions import rollback

from .conftest import Serve, until
from .test_routes import PATH

ROWS = {"rows": [{"user_id": 7}]}


async def version(client) -> int:
    return (await client.post(PATH, json=ROWS)).json()["predictions"][0]["model_version"]


async def test_a_promotion_and_a_rollback_are_followed_without_a_restart(serve: Serve, project: Path) -> None:
    async with serve() as client:
        assert await version(client) == 1
        weekly.promote_another(project)
        await until(lambda: _is(client, 2))
        rollback(weekly.MODEL, EventLog("shop"), get_settings(), why="worse")
        await until(lambda: _is(client, 1))


async def _is(client, number: int) -> bool:
    return await version(client) == number
