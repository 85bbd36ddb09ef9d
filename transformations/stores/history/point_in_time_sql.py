"""The SQL of retrieval: the rows of a history that can match a spine, narrow; the newest row of each key; all rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from transformations.engine.base.duck import identifier, identifiers, literal
from transformations.engine.base.file_rows_sql import FILE, ROW, Scan, named, quoted
from transformations.stores.history.matching import NEVER

PLACE_BITS = 40
"""A place is one integer: the file's number in its history, then these bits for the row's number in the file."""

KEYS = "spine_keys"
CODE = "_code"
HAPPENED = "_happened"
CREATED = "_created"
PLACE = "_place"
WANTED = "wanted"
NUMBER = "_number"
_OF_FILE = "of_file"


@dataclass(frozen=True)
class Key:
    """A join key: its column in the history, its column in the spine, and the SQL type that both are compared in."""

    history: str
    spine: str
    sql_type: str | None


@dataclass(frozen=True, kw_only=True)
class Join:
    """One view's history to be joined to the spine.

    relation: a scan's FROM item; columns go by the files' names. first, last: bounds of the event timestamp, inclusive;
    None for no bound.
    """

    relation: str
    keys: tuple[Key, ...]
    timestamp: str
    created: str | None
    first: datetime | None = None
    last: datetime | None = None


def candidates(join: Join) -> str:
    """The history rows that can match: their key's code, event and created timestamps in microseconds, and place.

    The relation `KEYS` holds the spine's keys with their codes.
    """
    created = f"COALESCE(epoch_us({instant(join.created)}), {NEVER}) AS {CREATED}, " if join.created else ""
    equal = " AND ".join(f"{key_of(key, 'history.')} = {KEYS}.{identifier(key.spine)}" for key in join.keys)
    return f"""
SELECT
    {f"{KEYS}.{CODE}" if equal else "0::INTEGER"} AS {CODE},
    epoch_us({instant(join.timestamp)}) AS {HAPPENED},
    {created}({FILE}::BIGINT << {PLACE_BITS}) | {ROW} AS {PLACE}
FROM {join.relation} AS history{f" JOIN {KEYS} ON {equal}" if equal else ""}
WHERE {between(join.timestamp, join.first, join.last)}"""


def has_candidates(join: Join) -> str:
    """Whether any row lies within the bounds of the event timestamp; where none does, the files' statistics say it."""
    return f"SELECT EXISTS (SELECT 1 FROM {join.relation} WHERE {between(join.timestamp, join.first, join.last)})"


def rows_of_file(scan: Scan, file: str, stored: Sequence[str], columns: Sequence[str]) -> str:
    """These columns of wanted rows of one file, each row behind its number. stored: the columns that the file has.

    The relation `WANTED` holds the numbers and the rows' places in the file (`_row`).
    """
    values = "".join(f", CAST({_OF_FILE}.{quoted(name)} AS {scan.types[name]})" for name in columns)
    return f"""
SELECT {WANTED}.{NUMBER}{values}
FROM {scan.of_file(file, stored, columns)} AS {_OF_FILE}
JOIN {WANTED} ON {_OF_FILE}.{ROW} = {WANTED}._row"""


def newest_rows(join: Join, columns: Sequence[str], start: datetime | None, end: datetime) -> str:
    """The newest row of each key with an event timestamp from `start` to `end`, both included."""
    keys = ", ".join(quoted(key.history) for key in join.keys)
    return f"""
SELECT {named(columns)}
FROM {join.relation}
WHERE {between(join.timestamp, start, end)}
QUALIFY row_number() OVER ({f"PARTITION BY {keys}" if keys else ""} ORDER BY
    {quoted(join.timestamp)} DESC, {_created_last(join)}{FILE} DESC, {ROW} DESC) = 1"""


def all_rows(
    relation: str, timestamp: str, columns: Sequence[str], start: datetime | None, end: datetime | None
) -> str:
    """All rows with an event timestamp from `start` to `end`, both included, in file order."""
    return f"""
SELECT {named(columns)}
FROM {relation}
WHERE {between(timestamp, start, end)}"""


def moments_between(joins: Sequence[Join], names: Sequence[str], start: datetime | None, end: datetime | None) -> str:
    """The spine of a time range: each key and event timestamp at which any of the histories has a row.

    names: what to call the keys, which all histories share, and, last, the timestamp.
    """
    parts = []
    for join in joins:
        by_spine = {key.spine: key for key in join.keys}
        keys = [f"{key_of(by_spine[name], 'history.')} AS {identifier(name)}" for name in names[:-1]]
        moment = f"{instant(join.timestamp)} AS {identifier(names[-1])}"
        rows = f"{join.relation} AS history WHERE {between(join.timestamp, start, end)}"
        parts.append(f"SELECT DISTINCT {', '.join([*keys, moment])} FROM {rows}")
    union = "\nUNION\n".join(parts)
    return f"{union}\nORDER BY {identifiers([names[-1], *names[:-1]])}"


def key_of(key: Key, relation: str = "") -> str:
    """A join key's column in the history, in the type that keys are compared in."""
    column = f"{relation}{quoted(key.history)}"
    return f"TRY_CAST({column} AS {key.sql_type})" if key.sql_type else column


def instant(column: str) -> str:
    """A timestamp in UTC microseconds; for files that hold these the cast is free, and statistics still prune."""
    return f"CAST({quoted(column)} AS TIMESTAMPTZ)"


def _created_last(join: Join) -> str:
    return f"{quoted(join.created)} DESC NULLS LAST, " if join.created else ""


def between(timestamp: str, start: datetime | None, end: datetime | None) -> str:
    """The condition that an event timestamp lies between two moments, both included; None for no bound."""
    bounds = [f"{instant(timestamp)} >= {literal(start)}"] if start else []
    bounds += [f"{instant(timestamp)} <= {literal(end)}"] if end else []
    return " AND ".join(bounds) or "TRUE"
