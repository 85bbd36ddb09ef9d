"""Maps, structs and JSON on their way to an on-demand view's function: as Feast's protobuf has them, row by row.

Arrow would make one struct of them all, in which a key that another row has is null, and a number is what all rows
together make of it. So a column of such inputs holds serialized values, and the function is given Feast's own Python
form of each: dictionaries and lists, of which neither the path nor the rows beside it change anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

import pyarrow as pa
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import feast_value_type_to_python_type, python_values_to_proto_values
from feast.types import Array, FeastType, PrimitiveFeastType, Set, Struct

from transformations.engine.base.errors import DataError
from transformations.stores.base.casting import plain
from transformations.stores.base.values import Column, to_protos

if TYPE_CHECKING:
    import pandas as pd

_OBJECTS = (PrimitiveFeastType.MAP, PrimitiveFeastType.SCALAR_MAP, PrimitiveFeastType.JSON)


class _Values(pa.ExtensionType):  # type: ignore[misc]  # pyarrow has no types
    """The type of a column of Feast's values, serialized."""

    def __init__(self) -> None:
        super().__init__(pa.binary(), "features.values")

    def __arrow_ext_serialize__(self) -> bytes:
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, _storage: pa.DataType, _serialized: bytes) -> _Values:
        return cls()


_VALUES = _Values()


def is_object(dtype: FeastType) -> bool:
    """Whether values of a dtype are dictionaries, JSON, or lists of these."""
    while isinstance(dtype, Array | Set):
        dtype = dtype.base_type
    return isinstance(dtype, Struct) or dtype in _OBJECTS


def holds_objects(array: pa.Array) -> TypeGuard[pa.ExtensionArray]:
    """Whether a column is one of `objects_of_protos`."""
    return isinstance(array.type, _Values)


def objects_of_protos(values: Iterable[Value]) -> pa.Array:
    """A column of Feast's values."""
    kept = [None if each.WhichOneof("val") is None else each.SerializeToString() for each in values]
    return pa.ExtensionArray.from_storage(_VALUES, pa.array(kept, pa.binary()))


def stored_objects(column: Column, dtype: FeastType) -> pa.Array:
    """A column of `as_feature`, as a load stores it."""
    array = plain(column)
    return array if holds_objects(array) else objects_of_protos(to_protos(array, dtype))


def requested_objects(values: Column | Iterable[object], dtype: FeastType, place: str) -> pa.Array:
    """The values of a request field, given as Python's objects or as a spine's column.

    A key whose value is null is taken for one that is not there: a spine's column has no difference between the two.
    DataError, naming `place`, for a value that Feast has no form for.
    """
    if isinstance(values, pa.Array | pa.ChunkedArray):
        values = values.to_pylist(maps_as_pydicts="lossy")
    protos = []
    for row, value in enumerate(values):
        try:
            protos += python_values_to_proto_values([_without_nulls(value)], dtype.to_value_type())
        except Exception as error:
            raise DataError(
                f"{place}: row {row} holds {value!r:.100}, which is no {dtype}: {error}. Send {dtype}."
            ) from error
    return objects_of_protos(protos)


def listed(array: pa.Array) -> list[Any]:
    """The values of a column as a function is given them."""
    if not holds_objects(array):
        found: list[Any] = array.to_pylist()
        return found
    return [None if each is None else _in_order(_python_of(each)) for each in array.storage.to_pylist()]


def frame_of(given: Mapping[str, pa.Array]) -> pd.DataFrame:
    """The columns as pandas has them; dictionaries, and lists of them, as Python's objects."""
    import pandas as pd

    frame: pd.DataFrame = pa.table({name: each for name, each in given.items() if not holds_objects(each)}).to_pandas()
    objects = {name: pd.Series(listed(each), dtype=object) for name, each in given.items() if holds_objects(each)}
    if objects:
        frame = frame.assign(**objects)[list(given)]
    return frame


def _python_of(serialized: bytes) -> Any:
    return feast_value_type_to_python_type(Value.FromString(serialized))


def _in_order(value: Any) -> Any:
    """The same with its keys in order: protobuf's maps have none."""
    if isinstance(value, Mapping):
        return {key: _in_order(value[key]) for key in sorted(value, key=str)}
    return [_in_order(each) for each in value] if isinstance(value, list) else value


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if _is_list(value) else value


def _is_list(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)
