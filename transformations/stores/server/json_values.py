"""Feature values as JSON: Feast's own form, and one for what Feast has none for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from feast.feature_server_utils import convert_response_to_dict
from feast.protos.feast.serving.ServingService_pb2 import FeatureViewMetadata, FieldStatus, GetOnlineFeaturesResponse
from feast.protos.feast.types.Value_pb2 import MapKey, Value
from feast.types import PrimitiveFeastType

from transformations.stores.lookups.response import Column, PackedResponse

_NESTED = frozenset(
    {"scalar_map_val", "map_val", "struct_val", "map_list_val", "struct_list_val", "list_val", "set_val"}
)
_KEY_AS_VALUE = {
    "int32_key": "int32_val",
    "int64_key": "int64_val",
    "float_key": "float_val",
    "double_key": "double_val",
    "bool_key": "bool_val",
    "bytes_key": "bytes_val",
    "unix_timestamp_key": "unix_timestamp_val",
    "uuid_key": "uuid_val",
    "time_uuid_key": "time_uuid_val",
    "decimal_key": "decimal_val",
}


_STATUS_NAMES = {number: name for name, number in FieldStatus.items()}
_EPOCH_TEXT = "1970-01-01T00:00:00Z"
# Their stored forms are what JSON shows.
_PLAIN_DTYPES = frozenset(
    {
        PrimitiveFeastType.INT64,
        PrimitiveFeastType.INT32,
        PrimitiveFeastType.STRING,
        PrimitiveFeastType.BOOL,
        PrimitiveFeastType.UNIX_TIMESTAMP,
    }
)
_FLOATS = frozenset({PrimitiveFeastType.FLOAT64, PrimitiveFeastType.FLOAT32})


def response_as_json(response: PackedResponse) -> dict[str, Any]:
    """What Feast's server makes of a response (feature_server_utils.py), without a protobuf of each value.

    A ScalarMap is a list of [key, value] pairs: Feast has no form for one and gives null, with the status PRESENT. Keys
    of JSON's objects are texts, so that 1 and "1" would be one key there.
    """
    results, names = [], []
    for name, protos in response.key_protos.items():
        values = _protos_as_json(protos)
        names.append(name)
        statuses = ["NULL_VALUE" if value is None else "PRESENT" for value in values]
        results.append(_vector(values, statuses, [_EPOCH_TEXT] * len(values)))
    stamps: dict[int, list[str]] = {}  # the features of a view share theirs
    for column in response.columns:
        names.append(column.name)
        shared = id(column.rows)
        if shared not in stamps:
            stamps[shared] = _format_all_micros(column.events())
        statuses = [_STATUS_NAMES[status] for status in column.statuses()]
        results.append(_vector(_column_as_json(column), statuses, stamps[shared]))
    metadata: dict[str, Any] = {"feature_names": names}
    if response.versions:
        metadata["feature_view_metadata"] = [_version(each) for each in response.versions]
    return {"results": results, "metadata": metadata}


def _vector(values: list[Any], statuses: list[str], moments: list[str]) -> dict[str, list[Any]]:
    vector: dict[str, list[Any]] = {"values": values, "statuses": statuses}
    return {**vector, "event_timestamps": moments} if moments else vector


def _version(view: FeatureViewMetadata) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": view.name, "version": view.version}
    return {name: fact for name, fact in facts.items() if fact}


def _column_as_json(column: Column) -> list[Any]:
    dtype = column.codec.dtype
    if dtype in _PLAIN_DTYPES:
        return list(column.values)
    if dtype in _FLOATS:
        return [value if value is None or math.isfinite(value) else _name_infinity(value) for value in column.values]
    return _protos_as_json(column.codec.to_protos(column.values))


def _name_infinity(value: float) -> str:
    """As protobuf's JSON has what is no number of JSON's; a NaN is stored as null."""
    return "Infinity" if value > 0 else "-Infinity"


def _format_all_micros(micros: Sequence[int]) -> list[str]:
    texts = {moment: _format_micros(moment) for moment in set(micros)}
    return [texts[moment] for moment in micros]


def _format_micros(micros: int) -> str:
    seconds, rest = divmod(micros, 1_000_000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    if not micros or not rest:
        return f"{text}Z"
    return f"{text}.{rest // 1000:03d}Z" if rest % 1000 == 0 else f"{text}.{rest:06d}Z"


def _protos_as_json(column: Sequence[Value]) -> list[Any]:
    if _kind_of(column) in _NESTED:
        return [_nested_as_json(value) for value in column]
    response = GetOnlineFeaturesResponse()
    response.results.add().values.extend(column)
    values: list[Any] = convert_response_to_dict(response)["results"][0]["values"]
    return values


def _kind_of(column: Iterable[Value]) -> str | None:
    """What a column's first value holds; all others have the same dtype."""
    return next((kind for value in column if (kind := value.WhichOneof("val")) not in (None, "null_val")), None)


def _nested_as_json(value: Value) -> Any:
    match value.WhichOneof("val"):
        case "scalar_map_val":
            return [[_map_key_as_json(entry.key), _nested_as_json(entry.value)] for entry in value.scalar_map_val.val]
        case "map_val" | "struct_val" as kind:
            return {key: _nested_as_json(each) for key, each in getattr(value, kind).val.items()}
        case "map_list_val" | "struct_list_val" as kind:
            return [
                {key: _nested_as_json(each) for key, each in entry.val.items()} for entry in getattr(value, kind).val
            ]
        case "list_val" | "set_val" as kind:
            return [_nested_as_json(each) for each in getattr(value, kind).val]
    return _plain_as_json(value)


def _map_key_as_json(key: MapKey) -> Any:
    kind = key.WhichOneof("key")
    return None if kind is None else _plain_as_json(Value(**{_KEY_AS_VALUE[kind]: getattr(key, kind)}))


def _plain_as_json(value: Value) -> Any:
    """One value by Feast's own conversion."""
    (plain,) = _protos_as_json([value])
    return plain
