"""What tells new rows of a table from known ones, from where on a pull reads, and which tables cannot be pulled.

recorded  newest in the table  read from      because
7         9                    7 - overlap    rows that were committed late lie within the overlap
7         4                    the beginning  the table was brought back to an earlier state, and what came since
may lie below 7
7         a date               the beginning  the column's type has changed
7         (no row)             7 - overlap    the table was emptied; what is stored stays
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TypeAlias
from zoneinfo import ZoneInfo

from transformations.contracts import Contract
from transformations.contracts.model import TableServer
from transformations.contracts.texts import nearest
from transformations.engine.base.errors import DataError, UsageError

Mark: TypeAlias = datetime | date | int


def mark_of(contract: Contract, server: TableServer, value: object) -> Mark | None:
    """A watermark as it was read; DataError for one of a type that does not say how far a table was read."""
    match value:
        case None:
            return None
        case bool():
            pass
        case int():
            return value
        case Decimal() if value == value.to_integral_value():
            return int(value)
        case datetime():  # pandas' own knows nanoseconds: the mark lies before it, so its rows are read again
            return datetime.combine(value.date(), value.timetz())
        case date():
            return value
    raise unfit_mark(contract, server, type(value).__name__)


def unfit_mark(contract: Contract, server: TableServer, kind: str) -> DataError:
    """The error for a column whose values do not say how far a table was read."""
    return DataError(
        f"{contract.file_name}: the watermark {server.watermark!r} is a {kind}. Choose a column of times, dates or "
        f"whole numbers. No row was taken."
    )


def refuse_missing(contract: Contract, server: TableServer, found: list[str]) -> None:
    """DataError for a column of the contract, or a watermark, that the table lacks; before any row is read."""
    needed = [column.in_file for column in contract.columns]
    needed += [server.watermark] if server.watermark else []
    for name in needed:
        if name not in found:
            raise DataError(
                f"{contract.file_name}: table {server.table} has no column {name!r}; {nearest(name, found)}. No row "
                f"was read. Say physicalName where the table has another name, or change the contract."
            )


def start_of_pull(
    server: TableServer, recorded: Mark | None, newest: Mark | None
) -> tuple[Mark | None, tuple[str, ...]]:
    """From which watermark on rows are read (None: all), and what to note about it.

    recorded: the last pull's. newest: the greatest that the table has now. UsageError for an overlap that is a number
    where the watermark is a time, or the other way round.
    """
    for mark in (recorded, newest):
        if mark is not None:
            _before(server, mark)
    if recorded is None:
        return None, ()
    since = _before(server, recorded)
    if newest is None:
        note = f"table {server.table} has no row now, though rows were pulled from it before; what is stored stays"
        return since, (note,)
    if _kind(newest) != _kind(recorded):
        was = f"{server.watermark} of table {server.table} was {_kind(recorded)}, is {_kind(newest)}"
        return None, (f"{was}: all rows were read again",)
    if newest < recorded:  # type: ignore[operator]  # of one kind, so comparable
        back = f"{server.watermark} of table {server.table} went back from {recorded} to {newest}"
        return None, (f"{back}: all rows were read again, and stored rows that are gone there stay",)
    return since, ()


def recorded_mark(mark: Mark | None, contract: Contract, now: datetime) -> Mark | None:
    """The watermark to record: never after the clock, so that a row of next year does not hide those until then."""
    zone = ZoneInfo(contract.timestamp_zone)
    match mark:
        case datetime() if mark.tzinfo is None:
            return min(mark, now.astimezone(zone).replace(tzinfo=None))
        case datetime():
            return min(mark, now)
        case date():
            return min(mark, now.astimezone(zone).date())
    return mark


def without_mark(contract: Contract, server: TableServer, count: int) -> DataError:
    """The error for rows that no pull would find."""
    return DataError(
        f"{contract.file_name}: {count:,} rows of table {server.table} have no {server.watermark}, the watermark, and "
        f"would never be pulled. Fill it in at the source, or choose another column."
    )


def _before(server: TableServer, mark: Mark) -> Mark:
    """The watermark that lies the overlap before one; the first there is, where that would be before all."""
    overlap = server.overlap
    if isinstance(mark, int):
        if isinstance(overlap, timedelta):
            raise UsageError(f"the overlap of {server.table} is a duration, its watermark a number. Write a number.")
        return mark - overlap
    if isinstance(overlap, timedelta):
        if isinstance(mark, datetime):
            first = mark.replace(year=1, month=1, day=1)
            return mark - overlap if mark - first > overlap else first
        days = -(-overlap // timedelta(days=1))  # a date is a whole day: PT1H reads the day before
        return date.fromordinal(max(1, mark.toordinal() - days))
    if overlap:
        raise UsageError(f"the overlap of {server.table} is a number, its watermark a time. Write a duration: PT1H.")
    return mark


def _kind(mark: Mark) -> str:
    match mark:
        case datetime():
            return "a time without a zone" if mark.tzinfo is None else "a time with a zone"
        case date():
            return "a date"
    return "a number"
