"""From the columns of a scored request to lines of the record: the text of `PredictionRecord.line()`, but fast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from pydantic_core import to_json

from transformations.models.records.base import Role
from transformations.models.records.predictions import ServedView, Status, Value

_WITHOUT_COMMA = {int, float, bool, type(None)}


@dataclass(frozen=True, kw_only=True)
class ServedValues:
    """A feature's values in the order of the rows, with their statuses and the event timestamps of the stored rows.

    row_timestamps: in UTC; None where no row was found, and of an on-demand feature.
    """

    values: Sequence[Value]
    statuses: Sequence[Status]
    row_timestamps: Sequence[datetime | None]


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Rows of one request that one version has scored in one role, a list a column, in the order of the rows.

    ids: one a row. request_timestamp: the moment of the features, in UTC. event: the number of the model's event by
    which the rows were routed. views: what of each view was loaded. holdout: None where nobody is in one.
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
    features: Mapping[str, ServedValues] = field(default_factory=dict)
    views: Mapping[str, ServedView] = field(default_factory=dict)
    scores: Sequence[float]
    decisions: Sequence[bool] | None = None
    holdout: Sequence[bool] | None = None
    degraded: bool = False
    latency_seconds: float | None = None


def record_lines(scored: Scored) -> list[bytes]:
    """The record of each row as one line of JSON, with its line end: the same bytes as `PredictionRecord.line()`."""
    rows = len(scored.ids)
    columns = [*scored.keys.values(), *scored.request.values(), *(each.values for each in scored.features.values())]
    texts = _texts(columns)
    keys = _struct(scored.keys, texts, rows)
    request = _struct(scored.request, texts[len(scored.keys) :], rows)
    served = _features(scored.features, texts[len(scored.keys) + len(scored.request) :])
    (scores,) = _texts([scored.scores])
    decisions = [b"null"] * rows if scored.decisions is None else _texts([scored.decisions])[0]
    held = [b"false"] * rows if scored.holdout is None else _texts([scored.holdout])[0]
    head, middle, tail = _same_in_all(scored)
    return [
        b"".join(
            (
                b'{"format":1,"id":',
                id_text,
                head,
                keys[row],
                b',"request":',
                request[row],
                b',"features":{',
                b",".join([column[row] for column in served]),
                middle,
                scores[row],
                b',"decision":',
                decisions[row],
                b',"holdout":',
                held[row],
                tail,
            )
        )
        for row, id_text in enumerate(map(to_json, scored.ids))
    ]


def _same_in_all(scored: Scored) -> tuple[bytes, bytes, bytes]:
    """What is the same in every line: from the id to the keys, from the features to the score, after the holdout."""
    head = {
        "request_timestamp": scored.request_timestamp,
        "model": scored.model,
        "version": scored.version,
        "artifact": scored.artifact,
        "role": scored.role,
        "event": scored.event,
        "as_of": None,
    }
    views = {
        name: {"table_version": view.table_version, "loaded_through": view.loaded_through}
        for name, view in scored.views.items()
    }
    tail = {"degraded": scored.degraded, "answered": True, "latency_seconds": scored.latency_seconds}
    return (
        b",%b," % to_json(head)[1:-1] + b'"keys":',
        b'},"views":' + to_json(views) + b',"score":',
        b",%b\n" % to_json(tail)[1:],
    )


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


def _struct(names: Mapping[str, object], texts: Sequence[Sequence[bytes]], rows: int) -> list[bytes]:
    """A JSON object a row, of the first columns of texts under these names."""
    heads = [to_json(name) for name in names]
    columns = texts[: len(heads)]
    if not heads:
        return [b"{}"] * rows
    return [
        b"{%b}" % b",".join([b"%b:%b" % (head, column[row]) for head, column in zip(heads, columns, strict=True)])
        for row in range(rows)
    ]


def _features(features: Mapping[str, ServedValues], texts: Sequence[Sequence[bytes]]) -> list[list[bytes]]:
    """Each feature's values with status and timestamp, of which few differ: the features of a view share their row."""
    known: dict[tuple[Status, int], bytes] = {}  # by identity, since a datetime takes long to hash
    found = []
    for (name, feature), column in zip(features.items(), texts, strict=True):
        head, parts = _name(name), []
        for text, status, moment in zip(column, feature.statuses, feature.row_timestamps, strict=True):
            ending = known.get((status, id(moment)))
            if ending is None:
                ending = known[status, id(moment)] = b",%b" % to_json({"status": status, "row_timestamp": moment})[1:]
            parts.append(head + text + ending)
        found.append(parts)
    return found


@lru_cache(maxsize=10_000)
def _name(feature: str) -> bytes:
    return to_json(feature) + b':{"value":'
