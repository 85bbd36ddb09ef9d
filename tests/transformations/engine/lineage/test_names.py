"""Our names against those that Feast's own mappers give, so that both graphs are one."""

from datetime import timedelta
from pathlib import Path

import pytest
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.openlineage import identity, mappers
from feast.types import Int64

from transformations.engine.base.settings import get_settings
from transformations.engine.lineage.names import (
    materialize_job,
    online_dataset,
    project_of,
    raw_dataset,
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


def test_a_repository_that_cannot_be_read_has_the_default_s_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATURE_REPO_DIR_ENV_VAR", str(tmp_path / "none"))
    assert project_of(get_settings()).namespace == "feature_platform"
