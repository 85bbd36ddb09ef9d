"""Arrow tables that are kept in memory as long as they fit, and in a file of the spill folder from then on."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

import pyarrow as pa

from transformations.engine.base.storage import make_folder

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


class Spill:
    """Keeps tables. Those beyond `budget` bytes together come back as views of a file, which the system reads as needed
    and may forget under pressure; the file is gone once nobody holds its tables.
    """

    def __init__(self, folder: Path, budget: int) -> None:
        self._folder = folder
        self._left = budget

    def keep(self, table: pa.Table) -> pa.Table:
        """The same content, in memory or in a file."""
        if table.nbytes <= self._left:
            self._left -= table.nbytes
            return table
        make_folder(self._folder)
        with NamedTemporaryFile(dir=self._folder, prefix="rows-", suffix=".arrow", delete=False) as file:
            with pa.ipc.new_file(file, table.schema) as writer:
                writer.write_table(table)
            path = Path(file.name)
        source = pa.memory_map(str(path))
        with suppress(PermissionError):  # where an open file cannot be removed, it goes with the folder
            path.unlink()
        return pa.ipc.open_file(source).read_all()


def spill_of(connection: DuckDBPyConnection, share: float) -> Spill:
    """What may take this share of a session's memory limit, and its spill folder beyond."""
    query = "SELECT current_setting('temp_directory'), current_setting('memory_limit')"
    ((folder, limit),) = connection.execute(query).fetchall()
    found = re.fullmatch(r"([\d.]+) (\w+)", limit)
    assert found, f"DuckDB tells its memory limit as {limit!r}"
    return Spill(Path(folder), int(float(found[1]) * _UNITS[found[2]] * share))
