"""A feature_store.yaml that Feast cannot use is refused by its path, with what is wrong and no secret of it."""

from pathlib import Path

import pytest

from transformations.engine.base.errors import UsageError
from transformations.insight.repository import open_store_at

YAML = Path(__file__).parents[3] / "feature_repo" / "feature_store.yaml"
FAULTS = {
    ("registry_type: sql", "registry_typ%: sql"): "unsupported scheme sqlite",
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
