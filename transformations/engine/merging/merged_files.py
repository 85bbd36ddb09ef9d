"""Which files of a table to merge, and their rows in order, to be written as few files.

A file is small until it holds half of `ROWS_A_FILE`, and only small files are merged. Unasked they are once there are
`MANY` of them, and then from the smallest on, as long as the next one is at most twice all before it: so a day's build
never rewrites years, and a row is rewritten a few times in its life.

    rows of the files          small   merged
    2M, 1.5k × 31              31      none yet
    2M, 1.5k × 32              32      the 32, into one of 48k
    2M, 48k, 1.5k × 31         32      these 32, into one of 95k
    2M, 95k, 1.5k × 31         32      the 31 of 1.5k, into one of 47k; the next merge takes that, and the one of 95k
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa

from transformations.engine.base import duck
from transformations.engine.base.errors import DamagedError
from transformations.engine.base.settings import Settings
from transformations.engine.merging.merged_sql import content_query, ordered_query
from transformations.engine.vocabulary.columns import tables_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

ROWS_A_FILE = 2 * 1_048_576
"""Two row groups of an offline table: what a merge holds in memory at once."""
MANY = 32
"""So many small files a table has before they are merged without being asked."""

File = TypeVar("File")


@dataclass(frozen=True, kw_only=True)
class Merged:
    """What one merge did to a table. version: that it published; files: before and after; rows: in the merged files.

    size_bytes: of the merged files, before and after.
    """

    zone: str
    table: str
    version: int
    files: tuple[int, int]
    rows: int
    size_bytes: tuple[int, int]
    seconds: float


def files_to_merge(rows_of: Mapping[File, int], *, only_many: bool) -> list[File]:
    """The small ones among the files; none if merging them would not make them fewer.

    rows_of: the rows of each file. only_many: none either as long as there are few of them.
    """
    small = [file for file, rows in rows_of.items() if _is_small(rows)]
    if only_many:
        small = _smallest(small, rows_of) if len(small) >= MANY else []
    needed = -(-sum(rows_of[file] for file in small) // ROWS_A_FILE)
    return small if len(small) > needed else []


def has_many_small(rows: Iterable[int]) -> bool:
    """Whether so many of the files with these rows are small that they are merged without being asked."""
    return sum(map(_is_small, rows)) >= MANY


def _is_small(rows: int) -> bool:
    return 2 * rows < ROWS_A_FILE


def _smallest(small: Sequence[File], rows_of: Mapping[File, int]) -> list[File]:
    """The smallest half of the files, and further ones as long as each is at most twice all before it."""
    ascending = sorted(small, key=lambda file: rows_of[file])
    taken = len(ascending) // 2
    rows = sum(rows_of[file] for file in ascending[:taken])
    while taken < len(ascending) and rows_of[ascending[taken]] <= 2 * rows:
        rows += rows_of[ascending[taken]]
        taken += 1
    return ascending[:taken]


def merged_tables(
    files: Sequence[str], schema: pa.Schema, order: Sequence[str], settings: Settings
) -> Iterator[pa.Table]:
    """The rows of these files in the given order of columns, rows that are equal in these in the order of the files.

    files: absolute. schema: the columns, as they are to be written; one that a file lacks is null.
    """
    with _session(settings) as connection:
        query = ordered_query(connection, files, schema, order)
        reader = connection.sql(query).to_arrow_reader(131_072)
        for rows in tables_of(reader, ROWS_A_FILE):
            if rows.num_rows:
                yield rows.cast(schema)


def refuse_other_content(before: Iterable[str], after: Iterable[str], schema: pa.Schema, settings: Settings) -> None:
    """DamagedError unless two lists of files hold the same rows, in whatever order."""
    with _session(settings) as connection:
        found = [
            connection.execute(content_query(connection, files, schema)).fetchall()
            for files in (list(before), list(after))
        ]
    if found[0] != found[1]:
        raise DamagedError(
            f"the files merged from {next(iter(before))} and others do not hold their rows ({found[1]} instead of "
            f"{found[0]}), so nothing was published. Run `features doctor --deep`: a disk may be failing."
        )


def _session(settings: Settings) -> AbstractContextManager[DuckDBPyConnection]:
    chosen: dict[str, str | int] = {}
    if settings.offline_threads is not None:
        chosen["threads"] = settings.offline_threads
    if settings.offline_memory_limit is not None:
        chosen["memory_limit"] = settings.offline_memory_limit
    return duck.session(settings.offline_spill, **chosen)
