"""Our names against those that Feast's own mappers give, so that both graphs are one."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.openlineage import FeastOpenLineageEmitter, OpenLineageConfig, identity, mappers
from feast.saved_dataset import SavedDataset
from feast.types import Int64

from transformations.engine.base.settings import get_settings
from transformations.engine.lineage.names import (
    materialize_job,
    online_dataset,
    project_of,
    raw_dataset,
    saved_dataset_job,
)

USER = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
VIEW = FeatureView(
    name="user_clicks",
    entities=[USER],
    schema=[Field(name="user_id", dtype=Int64), Field(name="clicks", dtype=Int64)],
    source=FileSource(name="user_clicks", path="clicks.parquet", timestamp_field="event_timestamp"),
    ttl=timedelta(0),
)


@pytest.mark.parametrize("configured", [None, "feast", "shop", "team", "team/shop"])
def test_names_are_those_of_feast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, configured: str | None) -> None:
    text = "project: shop\n" + (f"openlineage: {{enabled: true, namespace: {configured}}}\n" if configured else "")
    (tmp_path / "feature_store.yaml").write_text(text)
    monkeypatch.setenv("FEATURE_REPO_DIR_ENV_VAR", str(tmp_path))

    project = project_of(get_settings())

    assert (project.name, project.emits) == ("shop", configured is not None)
    assert project.namespace == identity.resolve_namespace(configured, "shop")
    assert materialize_job(project) == identity.materialize_job_name("shop")
    stored = mappers.feature_view_to_dataset(VIEW, namespace=project.namespace)
    source = mappers.data_source_to_dataset(VIEW.batch_source, namespace=project.namespace)
    assert {(each.namespace, each.name) for each in (stored, source)} == {(project.namespace, VIEW.name)}
    online = mappers.online_store_to_dataset("redis", VIEW.name, namespace=project.namespace)
    assert (online.namespace, online.name) == (project.namespace, online_dataset(VIEW.name))
    assert raw_dataset("clicks") == "raw.clicks"


@pytest.mark.parametrize("content", [None, b"project: shop\x7f", b"project: \xff", b"project: {"])
def test_a_repository_that_cannot_be_read_has_the_default_s_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    monkeypatch.setenv("FEATURE_REPO_DIR_ENV_VAR", str(tmp_path))
    if content is not None:
        (tmp_path / "feature_store.yaml").write_bytes(content)
    assert project_of(get_settings()).namespace == "feature_platform"


def test_a_saved_dataset_is_told_by_feast_under_our_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own emitter writes into a file what it tells of one."""
    file = tmp_path / "feast.jsonl"
    for name, value in (("TYPE", "file"), ("LOG_FILE_PATH", str(file)), ("APPEND", "true")):
        monkeypatch.setenv(f"OPENLINEAGE__TRANSPORT__{name}", value)
    saved = SavedDataset(
        name="reading_2024",
        features=["user_clicks:clicks"],
        join_keys=["user_id"],
        storage=SavedDatasetFileStorage(path="reading.parquet"),
    )
    saved.feature_service_name = "reading_v1"
    emitter = FeastOpenLineageEmitter(OpenLineageConfig(enabled=True))
    assert emitter.emit_saved_dataset_lineage(saved, "shop")
    run = json.loads(file.read_text().splitlines()[0])
    assert (run["job"]["namespace"], run["job"]["name"]) == ("shop", saved_dataset_job("reading_2024"))
    assert {each["name"] for each in run["inputs"]} == {"reading_v1", "user_clicks"}
    assert [each["name"] for each in run["outputs"]] == ["reading_2024"]
