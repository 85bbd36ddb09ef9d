"""The values of each dtype in four forms: stored in a row, Arrow, Feast's protobuf, and as a response shows them.

The stored form is MessagePack's own type where it has one. UnixTimestamp is whole seconds, Float32 the double nearest
to its rounding, NaN null; a type that MessagePack lacks is the bytes of its Feast protobuf. Changing a stored form
takes the next number of `packed_rows.FORM`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import NULL_TIMESTAMP_INT_VALUE, feast_value_type_to_python_type
from feast.types import Array, FeastType, PrimitiveFeastType

from transformations.engine.base.errors import DataError
from transformations.engine.vocabulary.functions import numbers
from transformations.stores.base.casting import FIRST_SECOND, LAST_SECOND, OUTSIDE_CALENDAR
from transformations.stores.base.values import PROTOS, arrow_type, from_protos, to_protos
from transformations.stores.computed.objects import is_object, objects_of_protos

Stored: TypeAlias = Any
"""One feature's value in its stored form."""


@dataclass(frozen=True, kw_only=True)
class Codec:
    """Converts the values of one dtype between their forms.

    python: from the stored form to the object that a response shows, never called for null; None if both are the same.
    arrow: the type of `to_arrow`'s arrays, of scalars alone.
    """

    dtype: FeastType
    python: Callable[[Stored], object] | None
    from_arrow: Callable[[pa.Array], list[Stored]]
    from_proto: Callable[[Value], Stored]
    to_protos: Callable[[Sequence[Stored]], list[Value]]
    to_arrow: Callable[[Sequence[Stored]], pa.Array]
    arrow: pa.DataType | None = None

    def show(self, column: Sequence[Stored]) -> list[object]:
        """A column of stored values as a response shows it."""
        convert = self.python
        if convert is None:
            return list(column)
        return [None if value is None else convert(value) for value in column]


# The letters of `struct` for dtypes that Arrow holds as plain bytes.
_LETTERS = {
    PrimitiveFeastType.INT64: "q",
    PrimitiveFeastType.INT32: "i",
    PrimitiveFeastType.FLOAT64: "d",
    PrimitiveFeastType.FLOAT32: "d",
}
_FLOATS = (PrimitiveFeastType.FLOAT64, PrimitiveFeastType.FLOAT32)
_INTEGERS = (PrimitiveFeastType.INT64, PrimitiveFeastType.INT32)
FLOAT_NAMES = frozenset(str(dtype) for dtype in _FLOATS)


def codec_of(dtype: FeastType) -> Codec:
    """The codec of a dtype; every Feast type has one."""
    if isinstance(dtype, PrimitiveFeastType) and dtype in PROTOS:
        return _scalar_codec(dtype)
    if isinstance(dtype, Array) and isinstance(dtype.base_type, PrimitiveFeastType) and dtype.base_type in PROTOS:
        return _array_codec(dtype, dtype.base_type)
    return _opaque_codec(dtype)


def _scalar_codec(dtype: PrimitiveFeastType) -> Codec:
    name, is_time, target = PROTOS[dtype].value, dtype == PrimitiveFeastType.UNIX_TIMESTAMP, arrow_type(dtype)
    letter = _LETTERS.get(dtype)

    def from_arrow(column: pa.Array) -> list[Stored]:
        values: list[Stored] = (_seconds_of(column) if is_time else column).to_pylist()
        return values

    def from_proto(value: Value) -> Stored:
        given = value.WhichOneof("val")
        if given is None:
            return None
        return _coerce_scalar(dtype, given, getattr(value, given))

    def to_values(column: Sequence[Stored]) -> list[Value]:
        return [Value() if value is None else Value(**{name: value}) for value in column]

    def to_arrow(column: Sequence[Stored]) -> pa.Array:
        if is_time and None not in column:
            return numbers([seconds * 1_000_000 for seconds in column], "q", target)
        if is_time:
            return pa.array(column, pa.timestamp("s", "UTC")).cast(target)
        return pa.array(column, target) if letter is None else numbers(column, letter, target)

    python = _moment_of if is_time else None
    return Codec(
        dtype=dtype,
        python=python,
        from_arrow=from_arrow,
        from_proto=from_proto,
        to_protos=to_values,
        to_arrow=to_arrow,
        arrow=target,
    )


def _array_codec(dtype: Array, element: PrimitiveFeastType) -> Codec:
    name, is_time = PROTOS[element].list_value, element == PrimitiveFeastType.UNIX_TIMESTAMP

    def from_arrow(column: pa.Array) -> list[Stored]:
        if is_time:
            return [from_proto(value) for value in to_protos(column, dtype)]
        values: list[Stored] = column.to_pylist()
        return values

    def from_proto(value: Value) -> Stored:
        given = value.WhichOneof("val")
        if given is None:
            return None
        if not given.endswith("_list_val"):
            raise _wrong_kind(dtype, given, getattr(value, given))
        scalar = given.replace("_list_val", "_val")
        entry = [_coerce_scalar(element, scalar, each, keep_nan=True) for each in getattr(value, given).val]
        if None in entry:
            raise DataError(
                f"a feature declared {dtype} was given a list with a null in it, which no list of Feast's protobuf can "
                f"carry. Leave the nulls out."
            )
        return entry

    def to_values(column: Sequence[Stored]) -> list[Value]:
        values = []
        for entry in column:
            value = Value()
            if entry is not None:
                holder = getattr(value, name)
                holder.SetInParent()  # an empty list is a list
                _fill_list(holder.val, entry, dtype)
            values.append(value)
        return values

    def to_arrow(column: Sequence[Stored]) -> pa.Array:
        shown = (
            [None if entry is None else [_moment_of(each) for each in entry] for entry in column] if is_time else column
        )
        return pa.array(shown, arrow_type(dtype))

    def python(entry: Stored) -> object:
        return [_moment_of(each) for each in entry]

    return Codec(
        dtype=dtype,
        python=python if is_time else None,
        from_arrow=from_arrow,
        from_proto=from_proto,
        to_protos=to_values,
        to_arrow=to_arrow,
    )


def _fill_list(holder: Any, entry: Sequence[Stored], dtype: FeastType) -> None:
    try:
        holder.extend(entry)
    except TypeError:  # a row written before such lists were refused
        raise DataError(
            f"a row's {dtype} has a null in it, which no list of Feast's protobuf can carry. Materialize the view anew."
        ) from None


def _opaque_codec(dtype: FeastType) -> Codec:
    """Maps, sets, UUIDs, decimals and the like keep the bytes of their Feast protobuf."""
    kind = dtype.to_value_type()

    def from_proto(value: Value) -> Stored:
        return None if value.WhichOneof("val") is None else value.SerializeToString(deterministic=True)

    def to_values(column: Sequence[Stored]) -> list[Value]:
        return [Value() if value is None else Value.FromString(value) for value in column]

    def from_arrow(column: pa.Array) -> list[Stored]:
        return [from_proto(value) for value in to_protos(column, dtype)]

    def python(value: Stored) -> object:
        return feast_value_type_to_python_type(Value.FromString(value), kind)

    def to_arrow(column: Sequence[Stored]) -> pa.Array:
        values = to_values(column)
        return objects_of_protos(values) if is_object(dtype) else from_protos(values, dtype, str(dtype))

    return Codec(
        dtype=dtype,
        python=python,
        from_arrow=from_arrow,
        from_proto=from_proto,
        to_protos=to_values,
        to_arrow=to_arrow,
    )


def _coerce_scalar(dtype: PrimitiveFeastType, given: str, value: Any, keep_nan: bool = False) -> Stored:
    """A protobuf's scalar in the stored form of the declared dtype; DataError if it is of another kind."""
    if dtype in _FLOATS and given in ("double_val", "float_val", "int64_val", "int32_val"):
        number = float(np.float32(value)) if dtype == PrimitiveFeastType.FLOAT32 else float(value)
        return None if math.isnan(number) and not keep_nan else number
    if dtype in _INTEGERS and given in ("int64_val", "int32_val"):
        return value
    if given != PROTOS[dtype].value:
        raise _wrong_kind(dtype, given, value)
    if dtype is PrimitiveFeastType.UNIX_TIMESTAMP:
        return _check_seconds(value)
    return value


def _check_seconds(seconds: int) -> int | None:
    if seconds == NULL_TIMESTAMP_INT_VALUE:
        return None
    if not FIRST_SECOND <= seconds <= LAST_SECOND:
        raise DataError(
            f"a feature declared UnixTimestamp was given {seconds:,} seconds since 1970, which is "
            f"{OUTSIDE_CALENDAR}. Send seconds, or a timestamp."
        )
    return seconds


def _wrong_kind(dtype: FeastType, given: str, value: object) -> DataError:
    return DataError(
        f"a feature declared {dtype} was given {given.removesuffix('_val')} {value!r}. Send {dtype}, or change the "
        f"declaration."
    )


def _moment_of(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _seconds_of(column: pa.Array) -> pa.Array:
    """Timestamps of whole seconds, as `values.as_feature` returns them, as int64 seconds."""
    return column.cast(pa.timestamp("s", "UTC")).cast(pa.int64())
