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
_FEATURE = b'{"value":%%b,"status":"%b","row_timestamp":%%b}'
_MOST_VIEWS = 100
_WITHOUT_COMMA = {int, float, bool, type(None)}


Head: TypeAlias = tuple[str, int, str, Role, int | None]
"""Model, version, artifact, role and event."""


@dataclass(kw_only=True, slots=True)
class Scored:
    """Rows of one request that one version has scored in one role, a list a column, in the order of the rows.

    ids: one a row. request_timestamp: the moment of the features, in UTC. event: the number of the model's event by
    which the rows were routed. features: of `feature_texts`. views: what of each view was loaded. holdout: None where
    nobody is in one. latency_seconds: from request to score. Numbers are finite, and every value is one of JSON's;
    personal values are given as they are, the collector treats them.
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
    features: Sequence[bytes]
    views: Mapping[str, ServedView] = field(default_factory=dict)
    scores: Sequence[float]
    decisions: Sequence[bool] | None = None
    holdout: Sequence[bool] | None = None
    degraded: bool = False
    latency_seconds: float | None = None


def record_lines(scored: Scored) -> list[bytes]:
    """The record of each row as one line of JSON, with its line end: the same bytes as `PredictionRecord.line()`."""
    columns = [*scored.keys.values(), *scored.request.values(), scored.scores]
    given, said = len(columns) - 1, len(columns)
    columns += [each for each in (scored.decisions, scored.holdout) if each is not None]
    width, rows = len(columns), len(scored.ids)
    texts = _texts([column[row] for row in range(rows) for column in columns])
    moment, latency = to_json(scored.request_timestamp), to_json(scored.latency_seconds)
    degraded = b"true" if scored.degraded else b"false"
    head = (scored.model, scored.version, scored.artifact, scored.role, scored.event)
    line = _line(head, tuple(scored.keys), tuple(scored.request), _views(scored.views))
    found = []
    for row, name in enumerate(scored.ids):
        first = row * width
        decision = b"null" if scored.decisions is None else texts[first + said]
        holdout = b"false" if scored.holdout is None else texts[first + width - 1]
        score = texts[first + given]
        values = (to_json(name), moment, *texts[first : first + given], scored.features[row], score)
        found.append(line % (*values, decision, holdout, degraded, latency))
    return found


def feature_texts(
    columns: Mapping[str, Sequence[Value]],
    statuses: Sequence[tuple[Status, ...]],
    moments: Sequence[Sequence[int | None]],
) -> list[bytes]:
    """The features of each row as JSON, for rows of one request or of several that were read together.

    columns: values by feature. statuses: of the features, in their order, one tuple a row. moments: of each feature the
    event timestamps of the stored rows in microseconds UTC; None where no row was found, and of an on-demand feature.
    Features of one view share a list, which is then read once.
    """
    rows, names = len(statuses), tuple(columns)
    if not names:
        return [b"{}"] * rows
    texts = _texts([value for column in columns.values() for value in column])
    known: dict[int, list[bytes]] = {}
    parts: list[Sequence[bytes]] = []
    for place, given in enumerate(moments):
        if id(given) not in known:
            known[id(given)] = [_moment(micros) for micros in given]
        parts += (texts[place * rows : place * rows + rows], known[id(given)])
    if len(set(statuses)) == 1:
        text = _features(names, statuses[0])
        return [text % values for values in zip(*parts, strict=True)]
    return [_features(names, state) % values for state, values in zip(statuses, zip(*parts, strict=True), strict=True)]


@lru_cache(maxsize=1_000)
def _line(head: Head, keys: tuple[str, ...], request: tuple[str, ...], views: bytes) -> bytes:
    """A line of a version in a role; what each row has is left open."""
    model, version, artifact, role, event = head
    same = {"model": model, "version": version, "artifact": artifact, "role": role, "event": event, "as_of": None}
    parts = (
        _closed(to_json(same)[1:-1]),
        b'"keys":{%b}' % b",".join(map(_open, keys)),
        b'"request":{%b}' % b",".join(map(_open, request)),
        b'"features":%b,"views":' + _closed(views),
    )
    return _BEGIN + b",".join(parts) + _END


@lru_cache(maxsize=1_000)
def _features(names: tuple[str, ...], statuses: tuple[Status, ...]) -> bytes:
    """The features of a row with these statuses; their values and the timestamps of their rows are left open."""
    texts = (_named(name) + _FEATURE % status.encode() for name, status in zip(names, statuses, strict=True))
    return b"{" + b",".join(texts) + b"}"


@lru_cache(maxsize=10_000)
def _moment(micros: int | None) -> bytes:
    return to_json(None if micros is None else micros_to_instant(micros))


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
    numbers = iter(_texts([value for value in values if type(value) in _WITHOUT_COMMA]))
    return [next(numbers) if type(value) in _WITHOUT_COMMA else to_json(value) for value in values]


@lru_cache(maxsize=10_000)
def _named(name: str) -> bytes:
    return _closed(to_json(name)) + b":"


def _open(name: str) -> bytes:
    return _named(name) + b"%b"


def _closed(text: bytes) -> bytes:
    """A text of which nothing is left open."""
    return text.replace(b"%", b"%%")
