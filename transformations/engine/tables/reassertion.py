"""The rows that a table needs to read as it once did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transformations.engine.base.moments import CREATED_TIMESTAMP, EVENT_TIMESTAMP, instant_to_micros
from transformations.engine.tables.offline_tables import TIMESTAMP, table_schema
from transformations.engine.vocabulary.columns import changes, distinct, group_codes, micros, rows_differ
from transformations.engine.vocabulary.resolution import Resolved

Int64s: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]


def restored_rows(resolved: Resolved, stored: pa.Table, restored: pa.Table, created: datetime) -> pa.Table:
    """The rows that make these entities read as `restored` did, sorted by key and time.

    stored: all rows of these entities now; restored: all their rows then; both in the schema of the view's table. If an
    entity was unknown then, its features become null or their `unseen` values, as the sweep writes them for an entity
    whose history is retracted. created: the new rows' created timestamp, unless their event timestamp is later.
    """
    entities, (of_stored, of_restored) = group_codes([stored, restored], list(resolved.join_keys))
    if entities.num_rows == 0:
        return table_schema(resolved).empty_table()
    both = np.concatenate([micros(stored[EVENT_TIMESTAMP]), micros(restored[EVENT_TIMESTAMP])])
    instants, instant = np.unique(both, return_inverse=True)
    span = len(instants)
    now = _current_rows(stored, of_stored * span + instant[: stored.num_rows])
    then = _current_rows(restored, of_restored * span + instant[stored.num_rows :])
    row_keys = distinct(np.concatenate([now.row_keys, then.row_keys]))
    features = _as_read(resolved, then, row_keys, span)
    kept = _rows_to_write(features, row_keys, now, span)
    entity, at = np.divmod(row_keys[kept], span)
    event = instants[at]
    columns: Mapping[str, pa.ChunkedArray | pa.Array] = {
        **{name: entities[name].take(pa.array(entity)) for name in entities.column_names},
        EVENT_TIMESTAMP: pa.array(event).cast(TIMESTAMP),
        CREATED_TIMESTAMP: pa.array(np.maximum(event, instant_to_micros(created))).cast(TIMESTAMP),
        **{name: features[name].take(pa.array(kept)) for name in features.column_names},
    }
    return pa.table(columns).cast(table_schema(resolved))


@dataclass(frozen=True)
class _Current:
    """The rows that win: for each entity and instant the one created last, sorted by key (the entity's number times the
    span, plus the instant's number).
    """

    row_keys: Int64s
    rows: pa.Table


def _current_rows(rows: pa.Table, row_keys: Int64s) -> _Current:
    order = np.lexsort((micros(rows[CREATED_TIMESTAMP]), row_keys))
    newest = order[np.flatnonzero(np.diff(row_keys[order], append=np.iinfo(np.int64).max))]
    return _Current(row_keys[newest], rows.take(pa.array(newest)))


def _as_read(resolved: Resolved, then: _Current, row_keys: Int64s, span: int) -> pa.Table:
    """Each feature's value at every key: that of the newest row not later, or `unseen` if there is none."""
    found = np.searchsorted(then.row_keys, row_keys, side="right") - 1
    known = np.zeros(len(row_keys), dtype=np.bool_)
    known[found >= 0] = then.row_keys[found[found >= 0]] // span == row_keys[found >= 0] // span
    position = pa.array(found, mask=~known)
    columns = [
        pc.if_else(
            pa.array(known),
            then.rows[feature.name].combine_chunks().take(position),
            pa.scalar(feature.declared.aggregation.unseen, feature.dtype.arrow),
        )
        for feature in resolved.features
    ]
    return pa.table(columns, names=[feature.name for feature in resolved.features])


def _rows_to_write(features: pa.Table, row_keys: Int64s, now: _Current, span: int) -> Int64s:
    """Keys whose current row has another value, and keys without a row at which the value changes."""
    entity = row_keys // span
    follows = np.zeros(len(row_keys), dtype=np.bool_)
    follows[1:] = entity[1:] == entity[:-1]
    write: Mask = ~follows | changes(features)
    positions = np.searchsorted(row_keys, now.row_keys)
    write[positions] = rows_differ(features.take(pa.array(positions)), now.rows.select(features.column_names))
    return np.flatnonzero(write)
