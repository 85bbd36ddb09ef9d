"""The model server as an ASGI app: one process of `features model serve`, or of any server that runs such apps.

FEATURES_PREDICT_MODELS=user_churn uvicorn --factory transformations.models.serving.api.app:create_app
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from fastapi import FastAPI
from feast import FeatureStore
from starlette.middleware import Middleware

from transformations.engine.base.errors import UsageError
from transformations.engine.base.settings import Settings, get_settings, present_moment
from transformations.engine.base.words import show_reason
from transformations.insight.repository import read_configuration, repository_folder
from transformations.models.log.event_log import log_of
from transformations.models.predictions.recorder import Options, Recorder
from transformations.models.predictions.segments import segments_folder
from transformations.models.records.predictions import ServedView
from transformations.models.serving.answering import Answering
from transformations.models.serving.api.door import Door, Shortcuts, answer
from transformations.models.serving.api.inference import infer_endpoint, inference_routes
from transformations.models.serving.api.openapi import describe
from transformations.models.serving.api.readiness import Readiness
from transformations.models.serving.api.routes import plain_routes, predictions_endpoint
from transformations.models.serving.features import Features
from transformations.models.serving.following import Clock, Follower
from transformations.models.serving.reporting import Reporter
from transformations.stores.redis.loaded import loaded_views
from transformations.stores.server.answers import refuse_in_our_form
from transformations.stores.server.watch import Watch

_LOG = logging.getLogger(__name__)

SECONDS_TO_LOAD = 20.0
"""How long an app waits for its models before it takes requests all the same, and says that they are not ready."""


def create_app(
    models: Sequence[str] = (),
    repository: Path | None = None,
    settings: Settings | None = None,
    clock: Clock = present_moment,
) -> FastAPI:
    """The app that answers for these models; by default for those that FEATURES_PREDICT_MODELS names.

    It answers nothing before its lifespan has begun, which waits for the models for a while; it is not ready before all
    are loaded. UsageError where no model is named, and for a feature_store.yaml that Feast cannot use.
    """
    settings = settings or get_settings()
    repository = repository or repository_folder(settings)
    names = tuple(models) or tuple(name for name in settings.predict_models.split(",") if name)
    if not names:
        raise UsageError("no model is named. Set FEATURES_PREDICT_MODELS, or run `features model serve NAME`.")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # more than one thread a row only spins
    try:
        store = FeatureStore(repo_path=str(repository))
    except Exception:
        read_configuration(repository)  # refuses it in our words, and loads more than a server needs
        raise
    follower = Follower(names=names, log=log_of(repository), store=store, settings=settings, clock=clock)
    recorder = Recorder(segments_folder(settings), Options.of(settings))
    answering = Answering(follower, Features(store), recorder, settings)
    readiness = Readiness(follower, Watch(FeatureStore(repo_path=str(repository))), recorder)
    predict, infer = predictions_endpoint(answering), infer_endpoint(answering)
    shortcuts = {f"/v1/models/{name}/predictions": (predict, {"name": name}) for name in names}
    shortcuts |= {f"/v2/models/{name}/infer": (infer, {"name": name}) for name in names}
    app = FastAPI(
        title="Model server",
        description=f"Scores of {', '.join(names)}",
        lifespan=_lifespan(answering),
        middleware=[Middleware(Door, answering=answering)],
        redoc_url=None,
        redirect_slashes=False,  # by the scheme and host that the request came with, behind a proxy the wrong ones
    )
    refuse_in_our_form(app, answer)
    app.include_router(plain_routes(answering, readiness, predict))
    app.include_router(inference_routes(answering, readiness, infer))
    describe(app, answering)
    app.middleware_stack = Shortcuts(app.build_middleware_stack(), answering, shortcuts)
    return app


def _lifespan(answering: Answering) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def run(_app: FastAPI) -> AsyncIterator[None]:
        seconds = answering.settings.predict_poll_seconds
        reporter = Reporter.of(answering.follower, answering.second, answering.name)
        has_looked = asyncio.Event()
        with suppress(Exception):  # before the first answer, whose record names what was loaded
            await _look_at_loads(answering)
        work = (
            _repeat(partial(_look_at_log, answering), seconds, has_looked),
            _repeat(partial(_look_at_loads, answering), seconds),
            _repeat(partial(asyncio.to_thread, reporter.report), seconds),
            answering.second.run(),
        )
        tasks = [asyncio.create_task(each) for each in work]
        try:
            with suppress(TimeoutError):  # workers share a port: one without models would refuse what others can
                async with asyncio.timeout(SECONDS_TO_LOAD):
                    await has_looked.wait()
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            answering.recorder.close()
            with suppress(Exception):  # a database that is away learns of it by the silence
                await asyncio.to_thread(reporter.leave)

    return run


async def _repeat(look: Callable[[], Awaitable[None]], seconds: float, looked: asyncio.Event | None = None) -> None:
    """Look again and again. What was seen last stays where a look fails; a failure is logged once. looked: set by the
    first look, whatever became of it.
    """
    last = ""
    while True:
        try:
            await look()
            last = ""
        except Exception as error:  # whatever a registry or Redis may raise
            if (said := show_reason(error)) != last:
                _LOG.error("the model server cannot see what is new: %s", said)
            last = said
        if looked is not None:
            looked.set()
        await asyncio.sleep(seconds)


async def _look_at_log(answering: Answering) -> None:
    follower, metrics = answering.follower, answering.metrics
    began, wall_clock = time.monotonic(), time.time()
    follower.take(await asyncio.to_thread(follower.look), began)
    metrics.looked.set(wall_clock)
    for name in follower.names:
        metrics.trouble.labels(name).set(name in follower.trouble)
        if name in follower.models:
            metrics.event.labels(name).set(follower.models[name].route(follower.clock()).event)
    metrics.recording.set(not answering.recorder.fault)
    metrics.backlog.set(answering.recorder.counts.backlog_bytes)


async def _look_at_loads(answering: Answering) -> None:
    """What each view was last loaded with, which the records name."""
    store = answering.follower.store
    found = await asyncio.to_thread(loaded_views, store, answering.settings)
    answering.views = {
        view: ServedView(table_version=each.version, loaded_through=each.complete_through)
        for view, each in found.items()
    }
