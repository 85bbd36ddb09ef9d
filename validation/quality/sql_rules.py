"""Rules of type sql: one SELECT over the drop, which gives one number; it can read nothing else and change nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from transformations.contracts import Contract
from transformations.contracts.model import SHOWN_PII
from transformations.contracts.quality import QualityRule
from transformations.contracts.texts import visible
from transformations.engine.base.duck import identifier
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.settings import Settings
from transformations.stores.training.guarded_sql import (
    lock,
    nodes,
    one_select,
    refuse_other_tables,
    refuse_table_functions,
    time_limit,
    volatile_parts,
)
from validation.files.sessions import session_beside
from validation.quality.drop_rows import DropRows
from validation.quality.quality_sql import all_rows_query, table_statement

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_BATCH_ROWS = 131_072
_MOST_SAID = 300


def measure_queries(rows: DropRows, rules: Sequence[QualityRule], settings: Settings) -> dict[str, float]:
    """What each rule's query gives for the drop, by the rule's identifier; true is 1, false 0.

    UsageError where a query is not one SELECT over the drop, would give another result the next time, takes longer than
    the settings allow, or gives anything but one number or boolean; DataError where it is the drop's values that leave
    it without a number, as the mean of nulls, or that it cannot convert.
    """
    if not rules:
        return {}
    with session_beside(rows.connection, settings) as private:
        queries = {rule: _query(private, rows.contract, rule) for rule in rules}
        wanted = [
            name for name in rows.contract.column_names if any(_names(query, name) for _, query in queries.values())
        ]
        wanted = wanted or list(rows.contract.column_names[:1])
        reader = rows.connection.sql(all_rows_query(rows.values(wanted))).to_arrow_reader(_BATCH_ROWS)
        private.register("delivered", reader)
        private.execute(table_statement(rows.contract.name, "delivered"))
        private.unregister("delivered")
        lock(private)
        return {
            rule.identifier: _result(private, rows.contract, rule, query, settings.quality_seconds)
            for rule, query in queries.items()
        }


def subject_of(contract: Contract, rule: QualityRule) -> str:
    """What messages call a rule's query."""
    return f"{contract.file_name}: the query of rule {rule.name!r} ({rule.place})"


def _query(connection: DuckDBPyConnection, contract: Contract, rule: QualityRule) -> tuple[str, Mapping[str, Any]]:
    """The query's text and syntax tree, once it is known to read the drop alone and to be reproducible."""
    text = re.sub(r"\$?\{object\}", lambda _: identifier(contract.name), rule.query)
    if rule.columns:
        text = re.sub(r"\$?\{property\}", lambda _: identifier(rule.columns[0]), text)
    subject = subject_of(contract, rule)
    statement = one_select(connection, text, subject)
    readable = f"{contract.name} (as {{object}})"
    refuse_table_functions(statement, subject, readable)
    own = ("", contract.name.lower())
    refuse_other_tables(statement, subject, readable, lambda schema, name: (schema, name) == own)
    if volatile := volatile_parts(connection, statement):
        raise UsageError(
            f"{subject}: {', '.join(volatile)} would give another result the next time. Write moments as literals, "
            f"and count all rows in place of a sample."
        )
    return text, statement


def _names(statement: Mapping[str, Any], column: str) -> bool:
    """Whether a query names a column, or asks for all of them."""
    for node in nodes(statement):
        if node.get("class") == "STAR" or (node.get("type") in ("STAR", "COLUMNS")):
            return True
        if any(str(part).lower() == column.lower() for part in node.get("column_names") or ()):
            return True
        if column.lower() in map(str.lower, map(str, node.get("using_columns") or ())):
            return True
    return False


def _result(
    connection: DuckDBPyConnection,
    contract: Contract,
    rule: QualityRule,
    query: tuple[str, Mapping[str, Any]],
    seconds: float,
) -> float:
    import duckdb

    text, statement = query
    subject = subject_of(contract, rule)
    try:
        with time_limit(connection, seconds, subject, "FEATURES_QUALITY_SECONDS"):
            found = connection.execute(text).fetchmany(2)
            width = len(connection.description or ())
    except duckdb.DataError as error:
        raise DataError(
            f"{subject} cannot be computed of this drop's values{_in_words(error, contract, statement)}. Nothing was "
            f"taken."
        ) from None
    except (duckdb.ProgrammingError, duckdb.NotSupportedError, duckdb.PermissionException) as error:
        raise UsageError(
            f"{subject} cannot be run: {error}\nIt sees {contract.name} with the contract's columns."
        ) from None
    if len(found) != 1 or width != 1:
        many = "no row" if not found else "several rows" if len(found) > 1 else f"{width} columns"
        raise UsageError(f"{subject} gives {many}. Let it give one row of one number or boolean.")
    value = found[0][0]
    if value is None or (isinstance(value, float) and math.isnan(value)):  # the next drop may well have one
        nothing = "null" if value is None else "not-a-number"
        raise DataError(
            f"{subject} gives {nothing} for this drop. Fix the source, or say in the query what holds then, by "
            f"coalesce(…, 0)."
        )
    if not isinstance(value, bool | int | float | Decimal) or not math.isfinite(value):
        raise UsageError(f"{subject} gives {value!r}, which is no number. Let it give one.")
    return float(value)


def _in_words(error: Exception, contract: Contract, statement: Mapping[str, Any]) -> str:
    """What DuckDB says of values, which it quotes; nothing where the query reads a column about a person."""
    if any(column.pii not in SHOWN_PII and _names(statement, column.name) for column in contract.columns):
        return ""
    return f": {visible(str(error))[:_MOST_SAID]}"
