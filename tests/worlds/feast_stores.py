"""A Feast installation with our organs, in a folder of its own."""

from pathlib import Path
from typing import Any

from feast import RepoConfig

OFFLINE = "transformations.stores.offline.PointInTimeOfflineStore"
ONLINE = "transformations.stores.online.PackedRedisOnlineStore"
BATCH = "transformations.stores.materialization.BulkMaterializationEngine"


def our_config(
    folder: Path,
    *,
    project: str = "test",
    provider: str = "local",
    registry: dict[str, Any] | None = None,
    offline_store: dict[str, Any] | None = None,
    online_store: dict[str, Any] | None = None,
    **more: Any,
) -> RepoConfig:
    """registry, offline_store, online_store: yaml keys beside the usual ones."""
    config = RepoConfig(
        project=project,
        provider=provider,
        registry={
            "registry_type": "sql",
            "path": f"sqlite:///{folder}/registry.db",
            "serve_features_while_materializing": True,
            **(registry or {}),
        },
        offline_store={"type": OFFLINE, **(offline_store or {})},
        online_store={"type": ONLINE, **(online_store or {})},
        batch_engine={"type": BATCH},
        entity_key_serialization_version=3,
        **more,
    )
    config.repo_path = folder
    return config
