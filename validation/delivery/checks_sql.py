"""The SQL of the checks: conditions that rows break, and the few queries that count and show such rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from transformations.contracts import Reference
from transformations.engine.base.duck import identifier, identifiers, literal
from validation.delivery.check_specs import CheckSpec
from validation.files.column_names import ROW
from validation.files.drop_files import DropFile
from validation.readings.conversions import Conversion, comparable


def broken_condition(spec: CheckSpec, how: Conversion) -> str | None:
    """The condition under which a row breaks the check; None where the check is not about single values."""
    match spec.rule:
        case "exact":
            return how.lossy
        case "timestamp zone":
            return how.local
        case "existing local time":
            return how.nonexistent
        case "nulls":
            return how.is_null
        case "finite":
            return how.infinite
        case "event time":
            kind = "DATE" if spec.dtype == "Date" else "TIMESTAMPTZ"  # year() of an instant asks a calendar, row by row
            first, after = (f"{kind} '{year:04.0f}-01-01'" for year in (spec.minimum or 1, (spec.maximum or 9998) + 1))
            return f"({how.value} < {first} OR {how.value} >= {after}) AND NOT ({how.infinite})"
        case "future":
            return f"{how.value} > {literal(spec.values[0])}"
        case "range":
            bounds = (("<", comparable(spec.minimum, how)), (">", comparable(spec.maximum, how)))
            outside = " OR ".join(f"{how.value} {sign} {literal(end)}" for sign, end in bounds if end is not None)
            return f"({outside}) AND NOT ({how.infinite})"
        case "allowed values":
            return f"{how.value} NOT IN ({', '.join(literal(comparable(value, how)) for value in spec.values)})"
    return None


def count_query(
    rows: str,
    columns: Iterable[Conversion],
    conditions: Iterable[str],
    *,
    day: str | None = None,
    aggregates: Iterable[str] = (),
) -> str:
    """The business day, the number of rows in a FROM item, the number that meet each condition, then the aggregates.

    One row in all, whose day is null; where the SQL of the day is given, one a day. Each text is converted once a row,
    not once a condition: the conversion gets a name, which the conditions then use. Contracts have no column whose name
    begins with _, so such a name is free.
    """
    counters = [f"count(*) FILTER (WHERE {condition})" for condition in conditions]
    asked = ", ".join([f"{day or 'NULL'} AS _day", "count(*)", *counters, *aggregates])
    readings = {f"_reading_{place}": sql for place, sql in enumerate(sql for how in columns for sql in how.readings)}
    for name, sql in readings.items():
        asked = asked.replace(sql, name)
    named = "".join(f", {sql} AS {name}" for name, sql in readings.items())
    return f"SELECT {asked} FROM (SELECT *{named} FROM {rows}){' GROUP BY _day' if day else ''}"


def example_query(rows: str, conditions: Mapping[CheckSpec, str], examples: int) -> str:
    """One row with a list for each condition: the first rows that meet it, as `row` and `value`."""
    firsts = ", ".join(
        f"arg_min({{'row': {ROW}, 'value': CAST({identifier(spec.columns[0])} AS VARCHAR)}}, {ROW}, {examples}) "
        f"FILTER (WHERE {condition})"
        for spec, condition in conditions.items()
    )
    return f"SELECT {firsts} FROM {rows}"


def canonical_values(drop: DropFile, columns: Mapping[str, Conversion], names: Sequence[str]) -> str:
    """A FROM item of these columns' converted values and ROW, without the rows in which one of them is null."""
    values = ", ".join(f"{columns[name].value} AS {identifier(name)}" for name in names)
    complete = " AND ".join(f"{identifier(name)} IS NOT NULL" for name in names)
    return f"(SELECT * FROM (SELECT {values}, {ROW} FROM {drop.rows(names)}) WHERE {complete})"


def repetition_count_query(rows: str, key: Sequence[str]) -> str:
    """The number of rows that repeat the key of an earlier row."""
    repeated = f"SELECT count(*) AS n FROM {rows} GROUP BY {identifiers(key)} HAVING count(*) > 1"
    return f"SELECT coalesce(sum(n - 1), 0) FROM ({repeated})"


def repetition_query(rows: str, key: Sequence[str], limit: int) -> str:
    """The first rows that repeat an earlier key: ROW and the key."""
    names = identifiers(key)
    return (
        f"SELECT {ROW}, {names} FROM {rows} QUALIFY row_number() OVER (PARTITION BY {names} ORDER BY {ROW}) > 1 "
        f"ORDER BY {ROW} LIMIT {limit}"
    )


def missing_references(rows: str, reference: Reference, known: str) -> str:
    """A query of the values that no row of `known`, the other source, has: in `_count` rows, first in row `_first`."""
    key = identifiers(reference.columns)
    aliases = ", ".join(
        f"{identifier(there)} AS {identifier(here)}"
        for here, there in zip(reference.columns, reference.source_columns, strict=True)
    )
    return (
        f"SELECT {key}, count(*) AS _count, min({ROW}) AS _first FROM {rows} "
        f"ANTI JOIN (SELECT DISTINCT {aliases} FROM {known}) AS known USING ({key}) GROUP BY {key}"
    )


def missing_count_query(missing: str) -> str:
    """How many values `missing_references` finds, and in how many rows they stand."""
    return f"SELECT count(*), coalesce(sum(_count), 0) FROM ({missing})"


def missing_query(missing: str, reference: Reference, limit: int) -> str:
    """The first of the values that `missing_references` finds, each with its first row."""
    return f"SELECT _first, {identifiers(reference.columns)} FROM ({missing}) ORDER BY _first LIMIT {limit}"


def converted_rows(drop: DropFile, columns: Mapping[str, Conversion]) -> str:
    """A query of the drop's converted columns, in the file's order."""
    values = ", ".join(f"{how.value} AS {identifier(name)}" for name, how in columns.items())
    return f"SELECT {values} FROM {drop.rows(tuple(columns))}"


def numbered_rows_table(name: str) -> str:
    """Make a temporary table of the row numbers given as the statement's one parameter."""
    return f"CREATE OR REPLACE TEMP TABLE {identifier(name)} AS SELECT unnest(?::BIGINT[]) AS row"


def is_numbered_in(name: str) -> str:
    """The condition that a row's number stands in such a table."""
    return f"{ROW} IN (SELECT row FROM {identifier(name)})"
