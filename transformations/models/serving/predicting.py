"""From a request's rows to scores: features in one round trip, the one `predict`, and a record before the answer."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus

from transformations.engine.vocabulary.functions import REQUEST_TIMESTAMP
from transformations.models.records.base import Role
from transformations.models.records.predictions import PredictionRecord, ServedFeature, ServedView
from transformations.models.scoring.inputs import ARROW_TYPES
from transformations.models.scoring.predict import predict
from transformations.models.serving.features import Features
from transformations.models.serving.loading import Served
from transformations.models.serving.requests import Asked, as_values
from transformations.stores.lookups.response import Column, PackedResponse

_STATUS_NAMES = {number: name for name, number in FieldStatus.items()}


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Rows that a version has scored, in their order. columns: of the features that it takes, as they were served."""

    served: Served
    scores: Sequence[float]
    decisions: Sequence[bool] | None
    columns: Sequence[Column]
    is_degraded: bool

    def moments(self, row: int) -> dict[str, datetime | None]:
        """By feature the timestamp of the stored row behind it; None where there is none, or where it is computed."""
        return {column.name: _moment(column.events()[row]) for column in self.columns if column.rows is not None}


def score(served: Served, response: PackedResponse, asked: Asked, *, is_degraded: bool) -> Scored:
    """The scores of rows whose features were read."""
    found = {column.name: column for column in response.columns}
    columns = [found[each.name] for each in served.features]
    arrays = {column.name: column.codec.to_arrow(column.values) for column in columns}
    for each in served.requested:
        arrays[each.name] = pa.array(asked.columns[each.name], ARROW_TYPES[each.dtype])
    said = predict(served.artifact, pa.table(arrays))
    return Scored(
        served=served,
        scores=said.scores.to_pylist(),
        decisions=None if said.decisions is None else said.decisions.to_pylist(),
        columns=columns,
        is_degraded=is_degraded,
    )


async def read_and_score(served: Served, asked: Asked, moment: datetime, features: Features) -> Scored:
    """The scores of rows at a moment. Errors: as `Features.read`, and as `predict`."""
    columns = {**asked.columns, REQUEST_TIMESTAMP: [moment] * asked.rows}
    response = await features.read(served.service, columns, served.dataset.config.full_feature_names)
    return score(served, response, asked, is_degraded=False)


def records_of(
    scored: Scored,
    asked: Asked,
    ids: Sequence[str],
    *,
    moment: datetime,
    role: Role,
    event: int | None,
    views: Mapping[str, ServedView],
    began: float,
) -> list[PredictionRecord]:
    """A record a row. began: when the request came, by the monotonic clock."""
    shape, seconds = scored.served.shape, time.monotonic() - began
    statuses = [column.statuses() for column in scored.columns]
    events = [column.events() for column in scored.columns]
    shown = [column.codec.show(column.values) for column in scored.columns]
    return [
        PredictionRecord(
            id=ids[row],
            request_timestamp=moment,
            model=scored.served.model,
            version=scored.served.number,
            artifact=scored.served.artifact.id,
            role=role,
            event=event,
            keys=as_values(asked.columns, shape.keys, row),
            request=as_values(asked.columns, shape.request, row),
            features={
                column.name: ServedFeature(
                    value=_plain(shown[place][row]),
                    status=_STATUS_NAMES[statuses[place][row]],
                    row_timestamp=_moment(events[place][row]),
                )
                for place, column in enumerate(scored.columns)
            },
            views=views,
            score=scored.scores[row],
            decision=None if scored.decisions is None else scored.decisions[row],
            degraded=scored.is_degraded,
            latency_seconds=seconds,
        )
        for row in range(asked.rows)
    ]


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _moment(micros: int) -> datetime | None:
    return datetime.fromtimestamp(micros / 1_000_000, UTC) if micros else None
