"""DuckDB as the engine uses it: sessions in UTC that spill to a folder of their own, SQL built from quoted pieces."""

from __future__ import annotations

import atexit
import ctypes
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from transformations.engine.base.disk_faults import note_reads
from transformations.engine.base.errors import UsageError
from transformations.engine.base.files.scratch import make_scratch
from transformations.engine.base.storage import make_folder

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_WILDCARDS = re.compile(r"[*?[]")
_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


@contextmanager
def session(spill_in: Path | None = None, **settings: str | int) -> Iterator[DuckDBPyConnection]:
    """An in-memory DuckDB whose timestamps are UTC; what does not fit into memory spills to a folder of its own.

    spill_in: where that folder is made; settings: those of a whole DuckDB, such as `threads`. To open a DuckDB takes
    20 ms, so a process opens one for each choice of these, and sessions are connections to it. What a session registers
    is its own, and so are TEMP tables and views: it creates no others, attaches nothing and sets nothing that holds for
    the whole DuckDB (`private_session` may). The memory it took is given back when it ends.
    """
    import duckdb

    chosen = spill_in, tuple(sorted(settings.items()))
    shared = SHARED.get(chosen) or SHARED.setdefault(chosen, _Duckdb(spill_in, settings))
    make_folder(shared.spill)  # somebody may have cleaned up
    try:
        with shared.root.cursor() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            yield connection
    except (duckdb.FatalException, duckdb.InternalException):
        SHARED.pop(chosen, None)  # after such an error it answers no query
        raise
    finally:
        shared.give_memory_back()


@contextmanager
def private_session(spill_in: Path | None = None, **settings: str | int) -> Iterator[DuckDBPyConnection]:
    """A session whose DuckDB nobody shares: all that it creates and sets ends with it."""
    private = _Duckdb(spill_in, settings)
    try:
        private.root.execute("SET TimeZone = 'UTC'")
        yield private.root
    finally:
        private.end()


@contextmanager
def beside(connection: DuckDBPyConnection) -> Iterator[DuckDBPyConnection]:
    """A second connection to the same DuckDB: it may consume what the first one streams, and has names of its own."""
    with connection.cursor() as second:
        second.execute("SET TimeZone = 'UTC'")
        yield second


def limit_memory(connection: DuckDBPyConnection, limit: str) -> None:
    """Change the memory limit of a session's DuckDB until the session ends. duckdb.OutOfMemoryException where more than
    that is in use.
    """
    connection.execute(f"SET memory_limit = {literal(limit)}")


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
    return _file_literals([file])


def parquet(files: Sequence[str | Path]) -> str:
    """A FROM item over Parquet files that may differ in their columns: a column that one lacks is null there."""
    return f"read_parquet([{_file_literals(files)}], union_by_name = true, hive_partitioning = false)"


def parquet_keys(files: Sequence[str | Path], file_column: str) -> str:
    """A FROM item over columns that all of these Parquet files have, with a column of the file that each row is in."""
    read = _file_literals(files)
    return f"read_parquet([{read}], filename = {literal(file_column)}, hive_partitioning = false)"


def _file_literals(files: Sequence[str | Path]) -> str:
    """The paths of files, separated by commas: noted at once, and of a path that is one already no object is made."""
    paths = [
        file if isinstance(file, str) and (file.startswith("/") or _REMOTE.match(file)) else str(Path(file).absolute())
        for file in files
    ]
    note_reads(paths)
    for path in paths:
        if "\\" in path and _WILDCARDS.search(path):
            raise UsageError(
                f"{path}: cannot be read, for its name holds both a backslash and one of * ? [. Rename it."
            )
    return ", ".join(literal(_WILDCARDS.sub(r"[\g<0>]", path)) for path in paths)


def same(left: str, right: str, columns: Iterable[str]) -> str:
    """The condition that two relations agree in all these columns, null equal to null."""
    pairs = (f"{left}.{identifier(name)} IS NOT DISTINCT FROM {right}.{identifier(name)}" for name in columns)
    return " AND ".join(pairs) or "TRUE"


class _Duckdb:
    """An in-memory DuckDB. root: its first connection; spill: its folder, which goes when it does."""

    def __init__(self, spill_in: Path | None, settings: Mapping[str, str | int]) -> None:
        import duckdb

        self._scratch = make_scratch("features-duckdb-", spill_in)
        self.spill = self._scratch.path
        self.root = duckdb.connect(
            config={
                **settings,
                "temp_directory": str(self.spill),
                "python_enable_replacements": False,  # a query's name never means a variable of ours
            }
        )
        self._limit = settings.get("memory_limit")
        self._process = os.getpid()
        atexit.register(self.end)

    def give_memory_back(self) -> None:
        """Give to the system what no session uses: DuckDB does so only when a limit is set."""
        limit = "RESET memory_limit" if self._limit is None else f"SET memory_limit = {literal(self._limit)}"
        with suppress(Exception):  # this DuckDB has failed already, and its error is on the way
            self.root.execute(limit)

    def end(self) -> None:
        atexit.unregister(self.end)
        if os.getpid() == self._process:
            self.root.close()
            self._scratch.remove()


SHARED: dict[tuple[Path | None, tuple[tuple[str, str | int], ...]], _Duckdb] = {}


def _leave_to_the_parent() -> None:
    """In a forked process: a DuckDB cannot be ended where its threads are not, not even when Python ends."""
    for shared in SHARED.values():
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(shared.root))
    SHARED.clear()


os.register_at_fork(after_in_child=_leave_to_the_parent)
