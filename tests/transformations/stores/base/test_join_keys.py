"""Keys as clients send them: what has one reading without loss is taken, and the same on every path."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, ValueType
from feast.types import Int64, String

from tests.transformations.stores.extremes import DAY, NOW, TIMESTAMP
from transformations.engine.base.errors import DataError
from transformations.engine.base.settings import get_settings
from transformations.stores.base.join_keys import as_key, key_fields, key_values

LATER = pd.Timestamp(NOW)


@pytest.mark.parametrize(
    ("values", "dtype", "read"),
    [
        (["2", "-7", "0", None], Int64, [2, -7, 0, None]),
        (["2", 2, np.int64(3)], Int64, [2, 2, 3]),
        ([5, "5", None, np.int32(6)], String, ["5", "5", None, "6"]),
        (["02", "2.0", "+2", " 2", "-0", "", "²"], Int64, ["02", "2.0", "+2", " 2", "-0", "", "²"]),
        ([True, 2.0], String, [True, 2.0]),
    ],
)
def test_only_what_has_one_reading_is_read(values: list[Any], dtype: Any, read: list[Any]) -> None:
    assert list(key_values(values, dtype)) == read


@pytest.mark.parametrize(
    ("column", "dtype", "read"),
    [
        (pa.array(["2", None, "9223372036854775807"]), Int64, [2, None, 2**63 - 1]),
        (pa.array([5, None], pa.int32()), String, ["5", None]),
        (pa.array(["2", "3"]).dictionary_encode(), Int64, [2, 3]),
    ],
)
def test_a_column_is_read_as_its_values_are(column: pa.Array, dtype: Any, read: list[Any]) -> None:
    assert as_key(column, dtype, "key").to_pylist() == read


@pytest.mark.parametrize(
    ("column", "dtype"),
    [
        (pa.array(["2", "03"]), Int64),
        (pa.array(["9223372036854775808"]), Int64),
        (pa.array([2.0]), String),
        (pa.array([True]), String),
        (pa.array([True]), Int64),
    ],
)
def test_what_has_several_readings_or_none_is_refused(column: pa.Array, dtype: Any) -> None:
    with pytest.raises(DataError, match="key is declared"):
        as_key(column, dtype, "key")


@pytest.mark.parametrize("kind", ["user", "shop"])
def test_lookups_server_spines_and_pushes_read_a_key_alike(
    kind: str, view_of: Callable[..., FeatureView], served: Callable[..., Any], user: Entity, shop: Entity
) -> None:
    entity = {"user": user, "shop": shop}[kind]
    known: list[Any] = [1, 2] if kind == "user" else ["1", "2"]
    view = view_of("facts", entity, pa.array(known), Int64, pa.array([10, 20]))
    store, server = served(entity, view)
    store.materialize(DAY, NOW)
    key, other = entity.join_key, [str(each) if kind == "user" else int(each) for each in known]
    for asked in (known, other, [other[0], known[1]]):
        answer = store.get_online_features(["facts:x"], [{key: each} for each in asked]).to_dict()
        assert answer == {key: known, "x": [10, 20]}
        spine = pd.DataFrame({key: pd.Series(asked, dtype=object), "event_timestamp": [LATER, LATER]})
        assert store.get_historical_features(spine, ["facts:x"]).to_df()["x"].tolist() == [10, 20]
        assert [server.get("facts:x", **{key: each}) for each in asked] == [10, 20]
    table = pa.table({key: other, "event_timestamp": pa.array([LATER, LATER], TIMESTAMP)})
    assert store.get_historical_features(table, ["facts:x"]).to_arrow()["x"].to_pylist() == [10, 20]
    pushed = pd.DataFrame({key: other, "x": [11, 21], "event_timestamp": [LATER] * 2, "created_timestamp": [LATER] * 2})
    store.push("facts_push", pushed)
    assert store.get_online_features(["facts:x"], {key: known}).to_dict()["x"] == [11, 21]


def test_a_setting_refuses_keys_of_another_type(
    monkeypatch: pytest.MonkeyPatch, view_of: Callable[..., FeatureView], store_of: Callable[..., Any], user: Entity
) -> None:
    monkeypatch.setenv("FEATURES_KEYS", "declared")
    get_settings.cache_clear()
    store: FeatureStore = store_of(user, view_of("facts", user, pa.array([1]), Int64, pa.array([10])))
    spine = pd.DataFrame({"user_id": ["1"], "event_timestamp": [LATER]})
    for look in (
        lambda: store.get_online_features(["facts:x"], [{"user_id": "1"}]),
        lambda: store.get_historical_features(spine, ["facts:x"]).to_df(),
    ):
        with pytest.raises(DataError, match="'user_id' is declared Int64, but holds string such as '1'"):
            look()


def test_a_view_without_the_dtypes_of_its_keys_is_refused(view_of: Callable[..., FeatureView], user: Entity) -> None:
    view = view_of("facts", user, pa.array([1]), Int64, pa.array([10]))
    assert key_fields(view) == [Field(name="user_id", dtype=Int64)]
    view.entity_columns = []
    with pytest.raises(DataError, match=r"the registry has its entities .user. but not the dtypes of all their join"):
        key_fields(view)


def test_a_view_without_entities_has_no_keys() -> None:
    source = FeatureView(name="world", entities=[], schema=[Field(name="x", dtype=Int64)], source=_source())
    assert key_fields(source) == []


def _source() -> Any:
    from feast import FileSource

    return FileSource(name="world", path="world.parquet", timestamp_field="event_timestamp")


def test_an_entity_may_be_named_otherwise_than_its_key(view_of: Callable[..., FeatureView]) -> None:
    entity = Entity(name="account", join_keys=["user_id"], value_type=ValueType.INT64)
    view = view_of("facts", entity, pa.array([1]), Int64, pa.array([10]))
    assert key_fields(view) == [Field(name="user_id", dtype=Int64)]
