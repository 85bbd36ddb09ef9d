"""The SQL of quality rules: the drop's rows, the stored ones beside them, and what is counted of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from transformations.engine.base.duck import identifier, identifiers, literal
from transformations.engine.raw.files import BUSINESS_DAY
from validation.files.column_names import ROW

DAY = "_day"  # no column of a contract begins with _
BINS = 10

WEEKDAY = f"((({DAY} + 3) % 7 + 7) % 7)"
"""Monday is 0, and 1970-01-01 was a Thursday."""


# The rows that are judged


def values_item(chosen: Mapping[str, str], rows: str) -> str:
    """A FROM item of columns, each by its name the expression that gives it."""
    return f"(SELECT {', '.join(f'{value} AS {identifier(name)}' for name, value in chosen.items())} FROM {rows})"


def no_values(names: Sequence[str]) -> str:
    """A FROM item of these columns without a row."""
    return f"(SELECT {', '.join(f'NULL AS {identifier(name)}' for name in names)} WHERE FALSE)"


def stored_of_days(current: str, days: Sequence[int]) -> str:
    """A FROM item of the stored rows of some business days."""
    return f"(SELECT * FROM {current} WHERE {identifier(BUSINESS_DAY)} IN ({', '.join(map(str, sorted(days)))}))"


def stored_without(rows: str, delivered: str, names: Sequence[str], *, with_day: bool) -> str:
    """A FROM item of stored rows but for those whose key is delivered again; with_day: their business day, too."""
    pairs = [f"stored.{identifier(name)} = delivered.{identifier(name)}" for name in names]
    pairs += [f"stored.{identifier(BUSINESS_DAY)} = delivered.{DAY}"] if with_day else []
    return f"(SELECT stored.* FROM {rows} AS stored ANTI JOIN {delivered} AS delivered ON {' AND '.join(pairs)})"


def rows_by_day_query(stored: str) -> str:
    """How many stored rows each business day has."""
    day = identifier(BUSINESS_DAY)
    return f"SELECT {day}, count(*) FROM {stored} GROUP BY {day}"


def write_statement(rows: str, target: Path) -> str:
    """Write a FROM item's rows to a Parquet file."""
    return f"COPY (SELECT * FROM {rows}) TO {literal(str(target))} (FORMAT parquet)"


def all_rows_query(rows: str) -> str:
    """A FROM item's rows."""
    return f"SELECT * FROM {rows}"


def table_statement(name: str, rows: str) -> str:
    """Make a table of a FROM item's rows."""
    return f"CREATE TABLE {identifier(name)} AS SELECT * FROM {rows}"


# What is counted


def bounds_query(moment: str, rows: str, *, is_date: bool) -> str:
    """The first and the last of dates or instants, in microseconds, and the number of rows; null where an end is
    infinite, or there is none.
    """
    kind = "TIMESTAMP" if is_date else "TIMESTAMPTZ"
    asked = f"SELECT min({moment}), max({moment}), count(*) FROM {rows}"
    ends = ", ".join(f"CASE WHEN isfinite({end}) THEN epoch_us(CAST({end} AS {kind})) END" for end in ("a", "b"))
    return f"SELECT {ends}, count FROM ({asked}) AS bounds(a, b, count)"


def pattern_query() -> str:
    """Try a regular expression, the statement's one parameter."""
    return "SELECT regexp_matches('', ?)"


def count_query(rows: str) -> str:
    """The number of rows."""
    return f"SELECT count(*) FROM {rows}"


def repeated_rows_query(rows: str, columns: Sequence[str], *, by_day: bool) -> str:
    """By business day (0 for all) how many rows have values that another row has, too; rows with nulls aside."""
    names, day = identifiers(columns), DAY if by_day else "0"
    present = " AND ".join(f"{identifier(name)} IS NOT NULL" for name in columns)
    repeated = f"SELECT {day} AS part, count(*) AS n FROM {rows} WHERE {present} GROUP BY part, {names} HAVING n > 1"
    return f"SELECT part, sum(n) FROM ({repeated}) GROUP BY part"


def broken_rows_query(rows: str, column: str, condition: str, limit: int) -> str:
    """The first rows that meet a condition: ROW, and a column as text."""
    return (
        f"SELECT {ROW}, CAST({identifier(column)} AS VARCHAR) FROM {rows} WHERE {condition} "
        f"ORDER BY {ROW} LIMIT {limit}"
    )


# Distributions by weekday


def values_by_day(stored: str, column: str) -> str:
    """A FROM item of a stored column's values, each with its DAY."""
    return f"(SELECT {identifier(column)}, {identifier(BUSINESS_DAY)} AS {DAY} FROM {stored})"


def deciles_query(column: str, values: str) -> str:
    """By weekday the least value and the nine deciles."""
    value, shares = identifier(column), [place / BINS for place in range(1, BINS)]
    return (
        f"SELECT {WEEKDAY} AS weekday, min({value}), quantile_disc({value}, {shares}) FROM {values} "
        f"WHERE {value} IS NOT NULL GROUP BY weekday ORDER BY weekday"
    )


def bins_query(column: str, values: str, weekday: int, starts: Sequence[object], *, by_day: bool) -> str:
    """How many values of a weekday lie in each bin, by day or for the weekday; bin n begins at the n-th start."""
    value = identifier(column)
    inner = " + ".join(f"({value} >= {literal(start)})::INTEGER" for start in starts) or "0"
    return (
        f"SELECT {DAY if by_day else weekday}, {inner} AS bin, count(*) FROM {values} "
        f"WHERE {value} IS NOT NULL AND {WEEKDAY} = {weekday} GROUP BY ALL ORDER BY ALL"
    )


def value_counts_query(column: str, values: str, *, by_day: bool) -> str:
    """How often each value stands, by day or by weekday."""
    value = identifier(column)
    return (
        f"SELECT {DAY if by_day else WEEKDAY} AS part, {value} AS found, count(*) FROM {values} "
        f"WHERE {value} IS NOT NULL GROUP BY part, found ORDER BY part, found"
    )
