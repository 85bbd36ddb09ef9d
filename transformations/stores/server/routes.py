"""Our routes in place of Feast's: lookups, health and metrics."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from difflib import get_close_matches
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.routing import APIRoute
from feast import FeatureService, FeatureStore, metrics
from feast.feature_server import GetOnlineFeaturesRequest, bin_feature_count
from feast.infra.feature_servers.base_config import MetricsConfig
from feast.permissions.server.rest import inject_user_details
from pydantic import model_validator

from transformations.engine.base.errors import UsageError
from transformations.engine.base.settings import get_settings
from transformations.stores.base.feast_seams import log_lookup, permitted_features
from transformations.stores.server.answers import refuse_in_our_form
from transformations.stores.server.bodies import parse_body
from transformations.stores.server.front import PARSED
from transformations.stores.server.pieces import answer_in_pieces, number_of, rows_of
from transformations.stores.server.refusals import too_many_rows
from transformations.stores.server.watch import Watch

LOOKUP = "/get-online-features"


class LookupRequest(GetOnlineFeaturesRequest):
    """The body of /get-online-features, as Feast's; a field that Feast does not know is refused."""

    @model_validator(mode="before")
    @classmethod
    def refuse_unknown(cls, given: Any) -> Any:
        """ValueError that names the nearest field."""
        for name in given if isinstance(given, dict) else ():
            if name not in cls.model_fields:
                guess = get_close_matches(name, cls.model_fields, n=1)
                hint = f"did you mean {guess[0]!r}? " if guess else ""
                raise ValueError(
                    f"{name!r:.100} is no field of this request: {hint}Known: {', '.join(cls.model_fields)}"
                )
        return given


def routes_of(store: FeatureStore, watch: Watch) -> FastAPI:
    """An app with our routes. store: what lookups are answered from."""
    app = FastAPI(openapi_url=None)
    refuse_in_our_form(app)
    app.router.route_class = _ParsedRoute

    @app.post(LOOKUP, dependencies=[Depends(inject_user_details)])
    async def get_online_features(request: LookupRequest) -> Response:
        return await _lookup(store, request)

    @app.get("/health")
    def health() -> Response:
        found = watch.health()
        return JSONResponse(found.as_json(), 200 if found.is_well else 503)

    @app.get("/metrics")
    def prometheus() -> Response:
        text, kind = watch.metrics()
        return Response(text, headers={"Content-Type": kind})

    return app


class _ParsedRequest(Request):
    """A request whose body `Front` has read as JSON."""

    async def json(self) -> Any:
        return self.scope[PARSED] if PARSED in self.scope else parse_body(await self.body())


class _ParsedRoute(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_parsed(request: Request) -> Response:
            return await handle(_ParsedRequest(request.scope, request.receive))

        return handle_parsed


async def _lookup(store: FeatureStore, request: LookupRequest) -> Response:
    """As Feast's route (feature_server.py:640), with its metrics, permissions and audit log."""
    if request.feature_service and request.features:
        raise UsageError("the request names features and a feature service. Name one of the two.")
    rows, most = rows_of(request.entities), get_settings().serving_max_rows
    if rows > most:
        raise too_many_rows(rows, most)
    with metrics.track_request_latency(LOOKUP) as seen:
        features = await permitted_features(request, store)
        seen.feature_count = bin_feature_count(number_of(features), _feature_count_bins(store))
        seen.feature_view_count = str(_number_of_views(features))
        metrics.track_online_features_entities(rows)
        began, outcome = time.monotonic(), "error"
        try:
            parts = await answer_in_pieces(
                store,
                features,
                request.entities,
                full_feature_names=request.full_feature_names,
                with_versions=request.include_feature_view_version_metadata,
            )
            outcome = "success"
        finally:
            log_lookup(request, features, rows, outcome, 1000 * (time.monotonic() - began))
    if len(parts) == 1:
        return Response(parts[0], media_type="application/json")
    return StreamingResponse(_one_by_one(parts), media_type="application/json")


async def _one_by_one(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def _number_of_views(features: list[str] | FeatureService) -> int:
    if isinstance(features, FeatureService):
        return len(features.feature_view_projections)
    return len({reference.partition(":")[0] for reference in features})


def _feature_count_bins(store: FeatureStore) -> list[int]:
    configured = getattr(getattr(store.config, "feature_server", None), "metrics", None)
    return list((configured or MetricsConfig()).feature_count_bins)
