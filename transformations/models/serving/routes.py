"""The plain endpoints: a model's predictions under names of its own, what is served, and whether all is well."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from transformations.engine.base.moments import json_moment
from transformations.models.serving.answering import Answer, Answering
from transformations.stores.server.bodies import parse_body, read_body
from transformations.stores.server.watch import Watch


def add_routes(app: FastAPI, answering: Answering, watch: Watch) -> None:
    """Add the endpoints of /v1, and those of health."""
    most_bytes = answering.settings.serving_max_body_mb << 20

    @app.post("/v1/models/{name}/predictions")
    async def predictions(request: Request) -> Response:
        model = answering.model(request.path_params["name"])
        asked = model.form.read(parse_body(await read_body(request, most_bytes)))
        return JSONResponse(shown(model.name, await answering.answer(model, asked)))

    @app.get("/health")
    async def health() -> Response:
        reasons = await asyncio.to_thread(_reasons, answering, watch)
        return JSONResponse({"status": "unavailable" if reasons else "ok", "reasons": reasons}, 503 if reasons else 200)


def shown(model: str, answer: Answer) -> dict[str, Any]:
    """An answer as JSON, rows in the order of the request."""
    rows: list[dict[str, Any]] = [{} for _ in answer.ids]
    for part in answer.parts:
        scored = part.scored
        for place, row in enumerate(part.rows):
            rows[row] = {
                "id": answer.ids[row],
                "score": scored.scores[place],
                "decision": None if scored.decisions is None else scored.decisions[place],
                "model_version": scored.served.number,
                "role": part.role,
                "degraded": scored.is_degraded,
                "feature_timestamps": {
                    name: None if moment is None else json_moment(moment)
                    for name, moment in scored.moments(place).items()
                },
            }
    return {"id": answer.id, "model": model, "predictions": rows}


def _reasons(answering: Answering, watch: Watch) -> list[str]:
    """Why requests should not be sent here."""
    follower = answering.follower
    reasons = list(watch.health().reasons)
    if follower.looked is None:
        reasons.append("The log of models was not read yet.")
    waiting = [name for name in follower.names if name not in follower.models]
    reasons += [f"Model {name} is not loaded: {follower.trouble.get(name, 'it is being loaded')}" for name in waiting]
    return reasons
