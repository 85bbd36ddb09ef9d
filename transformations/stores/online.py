"""The online store: Feast's Redis store, found where our settings say, quick to give up, and corrected by corrections.

Loads no pyspark, duckdb or deltalake: this is what a serving image imports.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias, cast
from weakref import WeakKeyDictionary

from feast import FeatureService, FeatureStore, FeatureView, RepoConfig
from feast.infra.online_stores.helpers import compute_versioned_name
from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig
from feast.infra.registry.base_registry import BaseRegistry
from feast.online_response import OnlineResponse
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp

from transformations.engine.settings import get_settings
from transformations.stores.connections import (
    AsyncClient,
    SyncClient,
    connect,
    connect_async,
    reaching,
    warn_of_eviction,
)
from transformations.stores.http_errors import answering
from transformations.stores.loaded import forget
from transformations.stores.lookup import EntityRows, lookup_of
from transformations.stores.rollout import check_served

# A row as Feast hands it over: entity key, values, event timestamp, created timestamp.
Row: TypeAlias = tuple[EntityKey, dict[str, Value], datetime, datetime | None]
HashFields: TypeAlias = tuple[bytes, list[str | bytes]]

_BEGINNING = datetime.min.replace(tzinfo=UTC)


class PackedRedisOnlineStoreConfig(RedisOnlineStoreConfig):
    """The yaml keys of Feast's Redis store; without a `connection_string` our settings tell where Redis is."""

    type: str = "transformations.stores.online.PackedRedisOnlineStore"  # type: ignore[assignment]
    connection_string: str = ""
    # Feast's own comparison never lets a correction of equal event time through (redis.py:547); the store has its own.
    skip_dedup: Literal[True] = True


class PackedRedisOnlineStore(RedisOnlineStore):
    """Feast's Redis store, connected on first use: `feast apply` of new views and training retrieval need no Redis.

    A write replaces the stored row unless its event timestamp is older; of several rows of a key in one batch the
    newest by (event timestamp, created timestamp) counts. Reads and writes wait as long as the settings say.

    Errors: ServiceUnavailableError when Redis cannot be reached or does not answer in time.
    """

    def __init__(self) -> None:
        self._reader: SyncClient | None = None
        self._async_readers: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncClient] = WeakKeyDictionary()

    async def initialize(self, config: RepoConfig) -> None:
        """A server's start: DataError where the registry has on-demand views that were never applied with this code."""
        registry = FeatureStore(config=config).registry
        await asyncio.to_thread(check_served, registry, config.project)

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[Row],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write each key's newest row, unless Redis holds one of a later event time."""
        newest: dict[bytes, Row] = {}
        keys = self._generate_redis_keys_for_entities(config, [row[0] for row in data])
        for key, row in zip(keys, data, strict=True):
            if key not in newest or _moments(row) >= _moments(newest[key]):
                newest[key] = row
        versioning = config.registry.enable_online_feature_view_versioning
        stamp: list[str | bytes] = [f"_ts:{compute_versioned_name(table, versioning)}"]
        with reaching(config.online_store):
            stored = _read(self._get_client(config.online_store), [(key, stamp) for key in newest])
            rows = [row for row, (found,) in zip(newest.values(), stored, strict=True) if not _is_older(row, found)]
            super().online_write_batch(config, table, rows, None)
        if progress:
            progress(len(data))

    async def online_write_batch_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[Row],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """As `online_write_batch`, in a thread."""
        await asyncio.to_thread(self.online_write_batch, config, table, data, progress)

    def get_online_features(
        self,
        config: RepoConfig,
        features: list[str] | FeatureService,
        entity_rows: EntityRows,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        include_feature_view_version_metadata: bool = False,
    ) -> OnlineResponse:
        """The newest values of stored features, and on-demand features computed as training computes them."""
        with answering():
            lookup = lookup_of(registry, project, features, entity_rows, full_feature_names)
            self._read_features_per_fv(config, *lookup.to_read, include_feature_view_version_metadata)
            return lookup.answer()

    async def get_online_features_async(
        self,
        config: RepoConfig,
        features: list[str] | FeatureService,
        entity_rows: EntityRows,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        include_feature_view_version_metadata: bool = False,
    ) -> OnlineResponse:
        """As `get_online_features`."""
        with answering():
            lookup = lookup_of(registry, project, features, entity_rows, full_feature_names)
            await self._read_features_per_fv_async(config, *lookup.to_read, include_feature_view_version_metadata)
            return lookup.answer()

    def delete_table(self, config: RepoConfig, table: FeatureView) -> None:
        """Delete a view's rows."""
        with reaching(config.online_store):
            super().delete_table(config, table)
            forget(self._get_client(config.online_store), config.project, table.name)

    def delete_entity_values(self, config: RepoConfig, join_keys: list[str]) -> None:
        """Delete the rows of all keys of these names."""
        with reaching(config.online_store):
            super().delete_entity_values(config, join_keys)

    async def close(self) -> None:
        """Close the running event loop's connections."""
        if client := self._async_readers.pop(asyncio.get_running_loop(), None):
            await client.aclose()

    async def online_read_async(self, config: RepoConfig, *args: Any, **kwargs: Any) -> Any:
        """As Feast's."""
        with reaching(config.online_store):
            return await super().online_read_async(config, *args, **kwargs)

    async def _read_features_per_fv_async(self, config: RepoConfig, *args: Any, **kwargs: Any) -> None:
        with reaching(config.online_store):
            await super()._read_features_per_fv_async(config, *args, **kwargs)

    def _read_hash_fields(self, config: RepoConfig, commands: Sequence[HashFields]) -> Any:
        if self._reader is None:
            self._reader = connect(config.online_store, get_settings().redis_read_timeout_ms)
        with reaching(config.online_store):
            return _read(self._reader, commands)

    def _get_client(self, online_store_config: RedisOnlineStoreConfig) -> SyncClient:
        """The patient client, for everything but lookups."""
        if self._client is None:
            client = connect(online_store_config, get_settings().redis_write_timeout_ms)
            warn_of_eviction(client, online_store_config)
            self._client = client
        return self._client

    async def _get_client_async(self, online_store_config: RedisOnlineStoreConfig) -> AsyncClient:
        """The lookups' client of the running event loop; connections cannot move from one loop to another."""
        loop = asyncio.get_running_loop()
        if loop not in self._async_readers:
            timeout_ms = get_settings().redis_read_timeout_ms
            self._async_readers[loop] = connect_async(online_store_config, timeout_ms)
        return self._async_readers[loop]


def _read(client: SyncClient, commands: Sequence[HashFields]) -> list[list[bytes | None]]:
    with client.pipeline(transaction=False) as pipe:
        for key, fields in commands:
            pipe.hmget(cast("str", key), fields)  # redis-py takes bytes, and says only str
        return cast("list[list[bytes | None]]", pipe.execute())


def _moments(row: Row) -> tuple[datetime, datetime]:
    """What orders the rows of one key; naive is UTC, as everywhere in Feast."""
    return _aware(row[2]), _BEGINNING if row[3] is None else _aware(row[3])


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _is_older(row: Row, stored: bytes | None) -> bool:
    return stored is not None and _aware(row[2]) < Timestamp.FromString(stored).ToDatetime(tzinfo=UTC)
