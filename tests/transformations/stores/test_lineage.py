"""Events of what a feature store does carry the store's own project, which need not be the platform's."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.openlineage import identity
from feast.types import Int64

from tests.worlds.feast_stores import our_config
from transformations.engine.base.settings import get_settings
from transformations.engine.lineage.sending import events_file

DAY = datetime(2024, 5, 1, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def shop(folder: Path, **more: Any) -> FeatureStore:
    """The applied store of another team's project."""
    stats = {"user_id": [1], "x": [3], "event_timestamp": pa.array([DAY], pa.timestamp("us", "UTC"))}
    pq.write_table(pa.table(stats), folder / "stats.parquet")
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
    source = FileSource(name="stats", path="stats.parquet", timestamp_field="event_timestamp")
    schema = [Field(name="user_id", dtype=Int64), Field(name="x", dtype=Int64)]
    store = FeatureStore(config=our_config(folder, project="shop", **more))
    store.apply([user, FeatureView(name="stats", entities=[user], schema=schema, source=source, ttl=timedelta(0))])
    return store


def jobs() -> set[tuple[str, str]]:
    lines = events_file(get_settings()).read_text().splitlines()
    return {(event["job"]["namespace"], event["job"]["name"]) for event in map(json.loads, lines)}


def retrieve(store: FeatureStore) -> None:
    spine = pd.DataFrame({"user_id": [1], "event_timestamp": [DAY]})
    assert store.get_historical_features(spine, ["stats:x"]).to_df()["x"].tolist() == [3]


@pytest.mark.parametrize("namespace", [None, "feast", "team", "team/shop"])
def test_loads_and_retrievals_are_told_as_the_stores_own(tmp_path: Path, redis: Any, namespace: str | None) -> None:
    more = {} if namespace is None else {"openlineage": {"namespace": namespace}}
    store = shop(tmp_path, **more)
    store.materialize(EPOCH, DAY)
    retrieve(store)
    expected = identity.resolve_namespace(namespace, "shop")
    assert jobs() == {(expected, "materialize_shop"), (expected, "retrieve_shop")}


def test_a_load_that_feast_tells_of_is_not_told_twice(tmp_path: Path, redis: Any) -> None:
    store = shop(tmp_path, openlineage={"enabled": True, "transport_type": "console"})
    store.materialize(EPOCH, DAY)
    retrieve(store)
    assert jobs() == {("shop", "retrieve_shop")}
