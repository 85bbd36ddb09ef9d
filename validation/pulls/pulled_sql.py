"""The SQL of a pull: what is new in a table elsewhere, as a temporary table and then as a file."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from transformations.contracts.model import TableServer
from transformations.engine.base.duck import identifier, identifiers, literal
from validation.pulls.watermarks import Mark

FACTS_QUERY = "SELECT count(*), count(*) - count(_mark), max(_mark) FROM pulled"
"""The rows pulled, those without a watermark, and the greatest watermark."""


def attach_statement(place: Path) -> str:
    """Attach a DuckDB file as `elsewhere`, to be read only."""
    return f"ATTACH {literal(str(place))} AS elsewhere (READ_ONLY)"


def attached_table(server: TableServer) -> str:
    """The server's table in an attached file."""
    return f"elsewhere.{identifier(server.schema or 'main')}.{identifier(server.table)}"


def described_query(table: str) -> str:
    """The columns of the table."""
    return f"DESCRIBE SELECT * FROM {table}"


def pull_statement(table: str, columns: Sequence[str], watermark: str | None, since: Mark | None) -> str:
    """Make `pulled` of the rows from a watermark on, and of those without one; their watermark is `_mark`."""
    mark = identifier(watermark) if watermark else "NULL"
    where = "" if since is None else f" WHERE {mark} >= {_mark_literal(since)} OR {mark} IS NULL"
    return f"CREATE TEMP TABLE pulled AS SELECT {identifiers(columns)}, {mark} AS _mark FROM {table}{where}"


def write_statement(columns: Sequence[str], target: Path) -> str:
    """Write the pulled rows to a Parquet file."""
    return f"COPY (SELECT {identifiers(columns)} FROM pulled) TO {literal(str(target))} (FORMAT parquet)"


def _mark_literal(mark: Mark) -> str:
    return f"TIMESTAMP '{mark.isoformat(sep=' ')}'" if isinstance(mark, datetime) and not mark.tzinfo else literal(mark)
