"""On-demand views as Feast's users write them: the same values in training and online, whatever rows come together."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from feast import FeatureStore

from tests.worlds import feast_views as world
from tests.worlds.feast_stores import our_config

MOMENT = pd.Timestamp("2024-06-01", tz="UTC")
SHAPES = sorted(world.EXPECTED)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A feature repository with these views applied, beside its files."""
    folder = tmp_path_factory.mktemp("feast_views")
    pq.write_table(world.DRIVERS, folder / "drivers.parquet")
    pq.write_table(world.HOMES, folder / "homes.parquet")
    store = FeatureStore(config=our_config(folder))
    store.apply([world.driver, world.drivers, world.homes, *world.views().values()])
    return folder


@pytest.fixture
def store(folder: Path, redis: Any) -> FeatureStore:
    store = FeatureStore(config=our_config(folder))
    store.materialize(pd.Timestamp(0).to_pydatetime(), MOMENT.to_pydatetime(), ["drivers", "homes"])
    return store


def training(store: FeatureStore, references: list[str], rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    spine = pd.DataFrame(rows).assign(event_timestamp=MOMENT)
    found = store.get_historical_features(spine, references).to_arrow()
    return {name: found[name].to_pylist() for name in found.column_names}


def test_every_shape_has_its_values_in_training_and_online_for_rows_together_and_alone(store: FeatureStore) -> None:
    references = [f"of_{name}:{name}" for name in SHAPES]
    together = training(store, references, world.ROWS)
    online = store.get_online_features(references, world.ROWS).to_dict()
    wrong = {}
    for name, expected in world.EXPECTED.items():
        if not together[name] == online[name] == expected:
            wrong[name] = (together[name], online[name], expected)
    for number, row in enumerate(world.ROWS):
        alone, served = training(store, references, [row]), store.get_online_features(references, [row]).to_dict()
        for name, expected in world.EXPECTED.items():
            if not alone[name] == served[name] == [expected[number]]:
                wrong[f"{name}, row {number} alone"] = (alone[name], served[name], expected[number])
    assert not wrong
