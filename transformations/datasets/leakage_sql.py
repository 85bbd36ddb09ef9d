"""The rows that the leakage check expects: of `known`, a view's rows, for each row of `checked`, the spine."""

from __future__ import annotations

from collections.abc import Mapping

from transformations.engine.base.file_rows_sql import FILE, ROW, Scan, quoted
from transformations.stores.history.stored import Stored, sql_type_of_key


def view_of_rows(stored: Stored, scan: Scan, names: Mapping[str, str]) -> str:
    """Makes `known`, a view's rows, seen by this session alone: keys by the names of the check, moments, place in the
    files, features by number.
    """
    history = stored.history
    parts = [f"CAST({quoted(history.column(history.timestamp))} AS TIMESTAMPTZ) AS happened"]
    created = history.created and f"CAST({quoted(history.column(history.created))} AS TIMESTAMPTZ)"
    parts.append(f"{created or 'NULL::TIMESTAMPTZ'} AS created")
    parts += [f"{FILE} AS file", f"{ROW} AS line"]
    for key, dtype in stored.keys.items():
        column, kind = quoted(history.column(key)), sql_type_of_key(dtype)
        parts.append(f"{f'TRY_CAST({column} AS {kind})' if kind else column} AS {names[key]}")
    parts += [f"{quoted(history.column(name))} AS feature_{index}" for index, name in enumerate(stored.features)]
    return f"CREATE OR REPLACE TEMP VIEW known AS SELECT {', '.join(parts)} FROM {scan.relation}"


def newest_rows(names: Mapping[str, str]) -> str:
    """The newest moment at which the key has a row, and of the rows of that moment the one created last."""
    keys = list(names.values())
    matches = " AND ".join([*(f"checked.{key} = times.{key}" for key in keys), "checked.moment >= times.happened"])
    same = " AND ".join([*(f"newest.{key} = known.{key}" for key in keys), "newest.happened = known.happened"])
    listed = "".join(f", {key}" for key in keys)
    of_checked = "".join(f", checked.{key}" for key in keys)
    return f"""
WITH times AS (SELECT DISTINCT happened{listed} FROM known),
newest AS (
    SELECT checked.place, times.happened{of_checked} FROM checked ASOF LEFT JOIN times ON {matches}
)
SELECT newest.place, known.* FROM newest LEFT JOIN known ON {same}
QUALIFY row_number() OVER (
    PARTITION BY newest.place ORDER BY known.created DESC NULLS LAST, known.file DESC, known.line DESC
) = 1
ORDER BY newest.place"""


def newest_rows_known_then(names: Mapping[str, str]) -> str:
    """Of all rows of the key that had happened and were known, the newest, and of those the one created last."""
    conditions = [
        *(f"checked.{key} = known.{key}" for key in names.values()),
        "known.happened <= checked.moment",
        "known.created <= checked.moment",
    ]
    return f"""
SELECT checked.place, known.* FROM checked LEFT JOIN known ON {" AND ".join(conditions)}
QUALIFY row_number() OVER (
    PARTITION BY checked.place ORDER BY known.happened DESC NULLS LAST, known.created DESC, known.file DESC,
    known.line DESC
) = 1
ORDER BY checked.place"""


def when_it_became_available(feature: int, keys: int, row: int) -> str:
    """When a value, the query's parameter, became available to a spine row's key; only after the spine row's moment."""
    conditions = [f"checked.key_{number} = known.key_{number}" for number in range(keys)]
    conditions += [f"checked.place = {row}", f"feature_{feature} IS NOT DISTINCT FROM ?", "happened > checked.moment"]
    return f"SELECT min(happened) FROM known, checked WHERE {' AND '.join(conditions)}"
