"""What a client learns of an error: its status, and a message that repeats as little of the request as it can."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from fastapi import FastAPI, Request, Response, status
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from feast.errors import FeastError
from starlette.exceptions import HTTPException

from transformations.stores.base.errors import UnprocessableError, with_status
from transformations.stores.server.refusals import NotServedError
from transformations.stores.server.throttled_log import ThrottledLog

_log = logging.getLogger(__name__)
_throttled = ThrottledLog(_log)
"""A server under too much load refuses thousands of requests a second, and each alike."""

_MOST_SHOWN = 1_000  # characters of a message
_MOST_OF_A_VALUE = 100


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a client is told of an error. error: as the kind that has the status."""

    error: Exception
    message: str
    status: int
    headers: Mapping[str, str] | None = None


Answer: TypeAlias = Callable[[Request, Exception], Response]
"""Makes the answer to a request that failed."""


def told(request: Request, error: Exception) -> Told:
    """What the client of a request learns of an error, which is logged where the fault is not the client's.

    The text of an error that is none of ours or Feast's stays in the log: it may hold addresses and passwords.
    """
    known = with_status(error) or error
    if not isinstance(known, FeastError):
        _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        words = f"{request.method} {request.url.path} failed by a fault of the server. Its log says more."
        return Told(error=error, message=shorten(words), status=status.HTTP_500_INTERNAL_SERVER_ERROR)
    code = known.http_status_code()
    if code == status.HTTP_503_SERVICE_UNAVAILABLE:
        _throttled.error(f"{request.method} {request.url.path}: {shorten(str(error))}")
    elif code >= status.HTTP_500_INTERNAL_SERVER_ERROR:
        _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return Told(error=known, message=shorten(str(known)), status=code, headers=getattr(known, "headers", None))


def answer(request: Request, error: Exception) -> JSONResponse:
    """The answer to a request that failed, in the form that Feast's clients read.

    They make the error anew from its class (errors.py, from_error_detail).
    """
    said = told(request, error)
    facts = {"module": type(said.error).__module__, "class": type(said.error).__name__, "message": said.message}
    return JSONResponse(json.dumps(facts), said.status, said.headers)


def refuse_in_our_form(app: FastAPI, answer: Answer = answer) -> None:
    """Let an app answer what FastAPI itself refuses as it answers all other errors."""

    @app.exception_handler(RequestValidationError)
    async def answer_invalid(request: Request, error: RequestValidationError) -> Response:
        """The answer to a body that does not have the endpoint's form; FastAPI's own would repeat the whole body."""
        return answer(request, UnprocessableError("; ".join(map(_describe_problem, error.errors()))))

    @app.exception_handler(HTTPException)
    async def answer_not_served(request: Request, error: HTTPException) -> Response:
        """The answer to an unknown path or method, and to whatever else FastAPI itself refuses."""
        asked = shorten(f"{request.method} {request.url.path}", _MOST_OF_A_VALUE)
        return answer(request, NotServedError(f"{asked}: {error.detail}.", error.status_code, error.headers))


def shorten(text: str, most: int = _MOST_SHOWN) -> str:
    """The text, or its beginning and end where it is longer than that."""
    if len(text) <= most:
        return text
    return f"{text[: most // 2]}… ({len(text):,} characters) …{text[-most // 4 :]}"


def _describe_problem(problem: Mapping[str, Any]) -> str:
    place = ".".join(map(str, problem["loc"][1:])) or "the body"
    if problem["type"] == "missing":
        return f"{place} is missing"
    if problem["type"] == "value_error":
        return str(problem["msg"]).removeprefix("Value error, ")
    if isinstance(problem["input"], bytes):
        return "the body is not read as JSON. Send it with Content-Type: application/json"
    given = shorten(repr(problem["input"]), _MOST_OF_A_VALUE)
    wanted = str(problem["msg"]).replace("Input should be", "should be")
    return f"{place} {wanted}, not {given}"
