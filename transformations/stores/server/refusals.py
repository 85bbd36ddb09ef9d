"""The errors for requests that a server does not let in, each with its status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from fastapi import status
from feast.errors import FeastError

from transformations.engine.base.errors import UsageError


class ClosedError(FeastError, UsageError):
    """403: an endpoint that this server has not opened."""

    def http_status_code(self) -> int:
        """The status that the server answers with."""
        return status.HTTP_403_FORBIDDEN


class TokenError(FeastError, UsageError):
    """401: a request to write without the token, or with another one."""

    headers: ClassVar = {"WWW-Authenticate": "Bearer"}

    def http_status_code(self) -> int:
        """The status that the server answers with."""
        return status.HTTP_401_UNAUTHORIZED


class TooLargeError(FeastError, UsageError):
    """413: a body or a number of rows beyond the server's limit."""

    def http_status_code(self) -> int:
        """The status that the server answers with."""
        return status.HTTP_413_CONTENT_TOO_LARGE


class NoSearchError(FeastError, UsageError):
    """404: a search by vectors, where the online store has none."""

    def http_status_code(self) -> int:
        """The status that the server answers with."""
        return status.HTTP_404_NOT_FOUND


class NotServedError(FeastError, UsageError):
    """A path or method that the server does not have. headers: such as `Allow`, the methods that it has."""

    def __init__(self, message: str, code: int, headers: Mapping[str, str] | None) -> None:
        super().__init__(message)
        self.code, self.headers = code, headers

    def http_status_code(self) -> int:
        """The status that the server answers with."""
        return self.code


def too_many_rows(rows: int, most: int) -> TooLargeError:
    """What refuses a request of more rows than the settings allow."""
    return TooLargeError(
        f"the request has {rows:,} rows, this server takes {most:,} (FEATURES_SERVING_MAX_ROWS). Send them in several "
        f"requests."
    )


def too_large(most_bytes: int, setting: str) -> TooLargeError:
    """What refuses a body beyond the limit that a setting gives."""
    return TooLargeError(
        f"the body of the request is larger than the {most_bytes >> 20} MB that this server reads "
        f"({setting}). Send its rows in several requests."
    )
