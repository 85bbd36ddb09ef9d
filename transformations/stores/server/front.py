"""Checks every request before it reaches a route (is it allowed, is it small enough?), and answers its errors.

           POST /push                       POST /get-online-features
                │                                     │
    Gate ── 403 or 401 unless opened      body ── 413 beyond its limit, 400 if it is no JSON
                │                                     │
            Feast's app                           our routes
                └────────── any error: `Answers` ─────┘

Feast's own handler of all errors raises them again after it has answered, and uvicorn then closes the connection, with
whatever request the client has sent on it meanwhile. Here none leaves the app.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, field
from typing import Literal

from fastapi import Request
from feast import FeatureStore
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from transformations.engine.base.errors import UsageError
from transformations.engine.base.settings import Settings
from transformations.stores.server.answers import Answer, answer
from transformations.stores.server.bodies import check_body, parse_body, read_body
from transformations.stores.server.refusals import ClosedError, NoSearchError, TokenError

OWN_PATHS = frozenset({"/get-online-features", "/health", "/metrics"})

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
# Endpoints that read although they are asked by POST. All others of Feast, those of later releases too, may write.
_READ_BY_POST = re.compile(
    r"/(get-online-features|search|retrieve-online-documents|chat|v1/vector_stores/[^/]+/search)"
)
_SEARCH = re.compile(r"/(search|retrieve-online-documents|v1/vector_stores/[^/]+/search)/?")
PARSED = "transformations.body"
"""Where a request's scope has its body as a value."""


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What a server lets in.

    writes: who may use the endpoints that write. most_bytes, most_rows: of a request. has_search: whether the online
    store can search by vectors.
    """

    writes: Literal["off", "token", "open"]
    token: bytes = field(repr=False)
    most_bytes: int
    most_rows: int
    has_search: bool

    @classmethod
    def of(cls, settings: Settings, has_search: bool) -> Gate:
        """UsageError where the settings ask for a token and name none."""
        token = settings.serving_write_token.get_secret_value() if settings.serving_write_token else ""
        if settings.serving_writes == "token" and not token:
            raise UsageError(
                "FEATURES_SERVING_WRITES=token needs a token: set FEATURES_SERVING_WRITE_TOKEN, or choose off or open."
            )
        return cls(
            writes=settings.serving_writes,
            token=token.encode(),
            most_bytes=settings.serving_max_body_mb << 20,
            most_rows=settings.serving_max_rows,
            has_search=has_search,
        )

    def check(self, request: Request) -> None:
        """ClosedError or TokenError for an endpoint that writes, where the request may not.

        NoSearchError for a search that the online store cannot do: Feast would fail on whatever is asked.
        """
        path: str = request.scope["path"]
        if request.method == "POST" and _SEARCH.fullmatch(path) and not self.has_search:
            raise NoSearchError(
                f"POST {path} searches by vectors, which the online store of this server does not do. "
                f"Features are at POST /get-online-features."
            )
        if self.writes == "open" or request.method in _READING or _READ_BY_POST.fullmatch(path):
            return
        if self.writes == "off":
            raise ClosedError(
                f"{request.method} {path} is closed on this server, as is every endpoint that writes. To open them, "
                f"start it with FEATURES_SERVING_WRITES=token and FEATURES_SERVING_WRITE_TOKEN, or push through "
                f"FeatureStore.push."
            )
        given = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, b"Bearer " + self.token):
            raise TokenError(f"{request.method} {path} needs the header `Authorization: Bearer <token>`.")


class Answers:
    """Middleware: turns every error from within into an answer, and lets none out."""

    def __init__(self, app: ASGIApp, answer: Answer = answer) -> None:
        self.app, self.answer = app, answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer an HTTP request; anything else passes."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        is_answered = False

        async def send_noting(message: Message) -> None:
            nonlocal is_answered
            is_answered = is_answered or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, send_noting)
        except ClientDisconnect:  # before its request was whole: there is nobody to answer
            return
        except Exception as error:
            if is_answered:  # in part: all that is left is to close the connection
                raise
            await self.answer(Request(scope), error)(scope, receive, send)


class Front:
    """Middleware: refuses what may not pass, and leads the rest to our routes or Feast's. See the picture above."""

    def __init__(self, app: ASGIApp, own: ASGIApp, gate: Gate, store: FeatureStore) -> None:
        self.app, self.own, self.gate, self.store = app, own, gate, store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lead an HTTP request to its app; anything else is Feast's. Errors: `Gate.check`, `check_body`."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        self.gate.check(request)
        body = await read_body(request, self.gate.most_bytes)
        if body and _is_json(request):
            scope[PARSED] = parse_body(body)
            if request.method == "POST":
                check_body(scope["path"], scope[PARSED], self.gate.most_rows, self.store)
        app = self.own if scope["path"] in OWN_PATHS else self.app
        await app(scope, _replay(body, receive), send)


def _is_json(request: Request) -> bool:
    """Whether FastAPI will read the body as JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return re.fullmatch(r"application/([^/]+\+)?json", kind) is not None


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives an app a body that was read already, and after it whatever the connection says."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_replayed() -> Message:
        return left.pop() if left else await receive()

    return receive_replayed
