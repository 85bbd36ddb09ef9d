"""How a request's body comes in: whole, within a time, and as JSON."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from fastapi import Request, status
from feast.errors import FeastError
from starlette.types import Receive, Scope

from transformations.engine.base.errors import UsageError
from transformations.stores.base.errors import BadRequestError
from transformations.stores.server.bodies import parse_body, read_body

BODY_SECONDS = 10.0
"""For a body to come. Whoever sends it more slowly than that would be waited for as long as he likes."""
_SETTING = "FEATURES_PREDICT_MAX_BODY_MB"
_BODY = "body of the request"
_BINARY = b"inference-header-content-length"


class SlowError(FeastError, UsageError):
    """408: a body that does not come. The connection is closed, for the rest of it may come yet."""

    code: ClassVar[str] = "request_timeout"
    headers: ClassVar = {"Connection": "close"}

    def http_status_code(self) -> int:
        """The status that the server answers with."""
        return status.HTTP_408_REQUEST_TIMEOUT


class EncodedError(FeastError, UsageError):
    """415: a body that is compressed, or not JSON throughout."""

    code: ClassVar[str] = "unsupported_encoding"

    def http_status_code(self) -> int:
        """The status that the server answers with."""
        return status.HTTP_415_UNSUPPORTED_MEDIA_TYPE


async def arrive(scope: Scope, receive: Receive, most_bytes: int) -> None:
    """Wait until a request's body is there, as `json_of` reads it then.

    TooLargeError beyond so many bytes, SlowError where it does not come in time, ClientDisconnect where it breaks off.
    """
    try:
        async with asyncio.timeout(BODY_SECONDS):
            scope[_BODY] = await read_body(Request(scope, receive), most_bytes, _SETTING)
    except TimeoutError:
        raise SlowError(f"the body of the request did not come within {BODY_SECONDS:g} seconds.") from None


def json_of(request: Request) -> Any:
    """The JSON value of a body that has arrived. Errors: as `parse_body`; EncodedError for one that is encoded."""
    try:
        return parse_body(request.scope[_BODY])
    except BadRequestError:
        _refuse_encoded(request)
        raise


def is_again(request: Request) -> bool:
    """Whether the client says that it has sent this request before: `X-Attempt: 2` or more."""
    attempt = next((value for name, value in request.scope["headers"] if name == b"x-attempt"), b"1")
    return attempt.isdigit() and int(attempt[:9]) > 1


def _refuse_encoded(request: Request) -> None:
    for name, value in request.scope["headers"]:
        if name == b"content-encoding" and value.lower() not in (b"", b"identity"):
            raise EncodedError(f"the body is encoded ({value.decode('latin-1')!r:.50}). Send it as it is.")
        if name == _BINARY:
            raise EncodedError("the body has binary data behind its JSON. Give the values of each input as JSON.")
