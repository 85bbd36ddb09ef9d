"""The SQL of merging files: their rows in one order, and a digest of them in any. DuckDB only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from transformations.engine.base.duck import identifier
from transformations.engine.base.file_rows_sql import FILE, ROW, quoted, scan

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def ordered_query(connection: DuckDBPyConnection, files: Sequence[str], schema: pa.Schema, order: Sequence[str]) -> str:
    """A query of the columns of a schema, ordered by some of them and then as the files have them."""
    rows = scan(connection, files)
    columns = _columns(list(rows.types), schema)
    by = [*(f"{columns[name]} NULLS FIRST" for name in order), FILE, ROW]
    chosen = ", ".join(f"{value} AS {identifier(name)}" for name, value in columns.items())
    return f"SELECT {chosen} FROM {rows.relation} ORDER BY {', '.join(by)}"


def content_query(connection: DuckDBPyConnection, files: Sequence[str], schema: pa.Schema) -> str:
    """A query of the number of rows and the sum of their hashes."""
    rows = scan(connection, files)
    hashes = ", ".join(_columns(list(rows.types), schema).values())
    return f"SELECT count(*), sum(hash({hashes})) FROM {rows.relation}"


def _columns(present: Sequence[str], schema: pa.Schema) -> dict[str, str]:
    return {name: quoted(name) if name in present else "NULL" for name in schema.names}
