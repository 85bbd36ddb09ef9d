"""Training rows of the views that `visits` builds, by the engine that an argument names, on the environment's Spark.

As a script: `retrieval.py ENGINE FILE`. Spark's rows come once with each task reading the histories whole, and once
with the histories shuffled; both must be the same before they are written into the file.
"""

from __future__ import annotations

import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureStore, ValueType
from visits import CONTRACTS, DAYS, FIRST_DAY, TOPIC_VISITS, USER_VISITS

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.worlds.feast_stores import our_config
from transformations.stores.base import views
from transformations.stores.spark import retrieval
from transformations.stores.views import feature_view

_ROWS, _USERS, _TOPICS = 20_000, 5_000, 20
_BEGIN = datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, tzinfo=UTC)


def main(engine: str, file: Path) -> None:
    """Retrieve, and write the rows."""
    with tempfile.TemporaryDirectory(prefix="features-cluster-") as folder:
        store = _store(Path(folder), engine)
        found = _retrieved(store)
        if engine == "spark":
            retrieval.MOST_ROWS_READ = 0
            shuffled = _retrieved(store)
            assert shuffled.equals(found), "shuffled histories give other rows than those that are read whole"
        pq.write_table(found, file)


def _store(folder: Path, engine: str) -> FeatureStore:
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64, description="Who", owner="a@b.org")
    topic = Entity(name="topic", join_keys=["topic"], value_type=ValueType.STRING, description="What", owner="a@b.org")
    views.contract_reader = lambda _: CONTRACTS.__getitem__  # which are in no files
    offered: list[Any] = [
        feature_view(USER_VISITS, entity=user, owner="a@b.org"),
        feature_view(TOPIC_VISITS, entities=[user, topic], owner="a@b.org"),
    ]
    store = FeatureStore(config=our_config(folder, offline_store={"engine": engine}))
    store.apply([user, topic, *offered])
    return store


def _retrieved(store: FeatureStore) -> pa.Table:
    chance = np.random.default_rng(3)
    seconds = chance.integers(0, (DAYS + 2) * 86_400, _ROWS)
    spine = pa.table(
        {
            "user_id": pa.array(chance.integers(0, _USERS + 50, _ROWS)),
            "topic": pa.array([f"topic {number}" for number in chance.integers(0, _TOPICS + 1, _ROWS)]),
            "event_timestamp": pa.array(
                [_BEGIN + timedelta(seconds=int(each)) for each in seconds], pa.timestamp("us", tz="UTC")
            ),
        }
    )
    built = [store.get_feature_view(view.name) for view in (USER_VISITS, TOPIC_VISITS)]
    names = [f"{view.name}:{feature.name}" for view in built for feature in view.features]
    return store.get_historical_features(spine, names, full_feature_names=True).to_arrow()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
