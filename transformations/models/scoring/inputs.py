"""Bringing rows to the dtypes that an artifact declares, once, before anything looks at a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transformations.engine.base.errors import DataError, nearest
from transformations.engine.vocabulary.columns import one_array
from transformations.models.records.artifact import InputColumn, InputType

ARROW_TYPES: Mapping[InputType, pa.DataType] = {
    "Float64": pa.float64(),
    "Float32": pa.float32(),
    "Int64": pa.int64(),
    "Int32": pa.int32(),
    "Bool": pa.bool_(),
    "String": pa.string(),
}

_FLOAT64 = pa.float64()


def cast_inputs(rows: pa.Table, inputs: Sequence[InputColumn]) -> dict[str, pa.Array]:
    """The columns that a model takes, by name, in its dtypes. NaN becomes null.

    DataError for a column that is missing, a value that its dtype cannot hold, and infinity: by column, row and value.
    """
    return {column.name: _cast(_column(rows, column.name), column) for column in inputs}


def numbers(column: pa.Array) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """A column of numbers or booleans as float64, NaN where it is null."""
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    if column.type == _FLOAT64:  # as most are: a request of one row feels every cast
        return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)
    return np.asarray(column.cast(_FLOAT64, safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)


def _column(rows: pa.Table, name: str) -> pa.Array:
    place = rows.schema.get_field_index(name)
    if place < 0 and name not in rows.column_names:
        raise DataError(f"the rows have no column {name!r}, which the model takes; {nearest(name, rows.column_names)}.")
    column = rows.column(place) if place >= 0 else rows[name]
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return one_array(column)


def _cast(column: pa.Array, wanted: InputColumn) -> pa.Array:
    kind = ARROW_TYPES[wanted.dtype]
    if not _is_alike(column.type, kind):
        raise DataError(f"column {wanted.name!r} is {column.type}, and the model takes {wanted.dtype}. Cast it first.")
    if pa.types.is_floating(column.type) and not _is_finite(column):
        column = pc.if_else(pc.is_nan(column), None, column) if _has_nan(column) else column
        _refuse(pc.is_inf(column), column, wanted, "is infinite. Send null for what is not known")
    if column.type == kind:
        return column
    try:
        # To a float, an integer is rounded: 2 ** 53 + 1 has no float64 of its own.
        cast = column.cast(kind, safe=not pa.types.is_floating(kind))
    except pa.ArrowInvalid:
        back = column.cast(kind, safe=False).cast(column.type, safe=False)
        _refuse(pc.not_equal(back, column), column, wanted, f"is no {wanted.dtype}")
        raise
    if pa.types.is_floating(kind):
        _refuse(pc.is_inf(cast), column, wanted, f"is beyond {wanted.dtype}")
    return cast


def _is_finite(column: pa.Array) -> bool:
    """Whether every value is there and a finite number; NumPy asks that in a fifth of the time that Arrow takes."""
    return bool(np.isfinite(column.to_numpy(zero_copy_only=False)).all())


def _has_nan(column: pa.Array) -> bool:
    return bool(pc.any(pc.is_nan(column)).as_py())


def _is_alike(given: pa.DataType, wanted: pa.DataType) -> bool:
    types = pa.types
    if types.is_null(given):
        return True
    if types.is_boolean(wanted):
        return bool(types.is_boolean(given))
    if types.is_string(wanted):
        return bool(types.is_string(given) or types.is_large_string(given) or types.is_string_view(given))
    return bool(types.is_integer(given) or types.is_floating(given))


def _refuse(faulty: pa.Array, column: pa.Array, wanted: InputColumn, said: str) -> None:
    """DataError that names the first of the faulty rows."""
    count = pc.sum(faulty).as_py() or 0
    if count:
        row = pc.index(faulty, True).as_py()
        more = f" ({count:,} such rows)" if count > 1 else ""
        raise DataError(f"column {wanted.name!r}: row {row}: {column[row].as_py()!r} {said}{more}.")
