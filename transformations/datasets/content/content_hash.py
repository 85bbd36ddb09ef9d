"""A hash of what a table says, whatever chunks, row groups or library versions carried it; and a hash of each row.

Canonical form of a column, three byte streams in row order: validity (one byte a row), lengths (int64 little-endian,
of texts, bytes and lists; 0 for null) and values (0 for null). Integers are int64 (uint64 stays unsigned), floats
float64 with one NaN, booleans one byte, dates days and timestamps microseconds since the epoch as int64 (an aware one
as its instant; nanoseconds only where a value needs them), texts UTF-8, decimals their text. Lists hold the form of
their elements, structs that of their fields. Dictionaries are decoded, and wide and narrow variants of a type are one.
The digest of a column is SHA-256 over its kind and the SHA-256 of each stream; that of a table, over its length and
each column's name and digest in order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transformations.engine.base.errors import DataError
from transformations.engine.compute.packets import mix64

UInt64s = npt.NDArray[np.uint64]

_VERSION = b"features content 1"
_STEP = np.uint64(0x9E3779B97F4A7C15)


def content_hash(table: pa.Table) -> str:
    """The digest of a table, in hexadecimal."""
    return combine_hashes(table.num_rows, column_hashes(table))


def column_hashes(table: pa.Table) -> dict[str, str]:
    """The digest of each column, in hexadecimal; DataError for a type that has no canonical form."""
    found: dict[str, str] = {}
    for name in table.column_names:
        try:
            found[name] = _column_digest(table[name]).hex()
        except (TypeError, pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise DataError(f"column {name!r} of type {table[name].type} cannot be hashed: {error}.") from error
    return found


def combine_hashes(rows: int, columns: Mapping[str, str]) -> str:
    """The digest of a table of so many rows with these column digests."""
    hashed = hashlib.sha256(_VERSION + _eight_bytes(rows))
    for name, digest in columns.items():
        text = name.encode()
        hashed.update(_eight_bytes(len(text)) + text + bytes.fromhex(digest))
    return hashed.hexdigest()


def row_hashes(table: pa.Table, seed: int) -> UInt64s:
    """A 64-bit hash of each row's canonical values and the seed: equal rows alike, in whatever order they stand."""
    hashed = np.full(table.num_rows, _seed_number(seed), dtype=np.uint64)
    for name in sorted(table.column_names):
        salt = np.uint64(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little"))
        hashed = _mix(hashed ^ _mix(_row_codes(table[name]) ^ salt))
    return hashed


def _column_digest(column: pa.ChunkedArray) -> bytes:
    column = _canonical_column(column)
    kind = column.type
    validity, lengths, values = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
    children: list[pa.Array] = []
    for chunk in column.chunks:
        validity.update(chunk.is_valid().cast(pa.uint8()).to_numpy(zero_copy_only=False).tobytes())
        if pa.types.is_large_list(kind):
            lengths.update(_int64_values(pc.list_value_length(chunk)).tobytes())
        elif _is_text_or_bytes(kind):
            lengths.update(_int64_values(pc.binary_length(chunk)).tobytes())
        if pa.types.is_large_list(kind):
            children.append(chunk.flatten())
        elif not pa.types.is_struct(kind):
            values.update(_value_bytes(chunk))
    parts = [validity.digest(), lengths.digest()]
    if pa.types.is_large_list(kind):
        parts.append(_column_digest(pa.chunked_array(children, type=kind.value_type)))
    elif pa.types.is_struct(kind):
        fields = column.flatten()
        parts += [kind.field(index).name.encode() + _column_digest(field) for index, field in enumerate(fields)]
    else:
        parts.append(values.digest())
    return hashlib.sha256(b"\0".join([_kind_name(kind).encode(), *parts])).digest()


def _canonical_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The same values in the one type of their kind."""
    if pa.types.is_dictionary(column.type):
        column = pa.chunked_array([chunk.dictionary_decode() for chunk in column.chunks], column.type.value_type)
    if pa.types.is_timestamp(column.type):
        return _microseconds(column)
    return column.cast(_canonical_type(column.type))


def _canonical_type(kind: pa.DataType) -> pa.DataType:
    types = pa.types
    for test, plain in (
        (types.is_null, pa.null()),
        (types.is_boolean, pa.bool_()),
        (types.is_uint64, pa.uint64()),
        (types.is_integer, pa.int64()),
        (types.is_floating, pa.float64()),
        (types.is_date, pa.date32()),
        (types.is_time, pa.time64("us")),
        (types.is_duration, pa.duration("us")),
        (types.is_decimal, pa.large_string()),
        (types.is_timestamp, pa.timestamp("us", getattr(kind, "tz", None) and "UTC")),
    ):
        if test(kind):
            return plain
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return pa.large_string()
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return pa.large_binary()
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return pa.large_list(pa.field("item", _canonical_type(kind.value_type)))
    if types.is_struct(kind):
        return pa.struct([pa.field(field.name, _canonical_type(field.type)) for field in kind])
    raise TypeError("it has no canonical form")


def _microseconds(column: pa.ChunkedArray) -> pa.ChunkedArray:
    zone = column.type.tz and "UTC"
    try:
        return column.cast(pa.timestamp("us", zone))
    except pa.ArrowInvalid:  # nanoseconds that are no whole microseconds
        return column.cast(pa.timestamp("ns", zone))


def _kind_name(kind: pa.DataType) -> str:
    """The kind's name in our own words, because a library may change its own."""
    types = pa.types
    if types.is_timestamp(kind):
        return f"{'instant' if kind.tz else 'local time'} {kind.unit}"
    names = {
        types.is_null: "null",
        types.is_boolean: "bool",
        types.is_uint64: "unsigned",
        types.is_integer: "integer",
        types.is_floating: "float",
        types.is_date: "date",
        types.is_time: "time",
        types.is_duration: "duration",
        types.is_large_string: "text",
        types.is_large_binary: "bytes",
        types.is_large_list: "list",
        types.is_struct: "struct",
    }
    return next(name for test, name in names.items() if test(kind))


def _is_text_or_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_large_string(kind) or pa.types.is_large_binary(kind))


def _value_bytes(chunk: pa.Array) -> bytes:
    kind = chunk.type
    if pa.types.is_null(kind):
        return b""
    if _is_text_or_bytes(kind):
        return _joined_bytes(chunk)
    return _fixed_width_values(chunk).tobytes()


def _fixed_width_values(chunk: pa.Array) -> npt.NDArray[Any]:
    """The values of a type of fixed width as little-endian numbers, 0 for null."""
    kind = chunk.type
    if pa.types.is_boolean(kind):
        return np.asarray(chunk.fill_null(False).cast(pa.uint8()).to_numpy(zero_copy_only=False), dtype="u1")
    if pa.types.is_floating(kind):
        numbers = np.array(chunk.fill_null(0.0).to_numpy(zero_copy_only=False), dtype="<f8")
        numbers[np.isnan(numbers)] = np.nan
        return numbers
    if pa.types.is_uint64(kind):
        return np.asarray(chunk.fill_null(0).to_numpy(zero_copy_only=False), dtype="<u8")
    whole = chunk.cast(pa.int32()).cast(pa.int64()) if pa.types.is_date(kind) else chunk.cast(pa.int64())
    return _int64_values(whole)


def _int64_values(chunk: pa.Array) -> npt.NDArray[np.int64]:
    return np.asarray(chunk.fill_null(0).to_numpy(zero_copy_only=False), dtype="<i8")


def _joined_bytes(chunk: pa.Array) -> bytes:
    """All values one after the other."""
    filled = pa.concat_arrays([chunk.cast(pa.large_binary()).fill_null(b"")])
    if not len(filled):
        return b""
    _, offsets, data = filled.buffers()
    bounds = np.frombuffer(offsets, dtype="<i8")[filled.offset : filled.offset + len(filled) + 1]
    return bytes(data[int(bounds[0]) : int(bounds[-1])]) if data is not None else b""


def _row_codes(column: pa.ChunkedArray) -> UInt64s:
    """A 64-bit code of each value; of what has no fixed width, by a hash of each distinct value."""
    plain = _canonical_column(column).combine_chunks()
    array = pa.concat_arrays(plain.chunks) if isinstance(plain, pa.ChunkedArray) else plain
    if pa.types.is_null(array.type):
        return np.zeros(len(array), dtype=np.uint64)
    if pa.types.is_primitive(array.type):
        bits = _fixed_width_values(array)
        codes = bits.astype(np.uint64) if bits.itemsize == 1 else bits.view(np.uint64)
        return np.where(array.is_valid().to_numpy(zero_copy_only=False), _mix(codes), np.uint64(0))
    digests = {value: _leading_number(digest) for value, digest in _digests_of_distinct(array)}
    return np.array([digests[value] for value in _hashable_values(array)], dtype=np.uint64)


def _digests_of_distinct(array: pa.Array) -> Iterator[tuple[object, bytes]]:
    seen: set[object] = set()
    for index, key in enumerate(_hashable_values(array)):
        if key not in seen:
            seen.add(key)
            yield key, _column_digest(pa.chunked_array([array.slice(index, 1)]))


def _hashable_values(array: pa.Array) -> list[object]:
    values: list[object] = array.to_pylist()
    return values if pa.types.is_large_string(array.type) else [repr(value) for value in values]


def _mix(numbers: UInt64s) -> UInt64s:
    """SplitMix64, which unlike its finalizer alone does not leave 0 as it is."""
    return mix64(numbers + _STEP)


def _seed_number(seed: int) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.sha256(str(seed).encode()).digest()[:8], "little"))


def _leading_number(digest: bytes) -> int:
    return int.from_bytes(digest[:8], "little")


def _eight_bytes(value: int) -> bytes:
    return value.to_bytes(8, "little")
