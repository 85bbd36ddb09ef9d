"""Keeps Arrow tables in memory up to a budget, and further ones in files of the spill folder."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

import pyarrow as pa

from transformations.engine.base.storage import make_folder
from transformations.stores.history.session_sql import spill_settings

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


class Spill:
    """Keeps tables; those beyond `budget` bytes in total become views of memory-mapped files.

    left: how many bytes may still stay in memory. The system reads such a file as needed and may drop its pages; the
    file is gone once its tables are released.
    """

    def __init__(self, folder: Path, budget: int) -> None:
        self._folder = folder
        self.left = budget

    def keep(self, table: pa.Table) -> pa.Table:
        """The same content, in memory or in a file."""
        if table.nbytes <= self.left:
            self.left -= table.nbytes
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
    """A spill with this share of a session's memory limit as its budget, in the session's spill folder."""
    folder, limit = spill_settings(connection)
    found = re.fullmatch(r"([\d.]+) (\w+)", limit)
    if found is None:
        raise ValueError(f"DuckDB reports its memory limit as {limit!r}")
    return Spill(Path(folder), int(float(found[1]) * _UNITS[found[2]] * share))
