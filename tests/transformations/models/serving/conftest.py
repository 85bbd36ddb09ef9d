"""What tests of the model server share: the small project in production and online, and a client of its app."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from feast import FeatureStore
from redis import Redis

from tests.worlds import weekly
from transformations.engine.base.settings import get_settings
from transformations.models.predictions.segment_reading import read_segment, segments_in
from transformations.models.predictions.segments import segments_folder
from transformations.models.records.predictions import PredictionRecord
from transformations.models.serving.api.app import create_app

PATH = f"/v1/models/{weekly.MODEL}/predictions"
NOW = datetime(2024, 5, 20, 12, tzinfo=UTC)
"""The clock of these tests: the last Monday, when its features are online."""
Serve = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def project(weekly_production: Path, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small project, its model in production, its features in Redis."""
    monkeypatch.setenv("FEATURES_PREDICT_POLL_SECONDS", "0.05")
    monkeypatch.setenv("FEATURES_CLOCK", NOW.isoformat())
    FeatureStore(repo_path=str(weekly_production / "repo")).materialize(weekly.MONDAY, NOW)
    return weekly_production


@asynccontextmanager
async def running(app: FastAPI, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an app whose lifespan has begun."""
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://server", **options) as client:
            yield client


@pytest.fixture
def serve(project: Path) -> Serve:
    """Serves the project's model in this process, once it is ready."""

    @asynccontextmanager
    async def start(**options: Any) -> AsyncIterator[httpx.AsyncClient]:
        async with running(create_app([weekly.MODEL]), **options) as client:
            await until(lambda: is_ready(client))
            yield client

    return start


async def is_ready(client: httpx.AsyncClient) -> bool:
    return (await client.get("/health")).status_code == 200


async def until(is_so: Callable[[], Awaitable[bool]], seconds: float = 10) -> None:
    """Until something is so."""
    async with asyncio.timeout(seconds):
        while not await is_so():
            await asyncio.sleep(0.02)


async def ask(client: httpx.AsyncClient, *users: int, **more: Any) -> httpx.Response:
    """Ask for the predictions of users."""
    return await client.post(PATH, json={"rows": [{"user_id": user} for user in users], **more})


async def version(client: httpx.AsyncClient) -> int:
    """The version that answers."""
    return int((await ask(client, 7)).json()["predictions"][0]["model_version"])


def recorded() -> Iterator[PredictionRecord]:
    """What stands in the segments, oldest first."""
    for segment in segments_in(segments_folder(get_settings())):
        yield from read_segment(segment).records
