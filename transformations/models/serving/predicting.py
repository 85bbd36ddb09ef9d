"""From a request's rows to scores and lines of the record: features in one round trip, then the one `predict`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, cast

import pyarrow as pa
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus

from transformations.engine.base.errors import ServiceUnavailableError
from transformations.engine.base.moments import json_moment, micros_to_instant
from transformations.engine.vocabulary.functions import REQUEST_TIMESTAMP
from transformations.models.predictions.lines import Scored as Recordable
from transformations.models.predictions.lines import feature_texts, record_lines
from transformations.models.records.base import Role
from transformations.models.records.predictions import ServedView, Status, Value
from transformations.models.scoring.columns import Columns as Inputs
from transformations.models.scoring.predict import predict_values
from transformations.models.serving.features import Columns, Features
from transformations.models.serving.loading import Served
from transformations.models.serving.refusals import BusyError
from transformations.models.serving.requests import Asked
from transformations.stores.lookups.response import PRESENT, Column, PackedResponse
from transformations.stores.rows.packed_rows import event_micros

_STATUS_NAMES: Mapping[int, Status] = {number: cast("Status", name) for name, number in FieldStatus.items()}
_PRESENT = _STATUS_NAMES[PRESENT]


@dataclass(kw_only=True, slots=True)
class Reading:
    """What was read for so many rows, of one request or of several. columns: of the features that a version takes, as
    they were served. requested: of its other inputs. views: the stored rows by view.
    """

    rows: int
    columns: Sequence[Column]
    requested: Sequence[Sequence[Any]]
    views: Mapping[str, Sequence[bytes | None]]
    is_degraded: bool
    _texts: list[bytes] = field(default_factory=list)

    def take_texts(self, first: int, rows: int) -> list[bytes]:
        """The features of rows as the record tells them: made once for all that were read together, and let go as they
        are taken, for an answer may be remembered for long.
        """
        if not self._texts:
            events = {
                id(rows): [None if row is None else event_micros(row) for row in rows] for rows in self.views.values()
            }
            nowhere: list[int | None] = [None] * self.rows
            self._texts = feature_texts(
                {column.name: column.values for column in self.columns},
                self._statuses(),
                [nowhere if column.rows is None else events[id(column.rows)] for column in self.columns],
            )
        taken = self._texts[first : first + rows]
        self._texts[first : first + rows] = [b""] * rows
        return taken

    def _statuses(self) -> list[tuple[Status, ...]]:
        """Of the features, one tuple a row."""
        all_present = (_PRESENT,) * len(self.columns)
        if not any(column.absent or None in column.values for column in self.columns):
            return [all_present] * self.rows
        names = [[_STATUS_NAMES[status] for status in column.statuses()] for column in self.columns]
        return list(zip(*names, strict=True))


@dataclass(kw_only=True, slots=True)
class Scored:
    """Rows that a version has scored, in their order. first: where they begin in what was read. together: how many
    requests were scored in one call. seconds: that it took for each of them, without reading.
    """

    served: Served
    asked: Asked
    reading: Reading
    first: int
    scores: Sequence[float]
    decisions: Sequence[bool] | None
    together: int
    seconds: float

    @property
    def is_degraded(self) -> bool:
        """Whether its features could not be read."""
        return self.reading.is_degraded

    @property
    def inputs(self) -> pa.Table:
        """The rows as `predict` takes them."""
        return _table(self.served, self.reading).slice(self.first, self.asked.rows)

    def moments(self, row: int) -> dict[str, str | None]:
        """By stored view the timestamp of the row that was read, in ISO 8601; None where there is none."""
        place = self.first + row
        return {name: _moment(rows[place]) for name, rows in self.reading.views.items()}

    def lines(
        self,
        ids: Sequence[str],
        *,
        moment: datetime,
        role: Role,
        event: int | None,
        views: Mapping[str, ServedView],
        seconds: float,
        holdout: Sequence[bool] | None = None,
    ) -> list[bytes]:
        """The record of each row, to be asked for once. seconds: from the request to the scores. holdout: which nobody
        is to act on.
        """
        shape, asked = self.served.shape, self.asked.columns
        return record_lines(
            Recordable(
                model=self.served.model,
                version=self.served.number,
                artifact=self.served.artifact.id,
                role=role,
                event=event,
                request_timestamp=moment,
                ids=ids,
                keys={each.name: _plain(asked[each.name]) for each in shape.keys},
                request={each.name: _plain(asked[each.name]) for each in shape.request},
                features=self.reading.take_texts(self.first, self.asked.rows),
                views=views,
                scores=self.scores,
                decisions=self.decisions,
                holdout=holdout,
                degraded=self.is_degraded,
                latency_seconds=seconds,
            )
        )


async def read_and_score(served: Served, asked: Asked, moment: datetime, features: Features) -> Scored:
    """The scores of rows at a moment.

    Where the online store does not answer: of features as if nobody was known, marked degraded, where the model says
    so; else BusyError. Errors: as `predict`.
    """
    (scored,) = await read_and_score_all(served, [asked], [moment], features)
    return scored


async def read_and_score_all(
    served: Served, requests: Sequence[Asked], moments: Sequence[datetime], features: Features
) -> list[Scored]:
    """As `read_and_score` of each request by itself, but in one round trip and one call of the model."""
    if len(requests) == 1:
        columns: Columns = {**requests[0].columns, REQUEST_TIMESTAMP: [moments[0]] * requests[0].rows}
    else:
        names = requests[0].columns
        columns = {name: [value for asked in requests for value in asked.columns[name]] for name in names}
        times = zip(requests, moments, strict=True)
        columns = {**columns, REQUEST_TIMESTAMP: [moment for asked, moment in times for _ in range(asked.rows)]}
    full_names, is_degraded = served.dataset.config.full_feature_names, False
    try:
        response = await features.read(served.service, columns, full_names)
    except ServiceUnavailableError as error:
        if not served.has_fallback:
            raise BusyError(error.message, "features_unavailable") from error
        response, is_degraded = features.unseen(served.service, columns, full_names), True
    return _score(served, requests, _reading(served, columns, response, is_degraded=is_degraded))


def _reading(served: Served, columns: Columns, response: PackedResponse, *, is_degraded: bool) -> Reading:
    found = {column.name: column for column in response.columns}
    return Reading(
        rows=len(columns[REQUEST_TIMESTAMP]),
        columns=[found[each.name] for each in served.features],
        requested=[columns[each.name] for each in served.requested],
        views=response.rows(),
        is_degraded=is_degraded,
    )


def _score(served: Served, requests: Sequence[Asked], reading: Reading) -> list[Scored]:
    began = time.perf_counter()
    inputs = Inputs(
        rows=reading.rows,
        values=[*(column.values for column in reading.columns), *reading.requested],
        types=[*(column.codec.arrow for column in reading.columns), *served.requested_types],
        table=lambda: _table(served, reading),
    )
    scores, decisions = predict_values(served.artifact, inputs)
    seconds = (time.perf_counter() - began) / len(requests)
    found, first = [], 0
    for asked in requests:
        last = first + asked.rows
        found.append(
            Scored(
                served=served,
                asked=asked,
                reading=reading,
                first=first,
                scores=scores[first:last],
                decisions=None if decisions is None else decisions[first:last],
                together=len(requests),
                seconds=seconds,
            )
        )
        first = last
    return found


def _table(served: Served, reading: Reading) -> pa.Table:
    arrays = [column.codec.to_arrow(column.values) for column in reading.columns]
    types = served.requested_types
    arrays += [pa.array(values, kind) for values, kind in zip(reading.requested, types, strict=True)]
    return pa.Table.from_arrays(arrays, names=served.input_names)


def _moment(row: bytes | None) -> str | None:
    return None if row is None else _moment_text(event_micros(row))


@lru_cache(maxsize=10_000)
def _moment_text(micros: int) -> str:
    return json_moment(micros_to_instant(micros))


def _plain(values: Sequence[Any]) -> Sequence[Value]:
    """Values as a record has them: a moment is its text in ISO 8601."""
    return [value.isoformat() if isinstance(value, datetime) else value for value in values]
