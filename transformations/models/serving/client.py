"""A small client of the model server, for Python: a deadline, and retries that are safe because they keep their id."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from transformations.engine.base.errors import DataError, ServiceUnavailableError, UsageError
from transformations.engine.base.settings import present_moment
from transformations.models.records.predictions import request_id

_AGAIN = (502, 503, 504)
_PAUSE = 0.05
_LEAST = 0.02
"""Seconds in which a server could still answer."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """One row's prediction. holdout: nobody is to act on it. feature_timestamps: by stored view, of the row that was
    read, in ISO 8601.
    """

    id: str
    score: float
    decision: bool | None
    model_version: int
    role: str
    holdout: bool
    degraded: bool
    feature_timestamps: Mapping[str, str | None]
    explanation: Mapping[str, Any] | None = None


@dataclass
class Client:
    """Asks a model server. url: such as http://127.0.0.1:8080. seconds: for an answer, retries included.

    One connection, kept open: use a client a thread.
    """

    url: str
    token: str | None = field(default=None, repr=False)
    seconds: float = 5.0
    _connection: http.client.HTTPConnection | None = field(default=None, init=False, repr=False)

    def predict(
        self, model: str, rows: Sequence[Mapping[str, Any]], *, request: str | None = None, explain: bool = False
    ) -> list[Prediction]:
        """The predictions of rows, each with its keys and fields of the request, in their order.

        Where nothing answers, or the server is busy, it is asked again under the same id until `seconds` are over; it
        then answers what it may have answered before, and records it once. UsageError for what the server refuses,
        DataError for rows that the model does not take, ServiceUnavailableError where nothing answered in time.
        """
        body = json.dumps({"id": request or request_id(present_moment()), "rows": [dict(row) for row in rows]}).encode()
        path = f"/v1/models/{model}/predictions{'?explain=true' if explain else ''}"
        found = self._ask(path, body)
        known = Prediction.__dataclass_fields__
        return [
            Prediction(**{name: value for name, value in row.items() if name in known}) for row in found["predictions"]
        ]

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, path: str, body: bytes) -> dict[str, Any]:
        deadline, last, said, attempt = time.monotonic() + self.seconds, "it was not asked", "", 0
        while (left := deadline - time.monotonic()) > _LEAST:
            pause, attempt = _PAUSE, attempt + 1
            try:
                status, headers, content = self._exchange(path, body, left, attempt)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                last = str(error) or type(error).__name__
            else:
                if status not in _AGAIN:
                    return _read(status, content)
                said = _message(content)
                pause = min(float(headers.get("retry-after", _PAUSE)), left / 2)
            time.sleep(max(0.0, min(pause, deadline - time.monotonic())))
        raise ServiceUnavailableError(f"{self.url} gave no answer within {self.seconds:g} s: {said or last}")

    def _exchange(self, path: str, body: bytes, seconds: float, attempt: int) -> tuple[int, Mapping[str, str], bytes]:
        if self._connection is None:
            self._connection = _connect(self.url)
        connection = self._connection
        connection.timeout = seconds
        if connection.sock is not None:
            connection.sock.settimeout(seconds)
        headers = {"Content-Type": "application/json"}
        headers |= {"Authorization": f"Bearer {self.token}"} if self.token else {}
        headers |= {"X-Attempt": str(attempt)} if attempt > 1 else {}
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content


def _connect(url: str) -> http.client.HTTPConnection:
    place = urlsplit(url)
    if place.scheme not in ("http", "https") or not place.hostname:
        raise UsageError(f"{url!r} is no address of a model server. Write http://HOST:PORT.")
    kind = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
    return kind(place.hostname, place.port)


def _read(status: int, content: bytes) -> dict[str, Any]:
    if status == 200:
        found: dict[str, Any] = json.loads(content)
        return found
    message = _message(content)
    raise DataError(message) if status == 422 else UsageError(f"{message} (HTTP {status})")


def _message(content: bytes) -> str:
    try:
        return str(json.loads(content)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return content[:200].decode(errors="replace")
