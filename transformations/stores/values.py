"""Feature values in their forms: Arrow columns of a declared Feast dtype, Python objects of a request, Feast's
protobuf.

One rule of conversion serves training, serving and materialization: what a declared dtype cannot hold without loss is
refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from feast import Field
from feast.protos.feast.types.Value_pb2 import (
    BoolList,
    BytesList,
    DoubleList,
    FloatList,
    Int32List,
    Int64List,
    StringList,
    Value,
)
from feast.type_map import feast_value_type_to_python_type, python_values_to_proto_values
from feast.types import Array, FeastType, PrimitiveFeastType

from transformations.engine.dtypes import UNIX_TIMESTAMP, Dtype
from transformations.engine.errors import DataError
from transformations.engine.first_failure import first_failure
from transformations.engine.functions import nan_to_null

Column: TypeAlias = pa.Array | pa.ChunkedArray

TIMESTAMP = UNIX_TIMESTAMP.arrow

# Float32 is carried as the double that its rounding gives, as Feast's own responses do.
_ARROW: dict[PrimitiveFeastType, pa.DataType] = {
    PrimitiveFeastType.INT64: pa.int64(),
    PrimitiveFeastType.INT32: pa.int32(),
    PrimitiveFeastType.FLOAT64: pa.float64(),
    PrimitiveFeastType.FLOAT32: pa.float64(),
    PrimitiveFeastType.STRING: pa.string(),
    PrimitiveFeastType.BOOL: pa.bool_(),
    PrimitiveFeastType.BYTES: pa.binary(),
    PrimitiveFeastType.UNIX_TIMESTAMP: TIMESTAMP,
}

_PROTO: dict[PrimitiveFeastType, tuple[str, str, Callable[..., Any]]] = {
    PrimitiveFeastType.INT64: ("int64_val", "int64_list_val", Int64List),
    PrimitiveFeastType.INT32: ("int32_val", "int32_list_val", Int32List),
    PrimitiveFeastType.FLOAT64: ("double_val", "double_list_val", DoubleList),
    PrimitiveFeastType.FLOAT32: ("float_val", "float_list_val", FloatList),
    PrimitiveFeastType.STRING: ("string_val", "string_list_val", StringList),
    PrimitiveFeastType.BOOL: ("bool_val", "bool_list_val", BoolList),
    PrimitiveFeastType.BYTES: ("bytes_val", "bytes_list_val", BytesList),
    PrimitiveFeastType.UNIX_TIMESTAMP: ("unix_timestamp_val", "unix_timestamp_list_val", Int64List),
}


def feast_type(dtype: Dtype) -> FeastType:
    """The dtype of the vocabulary as Feast declares it."""
    if dtype.name.startswith("Array("):
        return Array(_primitive(dtype.name[len("Array(") : -1]))
    return _primitive(dtype.name)


def arrow_type(dtype: FeastType) -> pa.DataType | None:
    """The Arrow type that carries a Feast dtype; None for the exotic ones, which pass as they come."""
    if isinstance(dtype, Array):
        element = _ARROW.get(dtype.base_type) if isinstance(dtype.base_type, PrimitiveFeastType) else None
        return None if element is None else pa.list_(element)
    return _ARROW.get(dtype) if isinstance(dtype, PrimitiveFeastType) else None


def as_feature(column: Column, dtype: FeastType, place: str) -> pa.Array:
    """A stored feature's column in its declared dtype, in the forms that Feast's protobuf can carry.

    UnixTimestamp is floored to whole seconds, NaN is null. DataError, naming `place`, where the column's type or a
    value does not fit the dtype.
    """
    array = plain(column)
    if dtype == PrimitiveFeastType.UNIX_TIMESTAMP and pa.types.is_timestamp(array.type):
        array = pc.floor_temporal(array, unit="second")
    return as_declared(array, dtype, place)


def as_declared(column: Column, dtype: FeastType, place: str) -> pa.Array:
    """A column in its declared dtype, value by value the same; DataError, naming `place`, where that cannot be.

    Widening is fine (an integer as Float64 up to 2^53), and so is a float without fraction as Int64, since pandas
    turns integers with nulls into floats. Float32 is the float32 nearest to the number, as the double that Feast's
    protobuf makes of it. A naive timestamp is UTC; text in ISO 8601 is a timestamp too, because JSON has none.
    """
    array, target = nan_to_null(plain(column)), arrow_type(dtype)
    is_rounded = dtype == PrimitiveFeastType.FLOAT32
    if target is None or (array.type == target and not is_rounded):
        return array
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), target)
    if not _fits(array.type, target):
        raise DataError(
            f"{place} is declared {dtype}, but holds {array.type}{_example(array)}. "
            f"Send {dtype}, or change the declaration."
        )
    cast = _rounded if is_rounded else _cast
    try:
        return cast(array, target)
    except (pa.ArrowInvalid, ValueError) as error:
        row, _ = first_failure(lambda start, count: cast(array.slice(start, count), target), len(array), error)
        value = _shown(array[row or 0])
        raise DataError(
            f"{place} is declared {dtype}, but row {row} holds {value!r}, which cannot become {dtype} without loss. "
            f"Send {dtype}, or change the declaration."
        ) from error


def column_of(values: Sequence[object], place: str) -> pa.Array:
    """Python objects, or protobuf values, as a column of the dtype they have; DataError where they are of several
    kinds.
    """
    plain = [feast_value_type_to_python_type(value) if isinstance(value, Value) else value for value in values]
    try:
        return pa.array(plain, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        kinds = ", ".join(sorted({type(value).__name__ for value in plain if value is not None}))
        raise DataError(
            f"{place} has values ({kinds}) that make no column: {error}. Send values of one kind."
        ) from None


def plain(column: Column) -> pa.Array:
    """A column in one piece, without a dictionary, its text as `string`."""
    array = _in_one_piece(column) if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_large_string(array.type) or pa.types.is_string_view(array.type):
        array = array.cast(pa.string())
    return array


def _in_one_piece(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)  # combine_chunks would copy it
    array = column.combine_chunks()  # which keeps several chunks where offsets would overflow
    return pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array


def unseen_value(field: Field) -> pa.Scalar | None:
    """What an entity without a row has of a feature: the field's `unseen` tag in its dtype; None where it has none."""
    if "unseen" not in field.tags:
        return None
    return pa.scalar(float(field.tags["unseen"])).cast(arrow_type(field.dtype))


def to_protos(array: pa.Array, dtype: FeastType) -> list[Value]:
    """A column of `as_feature` or `as_declared` as protobuf values; a null is a value without content."""
    primitive = dtype.base_type if isinstance(dtype, Array) else dtype
    if arrow_type(dtype) is None or not isinstance(primitive, PrimitiveFeastType):
        protos: list[Value] = python_values_to_proto_values(array.to_pylist(), dtype.to_value_type())
        return protos
    scalar, plural, wrap = _PROTO[primitive]
    if primitive == PrimitiveFeastType.UNIX_TIMESTAMP:
        array = _seconds(array)
    values = array.to_pylist()
    if isinstance(dtype, Array):
        return [Value() if value is None else Value(**{plural: wrap(val=value)}) for value in values]
    return [Value() if value is None else Value(**{scalar: value}) for value in values]


def from_protos(values: Sequence[Value], dtype: FeastType, place: str) -> pa.Array:
    """Protobuf values as a column of their declared dtype."""
    target = arrow_type(dtype)
    plain = [feast_value_type_to_python_type(value) for value in values]
    if target is None:
        return pa.array(plain)
    try:
        return pa.array(plain, type=target)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return as_declared(column_of(plain, place), dtype, place)


def _primitive(name: str) -> PrimitiveFeastType:
    return next(primitive for primitive in _ARROW if str(primitive) == name)


def _fits(given: pa.DataType, target: pa.DataType) -> bool:
    types = pa.types
    if types.is_null(given):
        return True
    accepted: tuple[Callable[[pa.DataType], bool], ...]
    if types.is_integer(target) or types.is_floating(target):
        accepted = (types.is_integer, types.is_floating, types.is_decimal)
    elif types.is_boolean(target):
        accepted = (types.is_boolean, types.is_integer)
    elif types.is_timestamp(target):
        accepted = (types.is_timestamp, types.is_date, types.is_string)
    elif types.is_binary(target):
        accepted = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary)
    elif types.is_list(target):
        accepted = (types.is_list, types.is_large_list, types.is_fixed_size_list)
    else:
        accepted = (types.is_string,)
    if not any(accepts(given) for accepts in accepted):
        return False
    return not types.is_list(target) or _fits(given.value_type, target.value_type)


def _cast(array: pa.Array, target: pa.DataType) -> pa.Array:
    if pa.types.is_boolean(target) and pa.types.is_integer(array.type):
        if pc.any(pc.greater(pc.abs(pc.subtract(array.cast(pa.float64()), 0.5)), 0.5)).as_py():
            raise pa.ArrowInvalid("neither 0 nor 1")
        return array.cast(target)
    if pa.types.is_timestamp(target) and pa.types.is_string(array.type):
        return pa.array([None if text is None else _parsed(text) for text in array.to_pylist()], type=target)
    return array.cast(target)


def _rounded(array: pa.Array, target: pa.DataType) -> pa.Array:
    wide = _cast(array, target)
    rounded = wide.cast(pa.float32(), safe=False).cast(target)
    if pc.any(pc.and_(pc.is_inf(rounded), pc.is_finite(wide))).as_py():
        raise pa.ArrowInvalid("beyond the greatest float32")
    return rounded


def _parsed(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _example(array: pa.Array) -> str:
    for scalar in array:
        if scalar.is_valid:
            return f" such as {_shown(scalar)!r}"
    return ""


def _shown(scalar: pa.Scalar) -> object:
    value = scalar.as_py() if not pa.types.is_timestamp(scalar.type) else str(scalar)
    return value.isoformat() if isinstance(value, date | datetime) else value


def _seconds(array: pa.Array) -> pa.Array:
    if pa.types.is_list(array.type):
        return pa.ListArray.from_arrays(array.offsets, _seconds(array.values), mask=array.is_null())
    return pc.floor_temporal(array, unit="second").cast(pa.timestamp("s", tz="UTC")).cast(pa.int64())
