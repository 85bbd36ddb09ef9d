"""The records of a CSV file as Python's reader finds them, each with its line: slow, strict, and good for messages."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from transformations.contracts.model import CsvDialect
from transformations.engine.base.words import plural
from validation.files.delivered_bytes import open_bytes


def first_fault(path: Path, dialect: CsvDialect) -> tuple[int, str] | None:
    """The first line (from 1) that is no row under the dialect, and why; None where every line is one.

    Empty lines between rows are not faults.
    """
    if _is_even(path, dialect):
        return None
    line, width = 0, None
    try:
        for line, cells in records(path, dialect):
            width = width or len(cells)
            if len(cells) != width:
                return line, f"{_count_of_cells(len(cells))} where the first line has {_count_of_cells(width)}"
    except csv.Error as error:
        return line + 1, f"after this line's beginning: {error}"
    except UnicodeError as error:
        return line + 1, f"not written in {dialect.encoding} ({error})"
    return None


def records(path: Path, dialect: CsvDialect) -> Iterator[tuple[int, list[str]]]:
    """Each record that is not empty, with the number of its first line; csv.Error for what is none."""
    return ((line, cells) for line, cells in all_records(path, dialect) if cells)


def all_records(path: Path, dialect: CsvDialect) -> Iterator[tuple[int, list[str]]]:
    """Each record, an empty line too, with the number of its first line; comments are passed over."""
    csv.field_size_limit(sys.maxsize)
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE
    is_doubled = dialect.escape == dialect.quote
    with _open_text(path, dialect) as text:
        lines = _Lines(text, dialect)
        reader = csv.reader(
            lines if lines.is_needed else lines.text,
            delimiter=dialect.delimiter,
            quotechar=dialect.quote or None,
            quoting=quoting,
            doublequote=is_doubled,
            escapechar=None if is_doubled else dialect.escape,
            strict=True,
        )
        first = 1
        for cells in reader:
            lines.refuse_loose_text()
            yield lines.first if lines.is_needed else first, cells
            lines.is_between, first = True, reader.line_num + 1


def _is_even(path: Path, dialect: CsvDialect) -> bool:
    """Whether every line has as many delimiters as the first, and none a quote: then every line is a row.

    It takes a quarter of the time that Python's reader takes, which such a file does not need.
    """
    if dialect.comment is not None or dialect.escape != dialect.quote:
        return False
    delimiter, quote, found = dialect.delimiter, dialect.quote, set[int]()
    try:
        with _open_text(path, dialect) as text:
            for line in text:
                if quote and quote in line:
                    return False
                if line.strip("\r\n"):
                    found.add(line.count(delimiter))
    except UnicodeError:
        return False
    return len(found) <= 1


@contextmanager
def _open_text(path: Path, dialect: CsvDialect) -> Iterator[io.TextIOWrapper]:
    encoding = "utf-8-sig" if dialect.encoding == "utf-8" else dialect.encoding
    with open_bytes(path) as stream:
        yield io.TextIOWrapper(stream, encoding=encoding, newline="")


class _Lines(Iterator[str]):
    """The lines of a file for Python's reader, which knows no comments and takes any letter after a backslash."""

    def __init__(self, text: io.TextIOWrapper, dialect: CsvDialect) -> None:
        self.text, self.comment = text, dialect.comment
        self.has_backslashes = dialect.escape not in ("", dialect.quote)
        self.is_needed = self.comment is not None or self.has_backslashes
        self.is_between = True  # two records, where a comment may stand
        self.number, self.first = 0, 1
        self._record = ""
        self._pairs = re.compile(rf"\\\\|\\{re.escape(dialect.quote)}|(\\)")
        self._whole = _record_pattern(dialect) if self.has_backslashes else None

    def __next__(self) -> str:
        """The next line that is no comment."""
        while True:
            line = next(self.text)
            self.number += 1
            if not (self.is_between and self.comment and line.startswith(self.comment)):
                break
        if self.is_between:
            self.first, self.is_between, self._record = self.number, False, ""
        self._record += line if self.has_backslashes else ""
        if self.has_backslashes and any(pair[1] for pair in self._pairs.finditer(line)):
            raise csv.Error("a backslash that stands before neither a quote nor a backslash")
        return line

    def refuse_loose_text(self) -> None:
        """csv.Error where text stands beside a cell's quotes, which Python's reader drops in a file of backslashes."""
        if self._whole is not None and not self._whole.fullmatch(self._record):
            raise csv.Error("text beside a cell in quotes, or quotes doubled within one")


def _record_pattern(dialect: CsvDialect) -> re.Pattern[str]:
    """The records of a dialect in which a backslash stands before each quote of a cell in quotes."""
    quote, delimiter = re.escape(dialect.quote), re.escape(dialect.delimiter)
    escaped = rf"\\[{quote}\\]"
    quoted = rf"{quote}(?:[^{quote}\\]|{escaped})*{quote}"
    plain = rf"(?:(?:[^{quote}{delimiter}\r\n\\]|{escaped})(?:[^{delimiter}\r\n\\]|{escaped})*)?"
    return re.compile(rf"(?:{quoted}|{plain})(?:{delimiter}(?:{quoted}|{plain}))*[\r\n]*")


def _count_of_cells(count: int) -> str:
    return plural(count, "cell")
