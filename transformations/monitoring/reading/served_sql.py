"""Queries over recorded predictions of a day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

from transformations.engine.base.duck import file_literal, identifier, literal

ANSWERING = ("production", "canary", "batch")
"""Roles whose predictions somebody may act on; a shadow's are looked at by themselves."""
SHADOW = "shadow"


def column_of(part: str, name: str) -> str:
    """A column within a record: a feature's value, a request field or a key."""
    return f"features.{identifier(name)}.value" if part == "features" else f"{part}.{identifier(name)}"


def values_of(column: str) -> str:
    """An expression that gives the rows of each value as a map, nulls as `null`."""
    return f"histogram(coalesce(CAST({column} AS VARCHAR), 'null'))"


def count_day(file: Path, expressions: Sequence[str], roles: Sequence[str]) -> str:
    """One row of counts of a file's predictions in these roles."""
    listed = ", ".join(literal(role) for role in roles)
    return (
        f"SELECT {', '.join(expressions)}\nFROM read_parquet({file_literal(file)}, hive_partitioning = false)\n"
        f"WHERE role IN ({listed})"
    )


FACTS: Mapping[str, str] = {
    "rows": "count(*)",
    "acted": "count(*) FILTER (WHERE decision)",
    "decided": "count(decision)",
    "degraded": "count(*) FILTER (WHERE degraded)",
    "unanswered": "count(*) FILTER (WHERE NOT answered)",
    "score_sum": "sum(score)",
    "latency": "quantile_cont(latency_seconds, [0.5, 0.95, 0.99])",
    "first": "min(request_timestamp)",
    "last": "max(request_timestamp)",
}


def stale_rows(view: str, hours: int) -> str:
    """How many rows were served from a view that was complete for longer ago than so many hours."""
    loaded = f"views.{identifier(view)}.loaded_through"
    return f"count(*) FILTER (WHERE request_timestamp >= {loaded} + INTERVAL {hours} HOUR)"


def shared_keys(now: Path, before: Path, keys: Sequence[str], values: Sequence[str], every: int) -> str:
    """Of the keys of both files, a sample by hash: how many there are, and of how many each value differs.

    Of a key the last row of each file counts. every: one of so many keys is taken.
    """
    names = [f"value_{place}" for place in range(len(values))]
    key_names = ", ".join(f"key_{place}" for place in range(len(keys)))

    def side(file: Path) -> str:
        columns = [f"keys.{identifier(key)} AS key_{place}" for place, key in enumerate(keys)]
        columns += [f"{value} AS {name}" for value, name in zip(values, names, strict=True)]
        listed = ", ".join(f"keys.{identifier(key)}" for key in keys)
        return (
            f"SELECT {', '.join(columns)}\nFROM read_parquet({file_literal(file)}, hive_partitioning = false)\n"
            f"WHERE hash({listed}) % {every} = 0\n"
            f"QUALIFY row_number() OVER (PARTITION BY {listed} ORDER BY request_timestamp DESC, id) = 1"
        )

    differing = ", ".join(f"count(*) FILTER (WHERE now.{name} IS DISTINCT FROM before.{name})" for name in names)
    return (
        f"SELECT count(*), {differing}\nFROM (\n{side(now)}\n) AS now\nJOIN (\n{side(before)}\n) AS before "
        f"USING ({key_names})"
    )


def groups_of(file: Path, column: str, most: int) -> str:
    """By value of a column, the most frequent ones: rows, mean score, rows that were acted on."""
    return (
        f"SELECT coalesce(CAST({column} AS VARCHAR), 'null') AS value, count(*), avg(score), "
        f"count(*) FILTER (WHERE decision)\nFROM read_parquet({file_literal(file)}, hive_partitioning = false)\n"
        f"WHERE role IN ({', '.join(literal(role) for role in ANSWERING)})\n"
        f"GROUP BY ALL\nORDER BY count(*) DESC, value\nLIMIT {most}"
    )


def day_text(day: date) -> str:
    """A day as folders are named."""
    return f"day={day.isoformat()}"
