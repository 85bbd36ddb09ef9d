"""A delivered file as DuckDB reads it: Parquet with its own types, or CSV whose cells are all text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from transformations.engine.duck import identifier, identifiers, literal
from transformations.engine.errors import DataError, UsageError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

ROW = "_row"
TEXT_CELL = "text"  # the type of every CSV column
LEGACY_TIMESTAMP = "INT96"  # a naive timestamp of nanoseconds, as older writers made it

_UNITS = ("us", "ns")
_LAST_NANOSECOND = 2**63 - 1
_CSV_ENDINGS = (".csv", ".csv.gz", ".csv.zst", ".tsv")


@dataclass(frozen=True)
class DropFile:
    """A readable file: its path and, by column, the type that it stores (DuckDB's name of it)."""

    path: Path
    types: dict[str, str]

    @property
    def name(self) -> str:
        """The file's name, as messages say it."""
        return self.path.name

    def rows(self, columns: Iterable[str]) -> str:
        """A FROM item with these columns and `_row`, the row's number from 1 (a CSV header is not counted)."""
        names = identifiers(columns)
        chosen = f"{names}, " if names else ""
        if _is_csv(self.path):
            return f"(SELECT {chosen}row_number() OVER () AS {ROW} FROM {_csv(self.path)})"
        return f"(SELECT {chosen}file_row_number + 1 AS {ROW} FROM {_parquet(self.path)})"


def open_drop(connection: DuckDBPyConnection, path: Path) -> DropFile:
    """The file at a path; UsageError where there is none of a kind we read, DataError where it is damaged."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder. Ingest its files one by one, each as a drop of its own.")
    if not path.is_file():
        raise UsageError(f"{path}: no such file. Give the path of a Parquet or CSV file.")
    if not _is_csv(path) and not path.name.lower().endswith((".parquet", ".pq")):
        raise UsageError(
            f"{path.name}: neither Parquet nor CSV by its name. Name it *.parquet, *.csv, *.csv.gz or *.tsv."
        )
    with readable(path):
        relation = _csv(path) if _is_csv(path) else f"read_parquet({literal(str(path))}, hive_partitioning = false)"
        described = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
        types = {row[0]: TEXT_CELL if _is_csv(path) else str(row[1]) for row in described}
        if not _is_csv(path):
            types |= dict.fromkeys(_legacy_timestamps(connection, path) & types.keys(), LEGACY_TIMESTAMP)
    return DropFile(path, types)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Reading a file in here, a damaged one is a DataError that names it."""
    import duckdb

    our_faults = (duckdb.BinderException, duckdb.ParserException, duckdb.CatalogException, duckdb.ConversionException)
    try:
        yield
    except duckdb.Error as error:
        if isinstance(error, (*our_faults, duckdb.InternalException, duckdb.OutOfMemoryException)):
            raise
        reason = str(error).splitlines()[0].rstrip(".")
        raise DataError(f"{path.name} cannot be read: {reason}. Deliver the file again.") from None


def finer_than_microseconds(path: Path, column: str) -> list[int]:
    """The rows (from 1) of a legacy timestamp column whose nanoseconds DuckDB, reading microseconds, would cut off."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    micros, nanos = (
        pq.read_table(path, columns=[column], coerce_int96_timestamp_unit=unit).column(0).cast("int64")
        for unit in _UNITS
    )
    # Nanoseconds in 64 bits end in 2262: beyond, only the microseconds mean anything.
    fits = pc.less(pc.abs(micros), _LAST_NANOSECOND // 1000)
    cut = pc.and_(fits, pc.not_equal(pc.multiply(pc.divide(nanos, 1000), 1000), nanos))
    return [int(row) + 1 for row in pc.indices_nonzero(cut).to_pylist()]


def _legacy_timestamps(connection: DuckDBPyConnection, path: Path) -> set[str]:
    query = f"SELECT {identifier('name')} FROM parquet_schema({literal(str(path))}) WHERE type = 'INT96'"
    return {str(row[0]) for row in connection.execute(query).fetchall()}


def _is_csv(path: Path) -> bool:
    return path.name.lower().endswith(_CSV_ENDINGS)


def _csv(path: Path) -> str:
    delimiter = ", delim = '\t'" if path.name.lower().endswith(".tsv") else ""
    return f"read_csv({literal(str(path))}, all_varchar = true, header = true{delimiter})"


def _parquet(path: Path) -> str:
    return f"read_parquet({literal(str(path))}, file_row_number = true, hive_partitioning = false)"
