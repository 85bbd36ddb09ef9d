"""The first version of a contract, drafted from a file; what cannot be seen there is marked for its author."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from pathlib import Path
from typing import TYPE_CHECKING

from transformations.engine import duck
from transformations.engine.duck import identifier, identifiers
from transformations.engine.errors import DataError, UsageError
from validation.contracts.document import FILL_IN
from validation.conversions import EMPTY_TYPE, NAIVE_TIMESTAMPS, conversion
from validation.drop_files import ROW, TEXT_CELL, DropFile, open_drop

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SAMPLE_ROWS = 20_000
WIDEST_KEY = 4
KEY_COLUMNS = 12  # the first so many columns are tried; more would be hundreds of combinations
KEYS_VERIFIED = 10
LISTED_VALUES = 12

_LOGICAL_TYPES = {
    "Date": "date",
    "UnixTimestamp": "timestamp",
    "Bool": "boolean",
    "Int64": "integer",
    "Float64": "number",
    "String": "string",
}


@dataclass(frozen=True)
class Seen:
    """One column of a file: the narrowest dtype that holds all its values, and what they look like."""

    name: str
    delivered: str
    dtype: str
    nulls: int
    distinct: int
    lowest: str | None
    highest: str | None
    values: tuple[str, ...] = ()


def draft_contract(path: Path, name: str | None = None) -> str:
    """The YAML text of a first contract version; the reader refuses it until every mark is filled in."""
    source = name or re.sub(r"\W+", "_", path.name.split(".")[0]).strip("_").lower()
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", source):
        raise UsageError(f"{source!r} cannot name a source. Give it a name of letters, digits and _ with --name.")
    with duck.session() as connection:
        file = open_drop(connection, path)
        (rows,) = connection.execute(f"SELECT count(*) FROM {file.rows([])}").fetchall()[0]
        if not rows:
            raise DataError(f"{path.name} has no rows to draft a contract from. Give a file with some.")
        columns = [_look(connection, file, column) for column in file.types]
        return "\n".join(_document(source, file, rows, columns, _candidate_keys(connection, file, rows, columns)))


def write_draft(text: str, name: str, folder: Path) -> Path:
    """Write a draft as a new contract; UsageError where the source has one, which is never overwritten."""
    path = folder / f"{name}.yaml"
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text + "\n")
    except FileExistsError:
        raise UsageError(f"{path} exists and is left as it is. Choose another --name, or edit it by hand.") from None
    return path


def source_name(text: str) -> str:
    """The name that a draft gives its source."""
    match = re.search(r"^  - name: (\w+)$", text, re.MULTILINE)
    assert match is not None
    return match[1]


def _look(connection: DuckDBPyConnection, file: DropFile, name: str) -> Seen:
    quoted, delivered = identifier(name), file.types[name]
    for dtype in _LOGICAL_TYPES:
        how = conversion(quoted, delivered, dtype)
        if how is None:
            continue
        nulls, lossy, distinct, lowest, highest, values = connection.execute(
            f"SELECT count(*) FILTER (WHERE {how.is_null}), count(*) FILTER (WHERE {how.lossy}), "
            f"approx_count_distinct(value), CAST(min(value) AS VARCHAR), CAST(max(value) AS VARCHAR), "
            f"CASE WHEN approx_count_distinct(value) <= {LISTED_VALUES} THEN list(DISTINCT CAST(value AS VARCHAR)) END "
            f"FROM (SELECT {quoted}, {how.value} AS value FROM {file.rows([name])})"
        ).fetchall()[0]
        if lowest is None and dtype != "String" and delivered in (EMPTY_TYPE, TEXT_CELL):
            continue  # nothing but nulls, which say nothing of their type
        if not lossy:
            listed = tuple(sorted(value for value in values or () if value is not None))
            return Seen(name, delivered, dtype, nulls, distinct, lowest, highest, listed)
    raise DataError(
        f"{file.name}: column {name!r} is {delivered}, which no dtype of ours holds. Leave it out of the file, or "
        f"deliver it as a number, text, boolean, date or timestamp."
    )


def _candidate_keys(
    connection: DuckDBPyConnection, file: DropFile, rows: int, columns: Sequence[Seen]
) -> list[tuple[str, ...]]:
    """The narrowest sets of columns that are unique in the file, first those that come first."""
    usable = [column.name for column in columns if not column.nulls and column.dtype not in ("Float64", "Bool")]
    sample = f"(SELECT * FROM {file.rows(usable)} WHERE {ROW} <= {SAMPLE_ROWS})"
    for width in range(1, WIDEST_KEY + 1):
        unique = (key for key in combinations(usable[:KEY_COLUMNS], width) if _is_unique(connection, sample, key))
        likely = list(islice(unique, KEYS_VERIFIED))
        if rows > SAMPLE_ROWS:
            likely = [key for key in likely if _is_unique(connection, file.rows(usable), key)]
        if likely:
            return likely
    return []


def _is_unique(connection: DuckDBPyConnection, rows: str, key: Sequence[str]) -> bool:
    names = identifiers(key)
    query = f"SELECT 1 FROM {rows} GROUP BY {names} HAVING count(*) > 1 LIMIT 1"
    return not connection.execute(query).fetchall()


def _document(
    source: str, file: DropFile, rows: int, columns: Sequence[Seen], keys: Sequence[tuple[str, ...]]
) -> Iterator[str]:
    times = [column for column in columns if column.dtype in ("UnixTimestamp", "Date") and not column.nulls]
    event_time = min(times, key=lambda column: column.dtype == "Date", default=None)
    yield f"# First version, drafted from {rows:,} rows of {file.name}. Read each line, fill in what says {FILL_IN};"
    yield f"# until then no command accepts it. Then: features contract check {source} {file.name}"
    yield from ("apiVersion: v3.1.0", "kind: DataContract", f"id: {source}", f"name: {source}", "version: 0.1.0")
    yield from (
        "status: draft",
        "description:",
        f"  purpose: {FILL_IN}  # what the data is for, and where it comes from",
    )
    yield from ("team:", f"  name: {FILL_IN}  # who answers for the data", "schema:", f"  - name: {source}")
    yield from ("    logicalType: object", "    physicalType: file")
    yield f"    description: {FILL_IN}  # what one row is"
    yield "    customProperties:"
    if event_time:
        others = ", ".join(column.name for column in times if column is not event_time)
        yield from _property("eventTime", event_time.name, f"or {others}" if others else "when a row happens")
        if event_time.dtype == "UnixTimestamp" and event_time.delivered in (TEXT_CELL, *NAIVE_TIMESTAMPS):
            yield from _property("timestampZone", FILL_IN, "the zone of times without an offset, UTC or local")
        yield from _property("businessDayZone", FILL_IN, "whose calendar makes the days, such as Europe/Berlin")
        yield from _property("delivery", "append", "a drop adds rows, and replaces those of the same key")
    else:
        yield from _property("businessDayZone", FILL_IN, "whose calendar makes the days, such as Europe/Berlin")
        yield from _property("validFrom", FILL_IN, "from when the first drop holds, as '2020-01-01T00:00:00+01:00'")
        yield from _property("delivery", "snapshot", "a drop is the whole content; append: it only adds")
    yield f"    # key: {_key_comment(keys)}"
    yield "    properties:"
    for column in columns:
        yield from _column(column, rows, keys[0] if keys else ())


def _property(name: str, value: str, comment: str) -> Iterator[str]:
    yield f"      - property: {name}"
    yield f"        value: {value}  # {comment}"


def _key_comment(keys: Sequence[tuple[str, ...]]) -> str:
    if not keys:
        return "no set of columns was unique; without a key, corrections and retractions are impossible"
    others = "; also unique: " + ", ".join(f"({', '.join(key)})" for key in keys[1:]) if keys[1:] else ""
    return f"({', '.join(keys[0])}) is unique in this file{others}. Is it always?"


def _column(column: Seen, rows: int, key: Sequence[str]) -> Iterator[str]:
    is_plain = re.fullmatch(r"[A-Za-z]\w*", column.name)
    yield f"      - name: {column.name if is_plain else json.dumps(column.name)}"
    yield f"        logicalType: {_LOGICAL_TYPES[column.dtype]}"
    yield f"        description: {FILL_IN}  # {_seen(column)}"
    if column.nulls:
        yield f"        required: false  # null in {column.nulls:,} of {rows:,} rows"
    else:
        yield "        required: true"
    if column.name in key:
        yield "        primaryKey: true"
        yield f"        primaryKeyPosition: {key.index(column.name) + 1}"
    if column.dtype in ("Int64", "Float64"):
        yield "        # logicalTypeOptions: { minimum: 0, maximum: 100 }"
        yield "        # customProperties: [{ property: unit, value: USD }]"
    elif column.dtype == "String" and column.values:
        listed = ", ".join(json.dumps(value, ensure_ascii=False) for value in column.values)
        yield "        # quality:"
        yield f"        #   - {{ metric: invalidValues, mustBe: 0, arguments: {{ validValues: [{listed}] }} }}"


def _seen(column: Seen) -> str:
    if column.lowest is None or column.highest is None:
        return "seen: nothing but null"
    if column.values:
        return f"seen: {', '.join(_short(value) for value in column.values)}"
    return f"seen: {_short(column.lowest)} to {_short(column.highest)}, about {column.distinct:,} different"


def _short(value: str) -> str:
    """A value on one line of a comment."""
    text = " ".join(value.split())
    return text if len(text) <= 40 else f"{text[:39]}…"
