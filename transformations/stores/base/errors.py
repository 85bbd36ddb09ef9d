"""Our errors as Feast's feature server answers them: its own kind carries an HTTP status, every other one is a 500."""

from __future__ import annotations

import logging
from types import TracebackType

from fastapi import FastAPI, Request, status
from fastapi.responses import JSONResponse
from feast.errors import FeastError, FeatureNameCollisionError, RequestDataNotFoundInEntityRowsException

from transformations.engine.base.errors import DataError, FeaturesError, ServiceUnavailableError, UsageError

_log = logging.getLogger(__name__)


class UnprocessableError(FeastError, DataError):
    """422: a value that its dtype cannot hold, or that a function fails on."""

    def http_status_code(self) -> int:
        """The status that the server answers with."""
        return status.HTTP_422_UNPROCESSABLE_CONTENT


class BadRequestError(FeastError, UsageError):
    """400: a request that does not fit together."""

    def http_status_code(self) -> int:
        """The status that the server answers with."""
        return status.HTTP_400_BAD_REQUEST


class UnavailableError(FeastError, ServiceUnavailableError):
    """503: Redis cannot be reached or is too slow; trying again later may help."""

    def http_status_code(self) -> int:
        """The status that the server answers with."""
        return status.HTTP_503_SERVICE_UNAVAILABLE


class DamagedRowError(FeastError, DataError):
    """500: what the online store holds under an entity's key is no row of ours, or a damaged one."""

    def http_status_code(self) -> int:
        """The status that the server answers with."""
        return status.HTTP_500_INTERNAL_SERVER_ERROR


class MissingFieldError(RequestDataNotFoundInEntityRowsException):
    """422: a request without a field that an on-demand feature reads."""

    def __init__(self, cause: RequestDataNotFoundInEntityRowsException) -> None:
        Exception.__init__(self, *cause.args)

    def http_status_code(self) -> int:
        """The status that the server answers with."""
        return status.HTTP_422_UNPROCESSABLE_CONTENT


class SameNameError(FeatureNameCollisionError):
    """400: a request for several features of one name."""

    def __init__(self, cause: FeatureNameCollisionError) -> None:
        Exception.__init__(self, *cause.args)

    def http_status_code(self) -> int:
        """The status that the server answers with."""
        return status.HTTP_400_BAD_REQUEST


def answer_errors(app: FastAPI) -> None:
    """Let Feast's app answer its own and our errors itself, with their status, wherever they were raised.

    Left to Feast's handler of every exception, each writes its traceback into the log twice, a client's mistake too.
    """

    async def answer(request: Request, error: Exception) -> JSONResponse:
        known = _with_status(error) or error
        code = known.http_status_code() if isinstance(known, FeastError) else status.HTTP_500_INTERNAL_SERVER_ERROR
        if code == status.HTTP_503_SERVICE_UNAVAILABLE:
            _log.error("%s %s: %s", request.method, request.url.path, error)
        elif code >= status.HTTP_500_INTERNAL_SERVER_ERROR:
            _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return JSONResponse(known.to_error_detail() if isinstance(known, FeastError) else str(known), code)

    for kind in (FeastError, FeaturesError):
        app.add_exception_handler(kind, answer)
    app.middleware_stack = None  # which knows the handlers of when it was made; the next request makes it anew


def _with_status(error: BaseException | None) -> FeastError | None:
    """The error as the kind that carries its status; None for one that has it, and for one that has none."""
    match error:
        case None | UnprocessableError() | BadRequestError() | UnavailableError() | DamagedRowError():
            return None
        case DataError():
            return UnprocessableError(error.message)
        case UsageError():
            return BadRequestError(error.message)
        case ServiceUnavailableError():
            return UnavailableError(error.message)
        case RequestDataNotFoundInEntityRowsException():
            return MissingFieldError(error)
        case FeatureNameCollisionError():
            return SameNameError(error)
    return None


class Answering:
    """Within, an error of ours is raised as its kind with a status; it stays an error of its class to all others.

    A class, as is `Reaching`: each lookup passes through both, and a generator's context takes four times as long.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and (known := _with_status(error)) is not None:
            raise known from error
