"""Join keys: the key columns of a view, and keys as clients send them, read alike in training, online and in pushes.

A client may know a key as text where the view declares an integer, as JSON and URLs have it, or the other way round.
Where that has one reading without loss it is taken: "2" as 2, 5 as "5"; "02", "2.0", True and 2.5 have none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureView, Field
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_NAME
from feast.types import FeastType, PrimitiveFeastType

from transformations.engine.base.errors import DataError
from transformations.engine.base.settings import get_settings
from transformations.stores.base.casting import plain
from transformations.stores.base.values import Column, as_declared, is_integer

_STRING = PrimitiveFeastType.STRING
_WHOLE = r"^(0|-?[1-9][0-9]{0,18})$"
_WHOLE_NUMBER = re.compile(_WHOLE[1:-1])


def key_fields(view: FeatureView) -> list[Field]:
    """A view's join keys with their dtypes; empty for a view without entities.

    DataError for a view whose registry entry does not say the dtypes of its keys: read without them, every row would
    seem to belong to every entity.
    """
    fields = [column for column in view.entity_columns if column.name != DUMMY_ENTITY_ID]
    entities = [name for name in view.entities or () if name != DUMMY_ENTITY_NAME]
    if len(fields) < len(entities):
        known = ", ".join(field.name for field in fields) or "none"
        raise DataError(
            f"feature view {view.name}: the registry has its entities ({', '.join(entities)}) but not the dtypes of "
            f"all their join keys (it has {known}). Run `feast apply` with these stores, or list the keys in the "
            f"view's schema."
        )
    return fields


def key_names(view: FeatureView) -> list[str]:
    """The names of a view's join keys. Errors as `key_fields`."""
    return [field.name for field in key_fields(view)]


def as_key(column: Column, dtype: FeastType, place: str) -> pa.Array:
    """A column of a join key in a dtype. DataError, naming `place`, for a value that has no such reading."""
    array = plain(column)
    if get_settings().keys == "lossless":
        if dtype is _STRING and pa.types.is_integer(array.type):
            array = array.cast(pa.string())
        elif is_integer(dtype) and pa.types.is_string(array.type) and _are_whole_numbers(array):
            array = array.cast(pa.int64())
    return as_declared(array, dtype, place)


def key_values(values: Sequence[Any], dtype: FeastType) -> Sequence[Any]:
    """A join key's values as Python has them, each in the dtype where it has such a reading, else as it came."""
    if get_settings().keys != "lossless":
        return values
    if dtype is _STRING:
        return [str(value) if _is_number(value) else value for value in values]
    if is_integer(dtype):
        return [int(value) if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value) else value for value in values]
    return values


def _are_whole_numbers(array: pa.Array) -> bool:
    """Whether all texts are integers of 64 bits as one writes them; nulls are no texts."""
    if pc.all(pc.match_substring_regex(array, _WHOLE)).as_py() is False:
        return False
    try:
        array.cast(pa.int64())
    except pa.ArrowInvalid:  # beyond 64 bits
        return False
    return True


def _is_number(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
