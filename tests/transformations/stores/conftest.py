"""What tests of extreme values share: views that can be pushed to, and a store with its server."""

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, PushSource, ValueType
from feast.types import FeastType, Int64, String

from .extremes import DAY, NOW, TIMESTAMP, Server


@pytest.fixture
def shop() -> Entity:
    return Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.STRING, description="A shop", owner="me")


@pytest.fixture
def view_of(tmp_path: Any) -> Callable[..., FeatureView]:
    """A view that can be pushed to, over one file with these keys."""

    def make(name: str, entity: Entity, keys: pa.Array, dtype: FeastType, values: pa.Array) -> FeatureView:
        stamps = pa.array([DAY] * len(keys), TIMESTAMP)
        columns = {entity.join_key: keys, "event_timestamp": stamps, "created_timestamp": stamps, "x": values}
        path = tmp_path / f"{name}.parquet"
        pq.write_table(pa.table(columns), path)
        source = FileSource(
            name=name,
            path=str(path),
            timestamp_field="event_timestamp",
            created_timestamp_column="created_timestamp",
        )
        key = Field(name=entity.join_key, dtype=String if entity.name == "shop" else Int64)
        return FeatureView(
            name=name,
            entities=[entity],
            schema=[key, Field(name="x", dtype=dtype)],
            source=PushSource(name=f"{name}_push", batch_source=source),
            owner="me",
            description="Facts",
        )

    return make


@pytest.fixture
def served(
    store_of: Callable[..., FeatureStore], redis: Any, clock: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., tuple[FeatureStore, Server]]]:
    """A store in which these objects are applied, and its server."""
    servers: list[Server] = []
    clock(NOW.isoformat())
    monkeypatch.setenv("FEATURES_SERVING_WRITES", "open")

    def make(*objects: Any) -> tuple[FeatureStore, Server]:
        store = store_of(*objects)
        servers.append(Server(store))
        return store, servers[-1]

    yield make
    for server in servers:
        server.close()
