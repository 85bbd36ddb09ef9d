"""What the columns of a file look like, found in one reading of the file and a few passes over what was read."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from transformations.engine.base.errors import DataError
from validation.drafting.columns_sql import COUNT_DELIVERED, ColumnValues, table_of_file, view_of_values
from validation.drafting.readings import (
    BACKSLASH_NULL,
    NULL_TOKENS,
    Reading,
    declared_times,
    is_text,
    iso_times,
    readings,
    same_form,
)
from validation.files.drop_files import TEXT_CELL, DropFile

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

TABLE = "drafted"  # the columns' canonical values, under the contract's names, and `_row`, from 0
LISTED_VALUES = 12
_SAMPLE = 2_000  # values that a reading has to fit before it is tried on all of them


@dataclass(frozen=True, kw_only=True)
class Seen:
    r"""One column of a file: its name in the contract, how it is read, and what its values look like.

    rivals: forms of times that fit every value as well, so that the data cannot tell which is meant. tokens: cells that
    mean null, if anything in the file does, with their number. local: how many values are times without an offset.
    is_named_like_a_value: its name may be a value of a first row that is taken for a header. backslashes: how many
    values hold one, \N aside.
    """

    name: str
    physical_name: str
    reading: Reading
    rivals: tuple[str, ...] = ()
    tokens: Mapping[str, int] = field(default_factory=dict)
    nulls: int = 0
    local: int = 0
    distinct: int = 0
    lowest: str | None = None
    highest: str | None = None
    values: tuple[str, ...] = ()
    is_named_like_a_value: bool = False
    backslashes: int = 0

    @property
    def dtype(self) -> str:
        """The dtype that holds all its values."""
        return self.reading.dtype


@dataclass(frozen=True)
class SeenFile:
    """What a file holds: its number of rows, its columns, the texts that mean null in it, and what no dtype holds.

    unreadable: by column, its stored type, and a value that no dtype holds where others of the type would do.
    """

    rows: int
    columns: tuple[Seen, ...]
    null_tokens: tuple[str, ...]
    unreadable: Mapping[str, str]


def look(connection: DuckDBPyConnection, file: DropFile) -> SeenFile:
    """Read a file once and find what its columns are; those without nulls become the view `drafted`, for the keys."""
    names = list(file.types)
    connection.execute(table_of_file(file))
    (rows,) = connection.execute(COUNT_DELIVERED).fetchall()[0]
    if not rows:
        raise DataError(f"{file.name} has no rows to draft a contract from. Give a file with some.")
    values = [_Values(connection, file, name, number) for number, name in enumerate(names)]
    found = [(each, _read_column(each, name, rows)) for each, name in zip(values, _contract_names(names), strict=True)]
    read = [(each, column) for each, column in found if column is not None]
    if not read:
        raise DataError(
            f"{file.name}: column {names[0]!r} is {file.types[names[0]]}, which no dtype of ours holds, and there is "
            f"no other. Deliver it as a number, text, boolean, date or timestamp."
        )
    meant = {
        token
        for _, column in read
        for token in column.tokens
        if column.dtype != "String" or column.reading.note or token == BACKSLASH_NULL
    }
    null_tokens = tuple(token for token in NULL_TOKENS if token in meant)
    columns = [each.measure(column, null_tokens) for each, column in read]
    whole = [(each, column) for (each, _), column in zip(read, columns, strict=True) if not column.nulls]
    canonical = {column.name: each.canonical_value(column) for each, column in whole}
    connection.execute(view_of_values(TABLE, canonical))
    unreadable = {each.name: each.unreadable_kind() for each, column in found if column is None}
    return SeenFile(rows, tuple(columns), null_tokens, unreadable)


def _read_column(values: _Values, name: str, rows: int) -> Seen | None:
    """The column as it is read; None where no dtype holds it."""
    fitting = values.fitting_readings(rows)
    if not fitting:
        return None
    first = fitting[0]
    rivals = [each.form for each in fitting if each.form and first.form and not same_form(each.form, first.form)]
    return Seen(
        name=name,
        physical_name=values.name,
        reading=first,
        rivals=tuple(form for form in rivals if form),
        tokens=values.tokens,
    )


class _Values:
    """The different values of one column, each with its number of rows, so that no text is parsed twice."""

    def __init__(self, connection: DuckDBPyConnection, file: DropFile, name: str, number: int) -> None:
        self.connection, self.name, self.kind = connection, name, file.types[name]
        self.sql = ColumnValues(f"c{number}", f"values_{number}")
        connection.execute(self.sql.create)
        self.tokens = self._find_tokens()
        self.sql = replace(self.sql, tokens=tuple(self.tokens))

    def fitting_readings(self, rows: int) -> Sequence[Reading]:
        """The narrowest reading that fits every value, then any other forms of times that fit."""
        cell, sample = self.sql.cell, self.sql.sample(_SAMPLE)
        left = self._keep_fitting(readings(cell, self.kind), sample)
        if is_text(self.kind) and self._is_like_times(sample):
            iso = self._keep_fitting(iso_times(cell, self.kind), sample)
            left = [*(iso or self._keep_fitting(declared_times(cell, self.kind), sample)), *left]
        while left:
            tried = [each for each in left if each is left[0] or each.form]
            if fit := self._keep_fitting(tried, self.sql.table, rows):
                return fit
            left = [each for each in left if each not in tried]
        return []

    def unreadable_kind(self) -> str:
        """The stored type, with a value that the last of its readings does not fit, if there is a reading."""
        possible = readings(self.sql.cell, self.kind)
        if not possible:
            return self.kind
        (value,) = self._fetch_row(self.sql.least_unfit(possible[-1]))
        return self.kind if value is None else f"{self.kind} with values such as {value}"

    def measure(self, column: Seen, null_tokens: Sequence[str]) -> Seen:
        """The column with its nulls, ends and, where they are few, values."""
        nulls, local, distinct, lowest, highest = self._fetch_row(self.sql.extremes(column.reading, null_tokens))
        listed: tuple[str, ...] = ()
        if 0 < distinct <= LISTED_VALUES:
            found = self.connection.execute(self.sql.listed(column.reading, null_tokens)).fetchall()
            listed = tuple(str(value) for (value,) in found)
        return replace(
            column,
            nulls=int(nulls),
            local=int(local),
            distinct=distinct,
            lowest=lowest,
            highest=highest,
            values=listed,
            is_named_like_a_value=self._holds_its_name(),
            backslashes=self._count_backslashes() if column.dtype == "String" else 0,
        )

    def canonical_value(self, column: Seen) -> str:
        """SQL that is equal for two rows exactly where their values are: the cell, unless two texts mean one value."""
        (cells,) = self._fetch_row(self.sql.count)
        return self.sql.cell if cells == column.distinct else column.reading.value

    def _holds_its_name(self) -> bool:
        """Whether the column's name is a number, or stands among its cells."""
        if self.kind != TEXT_CELL:
            return False
        if re.fullmatch(r"[+-]?\d+([.,]\d+)?", self.name.strip()):
            return True
        return bool(self.connection.execute(self.sql.first_equal(self.name)).fetchall())

    def _count_backslashes(self) -> int:
        """How many cells of a CSV file hold a backslash, those for null aside."""
        if self.kind != TEXT_CELL:
            return 0
        (count,) = self._fetch_row(self.sql.count_backslashes)
        return int(count)

    def _keep_fitting(self, tried: Sequence[Reading], relation: str, rows: int | None = None) -> list[Reading]:
        """Those that no value contradicts; over the values of all `rows`, those that need nulls or none, too."""
        if not tried:
            return []
        counts = self._fetch_row(self.sql.fits(tried, relation))
        counted = zip(tried, counts[::2], counts[1::2], strict=True)
        return [each for each, unfit, nulls in counted if not unfit and (rows is None or each.is_shown_by(rows, nulls))]

    def _is_like_times(self, relation: str) -> bool:
        return not self.connection.execute(self.sql.first_unlike_time(relation)).fetchall()

    def _find_tokens(self) -> Mapping[str, int]:
        """The cells of a CSV file that might mean null, with their numbers."""
        if self.kind != TEXT_CELL:
            return {}
        return dict(self.connection.execute(self.sql.null_tokens).fetchall())

    def _fetch_row(self, query: str) -> tuple[Any, ...]:
        (row,) = self.connection.execute(query).fetchall()
        return row


def _contract_names(names: Sequence[str]) -> list[str]:
    """What the columns are called in a contract: their own names, or the nearest that it accepts."""
    taken: set[str] = set()
    found = []
    for number, name in enumerate(names, start=1):
        plain = name
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
            plain = re.sub(r"\W+", "_", unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()).strip(
                "_"
            )
            plain = plain.lower() if plain[:1].isalpha() else f"column_{plain.lower() or number}"
        while plain.lower() in taken:
            plain = f"{plain}_{number}"
        taken.add(plain.lower())
        found.append(plain)
    return found
