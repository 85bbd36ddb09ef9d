"""On-demand views as Feast's users write them: the same values in training and online, whatever rows come together."""

import contextlib
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from feast import FeatureStore

from tests.worlds import feast_views as world
from tests.worlds.feast_stores import our_config, stock_config
from transformations.engine.base.errors import UsageError

MOMENT = pd.Timestamp("2024-06-01", tz="UTC")
SHAPES = sorted(world.EXPECTED)
STOCK_AGREES = 26  # so many of these shapes have one value each in stock Feast


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
    store.materialize(pd.Timestamp(0).to_pydatetime(), MOMENT.to_pydatetime())
    return store


def training(store: FeatureStore, references: list[str], rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    spine = pd.DataFrame(rows).assign(event_timestamp=MOMENT)
    found = store.get_historical_features(spine, references).to_arrow()
    return {name: found[name].to_pylist() for name in found.column_names}


def online(store: FeatureStore, references: list[str], rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = store.get_online_features(references, rows).to_dict()
    return found


def test_every_shape_has_its_values_in_training_and_online_for_rows_together_and_alone(store: FeatureStore) -> None:
    references = [f"of_{name}:{name}" for name in SHAPES]
    together, served = training(store, references, world.ROWS), online(store, references, world.ROWS)
    wrong = {}
    for name, expected in world.EXPECTED.items():
        if not together[name] == served[name] == expected:
            wrong[name] = (together[name], served[name], expected)
    for number, row in enumerate(world.ROWS):
        alone, served = training(store, references, [row]), online(store, references, [row])
        for name, expected in world.EXPECTED.items():
            if not alone[name] == served[name] == [expected[number]]:
                wrong[f"{name}, row {number} alone"] = (alone[name], served[name], expected[number])
    assert not wrong


def test_a_load_computes_nothing_for_a_view_that_feast_computes_when_written(store: FeatureStore, redis: Any) -> None:
    before = redis.dbsize()
    store.materialize(pd.Timestamp(0).to_pydatetime(), MOMENT.to_pydatetime(), ["of_computed_when_written"])
    assert redis.dbsize() == before
    rows = pd.DataFrame({"driver_id": [1], "event_timestamp": [MOMENT], "computed_when_written": [99.0]})
    with pytest.raises(UsageError, match=r"of_computed_when_written is computed when it is read.*Write the rows to"):
        store.write_to_online_store("of_computed_when_written", rows, transform_on_write=False)


def test_strict_refuses_on_both_paths_what_feasts_own_stores_would_compute_differently(
    folder: Path, store: FeatureStore
) -> None:
    strict = FeatureStore(config=our_config(folder, offline_store={"on_demand": "strict"}))
    for name, reason in {
        "keeps_the_index": "its mode is 'pandas'",
        "singleton": "it is a singleton",
        "lists_computed_when_written": "Feast computes it when written",
    }.items():
        for read in (training, online):
            with pytest.raises(UsageError, match=f"of_{name}, on Feast's own stores, .*{reason}"):
                read(strict, [f"of_{name}:{name}"], world.ROWS)
    assert training(strict, ["of_lists:lists"], world.ROWS)["lists"] == world.EXPECTED["lists"]
    assert online(strict, ["of_lists:lists"], world.ROWS)["lists"] == world.EXPECTED["lists"]


@pytest.mark.stock
def test_where_stock_feast_agrees_with_itself_it_gives_these_values_too(tmp_path: Path) -> None:
    pq.write_table(world.DRIVERS, tmp_path / "drivers.parquet")
    pq.write_table(world.HOMES, tmp_path / "homes.parquet")
    store = FeatureStore(config=stock_config(tmp_path))
    objects = [world.driver, world.drivers, world.homes, *world.views().values()]
    with contextlib.chdir(tmp_path):
        store.apply(objects)
        store.materialize(pd.Timestamp(0).to_pydatetime(), MOMENT.to_pydatetime(), ["drivers", "homes"])
        agreeing = {name: values for name in SHAPES if (values := _agreed(store, name)) is not None}
    differing = {name: values for name, values in agreeing.items() if values != world.EXPECTED[name]}
    # Stock puts whatever the spine or the request has before what a view declares; here is what it declares.
    assert differing == {"by_position": [row["driver_id"] + 1 for row in world.ROWS]}
    assert len(agreeing) >= STOCK_AGREES


def _agreed(store: FeatureStore, name: str) -> list[Any] | None:
    """What stock Feast gives for a shape, if it is the same in training and online, for rows together and alone."""
    references = [f"of_{name}:{name}"]
    try:
        readings = [read(store, references, world.ROWS)[name] for read in (training, online)]
        readings += [[read(store, references, [row])[name][0] for row in world.ROWS] for read in (training, online)]
    except Exception:  # whatever a function fails with
        return None
    return readings[0] if all(reading == readings[0] for reading in readings) else None
