"""A data folder that was moved or copied: what lies in it is read, and never the original."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from feast import FileSource
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from redis import Redis

from transformations.datasets.manifest import read_manifest
from transformations.engine.base.errors import DataError
from transformations.stores.offline import PointInTimeOfflineStore

from .conftest import World

CORRECTION = """
    user_id  event_timestamp  created_timestamp  spend
    1        2024-05-03       2024-06-01         999
"""
SPINE = pd.DataFrame({"user_id": [1], "event_timestamp": [pd.Timestamp("2024-06-10", tz="UTC")]})


@pytest.fixture(params=["changed", "deleted"])
def copied(
    request: pytest.FixtureRequest,
    world: World,
    table_of: Callable[..., pa.Table],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    """A world with a dataset in a copied data folder; the original was changed since, or deleted."""
    world.create()
    original, copy = world.settings.data, tmp_path / "copy"
    shutil.copytree(original, copy)
    if request.param == "changed":
        world.publish(world.view, table_of(CORRECTION, spend=pa.float64()))
        shutil.rmtree(world.settings.datasets_dir)
    else:
        shutil.rmtree(original)
    monkeypatch.setenv("FEATURES_DATA", str(copy))
    return world


def test_training_and_pulling_read_the_copy(copied: World) -> None:
    trained = copied.store.get_historical_features(SPINE, ["user_spend:spend"]).to_df()
    pulled = PointInTimeOfflineStore.pull_all_from_table_or_query(
        copied.store.config, copied.view.batch_source, ["user_id"], ["spend"], "event_timestamp"
    )

    assert trained["spend"].tolist() == [30]
    assert sorted(pulled.to_df()["spend"].dropna()) == [7, 10, 30]


def test_a_load_reads_the_copy(copied: World, redis: Redis, at: Callable[[str], Any]) -> None:
    copied.store.materialize(at("2024-05-01"), at("2024-07-01"))

    assert copied.store.get_online_features(["user_spend:spend"], [{"user_id": 1}]).to_dict()["spend"] == [30]


def test_the_saved_dataset_is_the_copy_and_rebuilds_from_it(copied: World) -> None:
    saved = copied.store.get_saved_dataset("visits_2024")

    assert len(saved.to_df()) == sum(split.rows for split in read_manifest(copied.folder)[0].splits)
    assert copied.rebuild() is False


def test_a_new_dataset_is_made_of_the_copy(copied: World) -> None:
    made = copied.create(name="again")

    assert [split.content_hash for split in made.splits] == [
        split.content_hash for split in read_manifest(copied.folder)[0].splits
    ]


def apply_as_before(world: World) -> None:
    """The registry as it was when it held absolute paths."""
    source = world.view.batch_source
    assert isinstance(source, FileSource)
    source.file_options.uri = str(world.settings.offline_dir / world.view.name)
    world.store.apply([world.view])


def test_an_older_registry_is_read_where_it_was_made(world: World) -> None:
    apply_as_before(world)

    assert world.store.get_historical_features(SPINE, ["user_spend:spend"]).to_df()["spend"].tolist() == [30]
    assert [file.path for file in world.create().views[0].files] == ["$FEATURES_DATA/offline/user_spend/run-0.parquet"]


def test_an_older_registry_is_read_through_a_symbolic_link(world: World, tmp_path: Path) -> None:
    apply_as_before(world)
    real = tmp_path / "disk"
    world.settings.data.rename(real)
    (tmp_path / "data").symlink_to(real)

    assert world.store.get_historical_features(SPINE, ["user_spend:spend"]).to_df()["spend"].tolist() == [30]


def test_an_older_registry_of_another_folder_is_refused_everywhere(
    world: World, tmp_path: Path, redis: Redis, at: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    apply_as_before(world)
    shutil.copytree(world.settings.data, tmp_path / "copy")
    monkeypatch.setenv("FEATURES_DATA", str(tmp_path / "copy"))

    for read in (
        lambda: world.store.get_historical_features(SPINE, ["user_spend:spend"]),
        lambda: world.store.materialize(at("2024-05-01"), at("2024-07-01")),
        world.create,
    ):
        with pytest.raises(DataError, match=r"outside the data folder .*/copy.*Run `feast apply`"):
            read()


def test_a_dataset_registered_by_an_absolute_path_is_refused_and_a_rebuild_registers_it_anew(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.create()
    before = world.store.registry.get_saved_dataset("visits_2024", world.store.project)
    before.storage = SavedDatasetFileStorage(str(world.folder / "*.parquet"))
    world.store.registry.apply_saved_dataset(before, world.store.project, commit=True)
    shutil.copytree(world.settings.data, tmp_path / "copy")
    monkeypatch.setenv("FEATURES_DATA", str(tmp_path / "copy"))

    with pytest.raises(DataError, match="features dataset rebuild visits_2024"):
        world.store.get_saved_dataset("visits_2024").to_df()

    world.rebuild()
    assert len(world.store.get_saved_dataset("visits_2024").to_df()) == 6
