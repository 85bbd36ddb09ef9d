"""What is new in a source's table elsewhere, pulled into a file that is then checked as any delivery is.

A watermark is the greatest value of the contract's column that a pull has seen. The next pull asks for all rows from
`overlap` before it on, so that rows which were committed late are found; those that are stored already are known by
their key:

    overlap 2   watermark 7   rows with 5, 6, 7 again, and 8, 9 new   watermark 9

The watermark is stored in the commit of the rows. A pull that was killed has stored neither, and is simply repeated.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path

from transformations.contracts import Contract
from transformations.contracts.model import TableServer
from transformations.engine.base import duck, storage
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.settings import Settings
from transformations.engine.raw.drops import Origin, RawSnapshot
from validation.pulls import pulled_sql
from validation.pulls.sqlalchemy_rows import write_new_rows
from validation.pulls.watermarks import Mark, checked_mark, refuse_missing, without_mark


@dataclass(frozen=True, kw_only=True)
class Pulled:
    """The rows of a pull, in a Parquet file; mark: the greatest watermark seen, None where the table has none."""

    name: str
    path: Path
    rows: int
    server: TableServer
    mark: Mark | None

    def origin(self, found: Origin) -> Origin:
        """What the raw zone notes of the rows' origin: the table, and how far it was read."""
        watermark = None if self.mark is None else mark_text(self.server, self.mark)
        content = hashlib.sha256(f"{found.content_hash} {watermark}".encode()).hexdigest()
        return replace(found, file_name=self.name, content_hash=content, watermark=watermark)


@contextmanager
def pulled(contract: Contract, server: TableServer, before: RawSnapshot | None, settings: Settings) -> Iterator[Pulled]:
    """Pull what is new since the stored watermark into a file that lives as long as the context.

    DataError for a table that cannot be read, lacks columns of the contract, or has rows without a watermark.
    """
    since = _since(server, before)
    name = f"{contract.name}, pulled"
    with tempfile.TemporaryDirectory(prefix="features-pull-") as folder:
        path = Path(folder) / "pulled.parquet"
        if server.kind == "sqlalchemy":
            rows, mark = write_new_rows(contract, server, since, path)
        else:
            rows, mark = _write_new_rows(contract, server, since, path, settings)
        yield Pulled(name=name, path=path, rows=rows, server=server, mark=mark)


def mark_text(server: TableServer, mark: Mark) -> str:
    """A watermark as the drop's commit records it; `_since` reads it back."""
    text = mark if isinstance(mark, int) else mark.isoformat()
    return json.dumps({"column": server.watermark, "type": type(mark).__name__, "value": text})


_TYPES = {"datetime": datetime, "date": date}


def _since(server: TableServer, before: RawSnapshot | None) -> Mark | None:
    """From which watermark on rows are asked for; None for all, as at first or after another column was chosen."""
    recorded = next((drop.watermark for drop in reversed(before.drops) if drop.watermark), None) if before else None
    if recorded is None or server.watermark is None:
        return None
    facts = json.loads(recorded)
    if facts["column"] != server.watermark:
        return None
    value, overlap = facts["value"], server.overlap
    mark: Mark = value if facts["type"] == "int" else _TYPES[facts["type"]].fromisoformat(value)
    if isinstance(mark, int):
        if isinstance(overlap, timedelta):
            raise UsageError(f"the overlap of {server.table} is a duration, its watermark a number. Write a number.")
        return mark - overlap
    if isinstance(overlap, timedelta):
        return mark - overlap
    if overlap:
        raise UsageError(f"the overlap of {server.table} is a number, its watermark a time. Write a duration: PT1H.")
    return mark


def _write_new_rows(
    contract: Contract, server: TableServer, since: Mark | None, target: Path, settings: Settings
) -> tuple[int, Mark | None]:
    """Write the new rows of a DuckDB or Delta table to a Parquet file; how many there are, and the new watermark."""
    import duckdb

    place = settings.project_root / server.place
    with duck.private_session() as connection:
        try:
            if server.kind == "duckdb":
                if not place.is_file():
                    raise DataError(f"{contract.file_name}: {place}: no such DuckDB file. Correct `database`.")
                connection.execute(pulled_sql.attach_statement(place))
                table = pulled_sql.attached_table(server)
            else:
                if not storage.is_table(place):
                    raise DataError(f"{contract.file_name}: {place} is no Delta table. Correct `path`.")
                connection.register("elsewhere", storage.open_table(place).to_pyarrow_dataset())
                table = "elsewhere"
            found = [row[0] for row in connection.execute(pulled_sql.described_query(table)).fetchall()]
            refuse_missing(contract, server, found)
            columns = [column.in_file for column in contract.columns]
            connection.execute(pulled_sql.pull_statement(table, columns, server.watermark, since))
            facts = connection.sql(pulled_sql.FACTS_QUERY).to_arrow_table()
            rows, unmarked, newest = (column[0].as_py() for column in facts.columns)
            if server.watermark and unmarked:
                raise without_mark(contract, server, unmarked)
            connection.execute(pulled_sql.write_statement(columns, target))
        except duckdb.Error as error:
            raise DataError(
                f"{contract.file_name}: table {server.table} of {place} cannot be read: {str(error).splitlines()[0]}"
            ) from None
    found_mark = checked_mark(contract, server, newest)
    return rows, found_mark if found_mark is not None or since is None else since
