"""Converts feature values between Arrow columns of a declared dtype, Python objects of a request and Feast's protobuf.

One rule of conversion serves training, serving and materialization (`casting.py` beside this): what a declared dtype
cannot hold without loss is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from uuid import UUID

import numpy as np
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
from feast.types import Array, FeastType, PrimitiveFeastType, Set

from transformations.engine.base.errors import DataError, FeaturesError, UsageError
from transformations.engine.base.first_failure import first_failure
from transformations.engine.vocabulary.dtypes import UNIX_TIMESTAMP, Dtype
from transformations.engine.vocabulary.functions import nan_to_null
from transformations.stores.base.casting import (
    ARROW,
    UnfitError,
    UnfitTypeError,
    convert,
    element_type,
    floor_to_micros,
    is_of_a_calendar_year,
    plain,
)

if TYPE_CHECKING:
    import pandas as pd

Column: TypeAlias = pa.Array | pa.ChunkedArray

TIMESTAMP = UNIX_TIMESTAMP.arrow

_MOST_SHOWN = 100  # characters of a value in an error message
# Compared by identity: Feast's comparison is a call of its own.
_FLOAT64, _INT64, _STRING = PrimitiveFeastType.FLOAT64, PrimitiveFeastType.INT64, PrimitiveFeastType.STRING
_BOOL, _TIME, _INT32 = PrimitiveFeastType.BOOL, PrimitiveFeastType.UNIX_TIMESTAMP, PrimitiveFeastType.INT32


class ProtoFields(NamedTuple):
    """Where Feast's protobuf holds the values of a dtype: one value, a list of values, and that list's message."""

    value: str
    list_value: str
    list_message: Callable[..., Any]


PROTOS: dict[PrimitiveFeastType, ProtoFields] = {
    PrimitiveFeastType.INT64: ProtoFields("int64_val", "int64_list_val", Int64List),
    PrimitiveFeastType.INT32: ProtoFields("int32_val", "int32_list_val", Int32List),
    PrimitiveFeastType.FLOAT64: ProtoFields("double_val", "double_list_val", DoubleList),
    PrimitiveFeastType.FLOAT32: ProtoFields("float_val", "float_list_val", FloatList),
    PrimitiveFeastType.STRING: ProtoFields("string_val", "string_list_val", StringList),
    PrimitiveFeastType.BOOL: ProtoFields("bool_val", "bool_list_val", BoolList),
    PrimitiveFeastType.BYTES: ProtoFields("bytes_val", "bytes_list_val", BytesList),
    PrimitiveFeastType.UNIX_TIMESTAMP: ProtoFields("unix_timestamp_val", "unix_timestamp_list_val", Int64List),
}


def feast_type(dtype: Dtype) -> FeastType:
    """A dtype of the vocabulary as Feast's type."""
    if dtype.name.startswith("Array("):
        return Array(_primitive_named(dtype.name[len("Array(") : -1]))
    return _primitive_named(dtype.name)


def arrow_type(dtype: FeastType) -> pa.DataType | None:
    """The Arrow type of a Feast dtype; None for the rarer ones, whose values pass unchanged."""
    if isinstance(dtype, Array):
        element = element_type(dtype.base_type)
        return None if pa.types.is_null(element) else pa.list_(element)
    return ARROW.get(dtype) if isinstance(dtype, PrimitiveFeastType) else None


def is_uuid(dtype: FeastType) -> bool:
    """Whether a dtype is one of UUIDs, or of lists or sets of them."""
    while isinstance(dtype, Array | Set):
        dtype = dtype.base_type
    return dtype in (PrimitiveFeastType.UUID, PrimitiveFeastType.TIME_UUID)


def _uuid_text(value: Any) -> Any:
    """A UUID in the form that Feast stores, `123e4567-…`, which is the form in training, too; ValueError for others."""
    if isinstance(value, str | UUID):
        return str(UUID(str(value)))
    return value if value is None else [_uuid_text(each) for each in value]


def _is_of_text(kind: pa.DataType) -> bool:
    while pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind))


def is_integer(dtype: FeastType) -> bool:
    """Whether a dtype is an integer of either width."""
    return dtype is _INT64 or dtype is _INT32


def canonical_key(dtype: FeastType) -> FeastType:
    """The dtype that join keys are compared in, in training and online: integers of all widths are alike."""
    return _INT64 if is_integer(dtype) else dtype


def as_feature(column: Column, dtype: FeastType, place: str) -> pa.Array:
    """Convert a stored feature's column to its declared dtype, in the forms that Feast's protobuf can carry.

    UnixTimestamp is floored to whole seconds, NaN is null; elements of lists, sets and structs likewise, but in a list
    of floats a null is NaN, because protobuf's lists have no nulls. DataError, naming `place`, where the column's type
    or a value does not fit the dtype.
    """
    array = plain(column)
    if arrow_type(dtype) is not None:
        return _convert(array, dtype, place, whole_seconds=True)

    def exotic(array: pa.Array) -> pa.Array:
        result = convert(array, dtype, whole_seconds=True)
        if is_uuid(dtype) and _is_of_text(result.type):
            result = pa.array([_uuid_text(value) for value in result.to_pylist()], result.type)
        to_protos(result, dtype)  # Feast's own conversion has the last word on what such a dtype takes
        return result

    return _convert_or_explain(exotic, array, dtype, place)


def as_declared(column: Column, dtype: FeastType, place: str) -> pa.Array:
    """A column in its declared dtype, value by value the same; DataError, naming `place`, where that cannot be.

    Widening is fine (an integer as Float64 up to 2^53), and so is a float without fraction as Int64, since pandas
    turns integers with nulls into floats; nulls alone are of any dtype. Float32 is the float32 nearest to the number,
    as the double that Feast's protobuf makes of it; a decimal as a float is the nearest one. A naive timestamp is UTC;
    text in ISO 8601 is a timestamp too, because JSON has none; only the years 1 to 9999 are.
    """
    array, target = nan_to_null(plain(column)), arrow_type(dtype)
    if target is None or _is_declared(array, dtype, target):
        return array
    if (dtype is _FLOAT64 or dtype is _INT64) and pa.types.is_integer(array.type):
        with suppress(pa.ArrowInvalid):  # which is reported below, with the first such row
            return array.cast(target)
    return _convert(array, dtype, place, whole_seconds=False)


def _is_declared(array: pa.Array, dtype: FeastType, target: pa.DataType) -> bool:
    """Whether a column has its declared form already. Takes a microsecond: a lookup's request fields pass here."""
    if array.type != target:
        return False
    if dtype is _TIME:
        return len(array) == 1 and is_of_a_calendar_year(array[0].value)
    return dtype is _FLOAT64 or dtype is _INT64 or dtype is _STRING or dtype is _BOOL


def moments_of(column: Column, place: str) -> pa.Array:
    """Convert a column of moments to UTC microseconds, flooring finer ones. Errors as `as_declared`."""
    array = plain(column)
    if pa.types.is_timestamp(array.type) and array.type.unit == "ns":
        # Finer than a microsecond is cut off: a row may see what happened within its own microsecond.
        array = floor_to_micros(array)
    return as_declared(array, PrimitiveFeastType.UNIX_TIMESTAMP, place)


def count_rows(columns: Mapping[str, Sized], what: str, error: type[FeaturesError] = UsageError) -> int:
    """How many rows these columns have. error, calling them `what`, where they are of different lengths."""
    lengths = set(map(len, columns.values()))
    if len(lengths) > 1:
        listed = ", ".join(f"{name} {len(values):,}" for name, values in columns.items())
        raise error(f"the columns of {what} are of different lengths: {listed}. Give one value a row in each.")
    return lengths.pop() if lengths else 0


def frame_column(series: pd.Series[Any], place: str) -> pa.Array:
    """Convert a frame's column to Arrow. DataError as `column_of`.

    Arrow keeps the unit of a pandas dtype, so only a column of Python objects is looked at row by row.
    """
    try:
        array = pa.array(series, from_pandas=True)
        return _restore_nanoseconds(array, series) if series.dtype == object else array
    except (pa.ArrowException, OverflowError, ValueError, TypeError):
        return column_of(series, place)


def column_of(values: Iterable[object], place: str) -> pa.Array:
    """Python objects, or protobuf values, as a column of the dtype they have; integers beyond 64 bits are decimals.

    DataError where they are of several kinds, or one is no value, such as a text with half a surrogate pair.
    """
    given = [feast_value_type_to_python_type(value) if isinstance(value, Value) else value for value in values]
    try:
        return _restore_nanoseconds(pa.array(given, from_pandas=True), given)
    except (pa.ArrowException, OverflowError, ValueError, TypeError) as error:
        again = [_scalar_of(value) for value in given]
        try:
            return _restore_nanoseconds(pa.array(again, from_pandas=True), given)
        except (pa.ArrowException, OverflowError, ValueError, TypeError):
            raise DataError(_explain_no_column(given, place, error)) from None


def _restore_nanoseconds(array: pa.Array, values: Iterable[object]) -> pa.Array:
    """The column that Arrow made of these values, with the nanoseconds of pandas' timestamps, which it cuts off."""
    if not pa.types.is_timestamp(array.type) or array.type.unit != "us":
        return array
    nanos = [getattr(value, "nanosecond", 0) for value in values]
    if not any(each > 0 for each in nanos):  # NaT has NaN
        return array
    micros = array.cast(pa.int64()).to_pylist()
    exact = [
        value.value if nano > 0 else micro and micro * 1_000  # type: ignore[attr-defined]
        for value, nano, micro in zip(values, nanos, micros, strict=True)
    ]
    return pa.array(exact, pa.int64()).cast(pa.timestamp("ns", tz="UTC"))


def _scalar_of(value: object) -> object:
    """A form that Arrow takes: decimals for integers beyond 64 bits, microseconds or null for NumPy's datetimes."""
    if isinstance(value, int) and not isinstance(value, bool) and not -(1 << 63) <= value < 1 << 63:
        return Decimal(value)
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else value.astype("datetime64[us]")
    return value


def _explain_no_column(values: Sequence[object], place: str, error: Exception) -> str:
    for row, value in enumerate(values):
        try:
            pa.array([_scalar_of(value)], from_pandas=True)
        except UnicodeEncodeError:
            return (
                f"{place}: row {row} holds {_short_repr(value)}, which is no Unicode text: half of a surrogate pair "
                f"has no UTF-8. Decode the text anew."
            )
        except (pa.ArrowException, OverflowError, ValueError, TypeError) as alone:
            return f"{place}: row {row} holds {_short_repr(value)}, which is no value that has a dtype: {alone}"
    kinds = ", ".join(sorted({type(value).__name__ for value in values if value is not None}))
    return f"{place} has values ({kinds}) that make no column: {error}. Send values of one kind."


def object_of_pairs(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    """A JSON object, for `json.loads(object_pairs_hook=…)`; UsageError where it has a key twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise UsageError(f"the JSON has the key {twice!r:.100} twice in one object. Give each key once.")
    return found


def unseen_value(field: Field) -> pa.Scalar | None:
    """A feature's value for an entity without a row: the field's `unseen` tag in its dtype; None without a tag."""
    if "unseen" not in field.tags:
        return None
    return pa.scalar(float(field.tags["unseen"])).cast(arrow_type(field.dtype))


def to_protos(array: pa.Array, dtype: FeastType) -> list[Value]:
    """A column of `as_feature` or `as_declared` as protobuf values; a null is a value without content."""
    primitive = dtype.base_type if isinstance(dtype, Array) else dtype
    if arrow_type(dtype) is None or not isinstance(primitive, PrimitiveFeastType):
        objects = array.to_pylist(maps_as_pydicts="strict")  # Feast takes dictionaries
        protos: list[Value] = python_values_to_proto_values(objects, dtype.to_value_type())
        return protos
    scalar, plural, wrap = PROTOS[primitive]
    if primitive == PrimitiveFeastType.UNIX_TIMESTAMP:
        array = _floor_to_seconds(array)
    values = array.to_pylist()
    if isinstance(dtype, Array):
        return [Value() if value is None else Value(**{plural: wrap(val=value)}) for value in values]
    return [Value() if value is None else Value(**{scalar: value}) for value in values]


def from_protos(values: Sequence[Value], dtype: FeastType, place: str) -> pa.Array:
    """Protobuf values as a column of their declared dtype."""
    target = arrow_type(dtype)
    plain = [feast_value_type_to_python_type(value) for value in values]
    if target is None:
        return pa.array([_uuid_text(value) for value in plain] if is_uuid(dtype) else plain)
    try:
        return pa.array(plain, type=target)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return as_declared(column_of(plain, place), dtype, place)


def _primitive_named(name: str) -> PrimitiveFeastType:
    return next(primitive for primitive in ARROW if str(primitive) == name)


def _convert(array: pa.Array, dtype: FeastType, place: str, *, whole_seconds: bool) -> pa.Array:
    return _convert_or_explain(lambda part: convert(part, dtype, whole_seconds), array, dtype, place)


def _convert_or_explain(
    convert: Callable[[pa.Array], pa.Array], array: pa.Array, dtype: FeastType, place: str
) -> pa.Array:
    """Apply `convert` to a column; if that fails, DataError with the first row that fails."""
    try:
        return convert(array)
    except UnfitTypeError:
        raise DataError(
            f"{place} is declared {dtype}, but holds {array.type}{_example_of_column(array)}. "
            f"Send {dtype}, or change the declaration."
        ) from None
    except Exception as error:
        row, of_row = first_failure(lambda start, count: convert(array.slice(start, count)), len(array), error)
        reason = str(of_row) if isinstance(of_row, UnfitError) else f"which cannot become {dtype} without loss"
        if arrow_type(dtype) is None and not isinstance(of_row, UnfitError):
            reason = f"which Feast does not take for {dtype}: {of_row}"
        remedy = getattr(of_row, "remedy", None) or f"Send {dtype}, or change the declaration."
        raise DataError(
            f"{place} is declared {dtype}, but row {row} holds {_show_scalar(array[row or 0])}, {reason}. {remedy}"
        ) from error


def _example_of_column(array: pa.Array) -> str:
    for scalar in array:
        if scalar.is_valid:
            return f" such as {_show_scalar(scalar)}"
    return ""


def _show_scalar(scalar: pa.Scalar) -> str:
    value = _python_value(scalar)
    if isinstance(value, Decimal) and value == value.to_integral_value():
        value = int(value)
    return _short_repr(value.isoformat() if isinstance(value, date | datetime) else value)


def _python_value(scalar: pa.Scalar) -> object:
    """A scalar as a Python value, but a timestamp as text: Python's datetimes end with the year 9999."""
    is_time = pa.types.is_timestamp(scalar.type)
    try:
        return str(scalar) if is_time else scalar.as_py()
    except (OverflowError, ValueError):
        return str(np.datetime64(scalar.value, scalar.type.unit)) if is_time else f"a {scalar.type} of impossible years"


def _short_repr(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"


def _floor_to_seconds(array: pa.Array) -> pa.Array:
    if pa.types.is_list(array.type):
        return pa.ListArray.from_arrays(array.offsets, _floor_to_seconds(array.values), mask=array.is_null())
    return pc.floor_temporal(array, unit="second").cast(pa.timestamp("s", tz="UTC")).cast(pa.int64())
