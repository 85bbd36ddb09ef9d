"""Delivered JSON lines: an object a line, each value kept as it is written until the contract says what it is.

The file is read once, into Parquet of the values' own JSON text, so that no digit is lost and later scans are cheap:

    {"id": 9007199254740993, "page": "home"}      id                  page
    {"page": null, "id": 2}                       9007199254740993    "home"
                                                  2                   null: a missing key is a null, too

A line that is no object, a key that stands twice in one, and a trailing comma are refused by their line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from transformations.engine.base.duck import literal
from transformations.engine.base.errors import DataError
from validation.files.csv_text import begins_with_mark, decode
from validation.files.delivered_bytes import PACKED, open_bytes
from validation.files.files_sql import TEMP_FOLDER_QUERY, json_keys_query, json_values_statement

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST_KEYS = 10_000
_LONG = 15
"""DuckDB returns numbers of up to this many characters as they were written; longer ones are read from the line."""
_SHOWN = 80


@dataclass(frozen=True, kw_only=True)
class JsonLines:
    """A file whose every line is an object or empty. keys: all that occur, in the order of their first line.

    text: the file, or its unpacked copy; values: where `write_values` writes.
    """

    path: Path
    text: Path
    values: Path
    keys: tuple[str, ...]
    rows: int
    empty_lines: int

    def write_values(self, connection: DuckDBPyConnection, keys: Sequence[str]) -> Path:
        """Write the values of these keys to a Parquet file, a column each (c0, c1 …), and return its path."""
        pointers = [_pointer(key) for key in keys]
        values = [_json_text_of(place, key) for place, key in enumerate(keys)]
        connection.execute(json_values_statement(self.text, pointers, values, self.values))
        return self.values


def open_json_lines(connection: DuckDBPyConnection, path: Path, number: int) -> JsonLines:
    """The file's keys and rows; DataError names the first line that is no object. number: of the file in its delivery.

    Raised too for bytes that are not UTF-8, NUL bytes, and a broken archive.
    """
    import duckdb

    (folder,) = connection.execute(TEMP_FOLDER_QUERY).fetchall()[0]
    Path(folder).mkdir(exist_ok=True)
    text, lines = _plain_text(path, Path(folder) / f"lines-{number}.json")
    values = Path(folder) / f"values-{number}.parquet"
    flaws = {
        "is no JSON object": "json_type(json) <> 'OBJECT'",
        "says a key twice": "len(list_distinct(keys)) < len(keys)",
        "has a comma before its end": r"regexp_matches(CAST(json AS VARCHAR), ',\s*\}\s*$')",
    }
    try:
        groups = connection.execute(json_keys_query(text, flaws.values())).fetchall()
    except duckdb.Error as error:
        raise _unreadable(path, str(error)) from None
    for place, flaw in enumerate(flaws, start=2):
        if (row := min((group[place] for group in groups if group[place]), default=None)) is not None:
            raise _line_error(path, *_line_of_row(path, row), flaw)
    keys = tuple(dict.fromkeys(key for group in groups for key in group[0]))
    if len(keys) > MOST_KEYS:
        raise DataError(
            f"{path.name}: its lines have {len(keys):,} different keys, more than {MOST_KEYS:,}: a value probably "
            f"stands where a key belongs. Deliver each row with the same keys."
        )
    found = sum(group[1] for group in groups)
    return JsonLines(path=path, text=text, values=values, keys=keys, rows=found, empty_lines=lines - found)


def _plain_text(path: Path, copy: Path) -> tuple[Path, int]:
    """The file, or an unpacked copy without byte order mark, and how many lines it has."""
    source = path
    if path.suffix.lower() in PACKED or begins_with_mark(path):
        source = copy
        with copy.open("wb") as target:
            target.writelines(text.encode() for text in decode(path, "utf-8", is_declared=False))
    feeds, last = 0, "\n"
    for text in decode(source, "utf-8", path, is_declared=False):
        if "\0" in text:
            line = feeds + text[: text.index("\0")].count("\n") + 1
            raise DataError(f"{path.name}: line {line:,} holds a NUL byte, so it is no text. Deliver the file again.")
        feeds, last = feeds + text.count("\n"), text[-1:] or last
    return source, feeds + (last != "\n")


def _json_text_of(place: int, key: str) -> str:
    """The SQL of a value's JSON text; null for null.

    DuckDB writes a number anew, by its double: one that is long, or 0, is taken from the line. Within a string each
    quote is escaped, so that nothing but a key matches. A key that is itself written with escapes is not found: its
    number then gets a ?, and is no number.
    """
    value = f"CAST(found[{place + 1}] AS VARCHAR)"
    pattern = f'"{_pattern(key)}"' + r"\s*:\s*(-?[0-9][0-9.eE+-]*)"
    lexeme = f"regexp_extract(CAST(json AS VARCHAR), {literal(pattern)}, 1)"
    is_number = f"regexp_matches({value}, '^[-0-9]')"
    is_rewritten = f"({is_number} AND (length({value}) > {_LONG} OR TRY_CAST({value} AS DOUBLE) = 0))"
    return (
        f"CASE WHEN {value} IS NULL OR {value} = 'null' THEN NULL WHEN NOT {is_rewritten} THEN {value} "
        f"WHEN {lexeme} = '' THEN concat('?', {value}) ELSE {lexeme} END"
    )


def _pattern(key: str) -> str:
    """The regular expression of a key as JSON writes it."""
    return "".join(
        each if each.isalnum() or each in " _" else f"\\x{{{ord(each):x}}}"
        for each in json.dumps(key, ensure_ascii=False)[1:-1]
    )


def _pointer(key: str) -> str:
    return "/" + key.replace("~", "~0").replace("/", "~1")


def _unreadable(path: Path, reason: str) -> DataError:
    for line, text in _numbered_lines(path):
        try:
            json.dumps(json.loads(text), ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return _line_error(path, line, text, "has half of a pair of surrogates, which is no letter")
        except (ValueError, RecursionError) as error:
            return _line_error(path, line, text, f"is no JSON ({error})")
    return DataError(f"{path.name} cannot be read: {reason.splitlines()[0].rstrip('.')}. Have it written anew.")


def _line_of_row(path: Path, row: int) -> tuple[int, str]:
    rows = count(1)
    return next(each for each in _numbered_lines(path) if next(rows) == row)


def _numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not empty, each with its number."""
    with open_bytes(path) as stream:
        for number, line in enumerate(stream, start=1):
            text = line.decode("utf-8-sig" if number == 1 else "utf-8", "replace")
            if text.strip():
                yield number, text


def _line_error(path: Path, line: int, text: str, problem: str) -> DataError:
    shown = text.strip()
    shown = shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 1]}…"
    return DataError(
        f"{path.name}: line {line:,} {problem}: {shown}. JSON lines have one object a line, each key "
        f"once. Mend the file."
    )
