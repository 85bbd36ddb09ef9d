"""The model server as an ASGI app: one process of `features model serve`, or of any server that runs such apps.

FEATURES_PREDICT_MODELS=user_churn uvicorn --factory transformations.models.serving.app:create_app
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from fastapi import FastAPI
from feast import FeatureStore
from starlette.middleware import Middleware

from transformations.engine.base.errors import UsageError
from transformations.engine.base.settings import Settings, get_settings, present_moment
from transformations.engine.base.words import show_reason
from transformations.insight.repository import repository_folder
from transformations.models.log.event_log import log_of
from transformations.models.serving.answering import Answering
from transformations.models.serving.door import Door, answer
from transformations.models.serving.features import Features
from transformations.models.serving.following import Clock, Follower
from transformations.models.serving.recording import Recorder
from transformations.models.serving.routes import add_routes
from transformations.stores.server.answers import refuse_in_our_form
from transformations.stores.server.watch import Watch

_LOG = logging.getLogger(__name__)


def create_app(
    models: Sequence[str] = (),
    repository: Path | None = None,
    settings: Settings | None = None,
    clock: Clock = present_moment,
) -> FastAPI:
    """The app that answers for these models; by default for those that FEATURES_PREDICT_MODELS names.

    It answers nothing before its lifespan has begun, and is not ready before all is loaded. UsageError where no model
    is named.
    """
    settings = settings or get_settings()
    repository = repository or repository_folder(settings)
    names = tuple(models) or tuple(name for name in settings.predict_models.split(",") if name)
    if not names:
        raise UsageError("no model is named. Set FEATURES_PREDICT_MODELS, or run `features model serve NAME`.")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # more than one thread a row only spins
    store = FeatureStore(repo_path=str(repository))
    follower = Follower(names=names, log=log_of(repository), store=store, settings=settings, clock=clock)
    recorder = Recorder(settings)
    answering = Answering(follower, Features(store), recorder, settings)
    app = FastAPI(
        title="Model server",
        description=f"Scores of {', '.join(names)}",
        lifespan=_lifespan(follower, recorder, settings),
        middleware=[Middleware(Door, settings=settings)],
        redoc_url=None,
    )
    refuse_in_our_form(app, answer)
    add_routes(app, answering, Watch(FeatureStore(repo_path=str(repository))))
    return app


def _lifespan(follower: Follower, recorder: Recorder, settings: Settings):  # type: ignore[no-untyped-def]
    @asynccontextmanager
    async def run(_app: FastAPI) -> AsyncIterator[None]:
        polls = asyncio.create_task(_poll(follower, settings.predict_poll_seconds))
        try:
            yield
        finally:
            polls.cancel()
            with suppress(asyncio.CancelledError):
                await polls
            recorder.close()

    return run


async def _poll(follower: Follower, seconds: float) -> None:
    last = ""
    while True:
        try:
            follower.take(await asyncio.to_thread(follower.look))
            last = ""
        except Exception as error:  # whatever a registry may raise: the last state stays, and its age tells
            if (said := show_reason(error)) != last:
                _LOG.error("the log of models cannot be read: %s", said)
            last = said
        await asyncio.sleep(seconds)
