"""A data contract as plain frozen values."""

from dataclasses import KW_ONLY, asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, TypeAlias

import click

from transformations.contracts.quality import EVERY_DAY, ExpectedDays, QualityRule
from transformations.contracts.texts import nearest, shown_value

# An event outside these years is a sentinel or in a wrong unit; builds would compute every day up to it.
EVENT_YEARS = (1900, 2199)
LOGICAL_TYPES = {
    "Int64": "integer",
    "Float64": "number",
    "String": "string",
    "Bool": "boolean",
    "UnixTimestamp": "timestamp",
    "Date": "date",
}
"""The dtypes of columns by Feast's names, with the contract's word for each."""
DTYPES = tuple(LOGICAL_TYPES)

SUPERSEDES_ALLOWED = 0.01
"""Now and then a row updated during the day is delivered again; a file made of such rows is a correction."""

Delivery: TypeAlias = Literal["append", "upsert", "replace-partition", "snapshot"]
"""What a drop is: rows to add, of which few may replace stored ones; rows that each replace the stored row of their
key; whole business days, which replace all that was stored of them; or the whole content.
"""
PII_CLASSES = ("none", "pseudonymous", "personal", "sensitive")
"""How far a column's values lead to a person, least first: not at all; through a key that others can resolve; as a fact
about somebody; as a fact that the law protects above others (health, belief, origin).
"""
SHOWN_PII = ("none", "pseudonymous")
"""Of columns of these classes messages and pages show values; of others they say WITHHELD."""
WITHHELD = "(personal)"
UNQUOTED = ""  # the `quote` and `escape` of a file in which no character is special


class ContractError(click.ClickException, ValueError):
    """A contract that is missing or says something impossible; the message names the file, the key and the remedy.

    As a click exception it ends any command, Feast's own too, with its message and exit code and no stack trace. The
    code is that of every mistake in an author's file (`ExitCode.USAGE`): data has code 3, and a contract is none.
    """

    exit_code = 2


@dataclass(frozen=True)
class ColumnFormat:
    """How a file writes a column's values, where not in the forms that are taken anyway.

    strptime: the only forms that a time or date given as text may have; empty for ISO 8601. decimal, thousands: the
    separators of numbers given as text. stored_as: what the contract's physicalType says the file stores, where that
    permits a lossless cast ("text", "number") or needs a zone ("naive time").
    """

    strptime: tuple[str, ...] = ()
    decimal: str = "."
    thousands: str = ""
    stored_as: Literal["text", "number", "naive time"] | None = None


@dataclass(frozen=True)
class Column:
    """One column: `dtype` is one of DTYPES, `minimum` and `maximum` are inclusive, `allowed` empty means any value.

    physical_name: the column's name in a delivered file, where it is another. pii: one of PII_CLASSES.
    """

    name: str
    dtype: str
    nullable: bool
    description: str
    _: KW_ONLY
    unit: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    allowed: tuple[object, ...] = ()
    physical_name: str | None = None
    format: ColumnFormat = ColumnFormat()
    pii: str = PII_CLASSES[0]

    @property
    def in_file(self) -> str:
        """The column's name in a delivered file."""
        return self.physical_name or self.name

    def shown(self, value: object) -> str:
        """A value of the column for a message or page: short, hidden characters written out, nothing about a person."""
        return shown_value(value) if self.pii in SHOWN_PII else WITHHELD


@dataclass(frozen=True, kw_only=True)
class CsvDialect:
    """What the characters of a CSV file mean; nothing of it is ever guessed at ingestion.

    quote: encloses a cell that holds delimiters, quotes or newlines; "" where no cell is enclosed. escape: stands
    before a quote within such a cell, the quote itself (doubled) or a backslash. header: whether the first line names
    the columns; without it they come in the contract's order. encoding: any name that Python knows. comment: a line
    that begins with it is no row.
    """

    delimiter: str = ","
    quote: str = '"'
    escape: str = '"'
    header: bool = True
    encoding: str = "utf-8"
    comment: str | None = None

    def as_property(self) -> dict[str, object]:
        """The value of the contract's `csv` property, with every key; `dialect_of` reads it back."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class FileForm:
    """All that a contract says of its files. csv: None means the usual dialect of the file's ending.

    null_tokens: cells of a CSV file that mean null, besides the empty one. ignored_columns: left out knowingly.
    folder_columns: columns whose values the names of folders give (`day=2020-01-31/`), from the top down.
    """

    csv: CsvDialect | None = None
    null_tokens: tuple[str, ...] = ()
    ignored_columns: tuple[str, ...] = ()
    ignores_header_case: bool = False
    folder_columns: tuple[str, ...] = ()

    def folded(self, name: str) -> str:
        """A column's name as it is compared with others: without case, where the contract says so."""
        return name.casefold() if self.ignores_header_case else name


@dataclass(frozen=True, kw_only=True)
class TableServer:
    """A table elsewhere that the source is pulled from.

    place: a DuckDB file, a Delta table's folder, or the environment variable that holds a SQLAlchemy URL; empty for a
    table of Spark's catalogue. watermark:
    the column by which new rows are known; None: every pull reads all rows. overlap: from how far before the last
    watermark on rows are read again, as a duration or a number.
    """

    kind: Literal["duckdb", "sqlalchemy", "delta", "spark"]
    place: str
    table: str
    schema: str | None
    watermark: str | None
    overlap: timedelta | int


@dataclass(frozen=True)
class Reference:
    """`columns` name a row of another source, which may lack `missing_allowed` distinct values of a drop."""

    columns: tuple[str, ...]
    source: str
    source_columns: tuple[str, ...]
    missing_allowed: int = 0


@dataclass(frozen=True, kw_only=True)
class Contract:
    """A source: its columns, what identifies a row, and when a row happens.

    `event_time` is the column that says when a row happened: a UnixTimestamp, or a Date, which happens at the end of
    its business day. Without one, every row of a drop holds from the drop's valid-from moment, the first from
    `valid_from`. Naive timestamps are local times of `timestamp_zone`; where the contract leaves it out, it is UTC and
    `declares_zone` false, and naive timestamps are refused. `delivery` says what a drop is (see `Delivery`). An empty
    `key` means that every row stands for itself. `future_allowed` is how far a row may lie after the clock,
    `supersedes_allowed` which share of the rows of an append drop may replace stored ones without being called a
    correction, `freshness` how long after the end of its last complete day the source promises a further one,
    `delivered` where its files come in (`delivered_as_one`: all of them are one drop), `pulled` the table that it is
    pulled from. `quality` are the rules about the content of a drop, `expected_days` the days on which the source has
    rows, `quarantine_allowed` which share of a drop's rows may be set aside where the command asks for it (None: no
    row).
    """

    name: str
    version: str
    description: str
    owner: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    event_time: str | None
    timestamp_zone: str
    business_day_zone: str
    valid_from: datetime | None
    delivery: Delivery
    references: tuple[Reference, ...] = ()
    form: FileForm = FileForm()
    declares_zone: bool = True
    path: Path | None = None
    future_allowed: timedelta = timedelta(0)
    supersedes_allowed: float = SUPERSEDES_ALLOWED
    freshness: timedelta | None = None
    delivered: str | None = None
    delivered_as_one: bool = False
    pulled: TableServer | None = None
    quality: tuple[QualityRule, ...] = ()
    quarantine_allowed: float | None = None
    expected_days: ExpectedDays = EVERY_DAY

    @property
    def file_name(self) -> str:
        """What error messages call the contract."""
        return self.path.name if self.path else f"{self.name}.yaml"

    @property
    def shown_zone(self) -> str:
        """The zone in which the source's moments are shown: its own, or its business days'."""
        return self.timestamp_zone if self.declares_zone else self.business_day_zone

    @property
    def placing(self) -> Literal["append", "snapshot"]:
        """Whether a drop's rows are added to the earlier ones or replace them all; decides what stored rows mean."""
        return "snapshot" if self.delivery == "snapshot" else "append"

    @property
    def column_names(self) -> tuple[str, ...]:
        """The columns' names in the contract's order."""
        return tuple(column.name for column in self.columns)

    @property
    def has_date_only_event_time(self) -> bool:
        """Whether events have a date only, and so happen at the end of that day."""
        return self.event_time is not None and self.column(self.event_time).dtype == "Date"

    def column(self, name: str) -> Column:
        """The column of that name; ContractError names the nearest ones."""
        for column in self.columns:
            if column.name == name:
                return column
        raise ContractError(f"{self.file_name}: there is no column {name!r}; {nearest(name, self.column_names)}.")
