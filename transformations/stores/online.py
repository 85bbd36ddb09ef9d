"""The online store: packed rows in Redis, read in one round trip, written so that the newest wins.

Loads no pyspark, duckdb or deltalake: this is what a serving image imports.
"""

import asyncio
import atexit
import contextlib
import gc
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Literal, cast
from weakref import WeakKeyDictionary

from feast import Entity, FeatureService, FeatureStore, FeatureView, OnDemandFeatureView, RepoConfig
from feast.infra.online_stores.helpers import compute_versioned_name
from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig
from feast.infra.registry.base_registry import BaseRegistry
from feast.protos.feast.types.EntityKey_pb2 import EntityKey

from transformations.engine.base.errors import FeaturesError, ServiceUnavailableError
from transformations.engine.base.settings import get_settings
from transformations.stores.base.errors import Answering
from transformations.stores.base.on_demand import refuse_uneven
from transformations.stores.base.rollout import check_served
from transformations.stores.lookups.lookup import EntityRows, Lookup, lookup_of
from transformations.stores.lookups.plan_cache import Plans
from transformations.stores.lookups.plans import UnknownSchemaError
from transformations.stores.lookups.response import PackedResponse
from transformations.stores.redis import catalogue as online_catalog
from transformations.stores.redis.catalogue import Catalog, Table
from transformations.stores.redis.connections import (
    AsyncClient,
    Reaching,
    SyncClient,
    connect,
    connect_async,
    warn_of_eviction,
)
from transformations.stores.redis.feast_rows import Found, Row, found_rows, newest_rows, packed
from transformations.stores.redis.loaded import forget
from transformations.stores.redis.reads import Reader, Values, get_async
from transformations.stores.redis.unlinking import unlink_leftovers
from transformations.stores.redis.writes import write_rows
from transformations.stores.rows.keys import tag_of
from transformations.stores.rows.packed_rows import Schema, schema_of

_EXPIRY_MARGIN = timedelta(days=1)
_ATTEMPTS = 5


class PackedRedisOnlineStoreConfig(RedisOnlineStoreConfig):
    """The yaml keys of Feast's Redis store; without a `connection_string` our settings tell where Redis is.

    key_ttl_seconds: when a row expires after its writing; by default its view's ttl and a day, or never.
    full_scan_for_deletion: whether `feast apply` also unlinks the rows of views it removes, which are hidden at once
    anyway; the next materialization unlinks what is left.
    """

    type: str = "transformations.stores.online.PackedRedisOnlineStore"  # type: ignore[assignment]
    connection_string: str = ""
    # Feast's own comparison never lets a correction of equal event time through (redis.py:547); the store has its own.
    skip_dedup: Literal[True] = True


class PackedRedisOnlineStore(RedisOnlineStore):
    """One value per entity and view; any number of views and entities is one round trip.

    A write replaces the stored row unless that is newer by (event timestamp, created timestamp, schema). It connects on
    first use: `feast apply` of new views and training retrieval need no Redis. Reads and writes wait as long as the
    settings say.

    Errors: ServiceUnavailableError when Redis cannot be reached or does not answer in time.
    """

    def __init__(self) -> None:
        self._reader: Reader | None = None
        self._async_readers: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncClient] = WeakKeyDictionary()
        self._catalogs: dict[str, Catalog] = {}
        self._plans: Plans | None = None
        self._connecting = threading.Lock()

    # Reading

    def get_online_features(
        self,
        config: RepoConfig,
        features: list[str] | FeatureService,
        entity_rows: EntityRows,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        include_feature_view_version_metadata: bool = False,
    ) -> PackedResponse:
        """The newest values of stored features, and on-demand features computed as training computes them."""
        with Answering(), Reaching(config.online_store):
            plan = self._plans_of(config).of(registry, project, features, full_feature_names)
            lookup = lookup_of(plan, entity_rows)
            epoch, catalog = self._catalog(config, project)
            for _ in range(_ATTEMPTS):
                values = self._reader_of(config).get(lookup.keys(epoch, catalog))
                if (answer := _answer(lookup, values, catalog, include_feature_view_version_metadata)) is not None:
                    return answer
                epoch, catalog = self._catalog(config, project, renew=True)
        raise _restless(config)

    async def get_online_features_async(
        self,
        config: RepoConfig,
        features: list[str] | FeatureService,
        entity_rows: EntityRows,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        include_feature_view_version_metadata: bool = False,
    ) -> PackedResponse:
        """As `get_online_features`."""
        with Answering(), Reaching(config.online_store):
            plan = self._plans_of(config).of(registry, project, features, full_feature_names)
            lookup = lookup_of(plan, entity_rows)
            epoch, catalog = await self._catalog_async(config, project)
            for _ in range(_ATTEMPTS):
                values = await self._get_async(config, lookup.keys(epoch, catalog))
                if (answer := _answer(lookup, values, catalog, include_feature_view_version_metadata)) is not None:
                    return answer
                epoch, catalog = await self._catalog_async(config, project, renew=True)
        raise _restless(config)

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[Found]:
        """Each entity's row: its event timestamp and values; nothing where there is no row.

        Of a row that its view's ttl has outlived, the event timestamp and nulls.
        """
        with Reaching(config.online_store):
            epoch, catalog = self._catalog(config, config.project)
            for _ in range(_ATTEMPTS):
                keys, view = _read_keys(config, catalog, table, entity_keys)
                values = self._reader_of(config).get([epoch, *keys])
                if values[0] == catalog.epoch:
                    return found_rows(table, view, values[1:], requested_features, len(entity_keys))
                epoch, catalog = self._catalog(config, config.project, renew=True)
        raise _restless(config)

    async def online_read_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[Found]:
        """As `online_read`."""
        with Reaching(config.online_store):
            epoch, catalog = await self._catalog_async(config, config.project)
            for _ in range(_ATTEMPTS):
                keys, view = _read_keys(config, catalog, table, entity_keys)
                values = await self._get_async(config, [epoch, *keys])
                if values[0] == catalog.epoch:
                    return found_rows(table, view, values[1:], requested_features, len(entity_keys))
                epoch, catalog = await self._catalog_async(config, config.project, renew=True)
        raise _restless(config)

    # Writing

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[Row],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write each key's newest row, unless Redis holds a newer one; what pushes and Feast's own engine call.

        The rows are marked as pushed; a materialization that finds the same row in the offline table clears that.
        Naive timestamps are UTC. A row of a null join key is no entity's, and is left out. UsageError for an on-demand
        view, which Feast would compute here from other inputs and at another time than in training.
        """
        if isinstance(cast("object", table), OnDemandFeatureView):
            refuse_uneven(cast("OnDemandFeatureView", table))
        rows = newest_rows(data)
        schema = schema_of(table.features)
        expiry = expiry_ms(table, config.online_store)
        with Reaching(config.online_store):
            client = self._get_client(config.online_store)
            for _ in range(_ATTEMPTS):
                number, version = self.table_for_writing(config, table, schema)
                pairs = packed(table, rows, version)
                write_rows(client, ((tag + number, row) for tag, row in pairs), expiry)
                if client.get(online_catalog.epoch_key(config.project)) == self._catalogs[config.project].epoch:
                    break
                # The view was deleted, loaded anew or flushed meanwhile: the rows belong elsewhere now.
            else:
                raise _restless(config)
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

    def table_for_writing(self, config: RepoConfig, view: FeatureView, schema: Schema) -> tuple[bytes, int]:
        """The number of a view's table and of the schema that its rows have now, both made where they are missing."""
        name, client = online_name(view, config), self._get_client(config.online_store)
        catalog = online_catalog.read_catalog(client, config.project)
        known = catalog.tables.get(name)
        if known is None or known.schemas[-1] != schema:
            catalog = online_catalog.intern(client, config.project, name, schema)
        self._catalogs[config.project] = catalog
        known = catalog.tables[name]
        return known.number, known.newest

    # Views that come and go

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,
    ) -> None:
        """Hide the rows of deleted views at once, and unlink them bit by bit."""
        if not tables_to_delete:
            return
        for table in tables_to_delete:
            self.delete_table(config, table)
        if config.online_store.full_scan_for_deletion:
            with Reaching(config.online_store):
                unlink_leftovers(self._get_client(config.online_store))

    def delete_table(self, config: RepoConfig, table: FeatureView) -> None:
        """Hide a view's rows."""
        with Reaching(config.online_store):
            client, name = self._get_client(config.online_store), online_name(table, config)
            forget(client, config.project, name)
            online_catalog.drop(client, config.project, name)

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]) -> None:
        """Remove the rows of these views."""
        self.update(config, tables, [], entities, [], partial=False)

    # Connections

    async def initialize(self, config: RepoConfig) -> None:
        """A server's start: compile the plans of all feature services, and connect.

        DataError where the registry has on-demand views that were never applied with this code.
        """
        registry = FeatureStore(config=config).registry
        await asyncio.to_thread(check_served, registry, config.project)
        self._plans_of(config).prepare(registry, config.project)
        gc.collect()
        gc.freeze()  # what is there now stays: no collection during requests need look through Feast's modules again
        atexit.register(gc.unfreeze)  # else DuckDB's binding takes what was kept for leaks, and prints them
        # Redis may still be on its way up; while it is down, each request says so.
        with contextlib.suppress(ServiceUnavailableError), Reaching(config.online_store):
            await self._catalog_async(config, config.project)

    async def close(self) -> None:
        """Close the running event loop's connections."""
        if client := self._async_readers.pop(asyncio.get_running_loop(), None):
            await client.aclose()

    def _plans_of(self, config: RepoConfig) -> Plans:
        if self._plans is None:
            self._plans = Plans(config.registry.enable_online_feature_view_versioning)
        return self._plans

    def _catalog(self, config: RepoConfig, project: str, renew: bool = False) -> tuple[bytes, Catalog]:
        """The key of the catalog's epoch, and the catalog as it was last read."""
        epoch = online_catalog.epoch_key(project)
        if renew or project not in self._catalogs:
            reader = self._reader_of(config)
            (seen,) = reader.get([epoch])
            self._catalogs[project] = online_catalog.catalog_of(
                seen, reader.get_hash(online_catalog.views_key(project))
            )
        return epoch, self._catalogs[project]

    async def _catalog_async(self, config: RepoConfig, project: str, renew: bool = False) -> tuple[bytes, Catalog]:
        epoch = online_catalog.epoch_key(project)
        if renew or project not in self._catalogs:
            (seen,) = await self._get_async(config, [epoch])
            client = self._async_client(config)
            views = await cast("Any", client.hgetall(cast("str", online_catalog.views_key(project))))
            self._catalogs[project] = online_catalog.catalog_of(seen, views)
        return epoch, self._catalogs[project]

    def _reader_of(self, config: RepoConfig) -> Reader:
        if self._reader is None:
            with self._connecting:
                if self._reader is None:
                    timeout_ms = get_settings().redis_read_timeout_ms
                    client = connect(config.online_store, timeout_ms)
                    self._reader = Reader(client, timeout_ms)
        return self._reader

    async def _get_async(self, config: RepoConfig, keys: Sequence[bytes]) -> Values:
        return await get_async(self._async_client(config), keys, get_settings().redis_read_timeout_ms)

    def _async_client(self, config: RepoConfig) -> AsyncClient:
        """The lookups' client of the running event loop; connections cannot move from one loop to another."""
        loop = asyncio.get_running_loop()
        client = self._async_readers.get(loop)
        if client is None:
            client = connect_async(config.online_store, get_settings().redis_read_timeout_ms)
            self._async_readers[loop] = client
        return client

    def _get_client(self, online_store_config: RedisOnlineStoreConfig) -> SyncClient:
        """The patient client, for everything but lookups."""
        if self._client is None:
            client = connect(online_store_config, get_settings().redis_write_timeout_ms)
            warn_of_eviction(client, online_store_config)
            self._client = client
        return self._client

    async def _get_client_async(self, online_store_config: RedisOnlineStoreConfig) -> AsyncClient:
        raise NotImplementedError("this store's asynchronous client belongs to an event loop")


def online_name(view: FeatureView, config: RepoConfig) -> str:
    """What the online store calls a view: its name, with its version where the repository serves several."""
    name: str = compute_versioned_name(view, config.registry.enable_online_feature_view_versioning)
    return name


def expiry_ms(view: FeatureView, config: RedisOnlineStoreConfig) -> int:
    """How long after its writing a row of a view expires, in milliseconds; 0 for never.

    A row is withheld once its ttl has passed; the margin lets readers be told so, instead of finding nothing.
    """
    if config.key_ttl_seconds:
        return config.key_ttl_seconds * 1000
    return (view.ttl + _EXPIRY_MARGIN) // timedelta(milliseconds=1) if view.ttl else 0


def _answer(lookup: Lookup, values: Values, catalog: Catalog, with_versions: bool) -> PackedResponse | None:
    """The answer; None where the catalog that the keys came from is outdated."""
    if values[0] != catalog.epoch:
        return None
    try:
        return lookup.answer(values, catalog, with_versions)
    except UnknownSchemaError:  # on a cluster, epoch and rows are not read at one moment
        return None


def _restless(config: RepoConfig) -> FeaturesError:
    return FeaturesError(
        f"The online store's catalog of {config.project} changed {_ATTEMPTS} times during one request. "
        f"Look what writes to {{features}}:* in Redis; `feast apply` and materializations do, a few times each."
    )


def _read_keys(
    config: RepoConfig, catalog: Catalog, view: FeatureView, entities: Sequence[EntityKey]
) -> tuple[list[bytes], Table | None]:
    table = catalog.tables.get(online_name(view, config))
    if table is None:
        return [], None
    return [(tag_of(entity) or b"{}") + table.number for entity in entities], table
