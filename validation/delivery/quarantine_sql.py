"""The SQL of rows set aside: a temporary table of their numbers and of the rules that they break."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from transformations.contracts import Reference
from transformations.engine.base.duck import identifier, identifiers, literal
from validation.files.column_names import ROW

NEW_TABLE = "CREATE OR REPLACE TEMP TABLE set_aside (row BIGINT, rule VARCHAR)"
NUMBERS = "(SELECT row FROM set_aside)"
COUNT_QUERY = "SELECT count(DISTINCT row) FROM set_aside"
RULES_QUERY = "SELECT rule, count(DISTINCT row) FROM set_aside GROUP BY rule ORDER BY 2 DESC, 1"


def set_aside_statement(queries: Mapping[str, str]) -> str:
    """Set aside what queries of row numbers find, by rule; one statement, so that a row gets every rule it breaks."""
    broken = [f"SELECT {ROW}, {literal(label)} FROM ({query})" for label, query in queries.items()]
    return f"INSERT INTO set_aside {' UNION ALL '.join(broken)}"


def taken_query(rows: str, names: Sequence[str]) -> str:
    """The rows set aside, of a FROM item of delivered rows: these columns as texts, ROW, and `_rules`, a list."""
    texts = ", ".join(f"CAST({identifier(name)} AS VARCHAR) AS {identifier(name)}" for name in names)
    rules = "(SELECT row, list(DISTINCT rule ORDER BY rule) AS _rules FROM set_aside GROUP BY row) AS aside"
    return (
        f"SELECT {texts}, {ROW}, _rules FROM {rows} AS delivered "
        f"JOIN {rules} ON aside.row = delivered.{ROW} ORDER BY {ROW}"
    )


def rows_that(rows: str, condition: str) -> str:
    """The numbers of the rows that meet a condition."""
    return f"SELECT {ROW} FROM {rows} WHERE {condition}"


def rows_of_repeated_keys(rows: str, key: Sequence[str]) -> str:
    """The numbers of all rows whose key another row has, too."""
    return f"SELECT {ROW} FROM {rows} QUALIFY count(*) OVER (PARTITION BY {identifiers(key)}) > 1"


def rows_without_reference(rows: str, reference: Reference, known: str) -> str:
    """The numbers of the rows whose values no row of `known`, the other source, has."""
    pairs = zip(reference.columns, reference.source_columns, strict=True)
    aliases = ", ".join(f"{identifier(there)} AS {identifier(here)}" for here, there in pairs)
    return (
        f"SELECT {ROW} FROM {rows} ANTI JOIN (SELECT DISTINCT {aliases} FROM {known}) AS known "
        f"USING ({identifiers(reference.columns)})"
    )
