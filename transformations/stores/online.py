"""The online store: packed rows in Redis, read in one round trip, written so that the newest wins.

Loads no pyspark, duckdb or deltalake: this is what a serving image imports.
"""

import asyncio
import atexit
import contextlib
import gc
import logging
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Literal, cast
from weakref import WeakKeyDictionary

from feast import Entity, FeatureService, FeatureStore, FeatureView, OnDemandFeatureView, RepoConfig
from feast.infra.online_stores.helpers import compute_versioned_name
from feast.infra.online_stores.redis import RedisOnlineStoreConfig, RedisType
from feast.infra.registry.base_registry import BaseRegistry
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from pydantic import Field, ValidationError
from redis import Redis, RedisCluster

from transformations.engine.base.errors import ServiceUnavailableError, UsageError
from transformations.engine.base.settings import get_settings
from transformations.stores.base.errors import Answering
from transformations.stores.base.feast_seams import (
    RedisStoreWithClient,
    compute_written_views_when_read,
    keep_udf_bodies,
)
from transformations.stores.computed.rollout import check_served
from transformations.stores.computed.wiring import look_for_code_in
from transformations.stores.lookups.lookup import EntityRows, lookup_of
from transformations.stores.lookups.plan_cache import Plans
from transformations.stores.lookups.response import PackedResponse
from transformations.stores.lookups.steps import ATTEMPTS, Catalogs, look_up, read_rows, too_many_changes
from transformations.stores.redis import catalogue as online_catalog
from transformations.stores.redis.catalogue import Catalog
from transformations.stores.redis.channel import Node, can_channel
from transformations.stores.redis.cluster_reads import ClusterSource
from transformations.stores.redis.connections import (
    Reaching,
    SyncClient,
    connect,
    connect_async,
    warn_of_eviction,
)
from transformations.stores.redis.feast_rows import (
    Found,
    Row,
    latest_event,
    newest_rows,
    pack_rows,
    refuse_future_rows,
)
from transformations.stores.redis.loaded import forget
from transformations.stores.redis.reads import Answer, AsyncSource, NodeSource, Reader, Source, Steps, run_async
from transformations.stores.redis.unlinking import unlink_leftovers
from transformations.stores.redis.writes import write_rows
from transformations.stores.rows.packed_rows import Schema, schema_of

_LOG = logging.getLogger(__name__)
_EXPIRY_MARGIN = timedelta(days=1)


class PackedRedisOnlineStoreConfig(RedisOnlineStoreConfig):
    """The yaml keys of Feast's Redis store; without a `connection_string` our settings say where Redis is.

    key_ttl_seconds: when a row expires after its writing; by default its view's ttl and a day, or never.
    full_scan_for_deletion: whether `feast apply` also unlinks the rows of views it removes, which are hidden at once
    anyway; the next materialization unlinks what is left.
    """

    type: str = "transformations.stores.online.PackedRedisOnlineStore"  # type: ignore[assignment]
    connection_string: str = Field("", repr=False)
    # Feast's own comparison never lets a correction of equal event time through (redis.py:547); the store has its own.
    skip_dedup: Literal[True] = True

    def __init__(self, **keys: Any) -> None:
        """UsageError for keys that do not fit; pydantic's error, which Feast prints, would repeat the address."""
        keep_udf_bodies()
        compute_written_views_when_read(lambda config: isinstance(config.online_store, PackedRedisOnlineStoreConfig))
        try:
            super().__init__(**keys)
        except ValidationError as error:
            faults = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors(include_input=False)]
        else:
            return
        known = ", ".join(sorted(type(self).model_fields))
        raise UsageError(f"online_store of feature_store.yaml: {'; '.join(faults)}. Its keys are {known}.")


class PackedRedisOnlineStore(RedisStoreWithClient):
    """One value per entity and view; any number of views and entities is one round trip.

    A write replaces the stored row unless that is newer by (event timestamp, created timestamp, schema). It connects on
    first use: `feast apply` of new views and training retrieval need no Redis. Reads and writes wait as long as the
    settings say.

    Errors: ServiceUnavailableError when Redis cannot be reached or does not answer in time.
    """

    def __init__(self) -> None:
        self._patient: SyncClient | None = None
        self._reader: Reader | None = None
        self._async_readers: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[AsyncSource, int]] = WeakKeyDictionary()
        self._catalogs = Catalogs()
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
            steps = look_up(plan, entity_rows, self._catalogs, project, include_feature_view_version_metadata)
            return self._reader_of(config).run(steps)

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
            steps = look_up(plan, entity_rows, self._catalogs, project, include_feature_view_version_metadata)
            return await self._run_async(config, steps)

    def unseen_features(
        self,
        config: RepoConfig,
        features: list[str] | FeatureService,
        entity_rows: EntityRows,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
    ) -> PackedResponse:
        """As `get_online_features` where Redis holds no row of anybody: `unseen` defaults, and nulls. Asks nothing."""
        with Answering():
            plan = self._plans_of(config).of(registry, project, features, full_feature_names)
            return lookup_of(plan, entity_rows).answer((), Catalog(epoch=None, tables={}))

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[Found]:
        """Each entity's row: its event timestamp and values; nothing where there is no row.

        A row that has outlived its view's ttl gives its event timestamp and nulls.
        """
        steps = self._row_steps(config, table, entity_keys, requested_features)
        with Answering(), Reaching(config.online_store):
            return self._reader_of(config).run(steps)

    async def online_read_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[Found]:
        """As `online_read`."""
        steps = self._row_steps(config, table, entity_keys, requested_features)
        with Answering(), Reaching(config.online_store):
            return await self._run_async(config, steps)

    def _row_steps(
        self, config: RepoConfig, table: FeatureView, entity_keys: list[EntityKey], wanted: list[str] | None
    ) -> Steps[list[Found]]:
        name = online_name(table, config)
        return read_rows(table, name, entity_keys, wanted, self._catalogs, config.project)

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
        Naive timestamps are UTC. A row with a null join key belongs to no entity and is left out. UsageError for an
        on-demand view, which is computed when it is read; DataError for rows from the future, of which none is written.
        """
        if isinstance(cast("object", table), OnDemandFeatureView):
            raise UsageError(
                f"on-demand view {table.name} is computed when it is read, from its source views and the request, in "
                f"training as online: nothing is written for it. Write the rows to the views that it reads."
            )
        refuse_future_rows(table, data)
        rows = newest_rows(data)
        schema = schema_of(table.features)
        expiry = expiry_ms(table, config.online_store)
        with Reaching(config.online_store):
            client = self.client(config.online_store)
            for _ in range(ATTEMPTS):
                number, version = self.table_for_writing(config, table, schema)
                pairs = pack_rows(table, rows, version)
                is_row = online_catalog.row_test(client, config.project, online_name(table, config), latest_event())
                replaced = write_rows(client, ((tag + number, row) for tag, row in pairs), expiry, is_row)
                warn_of_replaced(table.name, replaced)
                epoch = online_catalog.read_epoch(client, config.project)
                if self._catalogs.is_of(config.project, epoch):
                    break
                # The view was deleted, loaded anew or flushed meanwhile: the rows belong elsewhere now.
            else:
                raise too_many_changes(config.project)
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
        name, client = online_name(view, config), self.client(config.online_store)
        catalog = online_catalog.read_catalog(client, config.project)
        known = catalog.tables.get(name)
        if known is None or known.schemas[-1] != schema:
            catalog = online_catalog.intern(client, config.project, name, schema)
        self._catalogs.keep(config.project, catalog)
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
                unlink_leftovers(self.client(config.online_store))

    def delete_table(self, config: RepoConfig, table: FeatureView) -> None:
        """Hide a view's rows."""
        with Reaching(config.online_store):
            client, name = self.client(config.online_store), online_name(table, config)
            forget(client, config.project, name)
            online_catalog.drop(client, config.project, name)

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]) -> None:
        """Remove the rows of these views."""
        self.update(config, tables, [], entities, [], partial=False)

    # Connections

    async def initialize(self, config: RepoConfig) -> None:
        """A server's start: compile the plans of all feature services, and connect.

        DataError where the registry has on-demand views whose code cannot be imported here, or was never applied. Other
        views that a request would be refused for are logged.
        """
        registry, plans = FeatureStore(config=config).registry, self._plans_of(config)
        await asyncio.to_thread(check_served, registry, config.project, is_strict=is_strict(config))
        plans.prepare(registry, config.project)
        gc.collect()
        gc.freeze()  # what is there now stays: no collection during requests need look through Feast's modules again
        atexit.register(gc.unfreeze)  # else DuckDB's binding takes what was kept for leaks, and prints them
        # Redis may still be on its way up; while it is down, each request says so.
        with contextlib.suppress(ServiceUnavailableError), Reaching(config.online_store):
            await self._run_async(config, self._catalogs.read(config.project))

    async def close(self) -> None:
        """Close the running event loop's connections."""
        if reader := self._async_readers.pop(asyncio.get_running_loop(), None):
            await reader[0].aclose()

    def _plans_of(self, config: RepoConfig) -> Plans:
        if self._plans is None:
            look_for_code_in(config.repo_path)
            self._plans = Plans(config.registry.enable_online_feature_view_versioning, is_strict=is_strict(config))
        return self._plans

    def _reader_of(self, config: RepoConfig) -> Reader:
        if self._reader is None:
            with self._connecting:
                if self._reader is None:
                    timeout_ms = get_settings().redis_read_timeout_ms
                    self._reader = Reader(source_of(config.online_store, timeout_ms), timeout_ms)
        return self._reader

    async def _run_async(self, config: RepoConfig, steps: Steps[Answer]) -> Answer:
        client, timeout_ms = self._async_reader(config)
        return await run_async(client, steps, timeout_ms)

    def _async_reader(self, config: RepoConfig) -> tuple[AsyncSource, int]:
        """The lookups' client of the running event loop, and how long it may take in milliseconds.

        Connections cannot move from one loop to another.
        """
        loop = asyncio.get_running_loop()
        reader = self._async_readers.get(loop)
        if reader is None:
            timeout_ms = get_settings().redis_read_timeout_ms
            reader = self._async_readers[loop] = async_source_of(config.online_store, timeout_ms), timeout_ms
        return reader

    def client(self, config: RedisOnlineStoreConfig) -> SyncClient:
        """The patient client, for everything but lookups."""
        if self._patient is None:
            client = connect(config, get_settings().redis_write_timeout_ms)
            warn_of_eviction(client, config)
            self._patient = client
        return self._patient


def source_of(config: RedisOnlineStoreConfig, timeout_ms: int) -> Source:
    """Where lookups read: a single node, or a cluster that is connected to within the time of a lookup."""

    def open_client() -> SyncClient:
        return connect(config, timeout_ms)

    if config.redis_type == RedisType.redis_cluster:
        return ClusterSource(cast("Callable[[], RedisCluster]", open_client))
    return NodeSource(cast("Redis", open_client()))


def async_source_of(config: RedisOnlineStoreConfig, timeout_ms: int) -> AsyncSource:
    """Where an event loop's lookups read."""
    if config.redis_type != RedisType.redis_cluster:
        client = cast("Redis", connect(config, timeout_ms))
        if can_channel(client):
            return Node(client)
    return connect_async(config, timeout_ms)


def is_strict(config: RepoConfig) -> bool:
    """Whether a repository refuses views of Feast's own that its stores compute differently on the two paths."""
    return getattr(config.offline_store, "on_demand", "") == "strict"


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
    milliseconds = timedelta(milliseconds=1)
    return view.ttl // milliseconds + _EXPIRY_MARGIN // milliseconds if view.ttl else 0


def warn_of_replaced(view: str, values: int) -> None:
    """Log a warning if a write replaced values that were no intact rows: somebody or something damages them."""
    if values:
        _LOG.warning(
            "%s: %s values in Redis under keys of this view were no intact rows, or lay in the future; they were "
            "replaced. Look for other programs that write to this Redis, and at its persistence.",
            view,
            f"{values:,}",
        )
