"""When two values are the same: of one dtype, equal to the bit, and null where the other is null."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


def same_value(left: object, right: object) -> bool:
    """Equal in type, value and null; floats by their bits, timestamps as instants."""
    if isinstance(left, datetime) and isinstance(right, datetime):
        return left == right
    if isinstance(left, float) and isinstance(right, float):
        return struct.pack("<d", left) == struct.pack("<d", right)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same_value, left, right))
    return type(left) is type(right) and left == right


def values_agree(online: Sequence[object], training: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Compare row by row; False for all if the online values have no common dtype, or another one than in training."""
    right = _as_carried_online(training)
    try:
        left = _as_carried_online(pa.chunked_array([pa.array(online)]))
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return np.zeros(len(right), dtype=np.bool_)
    if left.type != right.type and left.null_count < len(left) and right.null_count < len(right):
        return np.asarray(pc.and_(left.is_null(), right.is_null()))
    left = left if left.null_count < len(left) else pa.nulls(len(left), right.type)
    right = right if right.null_count < len(right) else pa.nulls(len(right), left.type)
    return _equal_rows(left, right)


def _as_carried_online(column: pa.ChunkedArray) -> pa.Array:
    """One array in the type that the online path can carry: microseconds UTC, 64 bits, plain strings."""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], type=array.type)
    kind = array.type
    if pa.types.is_timestamp(kind):
        return array.cast(pa.timestamp("us", tz="UTC"))
    if pa.types.is_integer(kind):
        return array.cast(pa.int64())
    if pa.types.is_floating(kind):
        return array.cast(pa.float64())
    if pa.types.is_large_string(kind) or pa.types.is_dictionary(kind) or pa.types.is_null(kind):
        return array.cast(pa.string())
    return array


def _equal_rows(left: pa.Array, right: pa.Array) -> npt.NDArray[np.bool_]:
    """Row by row: both null, or both the same value; floating-point numbers by their bits."""
    if pa.types.is_nested(right.type):
        return np.array([a == b for a, b in zip(left.to_pylist(), right.to_pylist(), strict=True)], dtype=np.bool_)
    nulls_agree = np.asarray(pc.equal(left.is_null(), right.is_null()))
    both_null = np.asarray(pc.and_(left.is_null(), right.is_null()))
    if pa.types.is_floating(right.type):
        bits = [array.fill_null(0.0).to_numpy(zero_copy_only=False).view(np.int64) for array in (left, right)]
        equal = bits[0] == bits[1]
    else:
        equal = np.asarray(pc.equal(left, right).fill_null(False))
    return np.asarray(nulls_agree & (both_null | equal), dtype=np.bool_)
