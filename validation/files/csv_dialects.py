"""The dialect of a CSV file, found once when its contract is drafted: over the whole file, not over a sample."""

from __future__ import annotations

import codecs
import csv
import re
from dataclasses import replace
from itertools import islice
from pathlib import Path

from transformations.contracts.model import UNQUOTED, CsvDialect
from transformations.engine.base.errors import DataError
from validation.files.csv_records import first_fault, records
from validation.files.delivered_bytes import open_bytes

SAMPLE_RECORDS = 1_000
_DELIMITERS = (",", "\t", ";", "|", "\x01", "~", "^")  # \x01 is Hive's
_QUOTES = (('"', '"'), ('"', "\\"), (UNQUOTED, UNQUOTED), ("'", "'"), ("'", "\\"))
_COMMENTS = (None, "#")
_BOMS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",  # which begins as the next one does
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_CHUNK = 1 << 20
_VALUE = re.compile(r"[+-]?\d+[.,]\d+|\d{4}-\d{2}-\d{2}.*|\d{1,2}[./]\d{1,2}[./]\d{2,4}.*|[+-]?\d{5,}")


def find_dialect(path: Path) -> CsvDialect:
    """The dialect under which every line of the file has as many cells as the first; DataError where there is none.

    Where several fit, the usual one wins: double quotes, and the delimiter that makes the most columns. Apostrophes are
    quotes only where the file cannot be read otherwise. Bytes that are no UTF-8 may be in many encodings: the one
    returned is likely, and for the author to confirm.
    """
    encoding = find_encoding(path)
    failures: list[tuple[int, str]] = []
    for comment in _COMMENTS:
        for dialect in _likely_dialects(path, CsvDialect(encoding=encoding, comment=comment)):
            if (fault := first_fault(path, dialect) or _first_doubtful_cell(path, dialect)) is None:
                return replace(dialect, header=_has_header(path, dialect))
            failures.append(fault)
    line, problem = max(failures, default=(1, "the file is empty"))
    raise DataError(
        f"{path.name}: no CSV dialect fits the whole file. By the likeliest, line {line:,}: {problem}. Mend the file, "
        f"or have it written anew."
    )


def usual_dialect(path: Path) -> CsvDialect:
    """The dialect of a file whose contract declares none: commas (tabs in a .tsv) and double quotes, in UTF-8."""
    return CsvDialect(delimiter="\t" if ".tsv" in path.name.lower() else ",")


def find_encoding(path: Path) -> str:
    """utf-8 or utf-16 where the file's bytes say so, else the likelier of latin-1 and cp1252."""
    with open_bytes(path) as stream:
        start = stream.read(4)
    for mark, encoding in _BOMS.items():
        if start.startswith(mark):
            return encoding
    if len(start) == 4 and start[1::2] == b"\0\0" and b"\0" not in start[::2]:
        return "utf-16-le"
    if len(start) == 4 and start[::2] == b"\0\0" and b"\0" not in start[1::2]:
        return "utf-16-be"
    decoder, is_windows = codecs.getincrementaldecoder("utf-8")(), False
    with open_bytes(path) as stream:
        try:
            while chunk := stream.read(_CHUNK):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
            return "utf-8"
        except UnicodeDecodeError:
            pass
    with open_bytes(path) as stream:
        while chunk := stream.read(_CHUNK):
            if re.search(rb"[\x81\x8d\x8f\x90\x9d]", chunk):  # no letters of Windows
                return "latin-1"
            is_windows |= re.search(rb"[\x80-\x9f]", chunk) is not None
    return "cp1252" if is_windows else "latin-1"


def _first_doubtful_cell(path: Path, dialect: CsvDialect) -> tuple[int, str] | None:
    """The first cell that would keep its double quotes under this dialect: more likely a fault than a dialect."""
    if dialect.quote == '"':
        return None
    for line, cells in records(path, dialect):
        if any(len(cell) > 1 and cell[0] == cell[-1] == '"' for cell in cells):
            return line, "a cell in double quotes, though double quotes do not fit the whole file"
    return None


def _likely_dialects(path: Path, base: CsvDialect) -> list[CsvDialect]:
    """The dialects to try, the likeliest first: by fit to the file's start, then quotes, then number of columns."""
    first = usual_dialect(path).delimiter
    order = (first, *(each for each in _DELIMITERS if each != first))
    found: list[tuple[tuple[bool, int, int], CsvDialect]] = []
    for number, (quote, escape) in enumerate(_QUOTES):
        for delimiter in order:
            dialect = replace(base, delimiter=delimiter, quote=quote, escape=escape)
            widths, is_whole = _record_widths(path, dialect)
            if widths and (widths[0] > 1 or delimiter == order[0]):
                fits = is_whole and len(set(widths)) == 1
                found.append(((not fits, number, -widths[0]), dialect))
    return [dialect for _, dialect in sorted(found, key=lambda each: each[0])]


def _record_widths(path: Path, dialect: CsvDialect) -> tuple[list[int], bool]:
    """The number of cells of the first records, and whether the last of them could be read."""
    widths: list[int] = []
    try:
        for _, cells in islice(records(path, dialect), SAMPLE_RECORDS):
            widths.append(len(cells))
    except (csv.Error, UnicodeError):
        return widths, False
    return widths, True


def _has_header(path: Path, dialect: CsvDialect) -> bool:
    """Whether the first line could name columns: none of its cells is a decimal number, a date or a long number."""
    first = next((cells for _, cells in records(path, dialect)), [])
    return not any(_VALUE.fullmatch(cell.strip()) for cell in first)
