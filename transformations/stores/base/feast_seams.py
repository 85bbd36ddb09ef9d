"""Every name that Feast keeps to itself and we use nevertheless: here and nowhere else, each with what it gives.

A release of Feast may change any of them. `tests/transformations/stores/base/test_feast_seams.py` then says which, and
what of ours stands on it.
"""

from __future__ import annotations

import inspect
import uuid
import warnings
from collections.abc import Callable, Sequence
from copy import copy
from datetime import datetime, timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import pyarrow as pa
from feast import FeatureService, FeatureStore, OnDemandFeatureView, utils
from feast.infra.online_stores.online_store import OnlineStore
from feast.infra.online_stores.redis import RedisOnlineStore
from feast.infra.registry.base_registry import BaseRegistry
from feast.protos.feast.core.Registry_pb2 import Registry as RegistryProto

if TYPE_CHECKING:
    import pandas as pd
    from duckdb import DuckDBPyConnection
    from fastapi import FastAPI
    from feast import RepoConfig


class RequestContext(NamedTuple):
    """What Feast makes of a request's features (`utils._get_online_request_context`).

    references: `view:feature` of every one asked for. grouped: views with the names of their features that are needed.
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
    """Views, keys and request fields of a request, by the registry's cached content. Errors: Feast's own."""
    return RequestContext(*utils._get_online_request_context(registry, project, features, full_feature_names))


def cached_content(registry: BaseRegistry) -> RegistryProto | None:
    """What a process has read of its registry; None before the first reading, and of a registry without a cache."""
    content: RegistryProto | None = getattr(registry, "cached_registry_proto", None)
    return content


def number(content: RegistryProto) -> None:
    """Tell apart what a registry was before a refresh and what it is after.

    Feast caches views by the address of the registry's content and its number (proto_registry_utils.py:94), and its SQL
    registry gives none (sql.py:1519): content read into the place of an earlier one would be taken for that.
    """
    if not content.version_id:
        content.version_id = uuid.uuid4().hex


def is_expired(registry: BaseRegistry) -> bool:
    """Whether a registry's cache has outlived its time (as registry.py:1507)."""
    created: datetime | None = getattr(registry, "cached_registry_proto_created", None)
    ttl: timedelta | None = getattr(registry, "cached_registry_proto_ttl", None)
    return created is not None and bool(ttl) and bool(utils._utc_now() > created + (ttl or timedelta()))


def registry_file(registry: BaseRegistry) -> Any:
    """The file of a file registry; None of others."""
    return getattr(registry, "_file_path", None)


def online_client(store: FeatureStore) -> Any:
    """The client of a store's online store."""
    online: Any = store._get_provider().online_store
    return online._get_client(store.config.online_store)


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
    """Let `explain` raise a better error where a frame is no table: `FeatureStore.write_to_offline_store` makes an
    Arrow table of it (feature_store.py:3959) before it asks any organ of ours.
    """
    feasts = FeatureStore.write_to_offline_store
    if hasattr(feasts, "__wrapped__"):
        return

    @wraps(feasts)
    def write_to_offline_store(
        self: FeatureStore, feature_view_name: str, df: pd.DataFrame, *arguments: Any, **named: Any
    ) -> None:
        try:
            feasts(self, feature_view_name, df, *arguments, **named)
        except (pa.ArrowException, OverflowError, ValueError, TypeError) as error:
            explain(self, feature_view_name, df, error)
            raise

    FeatureStore.write_to_offline_store = write_to_offline_store  # type: ignore[method-assign]


def numeric_metrics(
    connection: DuckDBPyConnection, table: str, names: Sequence[str], bins: int
) -> list[dict[str, Any]]:
    """What Feast's monitoring stores of numeric columns, by its own formulas (duckdb.py:413)."""
    from feast.infra.offline_stores.duckdb import _duckdb_numeric_stats

    return _duckdb_numeric_stats(connection, table, list(names), "", bins) if names else []


def categorical_metric(connection: DuckDBPyConnection, table: str, name: str, top: int) -> dict[str, Any]:
    """What Feast's monitoring stores of a categorical column, by its own formulas (duckdb.py:545)."""
    from feast.infra.offline_stores.duckdb import _duckdb_categorical_stats

    return _duckdb_categorical_stats(connection, table, name, "", top)


def hide_experimental_warning() -> None:
    """Hide what Feast says of on-demand views at every apply and plan (feature_store.py:1166).

    What it calls experimental is its own evaluation of them, which the platform does not use.
    """
    warnings.filterwarnings("ignore", message="On demand feature view is an experimental", category=RuntimeWarning)


def serving_store(app: FastAPI) -> FeatureStore:
    """The store that the routes of Feast's server answer from; they have it in their closure only."""
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
