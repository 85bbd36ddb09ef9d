"""Bodies of requests: read strictly, and checked before Feast turns a mistake in them into an error of the server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from fastapi import Request
from feast import FeatureStore, FeatureView
from starlette.requests import ClientDisconnect

from transformations.stores.base.errors import BadRequestError, UnprocessableError
from transformations.stores.base.values import count_rows, object_of_pairs
from transformations.stores.server.refusals import too_large, too_many_rows

_WRITE_MOMENT = "Write it in ISO 8601, such as 2024-05-01T00:00:00Z."
_TARGETS = ("online", "offline", "online_and_offline")


def _decoder(read_integer: Callable[[str], int] | None = None) -> json.JSONDecoder:
    return json.JSONDecoder(object_pairs_hook=object_of_pairs, parse_int=read_integer)


_DECODER = _decoder()
"""`json.loads` makes one a call, which takes as long as to read a small body."""


def parse_body(body: bytes, read_integer: Callable[[str], int] | None = None) -> Any:
    """The JSON value of a body. BadRequestError for what is no JSON, UsageError for an object that has a key twice.

    Of two equal keys Python's reader would silently take the last. read_integer: in place of `int`; ValueError where
    it is too long.
    """
    try:
        text = body.decode(json.detect_encoding(body), "surrogatepass")  # as `json.loads` does
        decoder = _DECODER if read_integer is None else _decoder(read_integer)
        return decoder.decode(text)
    except json.JSONDecodeError as error:
        raise BadRequestError(f"the body is no JSON: {error.msg} at character {error.pos}.") from None
    except UnicodeDecodeError:
        raise BadRequestError("the body is no JSON: it is not encoded in UTF-8.") from None
    except RecursionError:
        raise BadRequestError("the body is nested too deeply.") from None
    except ValueError:  # Python reads no integer of more than 4,300 digits
        raise BadRequestError("the body holds a number of too many digits.") from None


async def read_body(
    request: Request,
    most_bytes: int,
    setting: str = "FEATURES_SERVING_MAX_BODY_MB",
    keep: Callable[[int], None] | None = None,
) -> bytes:
    """The whole body. setting: that says how many bytes it may have. keep: told of the bytes of each part that waits
    for the rest. TooLargeError as soon as it is known to be too large, ClientDisconnect where it breaks off.
    """
    announced = next((value for name, value in request.scope["headers"] if name == b"content-length"), b"")
    if announced.isdigit() and int(announced[:20]) > most_bytes:
        raise too_large(most_bytes, setting)
    parts, size, is_whole = list[bytes](), 0, False
    while not is_whole:  # `request.stream()` gives the same, at a price that a small request feels
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most_bytes:
            raise too_large(most_bytes, setting)
        is_whole = not message.get("more_body", False)
        if keep is not None and not is_whole:
            keep(len(parts[-1]))
    return b"".join(parts)


def check_body(path: str, given: Any, most_rows: int, store: FeatureStore) -> None:
    """UnprocessableError, BadRequestError or TooLargeError for a body that Feast could not use.

    One that is no JSON object passes: FastAPI names what is wrong with it.
    """
    if not isinstance(given, dict):
        return
    match path:
        case "/push":
            _check_target(given)
            _check_frame(given, most_rows)
            if given.get("to") != "offline":
                _check_features(given, _pushed_views(store, given.get("push_source_name")))
        case "/write-to-online-store":
            _check_frame(given, most_rows)
            _check_features(given, _written_views(store, given.get("feature_view_name")))
        case "/materialize":
            _check_span(given)
            _refuse_version(given)
        case "/materialize-incremental":
            _parse_moment(given, "end_ts")
            _refuse_version(given)


def _check_target(given: Mapping[str, Any]) -> None:
    target = given.get("to", "online")
    if isinstance(target, str) and target not in _TARGETS:
        raise BadRequestError(f"to is {target!r:.100}. Write one of {', '.join(_TARGETS)}.")


def _check_frame(given: Mapping[str, Any], most_rows: int) -> None:
    frame = given.get("df")
    if not isinstance(frame, dict):
        return
    for name, values in frame.items():
        if not isinstance(values, list):
            raise UnprocessableError(
                f"df: column {name!r:.100} is no list. Send each column as a list of its values: "
                f'df.to_dict(orient="list").'
            )
    rows = count_rows(frame, "df", UnprocessableError)
    if rows > most_rows:
        raise too_many_rows(rows, most_rows)


def _pushed_views(store: FeatureStore, source: Any) -> list[FeatureView]:
    views = store.list_feature_views(allow_cache=True)
    return [view for view in views if view.stream_source is not None and view.stream_source.name == source]


def _written_views(store: FeatureStore, name: Any) -> list[FeatureView]:
    return [view for view in store.list_feature_views(allow_cache=True) if view.name == name]


def _check_features(given: Mapping[str, Any], views: Iterable[FeatureView]) -> None:
    """UnprocessableError for rows that Feast (feature_store.py:3766) fails on or, as they are all null, leaves out."""
    frame = given.get("df")
    if not isinstance(frame, dict):
        return
    for view in views:
        names = [feature.name for feature in view.features]
        missing = [name for name in names if name not in frame]
        if missing:
            raise UnprocessableError(f"df lacks {', '.join(missing)} of {view.name}. Give a column for each feature.")
        if names and all(value is None for name in names for value in frame[name]):
            raise UnprocessableError(
                f"df has no row, or only nulls as features of {view.name}: Feast would write nothing. Give a value."
            )


def _check_span(given: Mapping[str, Any]) -> None:
    if given.get("disable_event_timestamp"):
        return
    start, end = _parse_moment(given, "start_ts"), _parse_moment(given, "end_ts")
    if start is not None and end is not None and start >= end:
        raise UnprocessableError(f"start_ts {start.isoformat()} is not before end_ts {end.isoformat()}.")


def _refuse_version(given: Mapping[str, Any]) -> None:
    if given.get("version") is not None:
        raise UnprocessableError(
            f"version is {given['version']!r:.100}, and views are loaded as they are applied. Leave it out."
        )


def _parse_moment(given: Mapping[str, Any], name: str) -> datetime | None:
    """A moment in ISO 8601; Feast's parser would make the tenth of this month of "10"."""
    text = given.get(name)
    if text is None:
        raise UnprocessableError(f"{name} is missing. {_WRITE_MOMENT}")
    if not isinstance(text, str):
        return None  # which FastAPI refuses
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UnprocessableError(f"{name} is {text!r:.100}, which is no moment. {_WRITE_MOMENT}") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
