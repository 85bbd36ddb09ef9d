"""Questions about a delivered file's columns: the file as a table, and the different values of one column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from transformations.engine.base.duck import identifier, literal
from validation.drafting.readings import BACKSLASH_NULL, LOOKS_LIKE_TIME, NULL_TOKENS, Reading
from validation.files.column_names import ROW
from validation.files.drop_files import DropFile

COUNT_DELIVERED = "SELECT count(*) FROM delivered"


def table_of_file(file: DropFile) -> str:
    """Makes the table `delivered`: a file's cells, as columns c0, c1, …"""
    cells = ", ".join(f"{file.cells[name]} AS c{number}" for number, name in enumerate(file.types))
    return f"CREATE TEMP TABLE delivered AS SELECT {cells} FROM {file.relation}"


def view_of_values(view: str, columns: Mapping[str, str]) -> str:
    """Makes a view of canonical values, SQL by the column's name, each row with its place."""
    values = "".join(f", {value} AS {identifier(name)}" for name, value in columns.items())
    return f"CREATE TEMP VIEW {view} AS SELECT rowid AS {ROW}{values} FROM delivered"


@dataclass(frozen=True)
class ColumnValues:
    """A column of `delivered`, its table of different values, and the cells in it that might mean null."""

    cell: str
    table: str
    tokens: tuple[str, ...] = ()

    @property
    def create(self) -> str:
        """Makes the table: each value with its number of rows, `n`."""
        return (
            f"CREATE TEMP TABLE {self.table} AS SELECT {self.cell}, count(*) AS n FROM delivered GROUP BY {self.cell}"
        )

    @property
    def null_tokens(self) -> str:
        """The cells that might mean null, with their numbers."""
        return f"SELECT {self.cell}, n FROM {self.table} WHERE {self._is_among(NULL_TOKENS)}"

    @property
    def count(self) -> str:
        """How many different cells there are."""
        return f"SELECT count({self.cell}) FROM {self.table}"

    def sample(self, values: int) -> str:
        """Some of the values, as a relation."""
        return f"(SELECT * FROM {self.table} LIMIT {values})"

    def fits(self, tried: Iterable[Reading], relation: str) -> str:
        """For each reading, how many values it does not fit, and how many rows it reads as null."""
        counts = ", ".join(
            f"count(*) FILTER (WHERE {self._is_present} AND ({each.unfit})), "
            f"coalesce(sum(n) FILTER (WHERE NOT ({self._is_present}) OR {each.is_null}), 0)"
            for each in tried
        )
        return f"SELECT {counts} FROM {relation}"

    def first_unlike_time(self, relation: str) -> str:
        """A row where a value does not look like a time."""
        text = f"CAST({self.cell} AS VARCHAR)"
        unlike = f"{self._is_present} AND NOT regexp_matches({text}, {literal(LOOKS_LIKE_TIME)})"
        return f"SELECT 1 FROM {relation} WHERE {unlike} LIMIT 1"

    def least_unfit(self, reading: Reading) -> str:
        """The first value that a reading does not fit, as text."""
        unfit = f"{self._is_present} AND ({reading.unfit})"
        return f"SELECT min(CAST({self.cell} AS VARCHAR)) FROM {self.table} WHERE {unfit}"

    def extremes(self, reading: Reading, null_tokens: Sequence[str]) -> str:
        """Rows that are null, rows with a time without an offset, different values, the lowest and highest as text."""
        rows = self._values_under(reading, null_tokens)
        return (
            f"SELECT coalesce(sum(n) FILTER (WHERE value IS NULL), 0), "
            f"coalesce(sum(n) FILTER (WHERE is_local), 0), count(DISTINCT value), "
            f"{_shown_text(reading, 'min(value)')}, {_shown_text(reading, 'max(value)')} FROM {rows}"
        )

    def listed(self, reading: Reading, null_tokens: Sequence[str]) -> str:
        """The values in their order, as text."""
        rows, shown = self._values_under(reading, null_tokens), _shown_text(reading, "value")
        return f"SELECT {shown} FROM {rows} WHERE value IS NOT NULL GROUP BY value ORDER BY value"

    def first_equal(self, text: str) -> str:
        """A row where a cell is this text."""
        return f"SELECT 1 FROM {self.table} WHERE {self.cell} = {literal(text)} LIMIT 1"

    @property
    def count_backslashes(self) -> str:
        """How many cells hold a backslash, those for null aside."""
        holds_one = f"contains({self.cell}, '\\') AND {self.cell} <> {literal(BACKSLASH_NULL)}"
        return f"SELECT coalesce(sum(n) FILTER (WHERE {holds_one}), 0) FROM {self.table}"

    @property
    def _is_present(self) -> str:
        among = f" AND NOT {self._is_among(self.tokens)}" if self.tokens else ""
        return f"{self.cell} IS NOT NULL{among}"

    def _values_under(self, reading: Reading, null_tokens: Sequence[str]) -> str:
        """The values under a reading, as a relation."""
        meant = [token for token in self.tokens if token in null_tokens]
        null = f"(({reading.is_null}) OR {self._is_among(meant)})" if meant else f"({reading.is_null})"
        value = f"CASE WHEN NOT {null} THEN {reading.value} END"
        return f"(SELECT *, {value} AS value, {reading.local} AS is_local FROM {self.table})"

    def _is_among(self, texts: Iterable[str]) -> str:
        return f"{self.cell} IN ({', '.join(map(literal, texts))})"


def _shown_text(reading: Reading, value: str) -> str:
    """A value as text. A time without an offset is shown as its clock shows it: it is held as if that were UTC."""
    is_local = reading.dtype == "UnixTimestamp" and reading.local != "FALSE"
    shown = f"timezone('UTC', {value})" if is_local else value
    return f"CAST({shown} AS VARCHAR)"
