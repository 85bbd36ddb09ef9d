"""A model's business metrics: each one SELECT of a number over `predictions`, the rows that were scored.

Of a held-out split these are its rows with their outcomes, which is what a version promises; of recorded predictions,
once their outcomes are known, they are what it kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal

import pyarrow as pa

from transformations.engine.base.errors import UsageError
from transformations.engine.base.settings import get_settings
from transformations.models.declaration.config import PREDICTIONS, BusinessMetric
from transformations.models.evaluation.facts import BusinessFigure
from transformations.stores.history.session_sql import Resources, session
from transformations.stores.training.guarded_sql import (
    lock,
    one_select,
    refuse_other_tables,
    refuse_table_functions,
    time_limit,
)

_SECONDS = "FEATURES_OFFLINE_QUERY_SECONDS"


def business_figures(
    model: str, metrics: Sequence[BusinessMetric], rows: pa.Table, scores: pa.Array, decisions: pa.Array | None
) -> tuple[BusinessFigure, ...]:
    """The metrics of rows: their own columns, the label among them, with `score` and `decision` (null without one).

    A metric of no rows, or that gives null, has no value. UsageError, naming the metric, for a query that is not one
    SELECT of one number over `predictions`.
    """
    if not metrics:
        return ()
    taken = {"score": scores, "decision": pa.nulls(len(rows), pa.bool_()) if decisions is None else decisions}
    table = rows.drop_columns([name for name in taken if name in rows.column_names])
    for name, column in taken.items():
        table = table.append_column(name, column)
    return tuple(
        BusinessFigure(
            name=each.name,
            owner=each.owner,
            unit=each.unit,
            direction=each.direction,
            horizon=str(each.model_dump(mode="json")["horizon"]),
            value=_number(f"{model}.yaml: business metric {each.name!r}", each.query, table),
        )
        for each in metrics
    )


def _number(subject: str, query: str, table: pa.Table) -> float | None:
    import duckdb

    with session(Resources(threads=1), is_private=True) as connection:
        statement = one_select(connection, query, subject)
        refuse_table_functions(statement, subject, PREDICTIONS)
        refuse_other_tables(statement, subject, PREDICTIONS, lambda schema, name: (schema, name) == ("", PREDICTIONS))
        connection.register(PREDICTIONS, table)
        lock(connection)
        try:
            with time_limit(connection, get_settings().offline_query_seconds, subject, _SECONDS):
                found = connection.execute(query).fetchmany(2)
        except duckdb.Error as error:
            raise UsageError(
                f"{subject} cannot be run: {error}\nIt sees {PREDICTIONS} with {', '.join(table.column_names)}."
            ) from None
    if len(found) != 1 or len(found[0]) != 1:
        raise UsageError(f"{subject} gives other than one row of one column. Let it give one number.")
    value = found[0][0]
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or not math.isfinite(value):
        raise UsageError(f"{subject} gives {value!r}, which is no number. Let it give one.")
    return float(value)
