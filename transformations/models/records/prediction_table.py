"""Prediction records as an Arrow table: what Parquet holds of them, column by column, and back.

Keys, request fields, features and views are structs with a field a name, so that a value keeps its dtype:
`features.visits_28d.value` is an integer. A struct without fields is left out, since Parquet has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

import pyarrow as pa

from transformations.models.records.base import Role
from transformations.models.records.predictions import PredictionRecord, ServedView

TIMESTAMP = pa.timestamp("us", tz="UTC")
Columns: TypeAlias = Mapping[str, pa.Array]
VIEW = pa.struct([("table_version", pa.int64()), ("loaded_through", TIMESTAMP)])
_STRUCTS = ("keys", "request", "features", "views")


@dataclass(frozen=True, kw_only=True)
class FeatureColumn:
    """A feature's values as they were served, with statuses as text and the timestamps of the stored rows."""

    values: pa.Array
    statuses: pa.Array
    row_timestamps: pa.Array

    def struct(self) -> pa.StructArray:
        """The three side by side, as a record has them."""
        return pa.StructArray.from_arrays(
            [self.values, self.statuses.cast(pa.string()), self.row_timestamps.cast(TIMESTAMP)],
            ["value", "status", "row_timestamp"],
        )


@dataclass(frozen=True, kw_only=True)
class Said:
    """What is the same in every row of a table: who said it, in which role, and from which tables."""

    model: str
    version: int
    artifact: str
    role: Role
    as_of: datetime | None
    views: Mapping[str, ServedView]


def prediction_table(
    said: Said,
    *,
    ids: pa.Array,
    moments: pa.Array,
    keys: Columns,
    request: Columns,
    features: Mapping[str, FeatureColumn],
    scores: pa.Array,
    decisions: pa.Array | None,
) -> pa.Table:
    """The records of rows that were scored together."""
    rows = len(ids)

    def every(value: object, kind: pa.DataType) -> pa.Array:
        return pa.repeat(pa.scalar(value, kind), rows)

    columns: dict[str, pa.Array] = {
        "id": ids,
        "request_timestamp": moments.cast(TIMESTAMP),
        "model": every(said.model, pa.string()),
        "version": every(said.version, pa.int64()),
        "artifact": every(said.artifact, pa.string()),
        "role": every(said.role, pa.string()),
        "event": every(None, pa.int64()),
        "as_of": every(said.as_of, TIMESTAMP),
        **_struct("keys", keys),
        **_struct("request", request),
        **_struct("features", {name: column.struct() for name, column in features.items()}),
        **_struct("views", {name: every(view.model_dump(), VIEW) for name, view in said.views.items()}),
        "score": scores,
        "decision": every(None, pa.bool_()) if decisions is None else decisions,
        "holdout": every(False, pa.bool_()),
        "degraded": every(False, pa.bool_()),
        "answered": every(True, pa.bool_()),
        "latency_seconds": every(None, pa.float64()),
    }
    return pa.table(columns)


def records_of(table: pa.Table) -> Iterator[PredictionRecord]:
    """The records in a table, row by row. A feature or view that is null as a whole is one that the row lacks."""
    for row in table.select([name for name in table.column_names if name != "day"]).to_pylist():
        parts = {name: row.get(name) or {} for name in _STRUCTS}
        for name in ("features", "views"):
            parts[name] = {each: part for each, part in parts[name].items() if part is not None}
        yield PredictionRecord.model_validate({**row, **parts})


def _struct(name: str, columns: Columns) -> dict[str, pa.Array]:
    return {name: pa.StructArray.from_arrays(list(columns.values()), list(columns))} if columns else {}
