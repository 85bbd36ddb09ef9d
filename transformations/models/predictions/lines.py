"""From the columns of a scored request to lines of the record: the text of `PredictionRecord.line()`, but fast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import TypeAlias

from pydantic_core import to_json

from transformations.engine.base.moments import micros_to_instant
from transformations.models.records.base import Role
from transformations.models.records.predictions import ServedView, Status, Value

_BEGIN = b'{"format":1,"id":'
_WITHOUT_COMMA = {int, float, bool, type(None)}


State: TypeAlias = tuple[tuple[Status, int | None], ...]
"""Of one row, for each feature: its status, and the event timestamp of its stored row in microseconds UTC; None where
no row was found, and of an on-demand feature. Few states come again and again, so their text is kept.
"""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Rows of one request that one version has scored in one role, a list a column, in the order of the rows.

    ids: one a row. request_timestamp: the moment of the features, in UTC. event: the number of the model's event by
    which the rows were routed. features: values by name. states: of the features, in their order, one a row. views:
    what of each view was loaded. holdout: None where nobody is in one.
    latency_seconds: from request to score. Numbers are finite, and every value is one of JSON's; personal values are
    given as they are, the collector treats them.
    """

    model: str
    version: int
    artifact: str
    role: Role
    event: int | None
    request_timestamp: datetime
    ids: Sequence[str]
    keys: Mapping[str, Sequence[Value]]
    request: Mapping[str, Sequence[Value]] = field(default_factory=dict)
    features: Mapping[str, Sequence[Value]]
    states: Sequence[State]
    views: Mapping[str, ServedView] = field(default_factory=dict)
    scores: Sequence[float]
    decisions: Sequence[bool] | None = None
    holdout: Sequence[bool] | None = None
    degraded: bool = False
    latency_seconds: float | None = None


def record_lines(scored: Scored) -> list[bytes]:
    """The record of each row as one line of JSON, with its line end: the same bytes as `PredictionRecord.line()`."""
    rows = len(scored.ids)
    groups = (scored.keys, scored.request, scored.features)
    texts = _texts([column for group in groups for column in group.values()])
    given, served = texts[: len(scored.keys) + len(scored.request)], texts[len(scored.keys) + len(scored.request) :]
    (scores,) = _texts([scored.scores])
    decisions = [b"null"] * rows if scored.decisions is None else _texts([scored.decisions])[0]
    held = [b"false"] * rows if scored.holdout is None else _texts([scored.holdout])[0]
    head, tail = _same_in_all(scored)
    names, form, middle = tuple(scored.features), _given(tuple(scored.keys), tuple(scored.request)), _views(scored)
    found = []
    for row, state in enumerate(scored.states):
        values = form % tuple([column[row] for column in given])
        features = _features(names, state) % tuple([column[row] for column in served])
        parts = (_BEGIN, to_json(scored.ids[row]), head, values, features, middle, scores[row])
        found.append(b"".join((*parts, b',"decision":', decisions[row], b',"holdout":', held[row], tail)))
    return found


def _same_in_all(scored: Scored) -> tuple[bytes, bytes]:
    """What is the same in every line: from the id to the keys, and after the holdout."""
    head = {
        "request_timestamp": scored.request_timestamp,
        "model": scored.model,
        "version": scored.version,
        "artifact": scored.artifact,
        "role": scored.role,
        "event": scored.event,
        "as_of": None,
    }
    tail = {"degraded": scored.degraded, "answered": True, "latency_seconds": scored.latency_seconds}
    return b",%b," % to_json(head)[1:-1], b",%b\n" % to_json(tail)[1:]


def _views(scored: Scored) -> bytes:
    """What was loaded of each view, between features and score."""
    return b',"views":' + _views_text(tuple(scored.views.items())) + b',"score":'


@lru_cache(maxsize=1_000)
def _views_text(views: tuple[tuple[str, ServedView], ...]) -> bytes:
    found = {name: {"table_version": view.table_version, "loaded_through": view.loaded_through} for name, view in views}
    return to_json(found)


def _texts(columns: Sequence[Sequence[Value]]) -> list[list[bytes]]:
    """Every value as JSON, a list a column: numbers all at once, since no comma stands in them."""
    flat = [value for column in columns for value in column]
    if set(map(type, flat)) <= _WITHOUT_COMMA:
        texts = to_json(flat, inf_nan_mode="null")[1:-1].split(b",")
    else:
        texts = [to_json(value, inf_nan_mode="null") for value in flat]
    found, begin = [], 0
    for column in columns:
        found.append(texts[begin : begin + len(column)])
        begin += len(column)
    return found


@lru_cache(maxsize=1_000)
def _given(keys: tuple[str, ...], request: tuple[str, ...]) -> bytes:
    """Keys and request fields of a line, their values left open."""
    return b'"keys":{%b},"request":{%b},' % tuple(b",".join(map(_open, names)) for names in (keys, request))


@lru_cache(maxsize=2_000)
def _features(names: tuple[str, ...], state: State) -> bytes:
    """The features of a line in this state, their values left open."""
    parts = [_named(name) + b'{"value":%b,' + _ending(*each) for name, each in zip(names, state, strict=True)]
    return b'"features":{%b}' % b",".join(parts)


@lru_cache(maxsize=10_000)
def _ending(status: Status, micros: int | None) -> bytes:
    moment = None if micros is None else micros_to_instant(micros)
    return to_json({"status": status, "row_timestamp": moment})[1:].replace(b"%", b"%%")


@lru_cache(maxsize=10_000)
def _named(name: str) -> bytes:
    return to_json(name).replace(b"%", b"%%") + b":"


def _open(name: str) -> bytes:
    return _named(name) + b"%b"
