"""The plain endpoints: a model's predictions under names of its own, what is served, and whether all is well."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from transformations.models.serving.answering import Answer, Answering
from transformations.models.serving.api.arriving import is_again, json_of
from transformations.models.serving.api.door import Endpoint
from transformations.models.serving.api.explaining import Explaining, Explanations
from transformations.models.serving.api.readiness import Readiness
from transformations.models.serving.api.sending import RecordedResponse
from transformations.models.serving.following import Followed
from transformations.models.serving.refusals import InvalidError


def predictions_endpoint(answering: Answering) -> Endpoint:
    """The endpoint that predicts."""
    explaining = Explaining(answering.settings.predict_deadline_ms / 1000)

    async def predictions(request: Request) -> Response:
        model = answering.model(request.path_params["name"])
        asked = model.form.read(json_of(request, model.form), is_again=is_again(request))
        is_explained = _flag(request, "explain")
        answer = await answering.answer(model, asked)
        explanations = None
        if is_explained:
            try:
                explanations = await explaining.explain(answer)
            except BaseException:
                answering.was_sent(model, answer, is_sent=False)
                raise
        return RecordedResponse(
            answering,
            model,
            answer,
            lambda: shown(model.name, answer, explanations),
            headers=[(b"x-model-route", answer.route.encode())],
        )

    return predictions


def plain_routes(answering: Answering, readiness: Readiness, predict: Endpoint) -> APIRouter:
    """The endpoints of /v1, and those of health and metrics. predict: of `predictions_endpoint`."""
    routes = APIRouter()
    routes.add_api_route("/v1/models/{name}/predictions", predict, methods=["POST"], include_in_schema=False)

    @routes.get("/v1/models", summary="The models that are served")
    async def models() -> Response:
        there = answering.follower.models.values()
        return JSONResponse({"models": [_described(answering, model) for model in there]})

    @routes.get("/v1/models/{name}", summary="A model: who answers, and what requests bring")
    async def model(request: Request) -> Response:
        return JSONResponse(_described(answering, answering.model(request.path_params["name"])))

    @routes.get("/health", summary="Whether requests should be sent here, and why not")
    async def health() -> Response:
        reasons = await asyncio.to_thread(readiness.reasons)
        return JSONResponse({"status": "unavailable" if reasons else "ok", "reasons": reasons}, 503 if reasons else 200)

    @routes.get("/metrics", summary="Metrics in Prometheus' text format")
    async def metrics() -> Response:
        text, kind = answering.metrics.text()
        return Response(text, headers={"Content-Type": kind})

    return routes


def shown(model: str, answer: Answer, explanations: Explanations | None = None) -> dict[str, Any]:
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
                "holdout": part.holdout is not None and part.holdout[place],
                "degraded": scored.is_degraded,
                "feature_timestamps": scored.moments(place),
            }
    for row, explanation in enumerate(explanations or ()):
        rows[row]["explanation"] = explanation
    return {"id": answer.id, "model": model, "predictions": rows}


def _described(answering: Answering, model: Followed) -> dict[str, Any]:
    route = model.route(answering.follower.clock())
    return {
        "name": model.name,
        "production": route.production,
        "canary": route.canary,
        "canary_percent": route.percent,
        "shadow": route.shadow,
        "event": route.event,
        "loaded": sorted(model.served),
        "request": model.form.schema(),
        "example": model.form.example(),
    }


def _flag(request: Request, name: str) -> bool:
    if not request.scope["query_string"]:
        return False
    given = request.query_params.get(name, "false").lower()
    if given not in ("true", "false", "1", "0"):
        raise InvalidError(f"{name} is {given!r:.50}. Write true or false")
    return given in ("true", "1")
