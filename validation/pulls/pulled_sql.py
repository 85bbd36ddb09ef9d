"""The SQL of a pull: what is new in a table elsewhere, as a temporary table and then as a file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from transformations.contracts.model import TableServer
from transformations.engine.base.duck import identifier, identifiers, literal
from validation.pulls.watermarks import Mark

FACTS_QUERY = "SELECT count(*), count(*) - count(_mark), max(_mark) FROM pulled"
"""The rows pulled, those without a watermark, and the greatest watermark."""

_WATERMARKS = re.compile(r"TIMESTAMP.*|DATE|U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|DECIMAL\(\d+,0\)")
_PORTABLE = {"HUGEINT": "BIGINT", "UHUGEINT": "BIGINT", "UUID": "VARCHAR"}
"""Types that Parquet does not hold exactly, or holds as bytes: sums of integers, for one, would be rounded doubles.
A number beyond 64 bits ends the pull."""


def attach_statement(place: Path) -> str:
    """Attach a DuckDB file as `elsewhere`, to be read only."""
    return f"ATTACH {literal(str(place))} AS elsewhere (READ_ONLY)"


def attached_table(server: TableServer) -> str:
    """The server's table in an attached file."""
    return f"elsewhere.{identifier(server.schema or 'main')}.{identifier(server.table)}"


def described_query(table: str) -> str:
    """The columns of the table, with their types."""
    return f"DESCRIBE SELECT * FROM {table}"


def portable_columns(kinds: Mapping[str, str]) -> str:
    """The list of columns, by name their types, each as a type that Parquet holds exactly."""
    return ", ".join(
        f"CAST({identifier(name)} AS {_PORTABLE[kind]}) AS {identifier(name)}"
        if kind in _PORTABLE
        else identifier(name)
        for name, kind in kinds.items()
    )


def can_be_watermark(kind: str) -> bool:
    """Whether values of a type are times, dates or whole numbers."""
    return _WATERMARKS.fullmatch(kind) is not None


def finite_mark(watermark: str, kinds: Mapping[str, str]) -> str:
    """The watermark, null where it is infinite: nothing would ever be later."""
    name, kind = identifier(watermark), kinds[watermark]
    return f"CASE WHEN isfinite({name}) THEN {name} END" if kind.startswith(("TIMESTAMP", "DATE")) else name


def newest_query(table: str, mark: str) -> str:
    """The greatest watermark of the table; null where it has no row."""
    return f"SELECT max({mark}) FROM {table}"


def empty_statement(table: str, columns: str, target: Path) -> str:
    """Write the columns without a row to a Parquet file."""
    return f"COPY (SELECT {columns} FROM {table} LIMIT 0) TO {literal(str(target))} (FORMAT parquet)"


def pull_statement(table: str, columns: str, mark: str | None, since: Mark | None) -> str:
    """Make `pulled` of the rows from a watermark on, and of those without one; their watermark is `_mark`."""
    mark = mark or "NULL"
    where = "" if since is None else f" WHERE {mark} >= {_mark_literal(since)} OR {mark} IS NULL"
    return f"CREATE TEMP TABLE pulled AS SELECT {columns}, {mark} AS _mark FROM {table}{where}"


def write_statement(columns: Sequence[str], target: Path) -> str:
    """Write the pulled rows to a Parquet file."""
    return f"COPY (SELECT {identifiers(columns)} FROM pulled) TO {literal(str(target))} (FORMAT parquet)"


def _mark_literal(mark: Mark) -> str:
    return f"TIMESTAMP '{mark.isoformat(sep=' ')}'" if isinstance(mark, datetime) and not mark.tzinfo else literal(mark)
