"""Converts Arrow columns to the form of a declared dtype: every value unchanged, or refused with the reason.

The forms follow from Feast's protobuf, so that training, serving and HTTP agree. Elements of lists, sets and structs
have the forms of single values, except nulls: protobuf's lists have none, so a null in a list of floats becomes NaN,
and a null in any other list is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from feast.types import Array, FeastType, PrimitiveFeastType, Set, Struct

from transformations.contracts.strptime import CLOCK, DATE, OFFSET
from transformations.engine.base.moments import as_utc
from transformations.engine.vocabulary.dtypes import FLOAT64, STORED, UNIX_TIMESTAMP
from transformations.engine.vocabulary.functions import nan_to_null

_TIMESTAMP = UNIX_TIMESTAMP.arrow

# Float32 is carried as the double that its rounding gives, as Feast's own responses do.
ARROW: dict[PrimitiveFeastType, pa.DataType] = {
    **{kind: stored.arrow for kind in PrimitiveFeastType for stored in STORED if str(kind) == stored.name},
    PrimitiveFeastType.FLOAT32: FLOAT64.arrow,
    PrimitiveFeastType.BYTES: pa.binary(),
}

FIRST_SECOND, LAST_SECOND = -62_135_596_800, 253_402_300_799
"""The years 1 to 9999, which Python's datetimes have, in seconds since 1970."""
OUTSIDE_CALENDAR = "beyond the years 1 to 9999, as a count in the wrong unit is"

_FIRST, _LAST = FIRST_SECOND * 1_000_000, LAST_SECOND * 1_000_000 + 999_999  # in microseconds
_EXACT = 1 << 53  # up to here a double holds every integer
_MOMENT = re.compile(f"{DATE}(?:[ T]{CLOCK}(?:{OFFSET})?)?")
_UNITS_A_MICRO = 1_000  # nanoseconds


class UnfitError(ValueError):
    """Why a value does not fit, as the end of the sentence `row 3 holds 2, …`.

    remedy: where it is another one than a value of the declared dtype.
    """

    def __init__(self, reason: str, remedy: str | None = None) -> None:
        super().__init__(reason)
        self.remedy = remedy


class UnfitTypeError(ValueError):
    """No value of the given type fits."""


def fits(given: pa.DataType, dtype: PrimitiveFeastType) -> bool:
    """Whether values of this type can become the dtype at all."""
    types, target = pa.types, ARROW[dtype]
    accepted: tuple[Callable[[pa.DataType], bool], ...]
    if types.is_null(given):
        return True
    if types.is_integer(target) or types.is_floating(target):
        accepted = (types.is_integer, types.is_floating, types.is_decimal)
    elif types.is_boolean(target):
        accepted = (types.is_boolean, types.is_integer)
    elif types.is_timestamp(target):
        accepted = (types.is_timestamp, types.is_date, types.is_string)
    elif types.is_binary(target):
        accepted = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary)
    else:
        accepted = (types.is_string,)
    return any(accepts(given) for accepts in accepted)


def convert(array: pa.Array, dtype: FeastType, whole_seconds: bool) -> pa.Array:
    """The values in the form of the dtype. whole_seconds: whether moments are floored to seconds.

    Raises UnfitTypeError, UnfitError or an error of Arrow's where a value has no such form.
    """
    if isinstance(dtype, Array | Set):
        return _convert_lists(array, dtype, whole_seconds)
    if isinstance(dtype, Struct):
        return _convert_structs(array, dtype, whole_seconds)
    if isinstance(dtype, PrimitiveFeastType) and dtype in ARROW:
        return _convert_scalars(array, dtype, whole_seconds)
    return _convert_undeclared(array, whole_seconds)


def floor_to_micros(array: pa.Array) -> pa.Array:
    """Timestamps as UTC microseconds, finer ones floored. UnfitError beyond the years 1 to 9999.

    Not by Arrow's `floor_temporal`, which wraps around at the smallest nanosecond.
    """
    if array.type.unit == "ns":
        numbers = np.floor_divide(array.cast(pa.int64()).fill_null(0).to_numpy(), _UNITS_A_MICRO)
        array = pa.array(numbers, mask=array.is_null().to_numpy(zero_copy_only=False)).cast(_TIMESTAMP)
    elif array.type != _TIMESTAMP:
        array = array.cast(_TIMESTAMP)
    return _check_calendar(array)


def is_of_a_calendar_year(micros: int | None) -> bool:
    """Whether a moment, where there is one, lies in the years 1 to 9999."""
    return micros is None or _FIRST <= micros <= _LAST


def plain(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """A column in one piece, without a dictionary, its text as `string`."""
    array = _join_chunks(column) if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_large_string(array.type) or pa.types.is_string_view(array.type):
        array = array.cast(pa.string())
    return array


def _join_chunks(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)  # combine_chunks would copy it
    array = column.combine_chunks()  # which keeps several chunks where offsets would overflow
    return pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array


def _convert_scalars(array: pa.Array, dtype: PrimitiveFeastType, whole_seconds: bool) -> pa.Array:
    target, array = ARROW[dtype], nan_to_null(plain(array))
    if array.null_count == len(array):  # nulls alone fit any dtype: which type Arrow gave them is chance
        return pa.nulls(len(array), target)
    if not fits(array.type, dtype):
        raise UnfitTypeError
    if dtype is PrimitiveFeastType.FLOAT32:
        return _round_to_float32(_convert_numbers(array, target))
    if dtype is PrimitiveFeastType.UNIX_TIMESTAMP:
        return _convert_moments(array, whole_seconds)
    if dtype is PrimitiveFeastType.BOOL and pa.types.is_integer(array.type):
        if pc.any(pc.greater(pc.abs(pc.subtract(array.cast(pa.float64()), 0.5)), 0.5)).as_py():
            raise UnfitError("which is neither 0 nor 1")
        return array.cast(target)
    return _convert_numbers(array, target)


def _convert_numbers(array: pa.Array, target: pa.DataType) -> pa.Array:
    if not (pa.types.is_decimal(array.type) and pa.types.is_floating(target)):
        return array.cast(target)
    # Arrow's own cast multiplies, so it does not always give the nearest double: 0.35000000000000003 for 0.35.
    nearest = array.cast(pa.string()).cast(target)
    if array.type.precision - array.type.scale > len(str(_EXACT)) - 1:
        pairs = zip(array.to_pylist(), nearest.to_pylist(), strict=True)
        if any(value is not None and abs(value) > _EXACT and Decimal(number) != value for value, number in pairs):
            raise pa.ArrowInvalid("not the same number")
    return nearest


def _round_to_float32(array: pa.Array) -> pa.Array:
    rounded = array.cast(pa.float32(), safe=False).cast(array.type)
    if pc.any(pc.and_(pc.is_inf(rounded), pc.is_finite(array))).as_py():
        raise pa.ArrowInvalid("beyond the greatest float32")
    return rounded


def _convert_moments(array: pa.Array, whole_seconds: bool) -> pa.Array:
    if pa.types.is_string(array.type):
        array = pa.array([None if text is None else _parse_moment(text) for text in array.to_pylist()], type=_TIMESTAMP)
    elif pa.types.is_date(array.type):
        array = array.cast(_TIMESTAMP)
    elif not whole_seconds:
        array = array if array.type == _TIMESTAMP else array.cast(_TIMESTAMP)  # which refuses parts of a microsecond
    if not whole_seconds:
        return _check_calendar(array)
    return pc.floor_temporal(floor_to_micros(array), unit="second")


def _check_calendar(array: pa.Array) -> pa.Array:
    numbers = array.cast(pa.int64())
    ends = pc.min_max(numbers).as_py()
    if ends["min"] is not None and (ends["min"] < _FIRST or ends["max"] > _LAST):
        raise UnfitError(f"which is {OUTSIDE_CALENDAR}")
    return array


def _parse_moment(text: str) -> datetime:
    """A moment in the forms that delivered files have; Python would take 20240501, and cut off nanoseconds."""
    if not _MOMENT.fullmatch(text):
        raise ValueError("no date and time as in 2020-01-31 12:00:00, with or without an offset")
    plain = re.sub(r"(\.\d{6})0+", r"\1", text.removesuffix("UTC").strip()).replace(" +", "+").replace(" -", "-")
    return as_utc(datetime.fromisoformat(plain.replace("z", "Z")))


def _convert_lists(array: pa.Array, dtype: Array | Set, whole_seconds: bool) -> pa.Array:
    if array.null_count == len(array) and not _is_list(array.type):
        return pa.nulls(len(array), pa.list_(element_type(dtype.base_type)))
    if not _is_list(array.type):
        raise UnfitTypeError
    elements = convert(array.flatten(), dtype.base_type, whole_seconds)
    if pa.types.is_int32(elements.type):
        elements = elements.cast(element_type(dtype.base_type))
    if elements.null_count and not isinstance(dtype.base_type, Array | Set):
        if not pa.types.is_floating(elements.type):
            raise UnfitError(
                "with a null in it, which no list of Feast's protobuf can carry", "Leave out nulls in lists."
            )
        elements = pc.fill_null(elements, np.nan)
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    lists = pa.ListArray.from_arrays(offsets, elements, mask=array.is_null())
    return _drop_repeats(lists) if isinstance(dtype, Set) else lists


def element_type(dtype: FeastType) -> pa.DataType:
    """The Arrow type of lists' elements; null for the rarer ones. Integers have 64 bits, as in Feast's own frames."""
    kind = ARROW.get(dtype, pa.null()) if isinstance(dtype, PrimitiveFeastType) else pa.null()
    return pa.int64() if pa.types.is_int32(kind) else kind


def _is_list(given: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_list(given) or types.is_large_list(given) or types.is_fixed_size_list(given))


def _drop_repeats(lists: pa.Array) -> pa.Array:
    rows = [None if row is None else list(dict.fromkeys(map(_hashable, row))) for row in lists.to_pylist()]
    return pa.array(rows, lists.type)


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _convert_structs(array: pa.Array, dtype: Struct, whole_seconds: bool) -> pa.Array:
    if not pa.types.is_struct(array.type):
        return _convert_undeclared(array, whole_seconds)
    names = [field.name for field in array.type]
    columns = [
        convert(column, dtype.fields[name], whole_seconds) if name in dtype.fields else column
        for name, column in zip(names, array.flatten(), strict=True)
    ]
    return pa.StructArray.from_arrays(columns, names, mask=array.is_null())


def _convert_undeclared(array: pa.Array, whole_seconds: bool) -> pa.Array:
    """Values of a dtype that declares no type of its elements: moments are floored to seconds, NaN in a map is null."""
    if pa.types.is_timestamp(array.type):
        return _convert_moments(array, whole_seconds)
    if not pa.types.is_map(array.type):
        return array
    if array.offset:  # which `offsets` ignores
        array = array.take(pa.array(range(len(array))))
    items = _convert_undeclared(nan_to_null(array.items), whole_seconds)
    kind = pa.map_(array.type.key_type, items.type)
    return pa.MapArray.from_arrays(array.offsets, array.keys, items, kind, mask=array.is_null())
