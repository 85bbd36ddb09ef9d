"""Our errors as Feast's feature server answers them: its own kind carries an HTTP status, every other one is a 500."""

from __future__ import annotations

from types import TracebackType

from fastapi import status
from feast.errors import FeastError, RequestDataNotFoundInEntityRowsException

from transformations.engine.errors import DataError, ServiceUnavailableError, UsageError


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


class MissingFieldError(RequestDataNotFoundInEntityRowsException):
    """422: a request without a field that an on-demand feature reads."""

    def __init__(self, cause: RequestDataNotFoundInEntityRowsException) -> None:
        Exception.__init__(self, *cause.args)

    def http_status_code(self) -> int:
        """The status that the server answers with."""
        return status.HTTP_422_UNPROCESSABLE_CONTENT


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
        match error:
            case None | UnprocessableError() | BadRequestError() | UnavailableError():
                return
            case DataError():
                raise UnprocessableError(error.message) from error
            case UsageError():
                raise BadRequestError(error.message) from error
            case ServiceUnavailableError():
                raise UnavailableError(error.message) from error
            case RequestDataNotFoundInEntityRowsException():
                raise MissingFieldError(error) from error
