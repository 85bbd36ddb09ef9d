"""Feast installations in a folder of their own, with our organs or Feast's."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from feast import FeatureStore, RepoConfig
from feast.infra.registry.sql import SqlRegistry, metadata
from sqlalchemy import create_engine

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
        batch_engine={"type": BATCH, "priority": "normal"},  # an idle load waits for the other processes of the run
        entity_key_serialization_version=3,
        **more,
    )
    config.repo_path = folder
    file = folder / "registry.db"
    if not file.exists():
        file.write_bytes(_empty_registry())
    return config


@cache
def _empty_registry() -> bytes:
    """A registry's file with Feast's tables, which are made once."""
    with TemporaryDirectory() as folder:
        engine = create_engine(f"sqlite:///{folder}/registry.db")
        metadata.create_all(engine)
        engine.dispose()
        return Path(folder, "registry.db").read_bytes()


def apply_at_once(store: FeatureStore, objects: list[Any], **options: Any) -> None:
    """Apply objects; the registry is read again once, and not twice after each of them. options: of `store.apply`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SqlRegistry, "refresh", lambda *_, **__: None)
        store.apply(objects, **options)
    store.refresh_registry()


def stock_config(folder: Path) -> RepoConfig:
    """Feast's own stores without a server: DuckDB and SQLite."""
    config = RepoConfig(
        project="test",
        provider="local",
        registry=str(folder / "registry.pb"),
        offline_store={"type": "duckdb"},
        online_store={"type": "sqlite", "path": str(folder / "online.db")},
        entity_key_serialization_version=3,
    )
    config.repo_path = folder
    return config
