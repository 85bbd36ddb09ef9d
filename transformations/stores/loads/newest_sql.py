"""The SQL of materialization: the keys that a run considers, the places of their newest rows, and those rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from transformations.engine.base.duck import identifier, identifiers, literal
from transformations.engine.base.file_rows_sql import FILE, ROW, named, quoted
from transformations.stores.history.matching import NEVER
from transformations.stores.history.point_in_time_sql import PLACE_BITS, Join, between, instant, key_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

TOUCHED = "touched"
NEWEST = "newest"

HUGEINT_BITS = 127  # beside the sign


def touched_keys(join: Join, new_files: str | None, after: datetime, end: datetime) -> str:
    """Creates a table of the keys of all rows in the new files (a FROM item) or later than `after`, and of the moments
    of such rows, in microseconds. Rows later than `end` do not count yet.
    """
    moment, keys = instant(join.timestamp), f"{_named_keys(join)}, " if join.keys else ""

    def touched(relation: str, condition: str) -> str:
        latest = f"max({_micros_of(join.timestamp)}) AS _happened"
        return f"SELECT {keys}{latest} FROM {relation} WHERE {condition} GROUP BY ALL"

    parts = [touched(join.relation, f"{moment} > {literal(after)} AND {moment} <= {literal(end)}")]
    if new_files:
        parts.append(touched(new_files, f"{moment} <= {literal(end)}"))
    return f"CREATE TEMP TABLE {TOUCHED} AS\n" + "\nUNION ALL\n".join(parts)


def earliest_touched() -> str:
    """A moment, in microseconds, that no touched key's newest row is earlier than; null where no key is touched.

    A key's newest row is at least as late as those that touched it. So what is older need not be read:

        key   touched by rows of     newest rows are sought from
        a     day 30                 day 29 on
        b     day 29, day 31
    """
    return f"SELECT min(_happened) FROM {TOUCHED}"


@dataclass(frozen=True)
class Extent:
    """The ranges of a history's timestamps and places.

    happened, created: first and last, in microseconds. file, row: the greatest number of a file, and of a row in a
    file.
    """

    happened: tuple[int, int]
    created: tuple[int, int]
    file: int
    row: int

    @property
    def row_bits(self) -> int:
        """The bits of a row's number within its file."""
        return self.row.bit_length()

    @property
    def place_bits(self) -> int:
        """The bits of a row's place in the history."""
        return self.file.bit_length() + self.row_bits

    @property
    def created_bits(self) -> int:
        """The bits of a created timestamp counted from the first one; 0 stands for rows without one."""
        return (self.created[1] - self.created[0] + 1).bit_length()

    @property
    def bits(self) -> int:
        """The bits of an event timestamp counted from the first one, of a created timestamp and of a place."""
        return (self.happened[1] - self.happened[0]).bit_length() + self.created_bits + self.place_bits


def extent(connection: DuckDBPyConnection, join: Join, end: datetime) -> Extent | None:
    """The ranges of the rows within the join's first moment and `end`; None if there are no such rows."""
    happened, created = _micros_of(join.timestamp), _created_of(join)
    query = f"""
SELECT
    min({happened}), max({happened}), min({created}), max({created}), max({FILE}), max({ROW})
FROM {join.relation}
WHERE {between(join.timestamp, join.first, end)}"""
    ((first, last, first_created, last_created, file, row),) = connection.execute(query).fetchall()
    known = (0, -1) if first_created is None else (first_created, last_created)
    return None if first is None else Extent((first, last), known, file, row)


def newest_places(join: Join, end: datetime, extent: Extent, only_touched: bool) -> str:
    """Creates a table of the place (file and row number) of each key's newest row not later than `end`.

    File numbers have the type of DuckDB's `file_index`; otherwise a join on it would skip no file.
    """
    using = _key_names(join)
    return f"""
CREATE TEMP TABLE {NEWEST} AS
WITH history AS ({_valid_rows(join, end, f"({FILE}::BIGINT << {extent.row_bits}) + {ROW}", only_touched)}
), newest AS (
    SELECT {_last_place(extent)} AS _place
    FROM history{f" GROUP BY {using}" if using else " HAVING count(*) > 0"}
)
SELECT (_place >> {extent.row_bits})::UBIGINT AS _file, _place & {(1 << extent.row_bits) - 1} AS _row FROM newest"""


def numbered_rows(join: Join, end: datetime, last_file: int, only_touched: bool) -> str:
    """The rows not later than `end`, for a single integer key and files in reverse order, beginning with `last_file`.

    Selects the key, event timestamp, created timestamp if there is one (both in microseconds), and place.
    """
    created = f"COALESCE(_created, {NEVER}) AS _created, " if join.created else ""
    place = f"(({last_file} - {FILE}::BIGINT) << {PLACE_BITS}) | {ROW}"
    return (
        f"SELECT {_key_names(join)}, _happened, {created}_place\nFROM ({_valid_rows(join, end, place, only_touched)}\n)"
    )


def _valid_rows(join: Join, end: datetime, place: str, only_touched: bool) -> str:
    """Keys, timestamps in microseconds and places of the rows that count. A key with a null belongs to nobody."""
    names = _key_names(join)
    known = " AND ".join(f"{quoted(key.history)} IS NOT NULL" for key in join.keys) or "TRUE"
    semi = f"\n    SEMI JOIN {TOUCHED} USING ({names})" if only_touched and names else ""
    return f"""
    SELECT * FROM (
        SELECT {f"{_named_keys(join)}, " if names else ""}
            {_micros_of(join.timestamp)} AS _happened, {_created_of(join)} AS _created, {place} AS _place
        FROM {join.relation}
        WHERE {between(join.timestamp, join.first, end)} AND {known}
    ){semi}"""


def _last_place(extent: Extent) -> str:
    """The aggregate that finds the place of the newest row.

    Event timestamp, created timestamp and place are packed into one number, most significant first, whose maximum takes
    half the time of comparing rows. What does not fit 127 bits is compared row by row.
    """
    if extent.bits > HUGEINT_BITS:
        return f"arg_max(_place, row(_happened, COALESCE(_created, {extent.created[0] - 1}), _place))"
    happened = f"(_happened - ({extent.happened[0]}))::HUGEINT * {1 << extent.created_bits}"
    created = f"COALESCE(_created - ({extent.created[0] - 1}), 0)"
    order = f"({happened} + {created}) * {1 << extent.place_bits} + _place"
    return f"(max({order}) & {(1 << extent.place_bits) - 1})::BIGINT"


def found_places(found: str) -> str:
    """Creates the table of the newest rows' places from a relation that has them."""
    return f"CREATE TEMP TABLE {NEWEST} AS SELECT * FROM {found}"


def count_of_newest() -> str:
    """How many keys have a newest row."""
    return f"SELECT count(*) FROM {NEWEST}"


def rows_at(join: Join, columns: Sequence[str]) -> str:
    """These columns of the newest rows."""
    return f"""
SELECT {named(columns)}
FROM {join.relation}
SEMI JOIN {NEWEST} ON {FILE} = {NEWEST}._file AND {ROW} = {NEWEST}._row"""


def has_earlier(join: Join, moment: datetime) -> str:
    """Whether any row has an event timestamp before a moment; as a rule the files' statistics say it."""
    return f"SELECT EXISTS (SELECT 1 FROM {join.relation} WHERE {instant(join.timestamp)} < {literal(moment)})"


def _key_names(join: Join) -> str:
    return identifiers(key.spine for key in join.keys)


def _named_keys(join: Join) -> str:
    return ", ".join(f"{key_of(key)} AS {identifier(key.spine)}" for key in join.keys)


def _created_of(join: Join) -> str:
    return _micros_of(join.created) if join.created else "NULL::BIGINT"


def _micros_of(column: str) -> str:
    return f"epoch_us({instant(column)})"
