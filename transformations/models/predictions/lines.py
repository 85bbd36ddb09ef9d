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
_TAIL = b',"degraded":%b,"answered":true,"latency_seconds":%b}\n'
_MOST_VIEWS = 100
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
    groups = (scored.keys, scored.request, scored.features)
    columns = [column for group in groups for column in group.values()]
    given, last = len(scored.keys) + len(scored.request), len(columns)
    said = [each for each in (scored.scores, scored.decisions, scored.holdout) if each is not None]
    texts = _texts([*columns, *said])
    scores = texts[last]
    decisions = None if scored.decisions is None else texts[last + 1]
    held = None if scored.holdout is None else texts[-1]
    head = b',"request_timestamp":%b,%b' % (
        to_json(scored.request_timestamp),
        _head(scored.model, scored.version, scored.artifact, scored.role, scored.event),
    )
    tail = _TAIL % (b"true" if scored.degraded else b"false", to_json(scored.latency_seconds))
    names, form, views = tuple(scored.features), _given(tuple(scored.keys), tuple(scored.request)), _views(scored.views)
    found = []
    for row, state in enumerate(scored.states):
        values = form % tuple([column[row] for column in texts[:given]])
        features = _features(names, state) % tuple([column[row] for column in texts[given:last]])
        decision = b"null" if decisions is None else decisions[row]
        holdout = b"false" if held is None else held[row]
        parts = (_BEGIN, to_json(scored.ids[row]), head, values, features, views, scores[row])
        found.append(b"".join((*parts, b',"decision":', decision, b',"holdout":', holdout, tail)))
    return found


@lru_cache(maxsize=1_000)
def _head(model: str, version: int, artifact: str, role: Role, event: int | None) -> bytes:
    """What the lines of a version in a role have in common, from the timestamp to the keys."""
    same = {"model": model, "version": version, "artifact": artifact, "role": role, "event": event, "as_of": None}
    return to_json(same)[1:-1] + b","


_KNOWN_VIEWS: dict[int, tuple[Mapping[str, ServedView], bytes]] = {}
"""The text of views by their mapping's identity: servers give the same one until what was loaded changes."""


def _views(views: Mapping[str, ServedView]) -> bytes:
    """What was loaded of each view, between features and score."""
    known = _KNOWN_VIEWS.get(id(views))
    if known is None or known[0] is not views:
        found = {
            name: {"table_version": view.table_version, "loaded_through": view.loaded_through}
            for name, view in views.items()
        }
        if len(_KNOWN_VIEWS) >= _MOST_VIEWS:
            _KNOWN_VIEWS.clear()
        known = _KNOWN_VIEWS[id(views)] = (views, b',"views":' + to_json(found) + b',"score":')
    return known[1]


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
