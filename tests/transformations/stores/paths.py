"""The ways by which a stored value reaches somebody, over files that others wrote."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from feast import Entity, FeatureStore, FeatureView, Field, FileSource
from feast.types import FeastType, Int64, PrimitiveFeastType

from transformations.stores.offline import PointInTimeOfflineStore

WHEN = datetime(2024, 5, 1, tzinfo=UTC)
LATER = WHEN + timedelta(days=1)


def visits(
    path: Path | str,
    dtypes: Mapping[str, FeastType],
    *,
    key: str = "user_id",
    timestamp: str = "event_timestamp",
    name: str = "visits",
) -> FeatureView:
    """A view over the files at a path, keyed by one integer."""
    return FeatureView(
        name=name,
        entities=[Entity(name=key, join_keys=[key], value_type=PrimitiveFeastType.INT64.to_value_type())],
        schema=[Field(name=key, dtype=Int64), *(Field(name=each, dtype=dtype) for each, dtype in dtypes.items())],
        source=FileSource(name=name, path=str(path), timestamp_field=timestamp),
    )


def entity(key: str = "user_id") -> Entity:
    return Entity(name=key, join_keys=[key], value_type=PrimitiveFeastType.INT64.to_value_type())


def rows(**columns: Any) -> pa.Table:
    """A table with users numbered from 1, all of one moment."""
    count = len(next(iter(columns.values())))
    stamps = pa.array([WHEN] * count, pa.timestamp("us", tz="UTC"))
    return pa.table({"user_id": range(1, count + 1), "event_timestamp": stamps, **columns})


def trained(store: FeatureStore, view: FeatureView, users: Sequence[int]) -> dict[str, list[Any]]:
    """What training gives for these users."""
    key = next(column.name for column in view.entity_columns)
    spine = pd.DataFrame({key: list(users), "the moment": [LATER] * len(users)})
    names = [feature.name for feature in view.features]
    table = store.get_historical_features(spine, [f"{view.name}:{name}" for name in names]).to_arrow()
    return table.select(names).to_pydict()


def served(store: FeatureStore, view: FeatureView, users: Sequence[int]) -> dict[str, list[Any]]:
    """What a lookup gives for these users, when everything is loaded."""
    key = next(column.name for column in view.entity_columns)
    store.materialize(WHEN - timedelta(days=1), LATER, feature_views=[view.name])
    names = [feature.name for feature in view.features]
    asked = [f"{view.name}:{name}" for name in names]
    answer = store.get_online_features(asked, [{key: user} for user in users]).to_dict()
    return {name: answer[name] for name in names}


def pulled(store: FeatureStore, view: FeatureView, users: Sequence[int]) -> dict[str, list[Any]]:
    """What the newest rows hold for these users, as their source has it."""
    key = next(column.name for column in view.entity_columns)
    names = [feature.name for feature in view.features]
    source = view.batch_source
    assert source is not None
    job = PointInTimeOfflineStore.pull_latest_from_table_or_query(
        store.config, source, [key], names, source.timestamp_field, None, WHEN, LATER
    )
    found = {row[key]: row for row in job.to_arrow().to_pylist()}
    return {name: [found[user][name] for user in users] for name in names}


def everywhere(store: FeatureStore, view: FeatureView, users: Sequence[int]) -> dict[str, list[Any]]:
    """What training gives for these users, if serving gives the same."""
    training, serving = trained(store, view, users), served(store, view, users)
    assert training == serving
    return training
