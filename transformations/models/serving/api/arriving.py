"""How a request's body comes in: whole, within a time, and as JSON."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from fastapi import Request, status
from feast.errors import FeastError
from starlette.types import Receive, Scope

from transformations.engine.base.errors import UsageError
from transformations.models.serving.refusals import BusyError
from transformations.models.serving.requests import Form
from transformations.stores.base.errors import BadRequestError
from transformations.stores.server.bodies import parse_body, read_body
from transformations.stores.server.json_size import has_more_values
from transformations.stores.server.refusals import TooLargeError

BODY_SECONDS = 10.0
"""For a body to come. Whoever sends it more slowly than that would be waited for as long as he likes."""
_SETTING = "FEATURES_PREDICT_MAX_BODY_MB"
_BODY = "body of the request"
_BINARY = b"inference-header-content-length"
_MOST_DIGITS = 400
_JSON = frozenset({b"application/json", b"text/json", b"application/octet-stream"})
_OF_TOOLS = frozenset({b"", b"application/x-www-form-urlencoded"})
"""What curl, urllib and others say of a body of which they were told nothing."""


class SlowError(FeastError, UsageError):
    """408: a body that does not come. The connection is closed, for the rest of it may come yet."""

    code: ClassVar[str] = "request_timeout"
    headers: ClassVar = {"Connection": "close"}

    def http_status_code(self) -> int:
        """The status that the server answers with."""
        return status.HTTP_408_REQUEST_TIMEOUT


class MediaTypeError(FeastError, UsageError):
    """415: a body that is no JSON by its headers: of another type, compressed, or with binary data behind it."""

    code: ClassVar[str] = "unsupported_media_type"

    def http_status_code(self) -> int:
        """The status that the server answers with."""
        return status.HTTP_415_UNSUPPORTED_MEDIA_TYPE


class Arrivals:
    """What bodies of one event loop have come in part. most_bytes: of one body. most: bodies of that size, at once."""

    def __init__(self, most_bytes: int, most: int) -> None:
        self._most_bytes, self._most = most_bytes, most_bytes * most
        self._held = 0

    async def arrive(self, scope: Scope, receive: Receive) -> None:
        """Wait until a request's body is there, as `json_of` reads it then.

        TooLargeError for too many bytes, SlowError where it does not come in time, BusyError where those that are still
        coming take too much memory, ClientDisconnect where it breaks off.
        """
        held = 0

        def keep(size: int) -> None:
            nonlocal held
            held += size
            self._held += size
            if self._held > self._most:
                raise BusyError(
                    f"the bodies that are still coming have {self._most >> 20:,} MB already "
                    f"(FEATURES_PREDICT_CONCURRENCY × {_SETTING}). Nothing was scored; try again.",
                    "overloaded",
                )

        try:
            async with asyncio.timeout(BODY_SECONDS):
                scope[_BODY] = await read_body(Request(scope, receive), self._most_bytes, _SETTING, keep)
        except TimeoutError:
            raise SlowError(f"the body of the request did not come within {BODY_SECONDS:g} seconds.") from None
        finally:
            self._held -= held


def json_of(request: Request, form: Form) -> Any:
    """The JSON value of a body that has arrived, for a model's form to read.

    MediaTypeError for one that is not sent as JSON, TooLargeError for one of more values than any request in that form
    has: to make all of them would keep everybody else waiting for seconds. Other errors: as `parse_body`.
    """
    body: bytes = request.scope[_BODY]
    _refuse_other_types(request, len(body))
    if has_more_values(body, form.most_values):
        raise TooLargeError(
            f"the body holds more values than a request of {form.most_rows:,} rows to this model "
            f"(FEATURES_PREDICT_MAX_ROWS). Send its rows in several requests."
        )
    if b"\0" in body:  # which UTF-16 has everywhere, so that nothing in it was counted
        raise BadRequestError("the body is no JSON: it is not encoded in UTF-8.")
    return parse_body(body, _short_integer if len(body) > form.most_values else None)


def _short_integer(digits: str) -> int:
    """An integer that some field may hold. Python takes 0.2 ms for one of 4,300 digits: a second for a body of them."""
    if len(digits) > _MOST_DIGITS:
        raise ValueError("too many digits")
    return int(digits)


def is_again(request: Request) -> bool:
    """Whether the client says that it has sent this request before: `X-Attempt: 2` or more."""
    attempt = next((value for name, value in request.scope["headers"] if name == b"x-attempt"), b"1")
    return attempt.isdigit() and int(attempt[:9]) > 1


def _refuse_other_types(request: Request, size: int) -> None:
    """Refuse what is not sent as JSON. What tools call a body of which they know nothing is taken for JSON, unless a
    web page has sent it.

    Browsers let any page send forms, plain text and what has no type to a server that trusts its network or its
    machine; for JSON they ask the server first, and it permits nobody.
    """
    kind, is_of_page = b"", False
    for name, value in request.scope["headers"]:
        if name == b"content-type":
            kind = value.partition(b";")[0].strip().lower()
        elif name == b"origin":
            is_of_page = True
        elif name == b"content-encoding" and value.lower() not in (b"", b"identity"):
            raise MediaTypeError(f"the body is encoded ({value.decode('latin-1')!r:.50}). Send it as it is.")
        elif name == _BINARY and value.strip() != b"%d" % size:
            raise MediaTypeError(
                "the body has binary data behind its JSON, which this server does not read. Give the values of each "
                "input as JSON (tritonclient: set_data_from_numpy(…, binary_data=False))."
            )
    is_json = kind in _JSON or (kind.startswith(b"application/") and kind.endswith(b"+json"))
    if not is_json and (is_of_page or kind not in _OF_TOOLS):
        named = f"{kind.decode('latin-1')!r:.60}" if kind else "nothing"
        raise MediaTypeError(f"the body is sent as {named}. Send JSON, with `Content-Type: application/json`.")
