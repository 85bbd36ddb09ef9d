"""Our errors as Feast's callers know them: with an HTTP status for its feature server, which answers any other error
with 500, and of the class that Feast raises in the same case, which callers catch.
"""

from __future__ import annotations

from types import TracebackType

from fastapi import status
from feast.errors import (
    EntityTimestampInferenceException,
    FeastEntityDFMissingColumnsError,
    FeastError,
    FeastJoinKeysDuringMaterialization,
    FeatureNameCollisionError,
    RequestDataNotFoundInEntityRowsException,
)

from transformations.engine.base.errors import DataError, FeaturesError, ServiceUnavailableError, UsageError


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


class UnknownFeatureError(BadRequestError, KeyError):
    """400: a feature that its view does not have; what Feast raises there is a KeyError."""


class MissingJoinKeyError(BadRequestError, KeyError):
    """400: a request without a join key; what Feast raises there is a KeyError."""


class NotServedError(BadRequestError, ValueError):
    """400: a view that is disabled, or a version that is not served; what Feast raises there is a ValueError."""


class MissingColumnError(FeastEntityDFMissingColumnsError, UsageError):
    """A spine without a column of a join key."""

    def __init__(self, message: str) -> None:
        UsageError.__init__(self, message)


class MissingKeyColumnError(FeastJoinKeysDuringMaterialization, DataError):
    """Files of a view without a column of a join key."""

    def __init__(self, message: str) -> None:
        DataError.__init__(self, message)


class UnreadFilesError(DataError):
    """Files of a source that are not there, or cannot be read: nothing is known of what they hold."""


class NoTimestampError(EntityTimestampInferenceException, UsageError):
    """A spine without a column that is the moment of its rows."""

    def __init__(self, message: str) -> None:
        UsageError.__init__(self, message)


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


def other_type_of_ours(key: str) -> DamagedRowError:
    """The error for a key of the online store's own that holds another type of Redis. key: or a pattern of keys."""
    return DamagedRowError(
        f"what Redis holds under {key} is of another type than the online store's own: another program wrote it. "
        f"Remove that key (`redis-cli TYPE` and `DEL`), then load the views from the beginning: "
        f"`feast materialize 1970-01-01T00:00:00 END`."
    )


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


def with_status(error: BaseException | None) -> FeastError | None:
    """The error as a kind with its status; None if it has one already, or has none."""
    match error:
        case None:
            return None
        case FeastError() if isinstance(error, FeaturesError):
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
    """Raises errors of ours from within as their kinds with a status; to others they stay errors of their class.

    A class, as is `Reaching`: each lookup passes through both, and a generator's context takes four times as long.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and (known := with_status(error)) is not None:
            raise known from error
