"""Reading a source as it is: what was saved, what Feast's materialization pulls, what its monitoring measures."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from feast import Entity, FeatureStore, FeatureView, Field, FileSource
from feast.data_format import DeltaFormat
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.monitoring.metrics_calculator import MetricsCalculator
from feast.monitoring.monitoring_service import MonitoringService
from feast.types import Float64, Int64, String

from transformations.engine.base.errors import UsageError
from transformations.engine.base.settings import Settings
from transformations.stores.offline import PointInTimeOfflineStore

TIMESTAMP = pa.timestamp("us", tz="UTC")
VISITS = """
    user_id  event_timestamp  created_timestamp  spent  page   note
    1        2024-05-01       2024-05-01         10     home   -
    1        2024-05-03       2024-05-03         30     news   -
    2        2024-05-02       2024-05-02         -      news   -
    3        2024-05-02       2024-05-02         12.5   -      -
    3        2024-05-07       2024-05-07         1      shop   -
"""


@pytest.fixture
def visits(table_of: Callable[..., pa.Table]) -> pa.Table:
    return table_of(VISITS, spent=pa.float64(), page=pa.string(), note=pa.string())


@pytest.fixture
def view(
    visits: pa.Table, publish: Callable[..., Any], stored: Callable[..., FeatureView], settings: Settings
) -> FeatureView:
    """A view of a definition, with its table built."""
    made = stored("user_visits", spent=Float64, page=String, note=String)
    made.batch_source = FileSource(
        name="user_visits",
        path=str(settings.offline_dir / "user_visits"),
        file_format=DeltaFormat(),
        timestamp_field="event_timestamp",
        created_timestamp_column="created_timestamp",
    )
    made.tags = {"definition_hash": "a"}
    publish(made, visits.slice(0, 2))
    publish(made, visits.slice(2))
    (settings.offline_dir / "user_visits" / "left-by-a-killed-run.parquet").write_bytes(b"no Parquet at all")
    return made


def test_a_saved_dataset_comes_back_whole_with_label_and_moments_under_their_own_names(
    store_of: Callable[..., FeatureStore], user: Entity, view: FeatureView, tmp_path: Path
) -> None:
    store = store_of(user, view)
    moments = pd.to_datetime(["2024-05-09", "2024-05-02"], utc=True)
    spine = pa.table({"label": [True, False], "user_id": [1, 1], "seen_at": pa.array(moments, TIMESTAMP)})
    job = store.get_historical_features(spine, ["user_visits:spent"])
    store.create_saved_dataset(job, "visits_v1", SavedDatasetFileStorage(path="saved"), tags={"team": "web"})
    loaded = store.get_saved_dataset("visits_v1")
    assert loaded.to_df().to_dict("list") == {
        "label": [True, False],
        "user_id": [1, 1],
        "seen_at": list(moments),
        "spent": [30.0, 10.0],
    }
    assert (loaded.tags, loaded.join_keys) == ({"team": "web"}, ["user_id"])


def test_a_dataset_is_overwritten_only_when_asked_and_never_mixed_with_other_files(
    store_of: Callable[..., FeatureStore], user: Entity, view: FeatureView, tmp_path: Path
) -> None:
    store = store_of(user, view)
    storage = SavedDatasetFileStorage(path="saved")

    def save(*users: int) -> None:
        moments = pa.array([datetime(2024, 5, 9)] * len(users), TIMESTAMP)
        spine = pa.table({"user_id": list(users), "event_timestamp": moments})
        job = store.get_historical_features(spine, ["user_visits:spent"])
        store.create_saved_dataset(job, "visits_v1", storage, allow_overwrite=True)

    save(1, 2)
    save(3)
    assert store.get_saved_dataset("visits_v1").to_df()["user_id"].tolist() == [3]
    pq.write_table(pa.table({"user_id": [9]}), tmp_path / "saved" / "other.parquet")
    with pytest.raises(UsageError, match=r"saved holds other files \(other\.parquet\)"):
        save(1)
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == ["data.parquet", "other.parquet"]


def test_a_saved_dataset_keeps_integers_with_nulls_where_nullable_dtypes_are_asked_for(
    store_of: Callable[..., FeatureStore], user: Entity, view: FeatureView
) -> None:
    store = store_of(user, view, offline_store={"nullable_dtypes": True})
    moments = pa.array([datetime(2024, 5, 9)] * 2, TIMESTAMP)
    spine = pa.table({"user_id": [1, 2], "visits": pa.array([2**53 + 1, None]), "event_timestamp": moments})
    job = store.get_historical_features(spine, ["user_visits:spent"])
    saved = store.create_saved_dataset(job, "visits_v1", SavedDatasetFileStorage(path="saved.parquet")).to_df()
    assert str(saved["visits"].dtype) == "Int64"
    assert saved["visits"][0] == 2**53 + 1


def test_the_rows_of_a_view_about_no_entity_can_be_pulled(
    store_of: Callable[..., FeatureStore], table_of: Callable[..., pa.Table], tmp_path: Path
) -> None:
    pq.write_table(table_of("happened_at  rate\n2024-05-01  7\n2024-05-03  9"), tmp_path / "market.parquet")
    source = FileSource(name="market", path="market.parquet", timestamp_field="happened_at")
    market = FeatureView(name="market", entities=[], schema=[Field(name="rate", dtype=Int64)], source=source)
    store = store_of(market)
    newest = PointInTimeOfflineStore.pull_latest_from_table_or_query(
        config=store.config,
        data_source=source,
        join_key_columns=["__dummy_id"],
        feature_name_columns=["rate"],
        timestamp_field="happened_at",
        created_timestamp_column=None,
        start_date=datetime(2024, 1, 1),
        end_date=datetime(2024, 6, 1),
    )
    assert newest.to_arrow().drop_columns("happened_at").to_pydict() == {"rate": [9], "__dummy_id": [""]}


def test_monitoring_measures_what_feast_calculates_from_the_rows_themselves(
    store_of: Callable[..., FeatureStore], user: Entity, view: FeatureView, visits: pa.Table
) -> None:
    store = store_of(user, view)
    fields = [("spent", "numeric"), ("user_id", "numeric"), ("page", "categorical"), ("note", "categorical")]
    measured = PointInTimeOfflineStore.compute_monitoring_metrics(
        config=store.config,
        data_source=view.batch_source,
        feature_columns=fields,
        timestamp_field="event_timestamp",
        start_date=datetime(2024, 5, 1),
        end_date=datetime(2024, 5, 3),
        histogram_bins=5,
        top_n=10,
    )
    expected = MetricsCalculator(histogram_bins=5, top_n=10).compute_all(visits.slice(0, 4), fields)
    assert [comparable(metric) for metric in measured] == [comparable(metric) for metric in expected]


def comparable(metric: dict[str, Any]) -> dict[str, Any]:
    histogram = metric["histogram"] or {}
    if metric["feature_type"] == "categorical":
        counts = sorted((entry["value"], entry["count"]) for entry in histogram.get("values", ()))
        return {**metric, "histogram": (counts, histogram.get("unique_count", 0))}
    assert metric["row_count"] == 4
    edges = {"bins": [round(edge, 9) for edge in histogram["bins"]], "bin_width": round(histogram["bin_width"], 9)}
    numbers = {name: round(value, 9) for name, value in metric.items() if isinstance(value, float)}
    return {**metric, **numbers, "histogram": {**histogram, **edges}}


def test_feast_monitor_measures_a_built_table_in_every_window(
    store_of: Callable[..., FeatureStore], user: Entity, view: FeatureView
) -> None:
    service = MonitoringService(store_of(user, view))
    summary = service.auto_compute(project="test")
    assert (summary["computed_feature_views"], summary["baseline_features"]) == (1, 3)
    metrics = service.get_feature_metrics(project="test", feature_view_name="user_visits", granularity="daily")
    means = {metric["feature_name"]: (metric["row_count"], metric["mean"]) for metric in metrics}
    assert means == {"spent": (1, 1.0), "page": (1, None), "note": (1, None)}
    (baseline,) = service.get_baseline(project="test", feature_view_name="user_visits", feature_name="spent")
    assert (baseline["row_count"], baseline["null_count"], baseline["mean"]) == (5, 1, 13.375)


def test_monitoring_of_an_empty_table_measures_no_row(
    store_of: Callable[..., FeatureStore], user: Entity, visits: pa.Table, tmp_path: Path
) -> None:
    write_deltalake(tmp_path / "lake", visits.slice(0, 0))
    source = FileSource(name="lake", path="lake", timestamp_field="event_timestamp")
    store = store_of(user)
    offline = PointInTimeOfflineStore
    asked = {"config": store.config, "data_source": source, "timestamp_field": "event_timestamp"}
    assert offline.get_monitoring_max_timestamp(**asked) is None
    (metric,) = offline.compute_monitoring_metrics(**asked, feature_columns=[("spent", "numeric")])
    assert (metric["row_count"], metric["mean"]) == (0, None)
