"""The queries behind a distribution; values are read as numbers, or counted as they are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum, auto

from transformations.engine.base import duck

_NUMBERS = re.compile(r"(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL\(.*\))")


class Form(Enum):
    """How a column's values are shown."""

    NUMBERS = auto()
    TIMES = auto()
    LISTS = auto()
    NAMES = auto()


def form_of(kind: str) -> Form | None:
    """The form of a DuckDB type; None where values have neither an order nor names, as bytes and maps have not."""
    if kind.endswith("[]"):
        return Form.LISTS
    if kind.startswith("TIMESTAMP") or kind == "DATE":
        return Form.TIMES
    if kind in ("VARCHAR", "BOOLEAN"):
        return Form.NAMES
    return Form.NUMBERS if _NUMBERS.fullmatch(kind) else None


def columns(files: Sequence[str]) -> str:
    """The columns of a table's files with their types."""
    return f"DESCRIBE SELECT * FROM {duck.parquet(files)}"


def sample(files: Sequence[str], features: Sequence[str], keys: Sequence[str], stride: int) -> str:
    """One row in `stride`, by a hash of its keys."""
    where = f"WHERE hash({duck.identifiers(keys)}) % {stride} = 0" if stride > 1 and keys else ""
    return f"CREATE TEMP TABLE sample AS SELECT {duck.identifiers(features)} FROM {duck.parquet(files)} {where}"


def counts(name: str) -> str:
    """Rows, nulls, and distinct values."""
    column = duck.identifier(name)
    return f"SELECT count(*), count(*) - count({column}), count(DISTINCT {column}) FROM sample"


def most_frequent(name: str, limit: int) -> str:
    """The most frequent values with their rows."""
    column = duck.identifier(name)
    return f"""
        SELECT {column}, count(*) AS rows FROM sample WHERE {column} IS NOT NULL
        GROUP BY {column} ORDER BY rows DESC, {column} LIMIT {limit}
    """


def quantiles(name: str, form: Form) -> str:
    """Least, 1 %, 5 %, median, 95 %, 99 % and greatest of the finite values."""
    return f"""
        SELECT min(x), quantile_cont(x, 0.01), quantile_cont(x, 0.05), quantile_cont(x, 0.5),
               quantile_cont(x, 0.95), quantile_cont(x, 0.99), max(x)
        FROM ({_finite(name, form)})
    """


def bins(name: str, form: Form, low: float, high: float, width: float, count: int) -> str:
    """Rows by the number of their range between low and high, both included."""
    return f"""
        SELECT least(CAST(floor((x - {duck.literal(low)}) / {duck.literal(width)}) AS INTEGER), {count - 1}) AS bin,
               count(*)
        FROM ({_finite(name, form)})
        WHERE x BETWEEN {duck.literal(low)} AND {duck.literal(high)}
        GROUP BY bin ORDER BY bin
    """


def _finite(name: str, form: Form) -> str:
    column = duck.identifier(name)
    number = {
        Form.NUMBERS: f"CAST({column} AS DOUBLE)",
        Form.TIMES: f"CAST(epoch_us(CAST({column} AS TIMESTAMP)) AS DOUBLE)",
        Form.LISTS: f"CAST(len({column}) AS DOUBLE)",
    }[form]
    return f"SELECT x FROM (SELECT {number} AS x FROM sample) WHERE isfinite(x)"
