"""The rows of Parquet files in SQL, each with its file and its number, whatever the files' columns are called.

DuckDB numbers files and rows in columns called `file_index` and `file_row_number`; a file's own column of that name
silently hides them. So each column of a file gets a prefix that no other name has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transformations.engine.base.duck import identifier, identifiers, literal, parquet

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

FILE, ROW = "of_file", "of_row"
"""The number of a row's file, in the type of DuckDB's `file_index`, and of the row in its file; both from 0."""


@dataclass(frozen=True)
class FolderColumn:
    """A column that the files lack: its SQL type, and its value for each file."""

    sql_type: str
    values: Mapping[str, object]

    def of(self, files: Sequence[str]) -> str:
        """The column in SQL, over these files."""
        values = [self.values[file] for file in files]
        if len(set(values)) == 1:
            return f"CAST({literal(values[0])} AS {self.sql_type})"
        return f"CAST([{', '.join(map(literal, values))}] AS {self.sql_type}[])[CAST(files.file_index AS BIGINT) + 1]"


@dataclass(frozen=True)
class Scan:
    """The rows of files as one relation. types: the SQL type of each column, by its name in the files.

    relation: a FROM item with `column(name)` for each column, `FILE` and `ROW`. A column that a file lacks is null for
    its rows.
    """

    files: tuple[str, ...]
    types: Mapping[str, str]
    relation: str
    folder_columns: Mapping[str, FolderColumn]

    def schema(self, connection: DuckDBPyConnection) -> pa.Schema:
        """The Arrow types of the columns as they are read, by their names in the files; no rows are."""
        query = f"SELECT {named(self.types)} FROM {self.relation} LIMIT 0"
        return connection.sql(query).to_arrow_table().schema

    def only(self, connection: DuckDBPyConnection, files: Sequence[str]) -> str:
        """The same relation over some of the files, numbered in this order."""
        return _relation(files, _types_of(connection, files), self.folder_columns, self.types)

    def of_file(self, file: str, there: Sequence[str], columns: Iterable[str]) -> str:
        """The same relation over one file, restricted to `columns`; the file holds the columns `there`, in order."""
        return _relation([file], there, self.folder_columns, {name: self.types[name] for name in columns})


def scan(
    connection: DuckDBPyConnection, files: Sequence[str], folder_columns: Mapping[str, FolderColumn] | None = None
) -> Scan:
    """The rows of these files, at least one. A folder column counts only where no file has a column of its name."""
    there = _types_of(connection, files)
    further = {name: each for name, each in (folder_columns or {}).items() if name not in there}
    types = there | {name: each.sql_type for name, each in further.items()}
    return Scan(tuple(files), types, _relation(files, there, further, types), further)


def column(name: str) -> str:
    """The name in the relation of a column of the files."""
    return f"file.{name}"


def quoted(name: str) -> str:
    """`column(name)` as a quoted identifier."""
    return identifier(column(name))


def named(names: Iterable[str]) -> str:
    """A SELECT list of columns under their names in the files."""
    return ", ".join(f"{quoted(name)} AS {identifier(name)}" for name in names)


def _types_of(connection: DuckDBPyConnection, files: Sequence[str]) -> dict[str, str]:
    described = connection.execute(f"DESCRIBE SELECT * FROM {parquet(files)}").fetchall()
    return {str(row[0]): str(row[1]) for row in described}


def _relation(
    files: Sequence[str],
    there: Iterable[str],
    folder_columns: Mapping[str, FolderColumn],
    types: Mapping[str, str],
) -> str:
    names = list(there)
    known = {name.lower() for name in names}
    columns = [quoted(name) for name in names]
    for name, sql_type in types.items():
        if name.lower() not in known:
            value = folder_columns[name].of(files) if name in folder_columns else f"CAST(NULL AS {sql_type})"
            columns.append(f"{value} AS {quoted(name)}")
    return (
        f"(SELECT {', '.join(columns)}, files.file_index AS {FILE}, files.file_row_number AS {ROW}\n"
        f"    FROM {parquet(files)} AS files({identifiers(map(column, names))}))"
    )
