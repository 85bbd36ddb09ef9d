"""Asking the replay's model server, by both of its APIs, and holding what it said against scores in batch."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transformations.engine.base.errors import DataError, ServiceUnavailableError
from transformations.models.serving.client import Client

KEY = "household_id"
ROWS = 100
"""Of a request."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a household was told. id: of the prediction, as its record has it."""

    id: str
    score: float
    version: int


def ask(url: str, model: str, households: Sequence[int], name: str) -> Iterator[Answer]:
    """The answers for households, a hundred at a time, by `/v1` and `/v2` in turn. name: begins each request's id."""
    client = Client(url, seconds=30)
    for number, first in enumerate(range(0, len(households), ROWS)):
        asked, request = households[first : first + ROWS], f"{name}-{number}"
        if number % 2:
            yield from _ask_protocol(url, model, asked, request)
            continue
        for each in client.predict(model, [{KEY: household} for household in asked], request=request):
            yield Answer(id=each.id, score=each.score, version=each.model_version)
    client.close()


def _ask_protocol(url: str, model: str, households: Sequence[int], request: str) -> Iterator[Answer]:
    """The same by the Open Inference Protocol."""
    place = urlsplit(url)
    tensor = {"name": KEY, "shape": [len(households)], "datatype": "INT64", "data": list(households)}
    body = json.dumps({"id": request, "inputs": [tensor]})
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
    connection.request("POST", f"/v2/models/{model}/infer", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    content = json.loads(answer.read())
    connection.close()
    if answer.status != 200:
        raise ServiceUnavailableError(f"the model server answered {answer.status}: {content}")
    outputs = {each["name"]: each["data"] for each in content["outputs"]}
    for told in zip(outputs["prediction_id"], outputs["score"], outputs["model_version"], strict=True):
        yield Answer(id=told[0], score=told[1], version=int(told[2]))


def recorded(served: Path) -> pa.Table:
    """The collected record: id, version, role, household_id, request_timestamp and score of every prediction."""
    columns = ["id", "version", "role", "keys", "request_timestamp", "score"]
    parts = [pq.read_table(file, columns=columns, partitioning=None) for file in sorted(served.glob("*/*.parquet"))]
    rows = pa.concat_tables(parts)
    households = rows["keys"].combine_chunks().field(KEY)
    return rows.drop_columns(["keys"]).append_column(KEY, households)


def spine_of(record: pa.Table, version: int, file: Path) -> Path:
    """A file of whom a version has scored and when, for `features model predict --spine`."""
    mine = record.filter(pc.field("version") == version)
    rows = pa.table({KEY: mine[KEY], "event_timestamp": mine["request_timestamp"]})
    pq.write_table(rows.group_by([KEY, "event_timestamp"]).aggregate([]), file)
    return file


def refuse_other_scores(record: pa.Table, version: int, again: pa.Table) -> int:
    """How many scores of a version, in whatever role, are those of a batch of the same rows.

    DataError with the first that differs, were it in a single bit.
    """
    mine = record.filter(pc.field("version") == version)
    then = _scores(again["keys"].combine_chunks().field(KEY), again["request_timestamp"], again["score"])
    columns = [mine[name].to_pylist() for name in ("id", KEY, "request_timestamp", "score")]
    for name, household, moment, score in zip(*columns, strict=True):
        batch = then.get((household, moment), float("nan"))
        if not _are_same(score, batch):
            raise DataError(f"prediction {name}: served {score!r}, and in batch {batch!r}")
    return int(mine.num_rows)


def refuse_other_answers(record: pa.Table, answers: Sequence[Answer]) -> None:
    """DataError where the record does not have what was answered."""
    told = record.filter(pc.field("role") != "shadow")
    known = {
        name: (score, version)
        for name, score, version in zip(*(told[name].to_pylist() for name in ("id", "score", "version")), strict=True)
    }
    for each in answers:
        score, version = known.get(each.id, (float("nan"), 0))
        if version != each.version or not _are_same(score, each.score):
            raise DataError(f"prediction {each.id}: answered {each}, and recorded {score!r} of version {version}")
    if len(known) != len(answers):
        raise DataError(f"{len(answers)} predictions were answered, and {len(known)} are in the record")


def _scores(households: pa.Array, moments: Any, scores: Any) -> dict[tuple[int, datetime], float]:
    columns = (households.to_pylist(), moments.to_pylist(), scores.to_pylist())
    return {(household, moment): score for household, moment, score in zip(*columns, strict=True)}


def _are_same(one: float, other: float) -> bool:
    """Whether two scores are the same bits."""
    return bool(np.float64(one).view(np.int64) == np.float64(other).view(np.int64))
