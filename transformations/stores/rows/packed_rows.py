"""The packed row: all features of one entity in one view as one value: a header, floats, and MessagePack.

Header, big-endian, 18 bytes: event timestamp and created timestamp (int64 microseconds UTC; without a created timestamp
the least int64), and 16 bits of which the last is 1 where the row was pushed, the others the number of its schema. Then
the Float64 and Float32 features as little-endian doubles, NaN for null, so that the floats of many rows are one matrix.
Then all other features as the elements of a MessagePack array, whose opening, the same in each row, is left out.

Both in the order of the schema, in the stored forms of `codecs.py` beside this.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import groupby

import numpy as np
import ormsgpack
import pyarrow as pa
import pyarrow.compute as pc
from feast import Field
from numpy.typing import NDArray

from transformations.engine.base.errors import DataError
from transformations.stores.rows.codecs import FLOAT_NAMES, Stored

FORM = 2
"""The number of this form. The catalog and the cursors carry it in their names, so that a Redis that was filled under
another one is empty to us, and the next materialization fills it. A change of what is above takes the next number.
"""
HEADER = struct.Struct(">qqH")
_MARK = slice(16, 18)
PUSHED = 1
"""The last bit of a header: written by a push, not by a materialization, so that only the online store has the row."""

_FEW_ROWS = 20
_SMALL = range(-32, 1 << 16)
_BYTES = pa.large_binary()

NEVER_CREATED = -(2**63)
"""The created timestamp of a row that has none: older than any."""


@dataclass(frozen=True)
class Schema:
    """The features of a row, in order, each with its dtype as text: what tells how a row written before is to be read.

    A feature whose dtype has changed since is another feature.
    """

    fields: tuple[tuple[str, str], ...]

    def text(self) -> str:
        """As the online store keeps it."""
        return json.dumps(self.fields, separators=(",", ":"))

    @cached_property
    def form(self) -> Form:
        """How rows of this schema hold their values."""
        is_float = [dtype in FLOAT_NAMES for _, dtype in self.fields]
        places = range(len(self.fields))
        return Form([each for each in places if is_float[each]], [each for each in places if not is_float[each]])

    def positions(self, wanted: Sequence[tuple[str, str]]) -> tuple[int | None, ...]:
        """Which of the columns of `Form.columns` each wanted feature is; None for one that rows of this schema lack."""
        form = self.form
        columns = {self.fields[place]: column for column, place in enumerate((*form.floats, *form.others))}
        return tuple(columns.get(field) for field in wanted)


def schema_of(features: Sequence[Field]) -> Schema:
    """The schema of a view's features as they are declared now."""
    return Schema(tuple((feature.name, str(feature.dtype)) for feature in features))


def schema_from(text: str) -> Schema:
    """The schema of `Schema.text`."""
    return Schema(tuple((name, dtype) for name, dtype in json.loads(text)))


class Form:
    """How rows of one schema hold their values. floats, others: the places of these features in the schema."""

    def __init__(self, floats: Sequence[int], others: Sequence[int]) -> None:
        self.floats, self.others = tuple(floats), tuple(others)
        self._floats = struct.Struct(f"<{len(self.floats)}d")
        self._tail = HEADER.size + self._floats.size
        self._opening = _opening(len(self.others))

    @cached_property
    def heads(self) -> np.dtype[np.void]:
        """A header and the floats behind it, for many rows at once."""
        floats = ("floats", "<f8", (len(self.floats),))
        return np.dtype([("event", ">i8"), ("created", ">i8"), ("mark", ">u2"), floats])

    def pack(self, header: bytes, values: Sequence[Stored]) -> bytes:
        """One row of values in the order of the schema."""
        floats = (values[place] for place in self.floats)
        head = header + self._floats.pack(*(math.nan if value is None else value for value in floats))
        return head + ormsgpack.packb([values[place] for place in self.others])[len(self._opening) :]

    def pack_columns(
        self, heads: NDArray[np.void], others: Sequence[Sequence[Stored] | pa.LargeBinaryArray]
    ) -> pa.LargeBinaryArray:
        """Rows of their heads and of the columns of all other features, as they are stored or packed already."""
        ends = pa.array(np.arange(len(heads) + 1) * heads.dtype.itemsize)
        parts = [pa.LargeBinaryArray.from_buffers(_BYTES, len(heads), [None, ends.buffers()[1], pa.py_buffer(heads)])]
        for is_packed, run in groupby(others, lambda column: isinstance(column, pa.LargeBinaryArray)):
            columns = list(run)
            parts += columns if is_packed else [_packed_together(columns)]
        return pc.binary_join_element_wise(*parts, pa.scalar(b"", _BYTES))

    def columns(self, rows: Sequence[bytes]) -> list[Sequence[Stored]]:
        """The columns of rows: floats first, then the others, both in the order of the schema."""
        columns: list[Sequence[Stored]] = []
        tail = self._tail
        if self.floats:
            columns += self._few_floats(rows) if len(rows) <= _FEW_ROWS else self._many_floats(rows)
        if self.others:
            opening, unpack = self._opening, ormsgpack.unpackb
            columns += zip(*[unpack(opening + row[tail:]) for row in rows], strict=True)
        return columns

    def _few_floats(self, rows: Sequence[bytes]) -> list[Sequence[Stored]]:
        """The columns of floats; of one row in a fourth of the time that NumPy takes to begin."""
        matrix = [self._floats.unpack_from(row, HEADER.size) for row in rows]
        if any(map(math.isnan, map(sum, matrix))):  # so is the sum of infinities of both signs
            return [[None if value != value else value for value in column] for column in zip(*matrix, strict=True)]
        return list(zip(*matrix, strict=True))

    def _many_floats(self, rows: Sequence[bytes]) -> list[Sequence[Stored]]:
        content = b"".join([row[HEADER.size : self._tail] for row in rows])
        matrix = np.frombuffer(content, "<f8").reshape(len(rows), len(self.floats))
        columns: list[list[Stored]] = matrix.T.tolist()
        for column in np.flatnonzero(np.isnan(matrix).any(axis=0)).tolist():
            columns[column] = [None if value != value else value for value in columns[column]]
        return [*columns]

    @cached_property
    def blank(self) -> bytes:
        """A row of nulls."""
        return self.pack(bytes(HEADER.size), [None] * (len(self.floats) + len(self.others)))


def _opening(count: int) -> bytes:
    """What a MessagePack array of so many elements begins with."""
    nulls = ormsgpack.packb((None,) * count)  # a byte each, after the opening
    return nulls[: len(nulls) - count]


def _packed_together(columns: Sequence[Sequence[Stored]]) -> pa.LargeBinaryArray:
    start = len(_opening(len(columns)))
    return pa.array([ormsgpack.packb(row)[start:] for row in zip(*columns, strict=True)], _BYTES)


def small_integers(column: pa.Array) -> pa.LargeBinaryArray | None:
    """The MessagePack of each integer or null, in a tenth of the time of one by one; None where not all are small."""
    ends = pc.min_max(column).as_py()
    if ends["min"] is not None and not (ends["min"] in _SMALL and ends["max"] in _SMALL):
        return None
    packed = _packed_small().take(pc.subtract(column.cast(pa.int64()), _SMALL.start))
    return pc.fill_null(packed, ormsgpack.packb(None)) if column.null_count else packed


@cache
def _packed_small() -> pa.LargeBinaryArray:
    return pa.array(map(ormsgpack.packb, _SMALL), _BYTES)


def header(event: int, created: int, schema: int, flags: int) -> bytes:
    """A row's header; times in microseconds since 1970 UTC."""
    return HEADER.pack(event, created, mark(schema, flags))


def mark(schema: int, flags: int) -> int:
    """The last 16 bits of a header. DataError for a schema number that is too great."""
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


def schema_numbers(rows: Sequence[bytes | None]) -> set[int]:
    """The numbers of the schemas of rows; None has none."""
    marks = {row[_MARK] for row in rows if row is not None}
    return {int.from_bytes(each, "big") >> 1 for each in marks}


def unpack_header(row: bytes) -> tuple[int, int, int, int]:
    """Event timestamp, created timestamp, schema number and flags."""
    event, created, last = HEADER.unpack_from(row)
    return event, created, last >> 1, last & PUSHED
