"""Where training rows are read: every layout of files, and every version of a table or a view."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from feast import Entity, FeatureView, Field, FileSource
from feast.types import Float64, Int64

from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.settings import Settings

from .training_rows import VISITS, Rows, Store, View, spine, values


@pytest.mark.parametrize("layout", ["folder", "glob", "hive", "delta", "delta by day"])
def test_every_layout_of_files_is_read_and_a_relative_path_is_the_repositorys(
    store_of: Store, user: Entity, table_of: Rows, tmp_path: Path, layout: str
) -> None:
    table = table_of(VISITS, spent=pa.float64())
    folder = tmp_path / "a lake"
    path = {"glob": "a lake/*.parquet", "hive": "a lake/**/*.parquet"}.get(layout, "a lake")
    if layout.startswith("delta"):
        days = ["day"] if "day" in layout else []
        table = table.append_column("day", pa.array([f"5/{number} 10:00" for number in range(3)]))
        write_deltalake(folder, table.slice(0, 1), partition_by=days)
        write_deltalake(folder, table.slice(1), mode="append", partition_by=days)
        (folder / "left-by-a-killed-run.parquet").write_bytes(b"no Parquet at all")
    else:
        for number in range(3):
            file = folder / (f"day={number}" if layout == "hive" else "") / f"{number}.parquet"
            file.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table.slice(number, 1), file)
    view = FeatureView(
        name="user_visits",
        entities=[user],
        schema=[Field(name="user_id", dtype=Int64), Field(name="spent", dtype=Float64)],
        source=FileSource(name="lake", path=path, timestamp_field="event_timestamp"),
    )
    rows = spine((1, "2024-05-02"), (1, "2024-05-09"))
    assert values(store_of(user, view), rows, "user_visits:spent") == [10.0, 30.0]


def test_a_job_reads_the_version_that_was_published_when_it_was_made(
    store_of: Store, user: Entity, table_of: Rows, tmp_path: Path
) -> None:
    table = table_of(VISITS, spent=pa.float64())
    write_deltalake(tmp_path / "lake", table.slice(0, 1))
    view = FeatureView(
        name="user_visits",
        entities=[user],
        schema=[Field(name="user_id", dtype=Int64), Field(name="spent", dtype=Float64)],
        source=FileSource(name="lake", path="lake", timestamp_field="event_timestamp"),
    )
    store = store_of(user, view)
    job = store.get_historical_features(spine((1, "2024-05-09")), ["user_visits:spent"])
    write_deltalake(tmp_path / "lake", table.slice(1), mode="append")
    assert job.to_arrow()["spent"].to_pylist() == [10.0]
    assert values(store, spine((1, "2024-05-09")), "user_visits:spent") == [30.0]


def test_an_older_version_of_a_table_is_named_in_the_store_s_configuration(
    store_of: Store, user: Entity, stored: View, table_of: Rows, tmp_path: Path
) -> None:
    table = table_of(VISITS, spent=pa.float64())
    visits = stored("user_visits", table, spent=Float64)
    write_deltalake(tmp_path / "lake", table.slice(0, 1))
    write_deltalake(tmp_path / "lake", table.slice(1), mode="append")
    view = FeatureView(
        name="user_lake",
        entities=[user],
        schema=[Field(name="user_id", dtype=Int64), Field(name="spent", dtype=Float64)],
        source=FileSource(name="lake", path="lake", timestamp_field="event_timestamp"),
    )
    store, rows = store_of(user, view, visits), spine((1, "2024-05-09"))
    assert values(store, rows, "user_lake:spent") == [30.0]
    store.config.offline_store.table_versions = {"user_lake": 0}
    assert values(store, rows, "user_lake:spent") == [10.0]
    store.config.offline_store.table_versions = {"user_lake": 2}
    with pytest.raises(DataError, match=r"user_lake: the table .*lake has no version 2; it has versions 0 to 1\."):
        values(store, rows, "user_lake:spent")
    store.config.offline_store.table_versions = {"user_visits": 0}
    with pytest.raises(UsageError, match=r"user_visits: version 0 is asked for, but .* has no versions\. Leave"):
        values(store, rows, "user_visits:spent")


def test_an_older_version_of_a_built_table_is_read_if_it_is_of_the_applied_definition(
    store_of: Store, user: Entity, stored: View, publish: Callable[..., Any], table_of: Rows, settings: Settings
) -> None:
    view = stored("user_visits", spent=Float64)
    view.batch_source = FileSource(
        name="user_visits", path=str(settings.offline_dir / "user_visits"), timestamp_field="event_timestamp"
    )
    view.tags = {"definition_hash": "b"}
    table = table_of(VISITS, spent=pa.float64())
    publish(view, table.slice(0, 1), definition_hash="a")
    publish(view, table.slice(0, 1))
    publish(view, table.slice(1))
    store, rows = store_of(user, view), spine((1, "2024-05-09"))
    assert values(store, rows, "user_visits:spent") == [30.0]
    store.config.offline_store.table_versions = {"user_visits": 1}
    assert values(store, rows, "user_visits:spent") == [10.0]
    store.config.offline_store.table_versions = {"user_visits": 0}
    with pytest.raises(DataError, match="version 0 of its table was built from definition a, the applied view is of b"):
        values(store, rows, "user_visits:spent")


def test_a_version_of_a_view_gives_the_features_that_it_had(
    store_of: Store, user: Entity, stored: View, table_of: Rows
) -> None:
    table = table_of(VISITS, spent=pa.float64()).append_column("seen", pa.array([1, 2, 3]))
    store_of(user, stored("user_visits", table, spent=Float64))
    store = store_of(stored("user_visits", table, spent=Float64, seen=Int64))
    store.registry.enable_online_versioning = True  # as the yaml has it under `registry`
    rows = spine((1, "2024-05-09"), (2, "2024-05-09"))

    found = store.get_historical_features(rows, ["user_visits@v0:spent", "user_visits@v1:seen"]).to_arrow()
    assert found.column_names[2:] == ["spent", "seen"]
    assert found.select(["spent", "seen"]).to_pydict() == {"spent": [30.0, None], "seen": [2, 3]}
    with pytest.raises(Exception, match="seen"):
        store.get_historical_features(rows, ["user_visits@v0:seen"]).to_arrow()


def test_a_source_without_files_or_columns_is_named(
    store_of: Store, user: Entity, stored: View, table_of: Rows
) -> None:
    nowhere = stored("user_nowhere", spent=Float64)
    other = stored("user_visits", table_of(VISITS, spent=pa.float64()), spend=Float64)
    store = store_of(user, nowhere, other)
    with pytest.raises(DataError, match=r"user_nowhere: there is no Parquet file at .*user_nowhere\.parquet"):
        store.get_historical_features(spine((1, "2024-05-02")), ["user_nowhere:spent"])
    job = store.get_historical_features(spine((1, "2024-05-02")), ["user_visits:spend"])
    with pytest.raises(DataError, match="user_visits: its files have no column 'spend': did you mean 'spent'"):
        job.to_arrow()
