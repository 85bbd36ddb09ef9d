"""Rows in the form in which Feast hands them over and reads them back: protobuf values, row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureView
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from transformations.engine.base.errors import DataError, nearest
from transformations.engine.base.moments import instant_to_micros, micros_to_instant
from transformations.engine.base.settings import get_settings, present_moment
from transformations.stores.base.join_keys import key_fields
from transformations.stores.base.source_paths import event_source, stored_names
from transformations.stores.base.values import as_feature, frame_column, moments_of, to_protos
from transformations.stores.redis.catalogue import Table
from transformations.stores.redis.reads import Values
from transformations.stores.rows import packed_rows
from transformations.stores.rows.codecs import codec_of
from transformations.stores.rows.damaged import refuse_damaged
from transformations.stores.rows.keys import exact_key, tag_of, tag_or_nobody

if TYPE_CHECKING:
    import pandas as pd

Row: TypeAlias = tuple[EntityKey, dict[str, Value], datetime, datetime | None]
"""Entity key, values, event timestamp, created timestamp; naive is UTC."""
Found: TypeAlias = tuple[datetime | None, dict[str, Value] | None]
"""Event timestamp and values; nothing where there is no row."""


def found_rows(
    view: FeatureView, table: Table | None, entities: Sequence[EntityKey], rows: Values, wanted: Sequence[str] | None
) -> list[Found]:
    """Each entity's row. A row that has outlived its view's ttl gives its event timestamp and nulls.

    DamagedRowError for a value that is no intact row.
    """
    if table is None:
        return [(None, None)] * len(entities)
    refuse_damaged(view.name, zip(map(tag_or_nobody, entities), rows, strict=True), table.schemas, table.number)
    features = [feature for feature in view.features if wanted is None or feature.name in wanted]
    codecs = {feature.name: codec_of(feature.dtype) for feature in features}
    fields = [(feature.name, str(feature.dtype)) for feature in features]
    now, found = present_moment(), list[Found]()
    for row in rows:
        if row is None:
            found.append((None, None))
            continue
        micros, _, schema, _ = packed_rows.unpack_header(row)
        happened = micros_to_instant(micros)
        if view.ttl and now - happened > view.ttl:
            found.append((happened, {name: Value() for name in codecs}))
            continue
        written = table.schemas[schema - 1]
        columns, places = written.form.columns([row]), written.positions(fields)
        values = {
            name: None if place is None else columns[place][0] for (name, _), place in zip(fields, places, strict=True)
        }
        found.append((happened, {name: codecs[name].to_protos([value])[0] for name, value in values.items()}))
    return found


def rows_of(view: FeatureView, frame: pd.DataFrame) -> list[Row]:
    """The rows of a frame that is pushed, each value in the form of its declared dtype.

    Columns beyond the view's are left out. DataError where one is missing or does not fit, and for a row without its
    event timestamp.
    """
    source, typed = event_source(view), typed_columns(view, frame)
    events = typed[source.timestamp_field].to_pylist()
    created = (
        typed[source.created_timestamp_column].to_pylist() if source.created_timestamp_column else [None] * len(frame)
    )
    keys = {column.name: to_protos(typed[column.name], column.dtype) for column in key_fields(view)}
    values = {field.name: to_protos(typed[field.name], field.dtype) for field in view.features}
    return [
        (
            EntityKey(join_keys=list(keys), entity_values=[column[row] for column in keys.values()]),
            {name: column[row] for name, column in values.items()},
            event,
            created[row],
        )
        for row, event in enumerate(events)
    ]


def typed_columns(view: FeatureView, rows: pd.DataFrame | pa.Table) -> dict[str, pa.Array]:
    """Join keys, features and timestamps of rows that are pushed, in their declared dtypes. Errors as `rows_of`."""
    source = event_source(view)
    renamed = stored_names(source)
    given = [str(name) for name in (rows.column_names if isinstance(rows, pa.Table) else rows.columns)]

    def column(name: str, place: str) -> pa.Array:
        known = name if name in given else renamed.get(name, name)
        if given.count(known) != 1:
            times = "have no" if known not in given else f"have {given.count(known)} columns"
            raise DataError(f"{place}: the rows {times} {known!r}: {nearest(known, given)}. Give one.")
        return rows[known] if isinstance(rows, pa.Table) else frame_column(rows[known], place)

    typed: dict[str, pa.Array] = {}
    for key in key_fields(view):
        place = f"{view.name}: join key {key.name!r}"
        typed[key.name] = exact_key(column(key.name, place), key.dtype, place)
    for field in view.features:
        place = f"{view.name}: feature {field.name!r}"
        typed[field.name] = as_feature(column(field.name, place), field.dtype, place)
    for stamp in (source.timestamp_field, source.created_timestamp_column):
        if stamp:
            place = f"{view.name}: column {stamp!r}"
            typed[stamp] = moments_of(column(stamp, place), place)
    if typed[source.timestamp_field].null_count:
        row = pc.index(pc.is_null(typed[source.timestamp_field]), True).as_py()
        raise DataError(
            f"{view.name}: column {source.timestamp_field!r} is null at row {row}. Every row needs its moment."
        )
    return typed


def latest_event() -> int:
    """The latest event timestamp that a row in the online store may have now, in microseconds since 1970."""
    settings = get_settings()
    return instant_to_micros(settings.now() + timedelta(seconds=settings.push_lead_seconds))


def refuse_future_rows(view: FeatureView, data: Sequence[Row]) -> None:
    """DataError for rows whose event timestamp lies further ahead than the settings allow.

    The newest row wins, so one of next year would hide all rows until then.
    """
    latest = latest_event()
    late = [number for number, row in enumerate(data) if instant_to_micros(row[2]) > latest]
    if late:
        settings, row = get_settings(), data[late[0]]
        raise DataError(
            f"{view.name}: {len(late):,} of {len(data):,} pushed rows lie in the future: row {late[0]} has the event "
            f"timestamp {row[2].isoformat()}, now is {settings.now():%Y-%m-%dT%H:%M:%S%z}, and at most "
            f"{settings.push_lead_seconds:,} s ahead are allowed. They would hide all rows until then, so nothing was "
            f"written. Correct the event timestamps, or raise FEATURES_PUSH_LEAD_SECONDS."
        )


def newest_rows(data: Sequence[Row]) -> dict[bytes, Row]:
    """The newest row of each entity, by hash tag."""
    newest: dict[bytes, Row] = {}
    for row in data:
        tag = tag_of(row[0])
        if tag is not None and (tag not in newest or _recency(row) >= _recency(newest[tag])):
            newest[tag] = row
    return newest


def _recency(row: Row) -> tuple[int, int]:
    return instant_to_micros(row[2]), _created_micros(row)


def _created_micros(row: Row) -> int:
    return packed_rows.NEVER_CREATED if row[3] is None else instant_to_micros(row[3])


def pack_rows(view: FeatureView, rows: Mapping[bytes, Row], schema: int) -> list[tuple[bytes, bytes]]:
    """Pack rows, marked as pushed, each with its hash tag; a feature that a row lacks is null."""
    codecs = [(feature.name, codec_of(feature.dtype)) for feature in view.features]
    form, packed = packed_rows.schema_of(view.features).form, []
    for tag, row in rows.items():
        values = [codec.from_proto(row[1][name]) if name in row[1] else None for name, codec in codecs]
        header = packed_rows.header(instant_to_micros(row[2]), _created_micros(row), schema, packed_rows.PUSHED)
        packed.append((tag, form.pack(header, values)))
    return packed
