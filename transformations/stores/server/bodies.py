"""Bodies of Feast's endpoints that write, checked before Feast turns a mistake in them into an error of the server."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from transformations.stores.base.errors import BadRequestError, UnprocessableError
from transformations.stores.server.refusals import too_many_rows

_TARGETS = ("online", "offline", "online_and_offline")


def check_body(path: str, body: bytes, most_rows: int) -> None:
    """UnprocessableError, BadRequestError or TooLargeError for a body that Feast could not use.

    One that is no JSON object passes: FastAPI names what is wrong with it.
    """
    check = _CHECKS.get(path)
    if check is None:
        return
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        return
    if isinstance(given, dict):
        check(given, most_rows)


def _check_push(given: Mapping[str, Any], most_rows: int) -> None:
    target = given.get("to", "online")
    if isinstance(target, str) and target not in _TARGETS:
        raise BadRequestError(f"to is {target!r}. Write one of {', '.join(_TARGETS)}.")
    _check_frame(given, most_rows)


def _check_frame(given: Mapping[str, Any], most_rows: int) -> None:
    frame = given.get("df")
    if not isinstance(frame, dict):
        return
    for name, values in frame.items():
        if not isinstance(values, list):
            raise UnprocessableError(
                f'df: column {name!r} is no list. Send each column as a list of its values: df.to_dict(orient="list").'
            )
    lengths = {name: len(values) for name, values in frame.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length:,}" for name, length in lengths.items())
        raise UnprocessableError(f"the columns of df are of different lengths: {listed}. Give one value a row in each.")
    rows = max(lengths.values(), default=0)
    if rows > most_rows:
        raise too_many_rows(rows, most_rows)


def _check_span(given: Mapping[str, Any], _most_rows: int) -> None:
    if given.get("disable_event_timestamp"):
        return
    start, end = _moment_of(given, "start_ts"), _moment_of(given, "end_ts")
    if start is not None and end is not None and start >= end:
        raise UnprocessableError(f"start_ts {start.isoformat()} is not before end_ts {end.isoformat()}.")


def _check_end(given: Mapping[str, Any], _most_rows: int) -> None:
    _moment_of(given, "end_ts")


def _moment_of(given: Mapping[str, Any], name: str) -> datetime | None:
    """A moment in ISO 8601; Feast's parser would make the tenth of this month of "10"."""
    text = given.get(name)
    if text is None:
        raise UnprocessableError(f"{name} is missing. Write it in ISO 8601, such as 2024-05-01T00:00:00Z.")
    if not isinstance(text, str):
        return None  # which FastAPI refuses
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UnprocessableError(
            f"{name} is {text!r}, which is no moment. Write it in ISO 8601, such as 2024-05-01T00:00:00Z."
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


_CHECKS: Mapping[str, Callable[[Mapping[str, Any], int], None]] = {
    "/push": _check_push,
    "/write-to-online-store": _check_frame,
    "/materialize": _check_span,
    "/materialize-incremental": _check_end,
}
