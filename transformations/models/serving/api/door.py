"""What stands before the model server's routes: who may come in, how many at once, and how errors are answered."""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from transformations.engine.base.settings import Settings
from transformations.models.serving.answering import Answering
from transformations.models.serving.api.arriving import Arrivals
from transformations.models.serving.refusals import BusyError
from transformations.stores.server.answers import shorten, told
from transformations.stores.server.refusals import TokenError
from transformations.stores.server.throttled_log import ThrottledLog

_throttled = ThrottledLog(logging.getLogger(__name__))
OPEN_PATHS = frozenset({"/health", "/v2/health/live", "/v2/health/ready"})
_CODES: Mapping[int, str] = {
    400: "bad_request",
    401: "unauthorized",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "too_large",
    422: "invalid_request",
    503: "unavailable",
}


def answer(request: Request, error: Exception) -> JSONResponse:
    """The answer to a request that failed: of /v2 as its protocol has it, else with a code that programs can read."""
    said = told(request, error)
    if request.scope["path"].startswith("/v2"):
        return JSONResponse({"error": said.message}, said.status, said.headers)
    code = getattr(said.error, "code", None)
    code = code if isinstance(code, str) else _CODES.get(said.status, "internal")
    return JSONResponse({"error": {"code": code, "message": said.message}}, said.status, said.headers)


Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]
Shortcut: TypeAlias = tuple[Endpoint, dict[str, str]]


class Door:
    """Middleware: refuses requests without a token and those beyond what a worker does at once; answers all errors."""

    def __init__(self, app: ASGIApp, answering: Answering) -> None:
        self.app = app
        self._answering = answering
        self._hashes = _hashes_of(answering.settings)
        self._let_in = b""  # the last header that was: between requests, SHA-256 leaves the processor's caches
        self._most = answering.settings.predict_concurrency
        self._arrivals = Arrivals(answering.settings.predict_max_body_mb << 20, self._most)
        self._models = frozenset(answering.follower.names)
        self._metrics = answering.metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let an HTTP request in, or answer it here; anything else passes."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status, is_gone = time.monotonic(), 0, False
        is_asking, is_counted = scope["method"] == "POST", False

        async def send_noting(message: Message) -> None:
            nonlocal status, is_gone, is_counted
            status = message.get("status", status)
            self._answering.inside -= is_counted  # nobody is in work whose answer is made, however slowly he reads it
            is_counted = False
            try:
                await send(message)
            except (OSError, RuntimeError):  # as uvloop calls it that the client has closed the connection
                is_gone = True
                raise

        try:
            if self._hashes and scope["path"] not in OPEN_PATHS:
                self._check_token(scope)
            if is_asking:
                await self._arrivals.arrive(scope, receive)  # nobody is in work who still sends
                if self._answering.inside >= self._most:
                    raise self._busy()
                is_counted = True
                self._answering.inside += 1
            await self.app(scope, receive, send_noting)
        except ClientDisconnect:  # before its request was whole: there is nobody to answer
            return
        except Exception as error:
            if is_gone:
                _throttled.error(
                    f"{scope['method']} {shorten(scope['path'])}: the answer could not be sent ({type(error).__name__})"
                )
                return
            if status:  # it is answered in part: all that is left is to close the connection
                raise
            await answer(Request(scope), error)(scope, receive, send_noting)
        finally:
            self._answering.inside -= is_counted
            if is_asking and status:
                self._count(scope["path"], status, time.monotonic() - began)

    def _busy(self) -> BusyError:
        return BusyError(
            f"this worker works on {self._most} requests already (FEATURES_PREDICT_CONCURRENCY). Nothing was scored; "
            f"try again.",
            "overloaded",
        )

    def _count(self, path: str, status: int, seconds: float) -> None:
        parts = path.split("/", 4)
        if len(parts) == 5 and parts[3] in self._models:
            self._metrics.requests_of(parts[3], status).inc()
            self._metrics.seconds_of(parts[3]).observe(seconds)

    def _check_token(self, scope: Scope) -> None:
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        if self._let_in and hmac.compare_digest(given, self._let_in):
            return
        kind, _, token = given.partition(b" ")
        found = hashlib.sha256(token.strip()).hexdigest()
        if kind.lower() != b"bearer" or not any(hmac.compare_digest(found, each) for each in self._hashes):
            raise TokenError(
                f"{scope['method']} {scope['path'][:100]} needs the header `Authorization: Bearer <token>`."
            )
        self._let_in = given


class Shortcuts:
    """Before all middleware: calls the endpoints that predict through a door of their own.

    The framework takes 150 microseconds to find an endpoint and to see that it wants nothing but the request. The
    routes stand there all the same, for other methods and for whoever lists them. endpoints: of POST by their path,
    with the path's parameters.
    """

    def __init__(self, app: ASGIApp, answering: Answering, endpoints: Mapping[str, Shortcut]) -> None:
        self._app, self._endpoints = app, endpoints
        self._door = Door(self._answer, answering)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what has no shortcut. HEAD is answered as GET is, without the body."""
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope, send = {**scope, "method": "GET"}, _without_body(send)
        is_short = scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in self._endpoints
        app: ASGIApp = self._door if is_short else self._app
        await app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint, scope["path_params"] = self._endpoints[scope["path"]]
        response = await endpoint(Request(scope, receive))
        await response(scope, receive, send)


def _without_body(send: Send) -> Send:
    async def send_head(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return send_head


def _hashes_of(settings: Settings) -> tuple[str, ...]:
    given = settings.predict_tokens.get_secret_value() if settings.predict_tokens else ""
    return tuple(each.strip() for each in given.split(",") if each)
