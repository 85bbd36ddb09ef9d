"""The SQL that asks naive timestamps for their years, and for the hours that clocks showed twice."""

from collections.abc import Iterable
from datetime import datetime


def years_query(local: str, rows: str) -> str:
    """The years of the local times (an expression) of a FROM item, without those that no calendar has."""
    return f"SELECT DISTINCT year({local}) FROM {rows} WHERE year({local}) BETWEEN 1 AND 9999"


def counts_within_query(local: str, spans: Iterable[tuple[datetime, datetime]], rows: str) -> str:
    """How many local times lie within each span, its end excluded."""
    counters = ", ".join(
        f"count(*) FILTER (WHERE {local} >= TIMESTAMP '{begins}' AND {local} < TIMESTAMP '{ends}')"
        for begins, ends in spans
    )
    return f"SELECT {counters} FROM {rows}"
