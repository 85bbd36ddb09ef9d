"""The queries behind the statistics of a snapshot: every entity's values as-of one moment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import Enum, auto

from transformations.engine.base import duck
from transformations.engine.base.moments import CREATED_TIMESTAMP, EVENT_TIMESTAMP
from transformations.engine.vocabulary.dtypes import BOOL, FLOAT64, INT64, STRING, UNIX_TIMESTAMP, Dtype
from transformations.engine.vocabulary.expectations import Expectation

SNAPSHOT = "snapshot"
_DAY_MICROS = 86_400_000_000


class Form(Enum):
    """The form in which a feature's values are measured."""

    NUMBERS = auto()
    AGES = auto()
    LENGTHS = auto()
    TEXTS = auto()

    @property
    def unit(self) -> str:
        """What the numbers count, where that is not the feature's own unit."""
        return {Form.AGES: "days before the as-of day", Form.LENGTHS: "items"}.get(self, "")


def form_of(dtype: Dtype) -> Form:
    """Moments are measured as days before the as-of day, lists by their lengths."""
    if dtype in (INT64, FLOAT64):
        return Form.NUMBERS
    if dtype == UNIX_TIMESTAMP:
        return Form.AGES
    return Form.TEXTS if dtype in (STRING, BOOL) else Form.LENGTHS


def snapshot(files: Sequence[str], keys: Sequence[str], features: Sequence[str], moment: datetime, stride: int) -> str:
    """Creates the table of each entity's newest row at a moment; of one entity in `stride`, by a hash of its key.

    The newest row has the greatest event timestamp and, among equals, the greatest created timestamp.
    """
    row = ", ".join(f"{duck.identifier(name)} := {duck.identifier(name)}" for name in features) or "no_feature := 0"
    order = f"struct_pack(e := {EVENT_TIMESTAMP}, c := {CREATED_TIMESTAMP})"
    chosen = f"AND hash({duck.identifiers(keys)}) % {stride} = 0" if stride > 1 else ""
    return f"""
        CREATE OR REPLACE TEMP TABLE {SNAPSHOT} AS
        SELECT {duck.identifiers(keys)}, unnest(found)
        FROM (
            SELECT {duck.identifiers(keys)}, arg_max(struct_pack({row}), {order}) AS found
            FROM {duck.parquet(files)}
            WHERE {EVENT_TIMESTAMP} <= {duck.literal(moment)} {chosen}
            GROUP BY {duck.identifiers(keys)}
        )
    """


def counts(features: Sequence[tuple[str, Form, Expectation | None]]) -> str:
    """The number of entities; then, per feature, the number of known values and of those outside its declared range."""
    parts = ["count(*)"]
    for name, form, expect in features:
        parts.append(f"count(*) FILTER (WHERE {_is_known(name, form)})")
        strays = f"count(*) FILTER (WHERE {_is_known(name, form)} AND ({outside(name, expect)}))" if expect else "0"
        parts.append(strays)
    return f"SELECT {', '.join(parts)} FROM {SNAPSHOT}"


def quantiles(name: str, form: Form, places: Sequence[float], day: datetime) -> str:
    """The values at these places of the known values' order."""
    return f"SELECT quantile_disc(x, {list(places)!r}) FROM (SELECT {measured(name, form, day)} AS x FROM {SNAPSHOT})"


def shares(name: str) -> str:
    """How many entities have each value."""
    column = duck.identifier(name)
    return f"""
        SELECT CAST({column} AS VARCHAR), count(*) AS entities FROM {SNAPSHOT} WHERE {column} IS NOT NULL
        GROUP BY {column} ORDER BY entities DESC, {column}
    """


def example(keys: Sequence[str], name: str, condition: str) -> str:
    """The key and the value of the first entity that meets a condition."""
    return f"""
        SELECT {duck.identifiers(keys)}, CAST({duck.identifier(name)} AS VARCHAR) FROM {SNAPSHOT}
        WHERE {condition} ORDER BY {duck.identifiers(keys)} LIMIT 1
    """


def is_null(name: str, form: Form) -> str:
    """The condition that a value is null, or no number at all."""
    return f"NOT ({_is_known(name, form)})"


def measured(name: str, form: Form, day: datetime) -> str:
    """A value as a number: itself, its age on a day, or its length; null where it is null or no number."""
    column = duck.identifier(name)
    number = {
        Form.NUMBERS: f"CAST({column} AS DOUBLE)",
        Form.AGES: f"(epoch_us({duck.literal(day)}) - epoch_us({column})) / {_DAY_MICROS}.0",
        Form.LENGTHS: f"CAST(len({column}) AS DOUBLE)",
    }[form]
    return f"CASE WHEN {_is_known(name, form)} THEN {number} END"


def outside(name: str, expect: Expectation) -> str:
    """The condition that a known value is outside its declared range, or none of its declared values."""
    column = duck.identifier(name)
    if expect.values:
        return f"{column} NOT IN ({', '.join(map(duck.literal, expect.values))})"
    bounds = [f"{column} < {duck.literal(expect.minimum)}"] if expect.minimum is not None else []
    if expect.maximum is not None:  # what is not finite counts as null, NaN among it, DuckDB's greatest number
        bounds.append(f"({column} > {duck.literal(expect.maximum)} AND isfinite(CAST({column} AS DOUBLE)))")
    return " OR ".join(bounds) or "FALSE"


def _is_known(name: str, form: Form) -> str:
    column = duck.identifier(name)
    is_number = f" AND isfinite(CAST({column} AS DOUBLE))" if form is Form.NUMBERS else ""
    return f"{column} IS NOT NULL{is_number}"
