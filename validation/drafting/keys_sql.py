"""Questions that tell keys from other sets of columns; the tables have a row number, `_row`."""

from collections.abc import Sequence

from transformations.engine.base.duck import identifier, identifiers
from validation.files.column_names import ROW


def count_rows(table: str) -> str:
    """How many rows there are."""
    return f"SELECT count(*) FROM {table}"


def count_distinct_rows(table: str, columns: Sequence[str]) -> str:
    """How many different rows there are."""
    return f"SELECT count(*) FROM (SELECT DISTINCT {identifiers(columns)} FROM {table})"


def first_rows(table: str, count: int) -> str:
    """The first rows, as a relation."""
    return f"(SELECT * FROM {table} WHERE {ROW} < {count})"


def estimate_distinct_values(table: str, columns: Sequence[str]) -> str:
    """About how many different values each column has."""
    counts = ", ".join(f"approx_count_distinct({identifier(name)})" for name in columns)
    return f"SELECT {counts} FROM {table}"


def differing_columns(relation: str, columns: Sequence[str], key: Sequence[str], pairs: int) -> str:
    """For some pairs of rows that agree in the key, in which columns they differ: each answer once."""
    differ = ", ".join(f"one.{name} <> other.{name}" for name in map(identifier, columns))
    return f"""
WITH pairs AS (
    SELECT min({ROW}) AS one, max({ROW}) AS other
    FROM {relation} GROUP BY {identifiers(key)} HAVING count(*) > 1 LIMIT {pairs}
)
SELECT DISTINCT [{differ}]
FROM pairs JOIN {relation} AS one ON one.{ROW} = pairs.one JOIN {relation} AS other ON other.{ROW} = pairs.other"""
