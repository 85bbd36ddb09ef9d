"""Feature values as JSON: Feast's own form, and one of ours for a ScalarMap, to which Feast gives none."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

import pandas as pd
from fastapi import FastAPI
from feast import Entity, FeatureStore, FeatureView
from feast.feature_server import get_app
from feast.feature_server_utils import convert_response_to_dict
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import MapKey, ScalarMapEntry, Value
from feast.protos.feast.types.Value_pb2 import ScalarMap as ScalarMapProto
from feast.types import Array, Bool, Bytes, Float32, Float64, Int32, Int64, Map, ScalarMap, String, UnixTimestamp
from redis import Redis

from transformations.stores.lookups.response import PackedResponse
from transformations.stores.online import PackedRedisOnlineStore
from transformations.stores.server.json_values import response_as_json
from transformations.stores.serving import Watch, extend

MOMENT = datetime(2024, 5, 1, 12, 0, 0, 250_000, tzinfo=UTC)
# dtype, and the value of user 1; user 2 has nulls, and user 3 has no row
VALUES: dict[str, tuple[Any, Any]] = {
    "int": (Int64, 2**62),
    "short": (Int32, -7),
    "fraction": (Float64, 0.1),
    "most": (Float64, math.inf),
    "least": (Float64, -math.inf),
    "single": (Float32, 0.1),
    "text": (String, '"é'),
    "flag": (Bool, False),
    "moment": (UnixTimestamp, MOMENT),
    "bytes": (Bytes, b"\x00\xff"),
    "floats": (Array(Float64), [1.0, 2.5]),
    "texts": (Array(String), ["a", ""]),
    "map": (Map, {"a": 1, "b": 2.5}),
}


def test_values_are_what_feasts_server_makes_of_them(
    store_of: Callable[..., FeatureStore], user: Entity, stored: Callable[..., FeatureView], redis: Redis
) -> None:
    store = store_of(user, stored("all", **{name: dtype for name, (dtype, _) in VALUES.items()}))
    columns = {name: pd.Series([value, None], dtype=object) for name, (_, value) in VALUES.items()}
    stamps = {"event_timestamp": MOMENT, "created_timestamp": MOMENT}
    store.write_to_online_store("all", pd.DataFrame({"user_id": [1, 2], **columns, **stamps}))
    response = store.get_online_features([f"all:{name}" for name in VALUES], {"user_id": [1, 2, 3]})
    ours, feasts = response_as_json(cast("PackedResponse", response)), convert_response_to_dict(response.proto)
    assert ours["metadata"] == feasts["metadata"]
    for name, our, theirs in zip(["user_id", *VALUES], ours["results"], feasts["results"], strict=True):
        assert our == theirs, name


def test_a_scalar_map_comes_by_http_as_pairs(
    store_of: Callable[..., FeatureStore],
    user: Entity,
    stored: Callable[..., FeatureView],
    redis: Redis,
    client_of: Callable[[FastAPI], Any],
) -> None:
    view = stored("maps", names=ScalarMap)
    store = store_of(user, view)
    one = ScalarMapEntry(key=MapKey(int64_key=1), value=Value(string_val="one"))
    flag = ScalarMapEntry(key=MapKey(bool_key=True), value=Value(int64_val=2))
    values = [Value(scalar_map_val=ScalarMapProto(val=[one, flag])), Value()]
    keys = [EntityKey(join_keys=["user_id"], entity_values=[Value(int64_val=key)]) for key in (1, 2)]
    rows = [(key, {"names": value}, MOMENT, MOMENT) for key, value in zip(keys, values, strict=True)]
    PackedRedisOnlineStore().online_write_batch(store.config, view, rows, None)
    app = get_app(store, registry_ttl_sec=0)
    extend(app, Watch(store))
    status, answer = client_of(app).look_up("maps:names", user_id=[1, 2, 3])
    assert (status, answer["results"][1]["statuses"]) == (200, ["PRESENT", "NULL_VALUE", "NOT_FOUND"])
    assert answer["results"][1]["values"] == [[[1, "one"], [True, 2]], None, None]
