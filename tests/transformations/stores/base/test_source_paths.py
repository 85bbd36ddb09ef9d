"""Where a source's files lie, by the path that the registry holds."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.types import Float64, Int64

from transformations.engine.base.errors import UsageError
from transformations.engine.base.settings import Settings
from transformations.stores.base.places import portable_path, resolve_path
from transformations.stores.base.source_paths import path_of, placed_source


def source(path: str) -> FileSource:
    return FileSource(name="lake", path=path, timestamp_field="event_timestamp")


def test_a_path_in_the_data_folder_moves_with_it(settings: Settings, tmp_path: Path) -> None:
    text = portable_path(settings.data / "lake" / "x.parquet", settings)

    assert text == "$FEATURES_DATA/lake/x.parquet"
    assert resolve_path(text, Settings(data=tmp_path / "copy")) == str(tmp_path / "copy" / "lake" / "x.parquet")


@pytest.mark.parametrize("text", ["/elsewhere/$FEATURES_DATA/x", "$FEATURES_DATABASE/x", "lake/x.parquet"])
def test_any_other_path_is_what_it_says(settings: Settings, text: str) -> None:
    assert resolve_path(text, settings) == text


def test_each_kind_of_path_has_one_place(settings: Settings, tmp_path: Path) -> None:
    assert path_of("lake", source("$FEATURES_DATA/lake"), tmp_path) == settings.data / "lake"
    assert path_of("lake", source("lake"), tmp_path / "repo") == tmp_path / "repo" / "lake"
    assert path_of("lake", source("/mnt/lake"), tmp_path) == Path("/mnt/lake")


def test_feast_apply_refuses_an_absolute_path_into_the_data_folder(settings: Settings) -> None:
    with pytest.raises(UsageError, match=r"Write it as \$FEATURES_DATA/lake/x\.parquet"):
        placed_source(source(str(settings.data / "lake" / "x.parquet")), settings)


def test_feast_looks_for_the_file_where_it_is(settings: Settings) -> None:
    placed = placed_source(source("$FEATURES_DATA/lake"), settings)

    assert isinstance(placed, FileSource)
    assert placed.path == str(settings.data / "lake")


def test_an_author_s_own_source_and_saved_dataset_may_lie_in_the_data_folder(
    settings: Settings,
    store_of: Callable[..., FeatureStore],
    user: Entity,
    table_of: Callable[..., pa.Table],
) -> None:
    rows = table_of("user_id  event_timestamp  spent\n1  2024-05-01  2.5", spent=pa.float64())
    (settings.data / "lake").mkdir(parents=True)
    pq.write_table(rows, settings.data / "lake" / "x.parquet")
    fields = [Field(name="user_id", dtype=Int64), Field(name="spent", dtype=Float64)]
    view = FeatureView(name="lake", entities=[user], schema=fields, source=source("$FEATURES_DATA/lake"))
    store = store_of(user, view)

    job = store.get_historical_features(rows.select(["user_id", "event_timestamp"]).to_pandas(), ["lake:spent"])
    store.create_saved_dataset(job, "kept", SavedDatasetFileStorage("$FEATURES_DATA/kept.parquet"))

    assert (settings.data / "kept.parquet").is_file()
    assert store.get_saved_dataset("kept").to_df()["spent"].tolist() == [2.5]
