"""An apply tells of views that their source's files do not fit: what loads would say, from the footers alone."""

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import Array, Float64, Int64, String, UnixTimestamp

from tests.worlds.feast_stores import our_config
from transformations.engine.base.errors import DataError
from transformations.stores.history.unfit import MOST_FILES

DAY = datetime(2024, 5, 1, tzinfo=UTC)
MOMENTS = pa.array([DAY, DAY], pa.timestamp("us", "UTC"))
GOOD: dict[str, pa.Array] = {"user_id": pa.array([1, 2]), "x": pa.array([3, 4]), "event_timestamp": MOMENTS}


def store_of(folder: Path, columns: dict[str, pa.Array] | None, dtype: Any = Int64) -> FeatureStore:
    """A store to which a view of one feature is applied. columns: None for a file that is not there."""
    if columns is not None:
        pq.write_table(pa.table(columns), folder / "stats.parquet")
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
    source = FileSource(name="stats", path="stats.parquet", timestamp_field="event_timestamp")
    schema = [Field(name="user_id", dtype=Int64), Field(name="x", dtype=dtype)]
    view = FeatureView(name="stats", entities=[user], schema=schema, source=source, ttl=timedelta(0))
    store = FeatureStore(config=our_config(folder))
    store.apply([user, view])
    return store


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if "loads of view" in record.message]


@pytest.mark.parametrize(
    ("columns", "dtype"),
    [
        pytest.param({"x": None}, Int64, id="no-column"),
        pytest.param({"event_timestamp": pa.array(["2024-05-01", "2024-05-02"])}, Int64, id="moment-is-text"),
        pytest.param({"event_timestamp": pa.array([1_714_521_600, 1_714_608_000])}, Int64, id="moment-is-a-number"),
        pytest.param({"user_id": pa.array([1.0, 2.0])}, Int64, id="key-is-a-float"),
        pytest.param({}, String, id="text-over-numbers"),
        pytest.param({}, UnixTimestamp, id="moments-over-numbers"),
        pytest.param({}, Array(Int64), id="lists-over-numbers"),
        pytest.param({"x": pa.array([False, True])}, Int64, id="numbers-over-booleans"),
        pytest.param({"x": pa.array([1, 2], pa.duration("us"))}, Int64, id="duration"),
        pytest.param({"X": pa.array([3, 4])}, Int64, id="two-spellings"),
    ],
)
def test_an_apply_says_of_a_view_what_its_load_says(
    tmp_path: Path, redis: Any, caplog: pytest.LogCaptureFixture, columns: dict[str, Any], dtype: Any
) -> None:
    held = {name: column for name, column in {**GOOD, **columns}.items() if column is not None}
    store = store_of(tmp_path, held, dtype)
    (message,) = told(caplog)
    with pytest.raises(DataError) as refused:
        store.materialize(datetime(1970, 1, 1, tzinfo=UTC), DAY)
    assert message.startswith(f"{refused.value.message} Until then, loads of view stats are refused")


@pytest.mark.parametrize(
    ("columns", "dtype"),
    [
        ({}, Int64),
        ({}, Float64),
        ({"x": pa.array([None, None], pa.int64())}, String),
        ({"x": pa.array([[1], [2]])}, Array(Int64)),
        ({"x": pa.array(["2024-05-01", None])}, UnixTimestamp),
    ],
)
def test_an_apply_says_nothing_of_a_view_that_loads(
    tmp_path: Path, redis: Any, caplog: pytest.LogCaptureFixture, columns: dict[str, pa.Array], dtype: Any
) -> None:
    store = store_of(tmp_path, {**GOOD, **columns}, dtype)
    assert told(caplog) == []
    store.materialize(datetime(1970, 1, 1, tzinfo=UTC), DAY)


def test_files_that_are_not_there_or_cannot_be_read_tell_nothing(
    tmp_path: Path, redis: Any, caplog: pytest.LogCaptureFixture
) -> None:
    store_of(tmp_path, None)
    (tmp_path / "stats.parquet").write_bytes(b"PAR1, but no more of it")
    store_of(tmp_path, None)
    assert told(caplog) == []


def test_an_apply_reads_the_footers_of_so_many_files_and_no_more(
    tmp_path: Path, redis: Any, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "stats.parquet"
    folder.mkdir()
    lacking = pa.table({name: column for name, column in GOOD.items() if name != "x"})
    pq.write_table(lacking, folder / "0.parquet")
    for number in range(1, MOST_FILES + 1):
        (folder / f"{number}.parquet").hardlink_to(folder / "0.parquet")
    store_of(tmp_path, None)
    assert told(caplog) == []
    (folder / f"{MOST_FILES}.parquet").unlink()
    store_of(tmp_path, None)
    assert len(told(caplog)) == 1


def test_training_with_what_fits_goes_on(tmp_path: Path, redis: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
    pq.write_table(pa.table(GOOD), tmp_path / "stats.parquet")
    source = FileSource(name="stats", path="stats.parquet", timestamp_field="event_timestamp")
    schema = [Field(name=name, dtype=Int64) for name in ("user_id", "x", "absent")]
    store = FeatureStore(config=our_config(tmp_path))
    store.apply([user, FeatureView(name="stats", entities=[user], schema=schema, source=source, ttl=timedelta(0))])
    (message,) = told(caplog)
    assert message.endswith("loads of view stats are refused, and so is training with what does not fit.")
    spine = pd.DataFrame({"user_id": [2], "event_timestamp": [DAY]})
    assert store.get_historical_features(spine, ["stats:x"]).to_df()["x"].tolist() == [4]
