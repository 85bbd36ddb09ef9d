"""What Feast asks of an offline store beside retrieval: pulls, monitoring, logs, a clear refusal without DuckDB."""

import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from feast import Entity, FeatureService, FeatureView, Field, FileSource
from feast.feature_logging import LOG_TIMESTAMP_FIELD, LoggingConfig
from feast.infra.offline_stores.file_source import FileLoggingDestination
from feast.types import Float64, Int64

from transformations.engine.base.errors import UsageError
from transformations.engine.base.settings import Settings
from transformations.stores.offline import PointInTimeOfflineStore

from .training_rows import VISITS, Rows, Store, View, spine


@pytest.fixture
def visits(stored: View, table_of: Rows) -> FeatureView:
    return stored("user_visits", table_of(VISITS, spent=pa.float64()), spent=Float64)


def test_the_newest_and_all_rows_of_a_window_include_both_its_ends(
    store_of: Store, user: Entity, visits: FeatureView, at: Callable[[str], datetime]
) -> None:
    store = store_of(user, visits)
    pulled = {
        "config": store.config,
        "data_source": visits.batch_source,
        "join_key_columns": ["user_id"],
        "feature_name_columns": ["spent"],
        "timestamp_field": "event_timestamp",
        "created_timestamp_column": "created_timestamp",
        "end_date": at("2024-05-03"),
    }
    offline = PointInTimeOfflineStore
    newest = offline.pull_latest_from_table_or_query(**pulled, start_date=at("2024-05-02")).to_arrow()
    assert dict(zip(newest["user_id"].to_pylist(), newest["spent"].to_pylist(), strict=True)) == {1: 30.0, 2: None}
    everything = offline.pull_all_from_table_or_query(**pulled, start_date=at("2024-05-01")).to_arrow()
    assert sorted(everything["spent"].to_pylist(), key=str) == [10.0, 30.0, None]
    assert offline.pull_all_from_table_or_query(**pulled, start_date=at("2024-05-03T00:00:01")).to_arrow().num_rows == 0


def test_settings_bound_a_retrieval_and_win_over_the_yaml(
    settings: Settings, store_of: Store, user: Entity, visits: FeatureView, tmp_path: Path, monkeypatch: Any
) -> None:
    from transformations.stores.history.session_sql import resources_of, session

    monkeypatch.setenv("FEATURES_OFFLINE_MEMORY_LIMIT", "512MB")
    store = store_of(offline_store={"threads": 1, "memory_limit": "1GB", "spill": str(tmp_path / "spill")})
    with session(resources_of(store.config)) as connection:
        asked = ("threads", "memory_limit", "TimeZone")
        found = [connection.execute(f"SELECT current_setting('{name}')").fetchall()[0][0] for name in asked]
    assert found == [1, "488.2 MiB", "UTC"]


def test_monitoring_reads_what_retrieval_reads(store_of: Store, user: Entity, table_of: Rows, tmp_path: Path) -> None:
    from feast.monitoring.monitoring_service import MonitoringService

    write_deltalake(tmp_path / "lake", table_of(VISITS, spent=pa.float64()))
    view = FeatureView(
        name="user_visits",
        entities=[user],
        schema=[Field(name="user_id", dtype=Int64), Field(name="spent", dtype=Float64)],
        source=FileSource(name="lake", path="lake", timestamp_field="event_timestamp"),
    )
    store = store_of(user, view)
    service = MonitoringService(store)
    service.compute_baseline(project="test")
    (metric,) = [row for row in service.get_feature_metrics(project="test") if row["feature_name"] == "spent"]
    assert (metric["row_count"], metric["null_count"], metric["mean"]) == (3, 1, 20.0)


def test_logged_features_are_written_where_the_service_says_and_come_back_by_their_moment(
    store_of: Store, user: Entity, visits: FeatureView, at: Callable[[str], datetime], tmp_path: Path
) -> None:
    destination = FileLoggingDestination(path=str(tmp_path / "logs"))
    service = FeatureService(name="spending", features=[visits], logging_config=LoggingConfig(destination=destination))
    store = store_of(user, visits, service)
    moments = pa.array([at("2024-05-01"), at("2024-05-02")], pa.timestamp("us", "UTC"))
    logs = pa.table({"user_id": [1, 2], "user_visits__spent": [10.0, None], LOG_TIMESTAMP_FIELD: moments})

    store.write_logged_features(logs, service)

    assert pq.read_table(tmp_path / "logs").equals(logs)
    found = PointInTimeOfflineStore.pull_all_from_table_or_query(  # as Feast's provider reads them
        config=store.config,
        data_source=destination.to_data_source(),
        join_key_columns=[],
        feature_name_columns=["user_id", "user_visits__spent"],
        timestamp_field=LOG_TIMESTAMP_FIELD,
        start_date=at("2024-05-01T12:00"),
        end_date=at("2024-05-02"),
    )
    assert found.to_arrow().select(logs.column_names).to_pylist() == logs.slice(1).to_pylist()


def test_a_serving_image_without_duckdb_loads_the_yaml_and_refuses_retrieval_clearly(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["duckdb"] = sys.modules["deltalake"] = sys.modules["pyspark"] = None
from transformations.engine.launch.quickening import quicken_feast; quicken_feast()
from feast import RepoConfig
config = RepoConfig(
    project="test", provider="local", registry="registry.db", entity_key_serialization_version=3,
    offline_store={"type": "transformations.stores.offline.PointInTimeOfflineStore"},
    online_store={"type": "transformations.stores.online.PackedRedisOnlineStore"},
    batch_engine={"type": "transformations.stores.materialization.BulkMaterializationEngine"},
)
assert config.offline_store and config.online_store and config.batch_engine
from transformations.stores.offline import PointInTimeOfflineStore
for call in (
    lambda: PointInTimeOfflineStore.get_historical_features(config, [], [], None, None, "test"),
    lambda: PointInTimeOfflineStore.ensure_monitoring_tables(config),
):
    try:
        call()
    except Exception as error:
        print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    retrieval, monitoring = done.stdout.splitlines()
    assert retrieval.startswith("UsageError the offline store needs DuckDB")
    assert monitoring.startswith("UsageError ensure_monitoring_tables needs duckdb, which is not installed here.")


def test_an_on_demand_view_that_nothing_names_is_refused_instead_of_being_left_out(
    store_of: Store, user: Entity, visits: FeatureView
) -> None:
    store = store_of(user, visits)
    offline = PointInTimeOfflineStore
    with pytest.raises(UsageError, match="No service gives this name to an on-demand view"):
        offline.get_historical_features(
            store.config, [], ["other:spent"], spine((1, "2024-05-02")), store.registry, store.project
        )
