"""What tells new rows of a table from known ones, and which tables cannot be pulled."""

from __future__ import annotations

from datetime import date, datetime
from typing import TypeAlias

from transformations.contracts import Contract
from transformations.contracts.model import TableServer
from transformations.contracts.nearest import nearest
from transformations.engine.base.errors import DataError

Mark: TypeAlias = datetime | date | int


def checked_mark(contract: Contract, server: TableServer, value: object) -> Mark | None:
    """A watermark as it was read; DataError for one of a type that does not say how far a table was read."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if isinstance(value, datetime):
        return value.replace(microsecond=value.microsecond)
    if isinstance(value, date):
        return value
    raise DataError(
        f"{contract.file_name}: the watermark {server.watermark!r} is a {type(value).__name__}. Choose a column of "
        f"times, dates or whole numbers."
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


def without_mark(contract: Contract, server: TableServer, count: int) -> DataError:
    """The error for rows that no pull would find."""
    return DataError(
        f"{contract.file_name}: {count:,} rows of table {server.table} have no {server.watermark}, the watermark, and "
        f"would never be pulled. Fill it in at the source, or choose another column."
    )
