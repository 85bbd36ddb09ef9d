"""Where the newest row of each key of a history lies, found by the quicker of two ways.

Integer keys that lie close together are places in a table, and rows are compared as they stream by: half the time of
DuckDB's hash table, which serves all other keys. Only keys and timestamps are read.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from transformations.engine.base.file_rows import Scan
from transformations.stores.history.fetching import PLACE_BITS
from transformations.stores.history.matching import NONE, PORTION, Integers, keep_greatest, no_rows
from transformations.stores.history.point_in_time_sql import Join
from transformations.stores.loads import newest_sql as sql

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_ROWS_AT_ONCE = 1_000_000
_FOUND = "found"
# How many numbers a table spans: any few, and up to so many a row; 24 bytes each.
_FEW, _MOST, _MOST_A_ROW = 1 << 20, 1 << 25, 4


def find_newest(connection: DuckDBPyConnection, scan: Scan, join: Join, end: datetime, only_touched: bool) -> int:
    """Make the table `NEWEST` of the places of each key's newest row not later than `end`, and tell how many there are.

    The newest is the one of the greatest event timestamp; of several, the one created last; of several, the last in the
    order of the files, as in retrieval. A key with a null is nobody's.
    """
    if not _find_by_number(connection, scan, join, end, only_touched):
        extent = sql.extent(connection, join, end)
        if extent is None:
            return 0
        connection.execute(sql.newest_places(join, end, extent, only_touched))
    ((count,),) = connection.execute(f"SELECT count(*) FROM {sql.NEWEST}").fetchall()
    return int(count)


def _find_by_number(connection: DuckDBPyConnection, scan: Scan, join: Join, end: datetime, only_touched: bool) -> bool:
    """False, and nothing is made, where keys are no integers or too far apart."""
    if [key.sql_type for key in join.keys] != ["BIGINT"]:
        return False
    newest = NewestOfNumbers(has_created=join.created is not None)
    # From the last file on: the newest rows come first, and what follows changes little.
    backwards = replace(join, relation=scan.only(connection, scan.files[::-1]))
    query = sql.numbered_rows(backwards, end, len(scan.files) - 1, only_touched)
    with connection.sql(query).to_arrow_reader(_ROWS_AT_ONCE) as reader:
        for batch in reader:
            if batch[0].null_count or not newest.add(*(column.to_numpy() for column in batch.columns)):
                return False
    places = newest.places()
    files = (places >> PLACE_BITS).astype(np.uint64)
    connection.register(_FOUND, pa.table({"_file": files, "_row": places & ((1 << PLACE_BITS) - 1)}))
    connection.execute(f"CREATE TEMP TABLE {sql.NEWEST} AS SELECT * FROM {_FOUND}")
    connection.unregister(_FOUND)
    return True


class NewestOfNumbers:
    """The newest row of each key, where keys are integers that lie close together.

    has_created: whether rows have a created timestamp.
    """

    def __init__(self, *, has_created: bool) -> None:
        self._has_created = has_created
        self._rows = 0
        self._first = 0  # the key of the table's first place
        self._best = no_rows(0, has_created)

    def add(self, keys: Integers, *rows: Integers) -> bool:
        """Consider further rows: their keys, when they happened, when they were created where that is known, and their
        places. False, once and for all, where the keys lie too far apart.
        """
        self._rows += len(keys)
        if len(keys) and not self._reach(int(keys.min()), int(keys.max())):
            return False
        for start in range(0, len(keys), PORTION):
            portion = slice(start, start + PORTION)
            keep_greatest(self._best, keys[portion] - self._first, [column[portion] for column in rows])
        return True

    def places(self) -> Integers:
        """Where the newest rows lie, each key's once."""
        found: Integers = self._best[-1]
        return found.compress(found != NONE)

    def _reach(self, low: int, high: int) -> bool:
        """Make the table hold these keys; False where it would become too large."""
        size, most = len(self._best[0]), min(_MOST, max(_FEW, _MOST_A_ROW * self._rows))
        if not size:
            self._first = low
        before, behind = max(0, self._first - low), max(0, high + 1 - self._first - size)
        room = most - size - before - behind
        if room < 0:
            return False
        if behind:
            behind += min(room, size // 2)  # keys that ascend do not copy the table with every portion
        elif before:
            before += min(room, size // 2)
        if before or behind:
            parts = no_rows(before, self._has_created), self._best, no_rows(behind, self._has_created)
            self._best = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
            self._first -= before
        return True
