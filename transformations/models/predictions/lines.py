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

_BEGIN = b'{"format":1,"id":%b,"request_timestamp":%b,'
_END = b',"score":%b,"decision":%b,"holdout":%b,"degraded":%b,"answered":true,"latency_seconds":%b}\n'
_MOST_VIEWS = 100
_WITHOUT_COMMA = {int, float, bool, type(None)}


State: TypeAlias = tuple[tuple[Status, int | None], ...]
"""Of one row, for each feature: its status, and the event timestamp of its stored row in microseconds UTC; None where
no row was found, and of an on-demand feature. Few states come again and again, so their text is kept.
"""
Head: TypeAlias = tuple[str, int, str, Role, int | None]
"""Model, version, artifact, role and event."""
Names: TypeAlias = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
"""Of keys, request fields and features."""


@dataclass(kw_only=True, slots=True)
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
    columns = [*scored.keys.values(), *scored.request.values(), *scored.features.values(), scored.scores]
    said = len(columns)
    columns += [each for each in (scored.decisions, scored.holdout) if each is not None]
    width, rows = len(columns), len(scored.states)
    texts = _texts([column[row] for row in range(rows) for column in columns])
    moment, latency = to_json(scored.request_timestamp), to_json(scored.latency_seconds)
    degraded = b"true" if scored.degraded else b"false"
    head = (scored.model, scored.version, scored.artifact, scored.role, scored.event)
    names = (tuple(scored.keys), tuple(scored.request), tuple(scored.features))
    views, found = _views(scored.views), []
    for row, state in enumerate(scored.states):
        first = row * width
        decision = b"null" if scored.decisions is None else texts[first + said]
        holdout = b"false" if scored.holdout is None else texts[first + width - 1]
        values = texts[first : first + said]
        line = _line(head, names, state, views)
        found.append(line % (to_json(scored.ids[row]), moment, *values, decision, holdout, degraded, latency))
    return found


@lru_cache(maxsize=2_000)
def _line(head: Head, names: Names, state: State, views: bytes) -> bytes:
    """A line of a version in a role, its features in this state; values, and what else each row has, are left open."""
    model, version, artifact, role, event = head
    same = {"model": model, "version": version, "artifact": artifact, "role": role, "event": event, "as_of": None}
    keys, request, features = names
    parts = (
        _closed(to_json(same)[1:-1]),
        b'"keys":{%b}' % b",".join(map(_open, keys)),
        b'"request":{%b}' % b",".join(map(_open, request)),
        b'"features":{%b}' % b",".join(map(_feature, features, state)),
        b'"views":%b' % _closed(views),
    )
    return _BEGIN + b",".join(parts) + _END


_KNOWN_VIEWS: dict[int, tuple[Mapping[str, ServedView], bytes]] = {}
"""The text of views by their mapping's identity: servers give the same one until what was loaded changes."""


def _views(views: Mapping[str, ServedView]) -> bytes:
    """What was loaded of each view."""
    known = _KNOWN_VIEWS.get(id(views))
    if known is None or known[0] is not views:
        found = {
            name: {"table_version": view.table_version, "loaded_through": view.loaded_through}
            for name, view in views.items()
        }
        if len(_KNOWN_VIEWS) >= _MOST_VIEWS:
            _KNOWN_VIEWS.clear()
        known = _KNOWN_VIEWS[id(views)] = (views, to_json(found))
    return known[1]


def _texts(values: Sequence[Value]) -> list[bytes]:
    """Every value as JSON: numbers all at once, since no comma stands in them."""
    if set(map(type, values)) <= _WITHOUT_COMMA:
        return to_json(values, inf_nan_mode="null")[1:-1].split(b",")
    return [to_json(value, inf_nan_mode="null") for value in values]


def _feature(name: str, state: tuple[Status, int | None]) -> bytes:
    return _named(name) + b'{"value":%b,' + _ending(*state)


@lru_cache(maxsize=10_000)
def _ending(status: Status, micros: int | None) -> bytes:
    moment = None if micros is None else micros_to_instant(micros)
    return _closed(to_json({"status": status, "row_timestamp": moment})[1:])


@lru_cache(maxsize=10_000)
def _named(name: str) -> bytes:
    return _closed(to_json(name)) + b":"


def _open(name: str) -> bytes:
    return _named(name) + b"%b"


def _closed(text: bytes) -> bytes:
    """A text of which nothing is left open."""
    return text.replace(b"%", b"%%")
