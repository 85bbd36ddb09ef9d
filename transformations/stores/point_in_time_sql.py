"""The SQL of retrieval: which row of a history was the last one at each moment of a spine, and the newest row of each
key.

A match is found over keys and timestamps alone; the wide columns are fetched for the matched rows only, by their place
(file and row number) in the history.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from transformations.engine.duck import identifier, identifiers, literal

SPINE = "spine"
ROW = "_row"
MOMENT = "_moment"
SEEN = "_seen"


@dataclass(frozen=True)
class Key:
    """A join key: its column in the history, its column in the spine, and the SQL type that both are compared in."""

    history: str
    spine: str
    sql_type: str | None


@dataclass(frozen=True)
class Join:
    """One view's history to be joined to the spine.

    relation: a FROM item. features: columns to fetch. last: the spine's latest moment, if known. ttl_micros: 0 for no
    bound. as_served: only rows created by the spine's moment, so that the value is what was known then.
    """

    relation: str
    keys: tuple[Key, ...]
    timestamp: str
    created: str | None
    features: tuple[str, ...]
    last: datetime | None = None
    ttl_micros: int = 0
    as_served: bool = False


def last_rows(join: Join) -> str:
    """For every row of the spine, in its order: whether a history row was found, and its features (null beyond the
    ttl).

    The last row is the one of the greatest event timestamp not after the moment; of several, the one created last.
    """
    features = ",\n    ".join(f"wide.{identifier(name)}" for name in join.features)
    fresh = f"matched.age <= {join.ttl_micros}" if join.ttl_micros else "TRUE"
    wide = identifiers(dict.fromkeys(join.features))
    return f"""
WITH history AS (
    {_narrow(join)}
),
{_matched(join)}
SELECT
    spine.{ROW},
    matched.{ROW} IS NOT NULL AS {SEEN}{"," if features else ""}
    {features}
FROM {SPINE} AS spine
LEFT JOIN matched ON matched.{ROW} = spine.{ROW}
LEFT JOIN (
    SELECT file_index AS _file, file_row_number AS _place{", " if wide else ""}{wide} FROM {join.relation}
) AS wide ON {fresh} AND wide._file = matched._file AND wide._place = matched._place
ORDER BY spine.{ROW}"""


def newest_rows(join: Join, columns: Sequence[str], start: datetime | None, end: datetime) -> str:
    """The newest row of each key with an event timestamp from `start` to `end`, both included."""
    keys = identifiers(key.history for key in join.keys)
    return f"""
SELECT {identifiers(columns)}
FROM {join.relation}
WHERE {_between(join.timestamp, start, end)}
QUALIFY row_number() OVER ({f"PARTITION BY {keys}" if keys else ""} ORDER BY
    {identifier(join.timestamp)} DESC, {_created_last(join)}file_index DESC, file_row_number DESC) = 1"""


def all_rows(
    relation: str, timestamp: str, columns: Sequence[str], start: datetime | None, end: datetime | None
) -> str:
    """All rows with an event timestamp from `start` to `end`, both included; in the order of the files."""
    return f"""
SELECT {identifiers(columns)}
FROM {relation}
WHERE {_between(timestamp, start, end)}"""


def moments_between(joins: Sequence[Join], names: Sequence[str], start: datetime | None, end: datetime | None) -> str:
    """The spine of a range of time: each key and event timestamp at which any of the histories has a row.

    names: how to call the keys, which all histories share, and the timestamp at last.
    """
    parts = []
    for join in joins:
        by_spine = {key.spine: key for key in join.keys}
        keys = [f"{_key(by_spine[name])} AS {identifier(name)}" for name in names[:-1]]
        moment = f"{_instant(join.timestamp)} AS {identifier(names[-1])}"
        rows = f"{join.relation} WHERE {_between(join.timestamp, start, end)}"
        parts.append(f"SELECT DISTINCT {', '.join([*keys, moment])} FROM {rows}")
    union = "\nUNION\n".join(parts)
    return f"{union}\nORDER BY {identifiers([names[-1], *names[:-1]])}"


def _narrow(join: Join) -> str:
    """Keys, timestamps and place of the rows that can match at all."""
    keys = [f"{_key(key)} AS {identifier(key.spine)}" for key in join.keys]
    created = _instant(join.created) if join.created else "NULL::TIMESTAMPTZ"
    columns = [
        *keys,
        f"{_instant(join.timestamp)} AS _happened",
        f"{created} AS _created",
        "file_index AS _file",
        "file_row_number AS _place",
    ]
    rows = (
        f"SELECT {', '.join(columns)}\n    FROM {join.relation}\n    WHERE {_between(join.timestamp, None, join.last)}"
    )
    if not join.keys:
        return rows
    using = identifiers(key.spine for key in join.keys)
    return f"SELECT * FROM ({rows}) SEMI JOIN {SPINE} USING ({using})"


def _matched(join: Join) -> str:
    if not (join.as_served and join.created):
        return f"""current AS ({_newest_created("history", join)}),
matched AS (
    {_asof("current", join)}
)"""
    # A match over time alone would take the last row by event time, though it may not have been known yet while an
    # older one was. Rows known when they happened match by time; the few that became known later are compared one by
    # one.
    later = " AND ".join(["late._created <= spine._moment", *_equal("late", join)])
    return f"""on_time AS ({_newest_created("history", join, "_created <= _happened")}),
late AS (SELECT * FROM history WHERE _created > _happened),
matched AS (
    SELECT * FROM (
        {_asof("on_time", join)}
        UNION ALL
        {_selected("late")}
        FROM {SPINE} AS spine JOIN late ON {later}
    )
    QUALIFY row_number() OVER (PARTITION BY {ROW} ORDER BY age, _created DESC, _file DESC, _place DESC) = 1
)"""


def _newest_created(rows: str, join: Join, condition: str = "TRUE") -> str:
    partition = identifiers(key.spine for key in join.keys)
    return f"""
    SELECT * FROM {rows} WHERE {condition}
    QUALIFY row_number() OVER (
        PARTITION BY {partition}{", " if partition else ""}_happened
        ORDER BY _created DESC NULLS LAST, _file DESC, _place DESC
    ) = 1
"""


def _asof(rows: str, join: Join) -> str:
    conditions = [*_equal(rows, join), f"spine.{MOMENT} >= {rows}._happened"]
    return f"{_selected(rows)}\n    FROM {SPINE} AS spine ASOF JOIN {rows} ON {' AND '.join(conditions)}"


def _selected(rows: str) -> str:
    age = f"epoch_us(spine.{MOMENT}) - epoch_us({rows}._happened)"
    return f"SELECT spine.{ROW}, {age} AS age, {rows}._created, {rows}._file, {rows}._place"


def _equal(rows: str, join: Join) -> list[str]:
    return [f"spine.{identifier(key.spine)} = {rows}.{identifier(key.spine)}" for key in join.keys]


def _key(key: Key) -> str:
    column = identifier(key.history)
    return f"TRY_CAST({column} AS {key.sql_type})" if key.sql_type else column


def _instant(column: str) -> str:
    """A timestamp in UTC microseconds; where the files hold such, the cast is none, and their statistics prune."""
    return f"CAST({identifier(column)} AS TIMESTAMPTZ)"


def _created_last(join: Join) -> str:
    return f"{identifier(join.created)} DESC NULLS LAST, " if join.created else ""


def _between(timestamp: str, start: datetime | None, end: datetime | None) -> str:
    bounds = [f"{_instant(timestamp)} >= {literal(start)}"] if start else []
    bounds += [f"{_instant(timestamp)} <= {literal(end)}"] if end else []
    return " AND ".join(bounds) or "TRUE"
