"""The apps that `bench-predict` measures beside the model server itself."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI


def echo() -> FastAPI:
    """A bare FastAPI that reads JSON and sends it back."""
    app = FastAPI()

    @app.post("/v1/models/scored/predictions")
    async def back(body: dict[str, Any]) -> dict[str, Any]:
        return body

    return app


def without_record() -> FastAPI:
    """The model server, but nothing is recorded."""
    from transformations.models.predictions.recorder import Recorder
    from transformations.models.serving.api.running import worker_app
    from transformations.models.serving.predicting import Scored

    Scored.lines = lambda *_, **__: []  # type: ignore[method-assign]
    Recorder.record = lambda *_: None  # type: ignore[method-assign]
    return worker_app()
