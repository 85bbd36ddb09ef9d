"""The text of a CSV file: decoded strictly, counted, and copied where DuckDB would have to interpret it."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from transformations.contracts.model import CsvDialect
from transformations.engine.base.errors import DataError
from validation.files.csv_dialects import find_encoding
from validation.files.csv_records import all_records
from validation.files.delivered_bytes import PACKED, open_bytes

_CHUNK = 1 << 20
_SHOWN = 80


@dataclass(frozen=True, kw_only=True)
class Census:
    """How many bytes a file has, and how many of them are characters with a meaning."""

    size: int = 0
    line_feeds: int = 0
    returns: int = 0
    quotes: int = 0
    is_ended: bool = True  # by a line's end


@dataclass(frozen=True)
class PlainText:
    """A CSV file in UTF-8 without byte order mark, comments or backslashes: the delivered one, or a copy of it.

    dialect: the copy's own. empty_lines: those that the copy lacks.
    """

    path: Path
    dialect: CsvDialect
    census: Census
    empty_lines: int = 0


def plain_text(path: Path, dialect: CsvDialect, target: Path) -> PlainText:
    """The file where it is plain already, else a copy at the target; DataError where it is not written as declared."""
    if dialect.comment is not None or dialect.escape != dialect.quote:
        return _rewrite(path, dialect, target)
    source, plain = path, replace(dialect, encoding="utf-8")
    if path.suffix.lower() in PACKED or dialect.encoding != "utf-8" or begins_with_mark(path):
        source = target
        with source.open("wb") as copy:
            copy.writelines(text.encode() for text in decode(path, dialect.encoding))
    return PlainText(source, plain, _take_census(path, source, plain))


def line_of(path: Path, dialect: CsvDialect, number: int) -> str:
    """One line of the file, from 1, shortened for a message."""
    with open_bytes(path) as stream:
        lines = io.TextIOWrapper(stream, dialect.encoding, errors="replace", newline="")
        text = next(islice(lines, number - 1, None), "").strip("\r\n\ufeff")
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _rewrite(path: Path, dialect: CsvDialect, target: Path) -> PlainText:
    """Write a copy in the usual dialect with Python's reader and writer."""
    usual = CsvDialect(header=dialect.header)
    empty = line = 0
    for _ in decode(path, dialect.encoding):
        pass  # refuses what is not written as declared, before a reader would name it worse
    with target.open("w", encoding="utf-8", newline="") as copy:
        writer = csv.writer(copy, lineterminator="\r\n")  # so that either character is quoted within a cell
        try:
            for number, cells in all_records(path, dialect):
                empty, line = empty + (not cells), number
                if cells:
                    writer.writerow(cells)
        except csv.Error as error:
            raise DataError(
                f"{path.name}: line {line + 1:,} is no row under the declared dialect: {error} "
                f"({line_of(path, dialect, line + 1)!r}). Mend the file, or its csv property in the contract."
            ) from None
    return PlainText(target, usual, _take_census(target, target, usual), empty)


def _take_census(path: Path, source: Path, dialect: CsvDialect) -> Census:
    """Count the bytes of a plain file; DataError for a NUL byte."""
    size = line_feeds = returns = quotes = 0
    quote, last = dialect.quote.encode(), b""
    for text in decode(source, "utf-8", path):
        chunk = text.encode()
        if b"\0" in chunk:
            raise _nul_error(path, dialect, line_feeds + chunk[: chunk.index(b"\0")].count(b"\n") + 1)
        size += len(chunk)
        line_feeds += chunk.count(b"\n")
        returns += chunk.count(b"\r")
        quotes += chunk.count(quote) if quote else 0
        last = chunk[-1:] or last
    is_ended = last in (b"\n", b"\r")
    return Census(size=size, line_feeds=line_feeds, returns=returns, quotes=quotes, is_ended=is_ended)


def decode(path: Path, encoding: str, delivered: Path | None = None, *, is_declared: bool = True) -> Iterator[str]:
    """The text in chunks, without its byte order mark; DataError for the first line that the encoding does not hold.

    is_declared: a contract may declare another encoding, which the message then names.
    """
    decoder, lines, is_first = codecs.getincrementaldecoder(encoding)(), 0, True
    with open_bytes(path) as stream:
        while True:
            chunk = stream.read(_CHUNK)
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                line = lines + error.object[: error.start].decode(encoding, "ignore").count("\n") + 1
                raise _encoding_error(delivered or path, encoding, line, error, is_declared) from None
            except UnicodeError as error:
                raise DataError(f"{path.name} is not written in {encoding}: {error}. Declare another.") from None
            yield text.removeprefix("\ufeff") if is_first else text
            lines, is_first = lines + text.count("\n"), False
            if not chunk:
                return


def _encoding_error(path: Path, encoding: str, line: int, error: UnicodeDecodeError, is_declared: bool) -> DataError:
    byte = error.object[error.start]
    if not is_declared:
        return DataError(
            f"{path.name}: line {line:,} is not written in {encoding} (byte 0x{byte:02x}). Deliver the file in UTF-8."
        )
    likely = find_encoding(path)
    remedy = f"It reads as {likely}: if it is, declare it" if likely != encoding else "Declare the one it has"
    return DataError(
        f"{path.name}: line {line:,} is not written in {encoding} (byte 0x{byte:02x}). {remedy} in the contract's "
        f"customProperties, as `csv: {{ encoding: {likely} }}`, or deliver the file in UTF-8."
    )


def _nul_error(path: Path, dialect: CsvDialect, line: int) -> DataError:
    likely = find_encoding(path)
    if likely.startswith("utf-16"):
        return DataError(
            f"{path.name}: is written in {likely}, not in {dialect.encoding}. Declare it in the contract's "
            f"customProperties, as `csv: {{ encoding: {likely} }}`, or deliver the file in UTF-8."
        )
    return DataError(f"{path.name}: line {line:,} holds a NUL byte, so it is no text. Deliver the file again.")


def begins_with_mark(path: Path) -> bool:
    """Whether the file begins with the byte order mark of UTF-8."""
    with path.open("rb") as stream:
        return stream.read(3) == codecs.BOM_UTF8
