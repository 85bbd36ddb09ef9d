"""The packed row: all features of one entity in one view as a single Redis value.

A row of the features spent: Float64, page: String and visits: Int64, under schema 1, written by a materialization:

    bytes                     what                                       here
    00 06 17 59 2a ed 80 00   event timestamp, int64 microseconds UTC    2024-05-01 00:00:00.000000
    00 06 17 59 2a ed 80 00   created timestamp, likewise; least if none 2024-05-01 00:00:00.000000
    00 02                     schema number << 1 | 1 if it was pushed    schema 1, not pushed
    00 00 00 00 00 00 e0 3f   Float64 and Float32 features, little-endian  0.5; NaN stands for null
    a4 68 6f 6d 65            all other features, MessagePack            "home"
    07                                                                   7
    ce fd b9 cf 1f            MessagePack uint32: CRC-32 of all before   little-endian

The header is big-endian. Features keep the schema's order, floats first, so that the floats of many rows form one
matrix; values are in the stored forms of `codecs.py`. The header of the MessagePack array is left out, as it is the
same for all rows of a schema. The checksum is an element like any other to a reader that does not know of it. Rows
written before there were checksums stay readable: their schema says so.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import groupby
from operator import itemgetter
from zlib import crc32

import numpy as np
import ormsgpack
import pyarrow as pa
import pyarrow.compute as pc
from feast import Field
from numpy.typing import NDArray

from transformations.engine.base.errors import DataError
from transformations.stores.rows.codecs import FLOAT_NAMES, Stored

FORM = 2
"""The version of this layout, part of the names of the catalogue and the cursors: a Redis that was filled under another
version looks empty, and the next materialization fills it. Changing a header or a stored form takes the next number.
"""
HEADER = struct.Struct(">qqH")
_MARK = slice(16, 18)
_MARK_OF = itemgetter(_MARK)
PUSHED = 1
"""The last bit of a header: the row was pushed, not materialized, so only the online store has it."""

OTHER_TYPE = b"\0another type"
"""Stands for what a key holds that is no string but a list, a hash or another type of Redis; no row is so short."""

_CHECKSUM_FIELD = ("", "Checksum")
"""Marks a schema whose rows end in a checksum. No feature has an empty name."""
_CHECKSUM_HEAD = b"\xce"  # MessagePack: an unsigned integer of 32 bits follows
_CHECKSUM_SIZE = 5
_ARRAY_HEAD = b"\xdd"  # MessagePack: an array follows, its length in 32 bits
_INTACT = 0x2144DF1C
"""The CRC-32 of any bytes followed by their own CRC-32: checking a row needs no copy of it."""
_ONLY_INTACT = frozenset({_INTACT})
_EMPTY = 0x6DD90A9D
"""Four bytes, as a little-endian number, whose CRC-32 is 0, as is that of no bytes at all."""
_LEAD_SIZE = 4

_FEW_ROWS = 20
_SMALL = range(-32, 1 << 16)
_BYTES = pa.large_binary()
_NOTHING = pa.scalar(b"", _BYTES)

NEVER_CREATED = -(2**63)
"""The created timestamp of a row without one: older than any other."""


class ChecksumError(Exception):
    """A row does not agree with its checksum."""


@dataclass(frozen=True)
class Schema:
    """The features of a row in order, each with its dtype as text, and whether a checksum follows.

    A feature whose dtype has changed is another feature.
    """

    fields: tuple[tuple[str, str], ...]
    has_checksum: bool = True

    def text(self) -> str:
        """The schema as the online store keeps it."""
        fields = (*self.fields, _CHECKSUM_FIELD) if self.has_checksum else self.fields
        return json.dumps(fields, separators=(",", ":"))

    @cached_property
    def form(self) -> Form:
        """How rows of this schema hold their values."""
        is_float = [dtype in FLOAT_NAMES for _, dtype in self.fields]
        places = range(len(self.fields))
        floats, others = ([each for each in places if is_float[each] is kind] for kind in (True, False))
        return Form(floats, others, has_checksum=self.has_checksum)

    def positions(self, wanted: Sequence[tuple[str, str]]) -> tuple[int | None, ...]:
        """The column of `Form.columns` that holds each wanted feature; None where rows of this schema lack it."""
        form = self.form
        columns = {self.fields[place]: column for column, place in enumerate((*form.floats, *form.others))}
        return tuple(columns.get(field) for field in wanted)


def schema_of(features: Sequence[Field]) -> Schema:
    """The schema of a view's features as they are declared now."""
    return Schema(tuple((feature.name, str(feature.dtype)) for feature in features))


def schema_from(text: str) -> Schema:
    """Parses `Schema.text`."""
    fields = tuple((name, dtype) for name, dtype in json.loads(text))
    has_checksum = fields[-1:] == (_CHECKSUM_FIELD,)
    return Schema(fields[:-1] if has_checksum else fields, has_checksum)


def fault_of(row: bytes, schemas: Sequence[Schema]) -> str | None:
    """Why these bytes are no intact row of a table with these schemas; None if they are one."""
    if row == OTHER_TYPE:
        return "it is of another type than a string (TYPE says which)"
    if len(row) < HEADER.size:
        return f"it has {len(row)} bytes, and a row's header alone has {HEADER.size}"
    number = schema_number(row)
    if not 1 <= number <= len(schemas):
        return f"it names schema {number}, and the view has schemas 1 to {len(schemas)}"
    form = schemas[number - 1].form
    try:
        form.columns([row])
    except ChecksumError as error:
        return str(error)
    except (struct.error, ValueError):
        return "its values cannot be read"
    return None


class Form:
    """How rows of one schema hold their values. floats, others: the places of these features in the schema."""

    def __init__(self, floats: Sequence[int], others: Sequence[int], *, has_checksum: bool) -> None:
        self.floats, self.others, self.has_checksum = tuple(floats), tuple(others), has_checksum
        self._floats = struct.Struct(f"<{len(self.floats)}d")
        self._tail = HEADER.size + self._floats.size
        self._end = -_CHECKSUM_SIZE if has_checksum else None
        self._array_header_of = _array_header_of(len(self.others))
        self._separator = _separator_before(self._tail)

    @cached_property
    def heads(self) -> np.dtype[np.void]:
        """A header and the floats behind it, for many rows at once."""
        floats = ("floats", "<f8", (len(self.floats),))
        return np.dtype([("event", ">i8"), ("created", ">i8"), ("mark", ">u2"), floats])

    def pack(self, header: bytes, values: Sequence[Stored]) -> bytes:
        """One row of values in the order of the schema."""
        floats = (values[place] for place in self.floats)
        head = header + self._floats.pack(*(math.nan if value is None else value for value in floats))
        row = head + ormsgpack.packb([values[place] for place in self.others])[len(self._array_header_of) :]
        if not self.has_checksum:
            return row
        row += _CHECKSUM_HEAD
        return row + crc32(row).to_bytes(4, "little")

    def pack_columns(
        self, heads: NDArray[np.void], others: Sequence[Sequence[Stored] | pa.LargeBinaryArray]
    ) -> pa.LargeBinaryArray:
        """Rows from their heads and the columns of all other features, each as stored values or packed already."""
        ends = pa.array(np.arange(len(heads) + 1) * heads.dtype.itemsize)
        parts = [pa.LargeBinaryArray.from_buffers(_BYTES, len(heads), [None, ends.buffers()[1], pa.py_buffer(heads)])]
        for is_packed, run in groupby(others, lambda column: isinstance(column, pa.LargeBinaryArray)):
            columns = list(run)
            parts += columns if is_packed else [_pack_together(columns)]
        if not self.has_checksum:
            return pc.binary_join_element_wise(*parts, _NOTHING)
        rows = pc.binary_join_element_wise(*parts, pa.scalar(_CHECKSUM_HEAD, _BYTES), _NOTHING)
        return pc.binary_join_element_wise(rows, _checksums(rows), _NOTHING)

    def check(self, rows: Iterable[bytes]) -> None:
        """ChecksumError if a row was damaged."""
        if self.has_checksum and not _ONLY_INTACT.issuperset(map(crc32, rows)):
            raise ChecksumError("it does not agree with its checksum")

    def columns(self, rows: Sequence[bytes]) -> list[Sequence[Stored]]:
        """The columns of rows: floats first, then the others, both in the order of the schema.

        ChecksumError if a row was damaged; struct.error or ValueError for bytes that are no rows of this form.
        """
        if self.has_checksum and len(rows) > _FEW_ROWS:
            return self._columns_of_many(rows)
        self.check(rows)
        columns: list[Sequence[Stored]] = []
        tail, end = self._tail, self._end
        if self.floats:
            columns += self._columns_of_floats(rows)
        if self.others:
            opening, unpack = self._array_header_of, ormsgpack.unpackb
            columns += zip(*[unpack(opening + row[tail:end]) for row in rows], strict=True)
        return columns

    def _columns_of_floats(self, rows: Sequence[bytes]) -> list[Sequence[Stored]]:
        """For one row this takes a fourth of the time that NumPy takes to begin."""
        matrix = [self._floats.unpack_from(row, HEADER.size) for row in rows]
        if any(map(math.isnan, map(sum, matrix))):  # so is the sum of infinities of both signs
            return [[None if value != value else value for value in column] for column in zip(*matrix, strict=True)]
        return list(zip(*matrix, strict=True))

    def _columns_of_many(self, rows: Sequence[bytes]) -> list[Sequence[Stored]]:
        """All rows checked at once and unpacked at once, by one call each.

        Save for its start a row is MessagePack. A separator before it makes its header and floats MessagePack's bytes,
        so that all rows are one flat array:

            separator          row                                           separator          row
            c4 1e .. .. .. ..  00 06 17 … 3f  a4 68 6f 6d 65  07  ce fd b9 …  c4 1e .. .. .. ..  00 06 17 …
            30 bytes: 4 of it  26 of the row  "home"          7   checksum

        Those 4 bytes lead the CRC-32 from what it is after an intact row to what it is at the start, so that the one of
        the whole is right where all rows are intact. What one damaged row changes of it, no intact row changes back.
        """
        width = len(self.others) + 2
        opening = _ARRAY_HEAD + (len(rows) * width).to_bytes(4, "big")
        packed = self._separator.join([opening, *rows])
        if crc32(memoryview(packed)[len(opening) :], _INTACT) != _INTACT:
            raise ChecksumError("it does not agree with its checksum")
        values = ormsgpack.unpackb(packed)
        others = [values[place::width] for place in range(1, width - 1)]
        return [*self._columns_of_heads(values[::width]), *others] if self.floats else others

    def _columns_of_heads(self, heads: Sequence[bytes]) -> list[Sequence[Stored]]:
        """The floats of rows whose separator's 4 bytes, header and floats these are."""
        size = _LEAD_SIZE + self._tail
        matrix = np.ndarray((len(heads), len(self.floats)), "<f8", b"".join(heads), size - self._floats.size, (size, 8))
        columns: list[list[Stored]] = matrix.T.tolist()
        for column in np.flatnonzero(np.isnan(matrix).any(axis=0)).tolist():
            columns[column] = [None if value != value else value for value in columns[column]]
        return [*columns]

    @cached_property
    def blank(self) -> bytes:
        """A row of nulls."""
        return self.pack(bytes(HEADER.size), [None] * (len(self.floats) + len(self.others)))


def _array_header_of(count: int) -> bytes:
    """The header of a MessagePack array of this many elements."""
    nulls = ormsgpack.packb((None,) * count)  # a byte each, after the header
    return nulls[: len(nulls) - count]


def _separator_before(size: int) -> bytes:
    """What stands before a row whose header and floats have this size, among many; `Form._columns_of_many` says why."""
    nothing = bytes(_LEAD_SIZE + size)
    bytes_header = ormsgpack.packb(nothing)[: -len(nothing)]
    return bytes_header + (_EMPTY ^ crc32(bytes_header, _INTACT)).to_bytes(_LEAD_SIZE, "little")


def _pack_together(columns: Sequence[Sequence[Stored]]) -> pa.LargeBinaryArray:
    start = len(_array_header_of(len(columns)))
    return pa.array([ormsgpack.packb(row)[start:] for row in zip(*columns, strict=True)], _BYTES)


def _checksums(rows: pa.LargeBinaryArray) -> pa.LargeBinaryArray:
    """The CRC-32 of each row, little-endian."""
    sums = np.fromiter(map(crc32, rows.to_pylist()), "<u4", len(rows))
    return pa.Array.from_buffers(pa.binary(4), len(rows), [None, pa.py_buffer(sums)]).cast(_BYTES)


def pack_small_integers(column: pa.Array) -> pa.LargeBinaryArray | None:
    """Integers and nulls as MessagePack, ten times as fast as one by one; None if any is beyond the table of those."""
    ends = pc.min_max(column).as_py()
    if ends["min"] is not None and not (ends["min"] in _SMALL and ends["max"] in _SMALL):
        return None
    packed = _small_integer_table().take(pc.subtract(column.cast(pa.int64()), _SMALL.start))
    return pc.fill_null(packed, ormsgpack.packb(None)) if column.null_count else packed


@cache
def _small_integer_table() -> pa.LargeBinaryArray:
    return pa.array(map(ormsgpack.packb, _SMALL), _BYTES)


def header(event: int, created: int, schema: int, flags: int) -> bytes:
    """A row's header; times in microseconds since 1970 UTC."""
    return HEADER.pack(event, created, mark(schema, flags))


def mark(schema: int, flags: int) -> int:
    """The last 16 bits of a header. DataError if the schema number does not fit."""
    if schema >= 1 << 15:
        raise DataError(
            f"the view's features were changed {schema:,} times while its rows stayed in the online store. Delete the "
            f"view from there (take it out, `feast apply`), and load it anew."
        )
    return schema << 1 | flags


def event_micros(row: bytes) -> int:
    """A row's event timestamp, in microseconds since 1970 UTC."""
    return int.from_bytes(row[:8], "big", signed=True)


def schema_number(row: bytes) -> int:
    """The number of a row's schema."""
    return int.from_bytes(row[_MARK], "big") >> 1


def schema_numbers(rows: Iterable[bytes]) -> set[int]:
    """The schema numbers of rows."""
    return {int.from_bytes(each, "big") >> 1 for each in set(map(_MARK_OF, rows))}


def unpack_header(row: bytes) -> tuple[int, int, int, int]:
    """Event timestamp, created timestamp, schema number and flags."""
    event, created, last = HEADER.unpack_from(row)
    return event, created, last >> 1, last & PUSHED
