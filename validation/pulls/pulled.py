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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import TypeAlias

from transformations.contracts import Contract
from transformations.contracts.model import TableServer
from transformations.engine.base.files.scratch import scratch_folder
from transformations.engine.base.settings import Settings
from transformations.engine.raw.drops import Origin, RawSnapshot
from validation.pulls import duckdb_rows, spark_rows, sqlalchemy_rows
from validation.pulls.table_types import NewRows
from validation.pulls.watermarks import Mark, recorded_mark

_Reader: TypeAlias = Callable[[Contract, TableServer, Mark | None, Path, Settings], NewRows]
_READERS: Mapping[str, _Reader] = {
    "duckdb": duckdb_rows.write_new_rows,
    "delta": duckdb_rows.write_new_rows,
    "sqlalchemy": sqlalchemy_rows.write_new_rows,
    "spark": spark_rows.write_new_rows,
}


@dataclass(frozen=True, kw_only=True)
class Pulled:
    """The rows of a pull, in the Parquet files of a folder.

    mark: the watermark to record, None where the table has none. notes: what was found of the table.
    """

    name: str
    path: Path
    rows: int
    server: TableServer
    mark: Mark | None
    notes: tuple[str, ...]

    def origin(self, found: Origin) -> Origin:
        """The rows' origin as the raw zone records it: the table, and how far it was read."""
        watermark = None if self.mark is None else mark_text(self.server, self.mark)
        content = hashlib.sha256(f"{found.content_hash} {watermark}".encode()).hexdigest()
        return replace(found, file_name=self.name, content_hash=content, files={}, watermark=watermark)


@contextmanager
def pulled(contract: Contract, server: TableServer, before: RawSnapshot | None, settings: Settings) -> Iterator[Pulled]:
    """Pull what is new since the stored watermark into a folder that lives as long as the context.

    DataError for a table that cannot be read, whose columns or types are not the contract's, or that has rows without a
    watermark; ServiceUnavailableError for a database that does not answer.
    """
    recorded = _last_mark(server, before)
    with scratch_folder("features-pull-", settings.ingest_spill) as folder:
        found = _READERS[server.kind](contract, server, recorded, folder, settings)
        mark = recorded_mark(found.mark, contract, settings.now())
        yield Pulled(
            name=f"{contract.name}, pulled",
            path=folder,
            rows=found.rows,
            server=server,
            mark=recorded if mark is None else mark,
            notes=found.notes,
        )


def mark_text(server: TableServer, mark: Mark) -> str:
    """A watermark as the drop's commit records it; the next pull reads it back."""
    text = mark if isinstance(mark, int) else mark.isoformat()
    return json.dumps({"column": server.watermark, "type": type(mark).__name__, "value": text})


_TYPES = {"datetime": datetime, "date": date}


def _last_mark(server: TableServer, before: RawSnapshot | None) -> Mark | None:
    """How far the table was read before; None for not at all, as at first or after another column was chosen."""
    recorded = next((drop.watermark for drop in reversed(before.drops) if drop.watermark), None) if before else None
    if recorded is None or server.watermark is None:
        return None
    facts = json.loads(recorded)
    if facts["column"] != server.watermark:
        return None
    mark: Mark = facts["value"] if facts["type"] == "int" else _TYPES[facts["type"]].fromisoformat(facts["value"])
    return mark
