"""A delivered CSV file as DuckDB reads it: nothing guessed, no byte of it unaccounted for."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from transformations.contracts.model import CsvDialect
from transformations.engine.base.duck import file_literal, literal
from transformations.engine.base.errors import DataError
from validation.files.csv_records import first_fault, records
from validation.files.csv_text import PlainText, line_of, plain_text
from validation.files.files_sql import TEMP_FOLDER_QUERY, cells, census_query

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(frozen=True)
class CsvFile:
    """A file whose every byte is part of a row, a separator or an empty line.

    header: the names in its first line, None where it has no header. empty_lines: how many were passed over.
    """

    text: PlainText
    header: tuple[str, ...] | None
    width: int
    empty_lines: int = 0

    def relation(self, null_tokens: tuple[str, ...] = ()) -> str:
        """A FROM item with columns c0, c1 and so on, all text; the empty cell and the tokens are null."""
        dialect = self.text.dialect
        columns = ", ".join(f"'{name}': 'VARCHAR'" for name in cells(self.width))
        nulls = ", ".join(literal(token) for token in ("", *null_tokens))
        # A quoted newline may be taken for a row's end by DuckDB's parallel reader, and the file be refused.
        is_parallel = self.text.census.quotes == 0
        return (
            f"read_csv({file_literal(self.text.path)}, auto_detect = false, columns = {{{columns}}}, "
            f"header = {literal(self.header is not None)}, delim = {literal(dialect.delimiter)}, "
            f"quote = {literal(dialect.quote)}, escape = {literal(dialect.escape)}, comment = '', nullstr = [{nulls}], "
            f"strict_mode = true, null_padding = false, parallel = {literal(is_parallel)}, compression = 'none', "
            "hive_partitioning = false)"
        )


def open_csv(connection: DuckDBPyConnection, path: Path, dialect: CsvDialect, number: int = 0) -> CsvFile:
    """The file under that dialect; DataError names the first line that is no row, or what else cannot be read.

    number: of the file in its delivery.

    Raised too for bytes that are not the declared encoding's, NUL bytes, and a broken archive.
    """
    (folder,) = connection.execute(TEMP_FOLDER_QUERY).fetchall()[0]
    Path(folder).mkdir(exist_ok=True)
    text = plain_text(path, dialect, Path(folder) / f"plain-{number}.csv")
    try:
        line, first = next(records(text.path, text.dialect), (1, []))
    except csv.Error as error:
        raise _line_error(path, dialect, 1, str(error)) from None
    if not first:
        raise DataError(f"{path.name} is empty: it has not even a header line. Deliver the file again.")
    if line > 1:
        raise DataError(f"{path.name}: line 1 is empty, where its header or first row belongs. Remove the line.")
    file = CsvFile(text, tuple(first) if dialect.header else None, len(first), text.empty_lines)
    try:
        return replace(file, empty_lines=file.empty_lines + _account(connection, file))
    except _UnaccountedError as error:
        raise _explain(path, dialect, file, str(error)) from None


class _UnaccountedError(Exception):
    """DuckDB refused the file, or read something else than its bytes say."""


def _account(connection: DuckDBPyConnection, file: CsvFile) -> int:
    """Account for every byte of the file by what DuckDB reads, so that nothing is dropped; return the number of empty
    lines.

    The bytes of `a,b` and `"x,y",` are those of the cells (a, b, x,y), one separator a row, the line ends, two quotes.
    """
    import duckdb

    census, marks = file.text.census, ("\n", "\r", file.text.dialect.quote)
    try:
        rows, size, headers, *inside = connection.execute(
            census_query(file.relation(), file.width, file.header, marks if census.quotes else [""] * len(marks))
        ).fetchall()[0]
    except duckdb.Error as error:
        is_long = "maximum line size" in str(error).lower()
        reason = "a line is longer than 2 MB" if is_long else str(error).splitlines()[0].rstrip(".")
        raise _UnaccountedError(reason) from None
    if headers:
        again = "once more" if headers == 1 else f"{headers:,} times more"
        raise _UnaccountedError(f"its header stands {again} among its rows, as in files that were joined")
    header = "".join(file.header or ())
    lines = rows + (file.header is not None)
    feeds, returns, quotes = (
        int(count) + (header.count(mark) if mark else 0) for count, mark in zip(inside, marks, strict=True)
    )
    feeds, returns, quotes = census.line_feeds - feeds, census.returns - returns, census.quotes - quotes
    if int(size) + len(header.encode()) + lines * (file.width - 1) + feeds + returns + quotes != census.size:
        raise _UnaccountedError("some of its bytes are part of no row")
    return int((feeds or returns) + (not census.is_ended) - lines)


def _explain(path: Path, dialect: CsvDialect, file: CsvFile, reason: str) -> DataError:
    """The error for a file that cannot be read: it names the first line that is no row, if there is one."""
    if (fault := first_fault(path, dialect) or _first_spaced_quote(path, dialect)) is not None:
        return _line_error(path, dialect, *fault)
    census = file.text.census
    first = next((row for _, row in records(path, dialect)), [])
    if census.returns and any("\n" in cell or "\r" in cell for cell in first):
        reason = "a cell of its first line holds a line's end, other than the file's own: put a header line before it"
    elif 0 < census.returns != census.line_feeds > 0:
        reason = f"its lines end in different ways ({census.returns:,} CR, {census.line_feeds:,} LF)"
    return DataError(f"{path.name} cannot be read: {reason}. Have it written anew.")


def _first_spaced_quote(path: Path, dialect: CsvDialect) -> tuple[int, str] | None:
    if not dialect.quote:
        return None
    for line, row in records(path, dialect):
        if any(cell[:1].isspace() and cell.lstrip().startswith(dialect.quote) for cell in row):
            return line, "a space before a cell in quotes"
    return None


def _line_error(path: Path, dialect: CsvDialect, line: int, problem: str) -> DataError:
    quotes = f"quotes {dialect.quote!r}" if dialect.quote else "no quotes"
    return DataError(
        f"{path.name}: line {line:,} is no row under the dialect in force (delimiter {dialect.delimiter!r}, {quotes}): "
        f"{problem} ({line_of(path, dialect, line)!r}). Mend the file, or declare its dialect in the contract: "
        f"customProperties, csv; `features contract draft` finds it."
    )
