"""The Delta features that we can read; tables with any other are refused, so that none is misread.

A table's protocol lists the features that a reader must understand. We read the list of files, their partition values
and the files themselves; a feature that makes the rows differ from these is refused by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow as pa

from transformations.engine.base.errors import DataError
from transformations.engine.base.file_rows_sql import FolderColumn
from transformations.engine.base.words import plural

if TYPE_CHECKING:
    from deltalake import DeltaTable

_LEGACY, _BY_FEATURES = 2, 3
"""Reader versions: at most the first asks only for column mapping; the second lists its features by name."""

# What these change shows in the files themselves, or does not concern a reader of the current rows.
_UNDERSTOOD = frozenset(
    {
        "timestampNtz",  # naive timestamps, which are UTC as everywhere
        "typeWidening",  # older files hold narrower types, and each file is read in its own
        "typeWidening-preview",
        "v2Checkpoint",  # delta-rs reads them
        "vacuumProtocolCheck",
    }
)
_LOOKED_AT = frozenset({"columnMapping", "deletionVectors"})
_MAPPING_MODE, _PHYSICAL_NAME = "delta.columnMapping.mode", "delta.columnMapping.physicalName"
_SQL_TYPES = {
    "string": "VARCHAR",
    "bool": "BOOLEAN",
    "int8": "TINYINT",
    "int16": "SMALLINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "float": "REAL",
    "double": "DOUBLE",
    "date32[day]": "DATE",
}
_ANEW = "Write its rows into a new table without that (CREATE TABLE … AS SELECT), or drop the feature there"


def check_readable(table: DeltaTable, name: str) -> None:
    """Raise DataError where the files alone would not give the table's rows."""
    protocol = table.protocol()
    features = frozenset(protocol.reader_features or ())
    if protocol.min_reader_version > _BY_FEATURES:
        raise _unknown_feature_error(name, f"version {protocol.min_reader_version} of the reader protocol")
    for feature in sorted(features - _UNDERSTOOD - _LOOKED_AT):
        raise _unknown_feature_error(name, f"the reader feature {feature!r}")
    if protocol.min_reader_version == _LEGACY or "columnMapping" in features:
        _check_column_mapping(table, name)
    if "deletionVectors" in features:
        _check_deletion_vectors(table, name)
    _check_partitions(table, name)


def unreadable(name: str, error: Exception) -> DataError:
    """The error for a table that delta-rs itself cannot open."""
    return DataError(f"{name}: its Delta log cannot be read: {error}. {_ANEW}.")


def partition_columns(table: DeltaTable, files: Sequence[str]) -> dict[str, FolderColumn]:
    """The partition columns of a table, by the values in its log; folder names do not count.

    files: the names to give the table's files, in their order.
    """
    actions = pa.table(table.get_add_actions(flatten=True))
    columns = {name: actions[f"partition.{name}"] for name in table.metadata().partition_columns}
    return {
        name: FolderColumn(_sql_type(column.type), dict(zip(files, map(_json_value, column.to_pylist()), strict=True)))
        for name, column in columns.items()
    }


def _sql_type(kind: pa.DataType) -> str:
    if pa.types.is_timestamp(kind):
        return "TIMESTAMPTZ" if kind.tz else "TIMESTAMP"
    if pa.types.is_decimal(kind):
        return f"DECIMAL({kind.precision}, {kind.scale})"
    return _SQL_TYPES[str(kind)]


def _json_value(value: object) -> object:
    return str(value) if isinstance(value, Decimal) else value


def _check_column_mapping(table: DeltaTable, name: str) -> None:
    mode = table.metadata().configuration.get(_MAPPING_MODE) or "none"
    if mode == "none":
        return
    physical = {field.name: field.metadata.get(_PHYSICAL_NAME) for field in table.schema().fields}
    renamed = [f"{logical!r} as {stored!r}" for logical, stored in physical.items() if stored not in (None, logical)]
    if mode == "name" and not renamed:
        return  # nothing was renamed since the mapping was switched on
    how = f"its files call {renamed[0]}" if renamed else f"its files' columns are found by number (mode {mode!r})"
    raise DataError(
        f"{name}: the Delta table maps its columns to others in its files ({how}), which cannot be read by name. "
        f"Write its rows into a new table without that (CREATE TABLE … AS SELECT), or end the mapping there: "
        f"ALTER TABLE … SET TBLPROPERTIES ('{_MAPPING_MODE}' = 'none')."
    )


def _check_partitions(table: DeltaTable, name: str) -> None:
    keys = table.metadata().partition_columns
    for field in pa.schema(table.schema().to_arrow()):
        if field.name in keys and pa.types.is_binary(field.type):
            raise DataError(
                f"{name}: the Delta table is partitioned by {field.name!r}, whose bytes its log holds as escaped text, "
                f"which this store does not read. Write its rows into a table that is partitioned by another column."
            )


def _check_deletion_vectors(table: DeltaTable, name: str) -> None:
    from deltalake.exceptions import DeltaError

    try:
        files = [path for batch in table.deletion_vectors() for path in pa.record_batch(batch)["filepath"].to_pylist()]
    except DeltaError as error:
        raise unreadable(name, error) from error
    if files:
        raise DataError(
            f"{name}: the Delta table has {plural(len(files), 'file')} with deletion vectors, whose deleted "
            f"rows this store would read, such as {files[0]}. Rewrite them there without: REORG TABLE … APPLY (PURGE)."
        )


def _unknown_feature_error(name: str, what: str) -> DataError:
    return DataError(f"{name}: the Delta table asks its readers for {what}, which this store does not have. {_ANEW}.")
