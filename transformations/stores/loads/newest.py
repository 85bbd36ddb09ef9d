"""Finds where the newest row of each key of a history lies.

Integer keys that lie close together index a table, and rows are compared as they stream by, in half the time of
DuckDB's hash table, which serves all other keys. Only keys and timestamps are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from transformations.engine.base.file_rows_sql import Scan
from transformations.engine.base.moments import micros_to_instant
from transformations.stores.history.matching import NONE, PORTION, Integers, keep_greatest, no_rows
from transformations.stores.history.point_in_time_sql import PLACE_BITS, Join
from transformations.stores.loads import newest_sql as sql

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_ROWS_AT_ONCE = 1_000_000
_FOUND = "found"
# How many keys the table may span, at 24 bytes each: a few in any case, at most `_MOST`, and `_MOST_A_ROW` per row.
_FEW, _MOST, _MOST_A_ROW = 1 << 20, 1 << 25, 4


def note_touched(
    connection: DuckDBPyConnection, scan: Scan, join: Join, new_files: Sequence[str], after: datetime, end: datetime
) -> Join:
    """Create the table `TOUCHED`: keys with a row in these files, or one later than `after`; none later than `end`.

    Returns the join of those rows alone among which the newest row of each of these keys is, so that of the rows of
    years few are read.
    """
    new = scan.only(connection, new_files) if new_files else None
    connection.execute(sql.touched_keys(join, new, after, end))
    ((micros,),) = connection.execute(sql.earliest_touched()).fetchall()
    try:
        return join if micros is None else replace(join, first=micros_to_instant(micros))
    except OverflowError:  # outside of Python's years 1 to 9999
        return join


def find_newest(connection: DuckDBPyConnection, scan: Scan, join: Join, end: datetime, only_touched: bool) -> int:
    """Create the table `NEWEST` with the place of each key's newest row not later than `end`, and count its rows.

    only_touched: of the keys in `TOUCHED` alone. Rows before the join's first moment do not count.

    The newest row has the greatest event timestamp; among equals, the greatest created timestamp; among equals again,
    it is the last in the order of the files, as in retrieval. A key with a null belongs to nobody.
    """
    if not _find_by_number(connection, scan, join, end, only_touched):
        extent = sql.extent(connection, join, end)
        if extent is None:
            return 0
        connection.execute(sql.newest_places(join, end, extent, only_touched))
    ((count,),) = connection.execute(sql.count_of_newest()).fetchall()
    return int(count)


def _find_by_number(connection: DuckDBPyConnection, scan: Scan, join: Join, end: datetime, only_touched: bool) -> bool:
    """Whether the keys are integers close enough together; if not, nothing is created."""
    if [key.sql_type for key in join.keys] != ["BIGINT"]:
        return False
    newest = NewestOfNumbers(has_created=join.created is not None)
    # Last file first: it has most of the newest rows, so that those that follow change little.
    backwards = replace(join, relation=scan.only(connection, scan.files[::-1]))
    query = sql.numbered_rows(backwards, end, len(scan.files) - 1, only_touched)
    with connection.sql(query).to_arrow_reader(_ROWS_AT_ONCE) as reader:
        for batch in reader:
            if batch[0].null_count or not newest.add(*(column.to_numpy() for column in batch.columns)):
                return False
    places = newest.places()
    files = (places >> PLACE_BITS).astype(np.uint64)
    connection.register(_FOUND, pa.table({"_file": files, "_row": places & ((1 << PLACE_BITS) - 1)}))
    connection.execute(sql.found_places(_FOUND))
    connection.unregister(_FOUND)
    return True


class NewestOfNumbers:
    """Finds the newest row of each key among integer keys that lie close together.

    has_created: whether rows have a created timestamp.
    """

    def __init__(self, *, has_created: bool) -> None:
        self._has_created = has_created
        self._rows = 0
        self._first = 0  # the key at index 0
        self._best = no_rows(0, has_created)

    def add(self, keys: Integers, *rows: Integers) -> bool:
        """Consider further rows: keys, event timestamps, created timestamps if there are any, and places.

        False if the keys lie too far apart; then this finds nothing.
        """
        self._rows += len(keys)
        if len(keys) and not self._extend_to(int(keys.min()), int(keys.max())):
            return False
        for start in range(0, len(keys), PORTION):
            portion = slice(start, start + PORTION)
            keep_greatest(self._best, keys[portion] - self._first, [column[portion] for column in rows])
        return True

    def places(self) -> Integers:
        """The places of the newest rows, one per key."""
        found: Integers = self._best[-1]
        return found.compress(found != NONE)

    def _extend_to(self, low: int, high: int) -> bool:
        """Extend the table to these keys; False if it would become too large."""
        size, most = len(self._best[0]), min(_MOST, max(_FEW, _MOST_A_ROW * self._rows))
        if not size:
            self._first = low
        before, behind = max(0, self._first - low), max(0, high + 1 - self._first - size)
        room = most - size - before - behind
        if room < 0:
            return False
        if behind:
            behind += min(room, size // 2)  # so that ascending keys do not copy the table each time
        elif before:
            before += min(room, size // 2)
        if before or behind:
            parts = no_rows(before, self._has_created), self._best, no_rows(behind, self._has_created)
            self._best = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
            self._first -= before
        return True
