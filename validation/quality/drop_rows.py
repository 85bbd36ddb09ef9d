"""What a quality check is run on: an opened delivery whose rows are conforming, and what is stored already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from transformations.contracts import Contract
from transformations.engine.raw import raw_sql
from transformations.engine.raw.zone import RawSnapshot
from validation.files.column_names import ROW
from validation.files.drop_files import DropFile
from validation.quality.profile import business_day_sql, day_bounds
from validation.quality.quality_sql import (
    DAY,
    no_values,
    rows_by_day_query,
    stored_of_days,
    stored_without,
    values_item,
)
from validation.readings.conversions import Conversion

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(frozen=True, kw_only=True)
class DropRows:
    """The rows of an opened file and their conversions; file None stands for a word on completeness without rows.

    stored: the raw table before the drop. declared: the day that the command declares complete.
    """

    connection: DuckDBPyConnection
    contract: Contract
    file: DropFile | None
    conversions: Mapping[str, Conversion]
    stored: RawSnapshot | None
    declared: date | None
    now: datetime

    @property
    def name(self) -> str:
        """What messages call the drop."""
        return self.file.name if self.file else f"the word on completeness of {self.contract.name}"

    def values(self, columns: Iterable[str], *, with_day: bool = False, with_row: bool = False) -> str:
        """A FROM item of these columns as the contract types them; with the business day's number, the row's number.

        A word on completeness brings no rows, so its item is empty.
        """
        names = tuple(columns)
        if self.file is None:
            return no_values([*names, *[DAY] * with_day, *[ROW] * with_row])
        chosen = {name: self.conversions[name].value for name in names}
        needed = list(names)
        if with_day:
            event = str(self.contract.event_time)
            bounds = day_bounds(self.connection, self.contract, self.file, self.conversions)
            chosen[DAY] = business_day_sql(self.contract, self.conversions, bounds) if bounds else "NULL"
            needed += [] if event in names else [event]
        if with_row:
            chosen[ROW] = ROW
        return values_item(chosen, self.file.rows(needed))

    def stored_rows(self, days: Sequence[int], *, without_delivered: bool) -> str | None:
        """A FROM item of what is current of these business days; None where nothing is stored of them.

        without_delivered: but for the rows that the drop delivers again, by their key.
        """
        if self.stored is None or not days:
            return None
        spans = [range(day, day + 1) for day in sorted(days)]
        parts = self.stored.stored if self.stored.supersedes else self.stored.parts_of(spans)
        if not parts:
            return None
        files = [part.path for part in parts]
        current = raw_sql.current_rows(self.connection, self.contract, files, self.stored.supersedes)
        rows = stored_of_days(current, days)
        if not (without_delivered and self.contract.key and self.file):
            return rows
        event = self.contract.event_time if self.contract.has_date_only_event_time else None
        names = [name for name in self.contract.key if name != event]
        delivered = self.values(names, with_day=event in self.contract.key)
        return stored_without(rows, delivered, names, with_day=event in self.contract.key)

    def stored_counts(self, days: Sequence[int]) -> dict[int, int]:
        """How many current rows each of these days has besides what the drop delivers."""
        rows = self.stored_rows(days, without_delivered=True)
        if rows is None:
            return {}
        return dict(self.connection.execute(rows_by_day_query(rows)).fetchall())
