"""A delivered Parquet file as DuckDB reads it: its columns' own names, and the types that its writer meant.

Parquet has no type for a duration, pandas' periods or many decimals, and its timestamps of 96 bits do not say whether
they have a zone. What was meant stands in the metadata of Arrow or Spark, which DuckDB passes over:

    written by            as                    read by DuckDB as    meant
    pandas.Timedelta      int64 of nanoseconds  BIGINT               DURATION[ns]
    pandas.Period         int64 of ordinals     BIGINT               EXTENSION pandas.period
    decimal(50, 2)        21 bytes              DOUBLE, rounded      NUMERIC(50,2)
    Spark's timestamp     INT96, in UTC         TIMESTAMP            INT96 in UTC
    numpy.float16         2 bytes               FLOAT                FLOAT16
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from transformations.engine.base.errors import DataError
from validation.files.files_sql import described_query, parquet_relation, parquet_schema_query

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

HALF_FLOAT = "FLOAT16"
LEGACY_TIMESTAMP = "INT96"  # a naive timestamp of nanoseconds, as older writers made it
LEGACY_INSTANT = "INT96 in UTC"  # one whose writer had a time zone

_ARROW_SCHEMA = b"ARROW:schema"
_SPARK_SCHEMA = b"org.apache.spark.sql.parquet.row.metadata"
_WIDEST_DECIMAL = 38  # digits that DuckDB holds exactly
_UNITS = ("us", "ns")
_LAST_NANOSECOND = 2**63 - 1


def parquet_columns(connection: DuckDBPyConnection, path: Path) -> tuple[list[str], list[str]]:
    """The names that the file itself gives its columns, and their types; DuckDB would rename the second of a name."""
    described = connection.execute(described_query(parquet_relation(path))).fetchall()
    schema = connection.execute(parquet_schema_query(path)).fetchall()
    tops, position = [], 1
    while position < len(schema):
        tops.append(schema[position])
        position = _end_of_column(schema, position)
    names = [str(name) for name, _, _ in tops]
    read = [
        LEGACY_TIMESTAMP if kind == LEGACY_TIMESTAMP else str(row[1])
        for (_, kind, _), row in zip(tops, described, strict=True)
    ]
    return names, _meant_types(path, names, read)


def rows_finer_than_microseconds(path: Path, column: str) -> list[int]:
    """The rows (from 1) of a legacy timestamp column whose nanoseconds DuckDB, reading microseconds, would cut off."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    micros, nanos = (
        pq.ParquetFile(path, coerce_int96_timestamp_unit=unit).read(columns=[column]).column(0).cast("int64")
        for unit in _UNITS
    )
    # Nanoseconds in 64 bits end in 2262: beyond, only the microseconds mean anything.
    fits = pc.less(pc.abs(micros), _LAST_NANOSECOND // 1000)
    cut = pc.and_(fits, pc.not_equal(pc.multiply(pc.divide(nanos, 1000), 1000), nanos))
    return [int(row) + 1 for row in pc.indices_nonzero(cut).to_pylist()]


def _end_of_column(schema: Sequence[tuple[str, str, int]], position: int) -> int:
    """The position after a column and all that is nested in it; a schema is listed parents first."""
    children, position = schema[position][2], position + 1
    for _ in range(children):
        position = _end_of_column(schema, position)
    return position


def _meant_types(path: Path, names: Sequence[str], read: Sequence[str]) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_metadata(path)
        notes, fields = metadata.metadata or {}, metadata.schema.to_arrow_schema()
        # The notes say more than what Arrow makes of them: it forgets the zone of 96 bits.
        noted = pa.ipc.read_schema(pa.py_buffer(b64decode(notes[_ARROW_SCHEMA]))) if _ARROW_SCHEMA in notes else fields
        spark = _spark_types(notes.get(_SPARK_SCHEMA, b"{}"))
    except (pa.ArrowException, ValueError, TypeError, AttributeError, LookupError) as error:
        raise DataError(f"{path.name} cannot be read: its schema is broken ({error}). Deliver it again.") from None
    arrow = {field.name: field for field in (*fields, *noted)}
    return [_meant_type(arrow[name], spark.get(name, ""), kind) for name, kind in zip(names, read, strict=True)]


def _meant_type(field: pa.Field, spark: str, read: str) -> str:
    """The type that Arrow or Spark wrote, where the one that DuckDB reads is another."""
    import pyarrow as pa

    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    name = getattr(kind, "extension_name", "") or (field.metadata or {}).get(b"ARROW:extension:name", b"").decode()
    if name:
        return f"EXTENSION {name}"
    if pa.types.is_float16(kind):
        return HALF_FLOAT
    if pa.types.is_duration(kind):
        return f"DURATION[{kind.unit}]"
    if spark.startswith("interval"):
        return spark.upper()
    if pa.types.is_decimal(kind) and kind.precision > _WIDEST_DECIMAL:
        return f"NUMERIC({kind.precision},{kind.scale})"
    has_zone = spark == "timestamp" or (pa.types.is_timestamp(kind) and kind.tz is not None)
    return LEGACY_INSTANT if read == LEGACY_TIMESTAMP and has_zone else read


def _spark_types(schema: bytes) -> Mapping[str, str]:
    """By column, the type that Spark notes beside the file's own; nested ones left out."""
    fields = json.loads(schema).get("fields", [])
    return {field["name"]: field["type"] for field in fields if isinstance(field["type"], str)}
