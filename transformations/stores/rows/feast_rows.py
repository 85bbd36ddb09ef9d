"""Rows in the form in which Feast's engine and pushes hand them over and read them back: protobuf, row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from feast import FeatureView
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from transformations.engine.settings import present_moment
from transformations.stores.rows import packed_rows
from transformations.stores.rows.codecs import codec_of
from transformations.stores.rows.online_catalog import Table
from transformations.stores.rows.online_keys import tag_of
from transformations.stores.rows.row_reads import Values

Row: TypeAlias = tuple[EntityKey, dict[str, Value], datetime, datetime | None]
"""Entity key, values, event timestamp, created timestamp; naive is UTC."""
Found: TypeAlias = tuple[datetime | None, dict[str, Value] | None]
"""Event timestamp and values; nothing where there is no row."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def found_rows(
    view: FeatureView, table: Table | None, rows: Values, wanted: Sequence[str] | None, entities: int
) -> list[Found]:
    """Each entity's row. Of one that its view's ttl has outlived, the event timestamp and nulls."""
    if table is None:
        return [(None, None)] * entities
    features = [feature for feature in view.features if wanted is None or feature.name in wanted]
    codecs = {feature.name: codec_of(feature.dtype) for feature in features}
    fields = [(feature.name, str(feature.dtype)) for feature in features]
    now, found = present_moment(), list[Found]()
    for row in rows:
        if row is None:
            found.append((None, None))
            continue
        micros, _, schema, _ = packed_rows.unpack_header(row)
        happened = _EPOCH + timedelta(microseconds=micros)
        if view.ttl and happened + view.ttl < now:
            found.append((happened, {name: Value() for name in codecs}))
            continue
        written = table.schemas[schema - 1]
        columns, places = written.form.columns([row]), written.positions(fields)
        values = {
            name: None if place is None else columns[place][0] for (name, _), place in zip(fields, places, strict=True)
        }
        found.append((happened, {name: codecs[name].to_protos([value])[0] for name, value in values.items()}))
    return found


def newest_rows(data: Sequence[Row]) -> dict[bytes, Row]:
    """Of each entity the newest row."""
    newest: dict[bytes, Row] = {}
    for row in data:
        tag = tag_of(row[0])
        if tag is not None and (tag not in newest or _order(row) >= _order(newest[tag])):
            newest[tag] = row
    return newest


def _order(row: Row) -> tuple[int, int]:
    return packed_rows.micros(row[2]), _created(row)


def _created(row: Row) -> int:
    return packed_rows.NEVER_CREATED if row[3] is None else packed_rows.micros(row[3])


def packed(view: FeatureView, rows: Mapping[bytes, Row], schema: int) -> list[tuple[bytes, bytes]]:
    """Their packed rows, by hash tag, marked as pushed; a feature that a row does not bring is null."""
    codecs = [(feature.name, codec_of(feature.dtype)) for feature in view.features]
    form, packed = packed_rows.schema_of(view.features).form, []
    for tag, row in rows.items():
        values = [codec.from_proto(row[1][name]) if name in row[1] else None for name, codec in codecs]
        header = packed_rows.header(packed_rows.micros(row[2]), _created(row), schema, packed_rows.PUSHED)
        packed.append((tag, form.pack(header, values)))
    return packed
