"""The SQL over a view's table: its entities, every row of some entities, and the newest row of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from transformations.engine.base.duck import identifier, identifiers, literal
from transformations.engine.base.file_rows_sql import quoted

ENTITIES = "entities"
"""The relation of the requested entities: their join keys as `file_rows_sql.column` names them, and ENTITY."""
ENTITY, EVENT, CREATED = "_row", "_event", "_created"
"""The number of the requested entity, and a stored row's two timestamps."""
_RANK = "_rank"


def keys_query(keys: Mapping[str, str], relation: str) -> str:
    """The different keys in a relation. keys: the column of the files that holds each."""
    named = ", ".join(f"{quoted(column)} AS {identifier(key)}" for key, column in keys.items())
    return f"SELECT DISTINCT {named} FROM {relation}"


def sample_query(parts: Sequence[str], keys: Sequence[str], sample: int | None, seed: int) -> str:
    """The union of these queries of keys, in an order that depends on the seed alone; `sample` of them at most."""
    order = f"hash({identifiers(keys)}, {literal(seed)}), {identifiers(keys)}"
    limit = "" if sample is None else f"LIMIT {literal(sample)}"
    return f"{' UNION '.join(parts)} ORDER BY {order} {limit}"


def rows_query(
    keys: Mapping[str, str], features: Mapping[str, str], timestamp: str, created: str | None, relation: str
) -> str:
    """Every stored row of the requested entities: its features, ENTITY, EVENT and CREATED.

    keys, features, timestamp, created: the columns of the files; CREATED is null where the files have none. Features
    are named by `file_rows_sql.column`, so that no name of theirs is one of ours.
    """
    same = " AND ".join(f"{ENTITIES}.{quoted(key)} = history.{quoted(column)}" for key, column in keys.items())
    known = f"CAST(history.{quoted(created)} AS TIMESTAMPTZ)" if created else "NULL::TIMESTAMPTZ"
    columns = [f"history.{quoted(column)} AS {quoted(feature)}" for feature, column in features.items()]
    columns += [
        f"{ENTITIES}.{ENTITY}",
        f"CAST(history.{quoted(timestamp)} AS TIMESTAMPTZ) AS {EVENT}",
        f"{known} AS {CREATED}",
    ]
    return f"SELECT {', '.join(columns)} FROM {ENTITIES} JOIN {relation} AS history ON {same or 'TRUE'}"


def history_query(rows: str) -> str:
    """The rows of a `rows_query` in the order in which they were written."""
    return f"{rows} ORDER BY {EVENT}, {CREATED}"


def newest_query(rows: str, until: datetime, known_at: datetime | None) -> str:
    """Each entity's newest row not later than `until`; known_at: rows created later do not count."""
    bound = f"{EVENT} <= {literal(until)}"
    if known_at is not None:
        bound += f" AND {CREATED} <= {literal(known_at)}"
    return f"""
        SELECT * EXCLUDE ({_RANK})
        FROM (
            SELECT *, row_number() OVER (PARTITION BY {ENTITY} ORDER BY {EVENT} DESC, {CREATED} DESC NULLS LAST)
                AS {_RANK}
            FROM ({rows})
            WHERE {bound}
        )
        WHERE {_RANK} = 1
    """
