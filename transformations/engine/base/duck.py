"""DuckDB as the engine uses it: sessions in UTC that spill to a folder of their own, SQL built from quoted pieces."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from transformations.engine.base.disk_faults import note_reads
from transformations.engine.base.errors import UsageError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_WILDCARDS = re.compile(r"[*?[]")
_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


@contextmanager
def session() -> Iterator[DuckDBPyConnection]:
    """An in-memory DuckDB whose timestamps are UTC; what does not fit into memory spills to a temporary folder."""
    import duckdb

    with tempfile.TemporaryDirectory(prefix="features-duckdb-") as spill, duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"SET temp_directory = {literal(spill)}")
        connection.execute("SET preserve_insertion_order = true")
        yield connection


@contextmanager
def beside(connection: DuckDBPyConnection) -> Iterator[DuckDBPyConnection]:
    """A second connection to the same DuckDB: it may consume what the first one streams, and has names of its own."""
    with connection.cursor() as second:
        second.execute("SET TimeZone = 'UTC'")
        yield second


def identifier(name: str) -> str:
    """A quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def identifiers(names: Iterable[str], table: str | None = None) -> str:
    """Quoted identifiers with commas between, each of `table` where one is given."""
    prefix = f"{identifier(table)}." if table else ""
    return ", ".join(prefix + identifier(name) for name in names)


def literal(value: object) -> str:
    """A value as SQL: text, numbers, booleans, dates, aware datetimes (as an instant) and null."""
    match value:
        case None:
            return "NULL"
        case bool():
            return "TRUE" if value else "FALSE"
        case int():
            return str(value)
        case float():
            return f"CAST('{value!r}' AS DOUBLE)"
        case datetime():
            return f"TIMESTAMPTZ '{value.isoformat(sep=' ')}'"
        case date():
            return f"DATE '{value.isoformat()}'"
        case str():
            return "'" + value.replace("'", "''") + "'"
    raise TypeError(f"no SQL literal for {value!r} of type {type(value).__name__}")


def file_literal(file: str | Path) -> str:
    """The path of one file as SQL for DuckDB's readers, which would take `*`, `?` and `[` of a name for a pattern.

    Relative paths count from the working directory. UsageError for a name with both a wildcard and a backslash, which
    DuckDB cannot be told.
    """
    path = file if isinstance(file, str) and _REMOTE.match(file) else str(Path(file).absolute())
    note_reads([path])
    if "\\" in path and _WILDCARDS.search(path):
        raise UsageError(f"{path}: cannot be read, for its name holds both a backslash and one of * ? [. Rename it.")
    return literal(_WILDCARDS.sub(r"[\g<0>]", path))


def parquet(files: Sequence[str | Path]) -> str:
    """A FROM item over Parquet files that may differ in their columns: a column that one lacks is null there."""
    paths = ", ".join(file_literal(file) for file in files)
    return f"read_parquet([{paths}], union_by_name = true, hive_partitioning = false)"


def parquet_keys(files: Sequence[str | Path], file_column: str) -> str:
    """A FROM item over columns that all of these Parquet files have, with a column of the file that each row is in."""
    paths = ", ".join(file_literal(file) for file in files)
    return f"read_parquet([{paths}], filename = {literal(file_column)}, hive_partitioning = false)"


def same(left: str, right: str, columns: Iterable[str]) -> str:
    """The condition that two relations agree in all these columns, null equal to null."""
    pairs = (f"{left}.{identifier(name)} IS NOT DISTINCT FROM {right}.{identifier(name)}" for name in columns)
    return " AND ".join(pairs) or "TRUE"
