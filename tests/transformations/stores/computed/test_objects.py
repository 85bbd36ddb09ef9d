"""Maps, structs, JSON and UUIDs as inputs of on-demand views: the same on every path, whatever rows are beside them."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RequestSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Int64, Json, Map, String, Struct, Uuid

from tests.worlds.feast_stores import our_config
from transformations.engine.base.errors import DataError

DAY = datetime(2024, 5, 1, tzinfo=UTC)
LATER = pd.Timestamp("2024-05-02", tz="UTC")
FOREVER = (datetime(1970, 1, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC))
IDS = ["123e4567-e89b-12d3-a456-426614174000", "00000000-0000-0000-0000-000000000005"]
COLUMNS = {
    "j": pa.array(['{"a":1, "b":2}', '{"a": 1}', None]),
    "m": pa.array([[("a", "1"), ("b", "2")], [("a", "1")], None], pa.map_(pa.string(), pa.string())),
    "ms": pa.array([[{"a": 1}, {"a": None}], [], None], pa.list_(pa.struct([("a", pa.int64())]))),
    "st": pa.array([{"a": 1, "b": "x"}, {"a": None, "b": "y"}, None]),
    "us": pa.array([IDS, [], None], pa.list_(pa.string())),
    "u": pa.array([IDS[0].upper(), IDS[1], None]),
}
DTYPES = {
    "j": Json,
    "m": Map,
    "ms": Array(Map),
    "st": Struct({"a": Int64, "b": String}),
    "u": Uuid,
    "us": Array(Uuid),
}


def said(value: Any) -> str:
    """What a function sees of a value, kinds of numbers and of objects too."""
    return f"{type(value).__name__} {value!r}" if not hasattr(value, "tolist") else said(value.tolist())


@pytest.fixture
def loaded(tmp_path: Path, redis: Any) -> Callable[..., FeatureStore]:
    """A store with three users' rows of these columns, and on-demand views over them."""

    def make(request: tuple[Field, ...] = (), **columns: pa.Array) -> FeatureStore:
        moments = pa.array([DAY] * 3, pa.timestamp("us", "UTC"))
        table = pa.table({"user_id": [1, 2, 3], "event_timestamp": moments, **columns})
        pq.write_table(table, tmp_path / "users.parquet")
        source = FileSource(name="users", path=str(tmp_path / "users.parquet"), timestamp_field="event_timestamp")
        user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
        fields = [Field(name="user_id", dtype=Int64), *(Field(name=name, dtype=DTYPES[name]) for name in columns)]
        view = FeatureView(name="users", entities=[user], schema=fields, source=source, ttl=timedelta(0))
        ids = FeatureView(name="ids", entities=[user], schema=[fields[0], fields[-1]], source=source, ttl=timedelta(0))
        sources: list[Any] = [view, *([RequestSource(name="asked", schema=list(request))] if request else [])]
        names = [*columns, *(field.name for field in request)]

        def of_frame(inputs: pd.DataFrame) -> pd.DataFrame:
            columns = [name for name in inputs.columns if "__" not in name]
            return pd.DataFrame({f"p_{name}": [said(each) for each in inputs[name]] for name in columns})

        def of_lists(inputs: dict[str, Any]) -> dict[str, Any]:
            return {"l_u": [said(each) for each in inputs["u"]]}

        schema = [Field(name=f"p_{name}", dtype=String) for name in names]
        computed = [
            on_demand_feature_view(sources=sources, schema=schema, mode="pandas")(of_frame),
            # Feast applies no such view over dictionaries or JSON, of which it has no sample.
            on_demand_feature_view(sources=[ids], schema=[Field(name="l_u", dtype=String)], mode="python")(of_lists),
        ]
        store = FeatureStore(config=our_config(tmp_path))
        store.apply([user, view, ids, *computed])
        store.materialize(*FOREVER)
        return store

    return make


def on_every_path(store: FeatureStore, features: list[str], rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """What is computed in training, which is what lookups of all rows and of each alone give."""
    frame = store.get_historical_features(pd.DataFrame(rows).assign(event_timestamp=LATER), features).to_df()
    names = [feature.partition(":")[2] for feature in features]
    found = {name: list(frame[name]) for name in names}
    together = store.get_online_features(features, rows).to_dict()
    alone = [store.get_online_features(features, [row]).to_dict() for row in rows]
    assert {name: together[name] for name in names} == found
    assert {name: [each[name][0] for each in alone] for name in names} == found
    return found


def test_a_function_is_given_the_same_on_every_path_whatever_rows_are_beside_it(
    loaded: Callable[..., FeatureStore],
) -> None:
    features = ["of_lists:l_u", *(f"of_frame:p_{name}" for name in COLUMNS)]
    found = on_every_path(loaded(**COLUMNS), features, [{"user_id": user} for user in (1, 2, 3, 4)])
    assert found["p_j"][:3] == ["dict {'a': 1, 'b': 2}", "dict {'a': 1}", "NoneType None"]
    assert found["p_m"][:2] == ["dict {'a': '1', 'b': '2'}", "dict {'a': '1'}"]
    assert found["p_ms"][:2] == ["list [{'a': 1}, {'a': None}]", "list []"]
    assert found["p_st"][:2] == ["dict {'a': 1, 'b': 'x'}", "dict {'a': None, 'b': 'y'}"]
    assert found["p_u"][:2] == found["l_u"][:2] == [f"str {IDS[0]!r}", f"str {IDS[1]!r}"]
    assert found["p_us"][:2] == [f"list {IDS!r}", "list []"]


def test_so_is_one_of_request_fields(loaded: Callable[..., FeatureStore]) -> None:
    store = loaded((Field(name="asked_map", dtype=Map), Field(name="asked_json", dtype=Json)), u=COLUMNS["u"])
    rows = [
        {"user_id": 1, "asked_map": {"a": 1, "b": "x"}, "asked_json": json.dumps({"k": [1, 2]})},
        {"user_id": 2, "asked_map": {"a": 2}, "asked_json": json.dumps([1])},
    ]
    features = ["of_frame:p_asked_map", "of_frame:p_asked_json"]
    found = on_every_path(store, features, rows)
    assert found["p_asked_map"] == ["dict {'a': 1, 'b': 'x'}", "dict {'a': 2}"]
    assert found["p_asked_json"] == ["dict {'k': [1, 2]}", "list [1]"]
    with pytest.raises(DataError, match="asked_json"):
        store.get_online_features(features, [rows[0] | {"asked_json": "{no JSON"}])


def test_a_text_that_is_no_uuid_is_refused_where_it_enters(loaded: Callable[..., FeatureStore]) -> None:
    """It would be served to nobody: every lookup that it is among would fail."""
    with pytest.raises(DataError, match="'nope'"):
        loaded(u=pa.array([IDS[0], "nope", None]))
