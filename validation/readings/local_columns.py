"""The naive timestamps of a drop: which offsets of the contract's zone they fall under, and which happened twice."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from transformations.contracts import Contract
from transformations.engine.base.duck import identifier
from transformations.engine.base.words import plural
from validation.files.drop_files import DropFile
from validation.readings.conversions import local_time
from validation.readings.local_columns_sql import counts_within_query, years_query
from validation.readings.local_times import OffsetPeriod, offset_periods_of_years, repeated_times

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def periods_of(
    connection: DuckDBPyConnection, contract: Contract, drop: DropFile, name: str
) -> tuple[OffsetPeriod, ...]:
    """The zone's offsets over the naive timestamps of a column; empty where they are UTC or there are none."""
    local = _local_time_of(contract, drop, name)
    if local is None:
        return ()
    years = connection.execute(years_query(local, drop.rows([name]))).fetchall()
    return offset_periods_of_years(contract.timestamp_zone, [year for (year,) in years])


def repeated_hours(
    connection: DuckDBPyConnection,
    contract: Contract,
    drop: DropFile,
    name: str,
    periods: tuple[OffsetPeriod, ...],
) -> list[str]:
    """A note per clock change for which the column has local times in the hour that clocks showed twice."""
    local, repeated = _local_time_of(contract, drop, name), repeated_times(periods)
    if local is None or not repeated:
        return []
    counts = connection.execute(counts_within_query(local, repeated, drop.rows([name]))).fetchall()[0]
    return [
        f"{name}: {plural(count, 'row falls', 'rows fall')} between {_span_text(begins, ends)}, which clocks "
        f"in {contract.timestamp_zone} showed twice; taken as the earlier time"
        for count, (begins, ends) in zip(counts, repeated, strict=True)
        if count
    ]


def _local_time_of(contract: Contract, drop: DropFile, name: str) -> str | None:
    column = contract.column(name)
    if contract.timestamp_zone == "UTC" or column.dtype != "UnixTimestamp":
        return None
    return local_time(identifier(name), drop.types[name], column.format)


def _span_text(begins: datetime, ends: datetime) -> str:
    last = f"{ends:%H:%M}" if ends.date() == begins.date() else f"{ends:%Y-%m-%d %H:%M}"
    return f"{begins:%Y-%m-%d %H:%M} and {last}"
