"""The templates of `feast init` that need no cloud, over our stores: three lines of their yaml are changed."""

import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from feast import FeatureStore
from feast.data_source import PushMode
from feast.repo_config import load_repo_config
from feast.repo_operations import apply_total, init_repo

from tests.worlds.feast_stores import BATCH, OFFLINE, ONLINE
from transformations.engine.base.errors import UsageError

LINES = {"offline_store": {"type": OFFLINE}, "online_store": {"type": ONLINE}, "batch_engine": {"type": BATCH}}
MODULES = ("feature_definitions", "example_repo", "static_artifacts", "test_workflow")
DRIVERS = [1001, 1002, 1005]


@pytest.fixture
def applied(tmp_path: Path, redis: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., FeatureStore]]:
    """A template's repository, applied; with these lines in place of its own."""
    monkeypatch.chdir(tmp_path)

    def make(template: str, lines: dict[str, Any]) -> FeatureStore:
        init_repo("team", template)
        repository = tmp_path / "team" / "feature_repo"
        file = repository / "feature_store.yaml"
        file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **lines}))
        monkeypatch.setattr(sys, "path", [*sys.path, str(repository)])  # as Feast's command does
        apply_total(load_repo_config(repository, file), repository, skip_source_validation=False)
        return FeatureStore(repo_path=str(repository))

    yield make
    for name in MODULES:
        sys.modules.pop(name, None)


def local_request() -> list[dict[str, Any]]:
    return [{"driver_id": each, "val_to_add": each + 1, "val_to_add_2": each + 2} for each in DRIVERS]


@pytest.mark.parametrize("template", ["local", "milvus"])  # milvus: without its search by vectors
def test_a_template_of_drivers_gives_the_newest_rows_and_what_its_functions_make_of_them(
    applied: Callable[..., FeatureStore], template: str
) -> None:
    store = applied(template, LINES)
    store.materialize_incremental(datetime.now(UTC))
    rows = pd.read_parquet(Path(str(store.config.repo_path)) / "data" / "driver_stats.parquet")
    rows = rows[rows["event_timestamp"] <= pd.Timestamp.now(tz="UTC")]  # the template takes local time for UTC
    newest = rows.sort_values("event_timestamp").groupby("driver_id").last().loc[DRIVERS]
    rates = [float(rate) for rate in newest["conv_rate"]]
    expected = {
        "conv_rate": rates,
        "conv_rate_plus_val1": [rate + each + 1 for rate, each in zip(rates, DRIVERS, strict=True)],
        "conv_rate_plus_val2": [rate + each + 2 for rate, each in zip(rates, DRIVERS, strict=True)],
        "avg_daily_trips": newest["avg_daily_trips"].tolist(),
    }
    if "driver_metadata" in newest:
        expected["driver_metadata"] = [dict(each) for each in newest["driver_metadata"]]
    request = local_request()
    spine = pd.DataFrame(request).assign(event_timestamp=pd.Timestamp.now(tz="UTC"))
    for name in ("driver_activity_v1", "driver_activity_v2", "driver_activity_v3"):
        service = store.get_feature_service(name)
        online, frame = store.get_online_features(service, request).to_dict(), store.get_historical_features
        training = frame(spine, service).to_arrow().to_pydict()
        for feature in expected.keys() & online.keys():
            assert _plain(online[feature]) == _plain(training[feature]) == expected[feature]


def test_a_push_of_the_local_template_is_seen_online_and_in_training(applied: Callable[..., FeatureStore]) -> None:
    store = applied("local", LINES)
    now = pd.Timestamp.now(tz="UTC").floor("s")
    pushed = {
        "driver_id": [1001],
        "event_timestamp": [now],
        "created": [now],
        "conv_rate": [np.float32(1.0)],
        "acc_rate": [np.float32(1.0)],
        "avg_daily_trips": [1000],
        "driver_metadata": [{"vehicle_type": "truck", "rating": "5.0"}],
        "driver_config": [json.dumps({"max_distance_km": 500})],
        "driver_profile": [{"name": "driver_1001", "age": "30"}],
    }
    store.push("driver_stats_push_source", pd.DataFrame(pushed), to=PushMode.ONLINE_AND_OFFLINE)
    service, request = store.get_feature_service("driver_activity_v3"), local_request()[:1]
    spine = pd.DataFrame(request).assign(event_timestamp=now)
    online = store.get_online_features(service, request).to_dict()
    training = store.get_historical_features(spine, service).to_arrow().to_pydict()
    for feature, value in {"avg_daily_trips": 1000, "conv_rate_plus_val1": 1003.0}.items():
        assert online[feature] == training[feature] == [value]


def test_the_nlp_template_is_loaded_and_served(applied: Callable[..., FeatureStore]) -> None:
    store = applied("pytorch_nlp", LINES)
    store.materialize_incremental(datetime.now(UTC))
    rows = pd.read_parquet(Path(str(store.config.repo_path)) / "data" / "sentiment_data.parquet")
    texts = rows.sort_values("event_timestamp").drop_duplicates("text_id", keep="last")
    texts = texts[texts["event_timestamp"] > pd.Timestamp.now(tz="UTC") - pd.Timedelta(days=6)].head(3)
    request = [{"text_id": each, "input_text": "I love it", "model_name": "any"} for each in texts["text_id"]]
    references = ["text_features:word_count", "text_features:text_content", "sentiment_prediction:predicted_sentiment"]
    online = store.get_online_features(references, request).to_dict()
    assert online["word_count"] == texts["word_count"].tolist()
    assert online["text_content"] == texts["text_content"].tolist()
    assert len(online["predicted_sentiment"]) == len(texts)  # of a random generator, where no model is installed


def test_the_minimal_template_takes_our_stores(applied: Callable[..., FeatureStore], tmp_path: Path) -> None:
    store = applied("minimal", {**LINES, "registry": str(tmp_path / "registry.db")})
    assert (store.project, store.list_feature_views()) == ("team", [])


def test_the_spark_template_is_refused_for_its_sources(applied: Callable[..., FeatureStore]) -> None:
    """They are for Feast's Spark store alone, as tables of a warehouse are for theirs."""
    with pytest.raises(UsageError, match=r"its source is a SparkSource; this offline store reads files. Use a FileS"):
        applied("spark", LINES)


@pytest.mark.stock
def test_the_local_template_gives_what_stock_feast_gives(
    applied: Callable[..., FeatureStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock = applied("local", {})
    stock.materialize_incremental(datetime.now(UTC))
    repository = Path(str(stock.config.repo_path))
    file = repository / "feature_store.yaml"
    lines = {**yaml.safe_load(file.read_text()), **LINES, "registry": "data/ours.db"}
    file.write_text(yaml.safe_dump(lines))
    for name in MODULES:
        sys.modules.pop(name, None)
    apply_total(load_repo_config(repository, file), repository, skip_source_validation=False)
    ours = FeatureStore(repo_path=str(repository))
    ours.materialize_incremental(datetime.now(UTC))
    request = local_request()
    spine = pd.DataFrame(request).assign(event_timestamp=pd.Timestamp.now(tz="UTC"))
    for name in ("driver_activity_v1", "driver_activity_v2", "driver_activity_v3"):
        online = [
            store.get_online_features(store.get_feature_service(name), request).to_dict() for store in (stock, ours)
        ]
        frames = [
            store.get_historical_features(spine, store.get_feature_service(name)).to_df() for store in (stock, ours)
        ]
        assert online[0] == online[1]
        pd.testing.assert_frame_equal(*frames, check_like=True, check_dtype=False)


def _plain(values: list[Any]) -> list[Any]:
    """Maps as dictionaries: Arrow gives pairs."""
    return [dict(each) if isinstance(each, list) else each for each in values]
