"""A feature_store.yaml that Feast cannot use is refused by its path, with what is wrong and no secret of it."""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from transformations.engine.base.errors import UsageError
from transformations.insight.repository import open_store_at

YAML = Path(__file__).parents[3] / "feature_repo" / "feature_store.yaml"
FAULTS = {
    ("registry_type: sql", "registry_typ%: sql"): "registry.path, sqlite://***, is the address of no file",
    ("plugin=features", "pluein=features"): "registry.path names a SQLite database in memory",
    ("plugin=features", "plugin=fgatures"): "plugin: sqlalchemy.plugins:fgatures",
    ('"sqlite://', '"sqlhte://'): "sqlalchemy.dialects:sqlhte",
    ("PointInTimeOfflineStore", "PointInTimeOffdineStore"): "should end with the string `OfflineStore`",
    ("online.Packed", "onlinf.Packed"): "transformations.stores.onlinf",
    ("CheckedProvider", "CheckedPrnvider"): "CheckedPrnvider",
    ("materializing: true", "materializing: true!"): "serve_features_while_materializing: Input should be a valid",
    (
        "retention_days: 0",
        "retention_days: no-number-but-a-secret",
    ): "openlineage.consumer.retention_days: Input should",
    ("priority: idle", "priority: idme"): "priority: Input should be",
    ("project: feature_platform", "projekt: feature_platform"): "lacks project",
    ("\nregistry:", "\nregistry: ]"): "is no YAML",
}


@pytest.mark.parametrize("change", FAULTS)
def test_a_configuration_that_cannot_be_used_is_refused_by_its_path(tmp_path: Path, change: tuple[str, str]) -> None:
    text = YAML.read_text()
    assert change[0] in text
    file = tmp_path / "feature_store.yaml"
    file.write_text(text.replace(*change))
    with pytest.raises(UsageError) as refused:
        open_store_at(tmp_path)
    said = refused.value.message
    assert said.startswith(str(file))
    assert (FAULTS[change] in said, said.endswith("back from a copy."), "secret" in said) == (True, True, False)


ADDRESS = "redis://:hunter2@cache:6379"
PLACES = (
    "project", "provider", "registry", "registry registry_type", "registry path", "registry cache_ttl_seconds",
    "offline_store", "offline_store type", "online_store", "online_store type", "batch_engine type",
    "batch_engine priority", "auth type", "feature_server type", "openlineage enabled", "openlineage consumer",
    "materialization", "entity_key_serialization_version", "coerce_tz_aware",
)  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_an_address_with_a_password_is_not_repeated_wherever_it_is_written(tmp_path: Path, place: str) -> None:
    document = deepcopy(yaml.safe_load(YAML.read_text()))
    inner: dict[str, Any] = document
    *above, last = place.split()
    for key in above:
        inner = inner.setdefault(key, {})
    inner[last] = ADDRESS
    (tmp_path / "feature_store.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(UsageError) as refused:
        open_store_at(tmp_path)
    assert "hunter2" not in refused.value.message


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("password: *hunter2", "found undefined alias"),
        ("password: !hunter2 x", "could not determine a constructor for the tag …"),
        ("password: hunter2: x", "mapping values are not allowed"),
    ],
)
def test_a_line_that_is_no_yaml_is_told_by_its_number(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "feature_store.yaml").write_text(f"project: shop\n{line}\n")
    with pytest.raises(UsageError, match=f"is no YAML: {said}.* in line 2. Bring it back") as refused:
        open_store_at(tmp_path)
    assert "hunter2" not in refused.value.message


def test_a_registry_that_is_the_address_of_a_database_says_what_it_needs(tmp_path: Path) -> None:
    text = YAML.read_text().replace('"sqlite://?plugin=features"', "postgresql://feast:hunter2@db:5432/feast")
    (tmp_path / "feature_store.yaml").write_text(text.replace("registry_type: sql", "registry_type: file"))
    shown = re.escape("postgresql://***@db:5432/***")
    with pytest.raises(UsageError, match=f"{shown}, is the address of no file.*`registry_type: sql`"):
        open_store_at(tmp_path)
