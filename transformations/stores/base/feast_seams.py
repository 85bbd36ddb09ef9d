"""Every private name of Feast that we use, here and nowhere else, each with a typed result.

A release of Feast may change any of them; `tests/transformations/stores/base/test_feast_seams.py` then says which one,
and what depends on it.
"""

from __future__ import annotations

import hashlib
import inspect
import uuid
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import copy
from datetime import datetime, timedelta
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import pyarrow as pa
from feast import FeatureService, FeatureStore, Field, OnDemandFeatureView, inference, utils
from feast.errors import FeastError
from feast.infra.online_stores.online_store import OnlineStore
from feast.infra.online_stores.redis import RedisOnlineStore
from feast.infra.registry.base_registry import BaseRegistry
from feast.online_response import OnlineResponse
from feast.protos.feast.core.Registry_pb2 import Registry as RegistryProto
from feast.transformation import udf_rehydrate
from feast.types import from_value_type
from feast.value_type import ValueType

from transformations.engine.base.errors import FeaturesError

if TYPE_CHECKING:
    import pandas as pd
    from duckdb import DuckDBPyConnection
    from fastapi import FastAPI
    from feast import RepoConfig
    from feast.infra.common.materialization_job import MaterializationJob, MaterializationTask
    from feast.infra.compute_engines.local.compute import LocalComputeEngine


class RequestContext(NamedTuple):
    """A request's features as Feast resolves them (`utils._get_online_request_context`).

    references: `view:feature` of every requested feature. grouped: views with the names of their needed features.
    """

    references: list[str]
    on_demand: list[OnDemandFeatureView]
    entity_names: dict[str, str]
    entity_types: dict[str, Any]
    join_keys: set[str]
    grouped: list[tuple[Any, list[str]]]  # feature views, and on-demand views that are computed when written
    result_names: set[str]
    request_fields: set[str]
    needs_entities: bool


def request_context(
    registry: Any, project: str, features: list[str] | FeatureService, full_feature_names: bool
) -> RequestContext:
    """Resolve a request's views, keys and fields from the registry's cached content. Errors: Feast's own."""
    return RequestContext(*utils._get_online_request_context(registry, project, features, full_feature_names))


def cached_content(registry: BaseRegistry) -> RegistryProto | None:
    """The registry's content as this process has cached it; None before the first read or without a cache."""
    content: RegistryProto | None = getattr(registry, "cached_registry_proto", None)
    return content


def read_content(registry: BaseRegistry) -> RegistryProto:
    """The registry's content as this process has cached it; the first call reads it."""
    content: RegistryProto | None = getattr(registry, "cached_registry_proto", None)
    if content is None:
        registry.refresh()
        content = cached_content(registry)
    if content is None:
        raise LookupError(f"{type(registry).__name__} keeps no content after a refresh")
    return content


def number(content: RegistryProto) -> str:
    """Number a registry's content, so that content after a refresh is not taken for the content before.

    Feast caches views by the content's address and number (proto_registry_utils.py:94), and its SQL registry sets no
    number (sql.py:1519): new content at the same address would find the old views.
    """
    if not content.version_id:
        content.version_id = uuid.uuid4().hex
    return content.version_id


def content_digest(content: RegistryProto) -> bytes:
    """A digest of a registry's content that ignores its number and when it was written."""
    plain = RegistryProto()
    plain.CopyFrom(content)
    plain.version_id = ""
    plain.ClearField("last_updated")
    return hashlib.sha256(plain.SerializeToString(deterministic=True)).digest()


def is_expired(registry: BaseRegistry) -> bool:
    """Whether a registry's cache has outlived its time (as registry.py:1507)."""
    created: datetime | None = getattr(registry, "cached_registry_proto_created", None)
    ttl: timedelta | None = getattr(registry, "cached_registry_proto_ttl", None)
    return created is not None and bool(ttl) and bool(utils._utc_now() > created + (ttl or timedelta()))


def registry_file(registry: BaseRegistry) -> Any:
    """The file of a file registry; None for other registries."""
    return getattr(registry, "_file_path", None)


def online_client(store: FeatureStore) -> Any:
    """The Redis client of a store's online store."""
    online: Any = store._get_provider().online_store
    return online._get_client(store.config.online_store)


def online_store_of(store: FeatureStore) -> OnlineStore:
    """The organ of a store that reads and writes features online."""
    online: OnlineStore = store._get_provider().online_store
    return online


def has_vector_search(store: FeatureStore) -> bool:
    """Whether a store's online store finds rows by vectors; Feast's base class raises NotImplementedError."""
    kind = type(store._get_provider().online_store)
    searches = ("retrieve_online_documents", "retrieve_online_documents_v2")
    return any(getattr(kind, name) is not getattr(OnlineStore, name) for name in searches)


def redis_address(connection_string: str) -> tuple[list[dict[str, str]], dict[str, Any]]:
    """Nodes and options of Feast's form of a Redis address."""
    nodes, options = RedisOnlineStore._parse_connection_string(connection_string)
    return nodes, options


def with_offline_config(config: RepoConfig, offline_config: Any) -> RepoConfig:
    """The same repository with another offline store's configuration: Feast's methods insist on their class."""
    theirs = copy(config)
    theirs._offline_store = offline_config
    return theirs


def explain_offline_writes(explain: Callable[[FeatureStore, str, pd.DataFrame, Exception], None]) -> None:
    """Let `explain` raise a better error where a frame cannot become a table: `FeatureStore.write_to_offline_store`
    converts it (feature_store.py:3959) before it asks any organ of ours. It writes where the view of this registry
    says, not one of the same name that the process has seen before (`number`).
    """
    feasts = FeatureStore.write_to_offline_store
    if hasattr(feasts, "__wrapped__"):
        return

    @wraps(feasts)
    def write_to_offline_store(
        self: FeatureStore, feature_view_name: str, df: pd.DataFrame, *arguments: Any, **named: Any
    ) -> None:
        if (content := cached_content(self.registry)) is not None:
            number(content)
        try:
            feasts(self, feature_view_name, df, *arguments, **named)
        except (pa.ArrowException, OverflowError, ValueError, TypeError) as error:
            explain(self, feature_view_name, df, error)
            raise

    FeatureStore.write_to_offline_store = write_to_offline_store  # type: ignore[method-assign]


def infer_renamed_keys() -> None:
    """Let Feast infer the dtype of a join key that a view's source calls otherwise, as it does of any other key.

    It looks for keys under the files' names alone (inference.py:243): a renamed one has no dtype afterwards, and is a
    feature where the features are inferred, too.
    """
    feasts = inference._infer_features_and_entities
    if hasattr(feasts, "__wrapped__"):
        return

    @wraps(feasts)
    def _infer_features_and_entities(
        provider: Any, fv: Any, join_keys: set[str | None], run_inference_for_features: Any, config: Any
    ) -> None:
        feasts(provider, fv, join_keys, run_inference_for_features, config)
        if isinstance(fv, OnDemandFeatureView) or (source := fv.batch_source) is None:
            return
        known = {column.name for column in fv.entity_columns}
        renamed = {stored: key for stored, key in source.field_mapping.items() if key in join_keys - known}
        if not renamed:
            return
        value_type_of = source.source_datatype_to_feast_value_type()
        for column, kind in provider.get_table_column_names_and_types_from_data_source(config, source):
            if column in renamed:
                dtype = from_value_type(value_type_of(kind))
                fv.entity_columns.append(Field(name=renamed[column], dtype=dtype))
        fv.features = [feature for feature in fv.features if feature.name not in renamed.values()]

    inference._infer_features_and_entities = _infer_features_and_entities


def keep_udf_bodies() -> None:
    """Let each function that Feast reads from a registry keep its pickled form, which `udf_body` gives.

    Feast executes its source text alone (udf_rehydrate.py:160), without the imports and helpers of its module.
    """
    feasts = udf_rehydrate.resolve_udf
    if hasattr(feasts, "__wrapped__"):
        return

    @wraps(feasts)
    def resolve_udf(**facts: Any) -> Callable[..., Any]:
        function = feasts(**facts)
        with suppress(AttributeError):  # of a callable that is no function
            function.__feast_body__ = facts.get("body")  # type: ignore[attr-defined]
        return function

    udf_rehydrate.resolve_udf = resolve_udf


def compute_written_views_when_read(is_ours: Callable[[RepoConfig], bool]) -> None:
    """Let no materialization compute on-demand views that Feast computes when written (feature_store.py:2379).

    is_ours: whether a repository's online store computes them when they are read.
    """
    feasts = FeatureStore._materialize_odfv
    if hasattr(feasts, "__wrapped__"):
        return

    @wraps(feasts)
    def _materialize_odfv(self: FeatureStore, *arguments: Any, **named: Any) -> None:
        if not is_ours(self.config):
            feasts(self, *arguments, **named)

    FeatureStore._materialize_odfv = _materialize_odfv  # type: ignore[method-assign]


def explain_failing_functions(explain: Callable[[OnDemandFeatureView, Exception], None]) -> None:
    """Let `explain` raise a better error where `feast apply` calls an on-demand view's function with a row of its own
    making, on which it fails: Feast's error does not name the view (on_demand_feature_view.py:1162).
    """
    feasts = OnDemandFeatureView.infer_features
    if hasattr(feasts, "__wrapped__"):
        return

    @wraps(feasts)
    def infer_features(self: OnDemandFeatureView) -> None:
        try:
            feasts(self)
        except (FeastError, FeaturesError):
            raise
        except Exception as error:
            explain(self, error)
            raise

    OnDemandFeatureView.infer_features = infer_features  # type: ignore[method-assign]


def unsampled_inputs(view: OnDemandFeatureView) -> list[str]:
    """The inputs of an on-demand view that `feast apply` gives as None, having no sample of their dtypes."""
    return [name for name, sample in view._construct_random_input().items() if sample is None]


def udf_body(function: Callable[..., Any]) -> bytes | None:
    """The pickled form of a function that was read from a registry; None for any other."""
    body: bytes | None = getattr(function, "__feast_body__", None)
    return body


def refuse_empty_loads(refuse: Callable[[FeatureStore], None]) -> None:
    """Let `refuse` raise where `feast materialize` finds no view to load: Feast would load nothing and end well
    (feature_store.py:1309).
    """
    feasts = FeatureStore._get_feature_views_to_materialize
    if hasattr(feasts, "__wrapped__"):
        return

    @wraps(feasts)
    def _get_feature_views_to_materialize(self: FeatureStore, *arguments: Any, **named: Any) -> list[Any]:
        found: list[Any] = feasts(self, *arguments, **named)
        if not found:
            refuse(self)
        return found

    FeatureStore._get_feature_views_to_materialize = _get_feature_views_to_materialize  # type: ignore[method-assign]


def numeric_metrics(
    connection: DuckDBPyConnection, table: str, names: Sequence[str], bins: int
) -> list[dict[str, Any]]:
    """The metrics that Feast's monitoring stores for numeric columns, by its own formulas (duckdb.py:413)."""
    from feast.infra.offline_stores.duckdb import _duckdb_numeric_stats

    return _duckdb_numeric_stats(connection, table, list(names), "", bins) if names else []


def categorical_metric(connection: DuckDBPyConnection, table: str, name: str, top: int) -> dict[str, Any]:
    """The metrics that Feast's monitoring stores for a categorical column, by its own formulas (duckdb.py:545)."""
    from feast.infra.offline_stores.duckdb import _duckdb_categorical_stats

    return _duckdb_categorical_stats(connection, table, name, "", top)


def hide_experimental_warning() -> None:
    """Hide Feast's warning that on-demand views are experimental, at every apply and plan (feature_store.py:1166).

    It is about Feast's own evaluation of them, which the platform does not use.
    """
    warnings.filterwarnings("ignore", message="On demand feature view is an experimental", category=RuntimeWarning)


def serving_store(app: FastAPI) -> FeatureStore:
    """The store behind the routes of Feast's server; only their closures hold it."""
    for route in app.routes:
        if getattr(route, "path", "") == "/get-online-features":
            store: FeatureStore = inspect.getclosurevars(cast("Any", route).endpoint).nonlocals["store"]
            return store
    raise LookupError("Feast's server has no route /get-online-features")


async def permitted_features(request: Any, store: FeatureStore) -> list[str] | FeatureService:
    """The features or the service of a request by HTTP, if its sender may read them (feature_server.py:264)."""
    from feast.feature_server import _get_features

    features: list[str] | FeatureService = await _get_features(request, store)
    return features


def log_lookup(
    request: Any, features: list[str] | FeatureService, rows: int, outcome: str, milliseconds: float
) -> None:
    """Write a lookup into Feast's audit log, where that is switched on (feature_server.py:229)."""
    from feast.feature_server import _emit_online_audit

    _emit_online_audit(request, features, rows, outcome, milliseconds)


class RedisStoreWithClient(RedisOnlineStore):
    """Feast's Redis store for a subclass that makes its own clients."""

    def client(self, config: Any) -> Any:
        """The blocking client."""
        raise NotImplementedError

    def _get_client(self, online_store_config: Any) -> Any:
        return self.client(online_store_config)

    async def _get_client_async(self, online_store_config: Any) -> Any:
        raise NotImplementedError("this store's asynchronous client belongs to an event loop")


class TypedResponse(OnlineResponse):
    """Feast's response for a subclass that knows the types of its features without a protobuf."""

    @property
    def value_types(self) -> dict[str, ValueType]:
        """The protobuf type of each feature, by its name in the response."""
        raise NotImplementedError

    @cached_property
    def _feature_types(self) -> dict[str, ValueType]:  # type: ignore[override]  # Feast's tells UUIDs from texts by it
        return self.value_types


if TYPE_CHECKING:
    _Engine = LocalComputeEngine
else:
    _Engine = object  # importing Feast's engine takes 0.2 s, which a server need not wait for


class ViewByViewEngine(_Engine):
    """Loads one view at a time. Name it before Feast's LocalComputeEngine among the bases of an engine."""

    def load_view(self, task: MaterializationTask) -> MaterializationJob | None:
        """Load the view of a task; None leaves that to Feast's engine."""
        raise NotImplementedError

    def _materialize_one(self, registry: BaseRegistry, task: MaterializationTask, **named: Any) -> Any:
        job = self.load_view(task)
        return super()._materialize_one(registry, task, **named) if job is None else job
