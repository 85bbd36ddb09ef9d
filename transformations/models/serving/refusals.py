"""The errors that a client of the model server is told of, each with its status and a code that programs can read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from fastapi import status
from feast.errors import FeastError

from transformations.engine.base.errors import DataError, ServiceUnavailableError, UsageError


class InvalidError(FeastError, DataError):
    """422: a body that is not what the model takes."""

    code: ClassVar[str] = "invalid_request"

    def http_status_code(self) -> int:
        """The status that the server answers with."""
        return status.HTTP_422_UNPROCESSABLE_CONTENT


class UnknownModelError(FeastError, UsageError):
    """404: a model, or a version of one, that this server does not serve."""

    code: ClassVar[str] = "unknown_model"

    def http_status_code(self) -> int:
        """The status that the server answers with."""
        return status.HTTP_404_NOT_FOUND


class BusyError(FeastError, ServiceUnavailableError):
    """503: too much to do, not loaded yet, or a deadline that has passed. Nothing was scored; trying again may help."""

    def __init__(self, message: str, code: str, seconds: int = 1) -> None:
        super().__init__(message)
        self.code = code
        self.headers: Mapping[str, str] = {"Retry-After": str(seconds)}

    def http_status_code(self) -> int:
        """The status that the server answers with."""
        return status.HTTP_503_SERVICE_UNAVAILABLE


class ReusedIdError(FeastError, UsageError):
    """409: an id under which other rows came before."""

    code: ClassVar[str] = "id_reused"

    @classmethod
    def of(cls, request: str) -> ReusedIdError:
        """For the id of a request."""
        return cls(
            f"id {request!r} came with other rows before. Give each request an id of its own, and send the same rows "
            f"under it again."
        )

    def http_status_code(self) -> int:
        """The status that the server answers with."""
        return status.HTTP_409_CONFLICT
