"""The SQL of materialization: which keys a run considers, and where the newest row of each lies.

Keys and timestamps alone are read to find the rows; the wide columns are then read for those rows only.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from transformations.engine.duck import identifier, identifiers, literal
from transformations.stores.point_in_time_sql import Join, Key

TOUCHED = "touched"
NEWEST = "newest"


def touched_keys(join: Join, new_files: str | None, end: datetime, ranges: Sequence[tuple[datetime, datetime]]) -> str:
    """A table of the keys of all rows in the new files (a FROM item), or within one of the ranges (first excluded).

    Rows later than `end` touch nothing yet.
    """
    moment = _instant(join.timestamp)
    within = " OR ".join(f"({moment} > {literal(first)} AND {moment} <= {literal(last)})" for first, last in ranges)
    parts = [f"SELECT DISTINCT {_keys(join)} FROM {join.relation} WHERE {moment} <= {literal(end)} AND ({within})"]
    if new_files:
        parts.append(f"SELECT DISTINCT {_keys(join)} FROM {new_files} WHERE {moment} <= {literal(end)}")
    return f"CREATE TEMP TABLE {TOUCHED} AS\n" + "\nUNION\n".join(parts)


def newest_places(join: Join, end: datetime, only_touched: bool) -> str:
    """A table of the place (file and row number) of each key's newest row not later than `end`.

    The newest is the one of the greatest event timestamp; of several, the one created last; of several, the last in the
    order of the files, as in retrieval. A key with a null is nobody's.
    """
    names = [key.spine for key in join.keys]
    created = f"epoch_us({_instant(join.created)})" if join.created else "NULL::BIGINT"
    known = " AND ".join(f"{identifier(key.history)} IS NOT NULL" for key in join.keys) or "TRUE"
    keys = f"{_keys(join)}, " if join.keys else ""
    using = identifiers(names)
    semi = f"SEMI JOIN {TOUCHED} USING ({using})" if only_touched and names else ""
    rows = f"""
    SELECT * FROM (
        SELECT {keys}{_instant(join.timestamp)} AS _happened, {created} AS _created,
            file_index AS _file, file_row_number AS _place
        FROM {join.relation}
        WHERE {_instant(join.timestamp)} <= {literal(end)} AND {known}
    ) {semi}"""
    group = f" GROUP BY {using}" if names else ""
    latest = f"SELECT {using + ', ' if names else ''}max(_happened) AS _happened FROM history{group}"
    partition = f"PARTITION BY {using} " if names else ""
    return f"""
CREATE TEMP TABLE {NEWEST} AS
WITH history AS ({rows}
), latest AS ({latest}
)
SELECT _file, _place
FROM history JOIN latest USING ({using + ", " if names else ""}_happened)
QUALIFY row_number() OVER ({partition}ORDER BY _created DESC NULLS LAST, _file DESC, _place DESC) = 1"""


def rows_at(join: Join, columns: Sequence[str]) -> str:
    """These columns of the newest rows."""
    return f"""
SELECT {identifiers(columns)}
FROM {join.relation}
SEMI JOIN {NEWEST} ON file_index = {NEWEST}._file AND file_row_number = {NEWEST}._place"""


def first_moment(join: Join) -> str:
    """The earliest event timestamp."""
    return f"SELECT min({_instant(join.timestamp)}) FROM {join.relation}"


def _keys(join: Join) -> str:
    return ", ".join(f"{_key(key)} AS {identifier(key.spine)}" for key in join.keys)


def _key(key: Key) -> str:
    column = identifier(key.history)
    return f"TRY_CAST({column} AS {key.sql_type})" if key.sql_type else column


def _instant(column: str) -> str:
    return f"CAST({identifier(column)} AS TIMESTAMPTZ)"
