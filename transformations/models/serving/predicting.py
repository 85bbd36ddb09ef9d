"""From a request's rows to scores and lines of the record: features in one round trip, then the one `predict`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, cast

import pyarrow as pa
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus

from transformations.engine.base.errors import ServiceUnavailableError
from transformations.engine.base.moments import micros_to_instant
from transformations.engine.vocabulary.functions import REQUEST_TIMESTAMP
from transformations.models.predictions.lines import Scored as Recordable
from transformations.models.predictions.lines import ServedValues, record_lines
from transformations.models.records.base import Role
from transformations.models.records.predictions import ServedView, Status, Value
from transformations.models.scoring.inputs import ARROW_TYPES
from transformations.models.scoring.predict import predict
from transformations.models.serving.features import Columns, Features
from transformations.models.serving.loading import Served
from transformations.models.serving.refusals import BusyError
from transformations.models.serving.requests import Asked
from transformations.stores.lookups.response import Column, PackedResponse

_STATUS_NAMES: Mapping[int, Status] = {number: cast("Status", name) for name, number in FieldStatus.items()}


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Rows that a version has scored, in their order. columns: of the features that it takes, as they were served.
    seconds: that scoring took, without reading.
    """

    served: Served
    asked: Asked
    inputs: pa.Table
    scores: Sequence[float]
    decisions: Sequence[bool] | None
    columns: Sequence[Column]
    response: PackedResponse
    is_degraded: bool
    seconds: float

    @cached_property
    def moments(self) -> dict[str, list[datetime | None]]:
        """By stored view the timestamp of each row that was read; None where there is none."""
        return {
            name: [micros_to_instant(micros) if micros else None for micros in events]
            for name, events in self.response.events().items()
        }

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
        """The record of each row. seconds: from the request to the scores. holdout: which nobody is to act on."""
        shape, known = self.served.shape, _Moments(self)
        return record_lines(
            Recordable(
                model=self.served.model,
                version=self.served.number,
                artifact=self.served.artifact.id,
                role=role,
                event=event,
                request_timestamp=moment,
                ids=ids,
                keys={each.name: _plain(self.asked.columns[each.name]) for each in shape.keys},
                request={each.name: _plain(self.asked.columns[each.name]) for each in shape.request},
                features={
                    column.name: ServedValues(
                        values=column.values,
                        statuses=[_STATUS_NAMES[status] for status in column.statuses()],
                        row_timestamps=known.of(column),
                    )
                    for column in self.columns
                },
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
    columns: Columns = {**asked.columns, REQUEST_TIMESTAMP: [moment] * asked.rows}
    full_names, is_degraded = served.dataset.config.full_feature_names, False
    try:
        response = await features.read(served.service, columns, full_names)
    except ServiceUnavailableError as error:
        if not served.has_fallback:
            raise BusyError(error.message, "features_unavailable") from error
        response, is_degraded = features.unseen(served.service, columns, full_names), True
    return score(served, asked, response, is_degraded=is_degraded)


def score(served: Served, asked: Asked, response: PackedResponse, *, is_degraded: bool) -> Scored:
    """The scores of rows whose features were read."""
    began = time.perf_counter()
    found = {column.name: column for column in response.columns}
    columns = [found[each.name] for each in served.features]
    arrays = [column.codec.to_arrow(column.values) for column in columns]
    arrays += [pa.array(asked.columns[each.name], ARROW_TYPES[each.dtype]) for each in served.requested]
    inputs = pa.Table.from_arrays(arrays, names=served.input_names)
    said = predict(served.artifact, inputs)
    return Scored(
        served=served,
        asked=asked,
        inputs=inputs,
        scores=said.scores.to_pylist(),
        decisions=None if said.decisions is None else said.decisions.to_pylist(),
        columns=columns,
        response=response,
        is_degraded=is_degraded,
        seconds=time.perf_counter() - began,
    )


class _Moments:
    """The timestamps of stored rows by the column that came from them: the columns of a view share theirs."""

    def __init__(self, scored: Scored) -> None:
        self._nothing: list[datetime | None] = [None] * scored.asked.rows
        of_views = scored.moments.values()
        self._known = {id(rows): moments for rows, moments in zip(scored.response.rows(), of_views, strict=True)}

    def of(self, column: Column) -> list[datetime | None]:
        return self._nothing if column.rows is None else self._known[id(column.rows)]


def _plain(values: Sequence[Any]) -> Sequence[Value]:
    """Values as a record has them: a moment is its text in ISO 8601."""
    return [value.isoformat() if isinstance(value, datetime) else value for value in values]
