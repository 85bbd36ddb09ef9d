"""The names that Feast keeps to itself and we use: each is there, and gives what ours stands on."""

import ast
import asyncio
import importlib
import inspect
import re
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import duckdb
import pytest
from fastapi import FastAPI
from feast import FeatureService, FeatureStore, RepoConfig, feature_server, inference, metrics, utils
from feast.infra.common.materialization_job import MaterializationTask
from feast.infra.compute_engines.base import ComputeEngine
from feast.infra.offline_stores import duckdb as duckdb_store
from feast.infra.online_stores.redis import RedisOnlineStore
from feast.infra.registry.base_registry import BaseRegistry
from feast.infra.registry.registry import Registry
from feast.infra.registry.sql import SqlRegistry
from feast.online_response import OnlineResponse
from feast.protos.feast.core.Registry_pb2 import Registry as RegistryProto
from feast.transformation import udf_rehydrate

import transformations
from transformations.stores.base import feast_seams
from transformations.stores.lookups.response import PackedResponse
from transformations.stores.materialization import BulkMaterializationEngine
from transformations.stores.online import PackedRedisOnlineStore
from transformations.stores.training.jobs import PointInTimeJob, TableJob

STORES = Path(*transformations.__path__, "stores")
# What Feast leaves to each store's jobs to write.
ABSTRACT = {"_to_df_internal", "_to_arrow_internal"}
# Names without an underscore that Feast does not document either.
PRIVATE = {"cached_registry_proto", "cached_registry_proto_created", "cached_registry_proto_ttl", "version_id"}


@pytest.mark.parametrize(
    ("function", "parameters", "stands_on_it"),
    [
        (
            utils._get_online_request_context,
            ["registry", "project", "features", "full_feature_names"],
            "plans of lookups (stores/lookups/plans.py)",
        ),
        (utils._utc_now, [], "when a server renews its registry (stores/lookups/plan_cache.py)"),
        (
            FeatureStore._get_feature_views_to_materialize,
            ["self", "feature_views", "version"],
            "the refusal of a load without views",
        ),
        (FeatureStore._get_provider, ["self"], "what is loaded (`features status`, /health)"),
        (RedisOnlineStore._get_client, ["self", "online_store_config"], "whatever speaks to Redis"),
        (RedisOnlineStore._parse_connection_string, ["connection_string"], "Feast's form of a Redis address"),
        (
            duckdb_store._duckdb_numeric_stats,
            ["conn", "from_expr", "feature_names", "ts_filter", "histogram_bins"],
            "`feast monitor` over our store",
        ),
        (
            duckdb_store._duckdb_categorical_stats,
            ["conn", "from_expr", "col_name", "ts_filter", "top_n"],
            "`feast monitor` over our store",
        ),
        (feature_server._get_features, ["request", "store"], "who may look up what (stores/server/routes.py)"),
        (
            udf_rehydrate.resolve_udf,
            ["udf_string", "body", "fallback_udf", "preferred_name"],
            "functions of on-demand views that use names of their module (stores/computed/feast_functions.py)",
        ),
        (
            inference._infer_features_and_entities,
            ["provider", "fv", "join_keys", "run_inference_for_features", "config"],
            "join keys behind a field mapping",
        ),
        (
            FeatureStore._materialize_odfv,
            ["self", "feature_view", "start_date", "end_date", "full_feature_names"],
            "views that are computed when read, though Feast would compute them when written",
        ),
        (
            feature_server._emit_online_audit,
            ["request", "features", "entity_count", "status", "latency_ms"],
            "Feast's audit log of lookups (stores/server/routes.py)",
        ),
    ],
)
def test_a_private_function_takes_what_we_give_it(
    function: Callable[..., object], parameters: list[str], stands_on_it: str
) -> None:
    assert list(inspect.signature(function).parameters) == parameters, f"Feast has changed what carries {stands_on_it}"


def test_a_request_s_context_has_as_many_parts_as_we_name() -> None:
    returned = inspect.getsource(utils._get_online_request_context).rpartition("return (")[2]
    names = re.findall(r"^\s+(\w+),$", returned, re.MULTILINE)
    assert len(names) == len(feast_seams.RequestContext._fields), names


@pytest.mark.parametrize("kind", [Registry, SqlRegistry])
def test_a_registry_keeps_what_it_has_read(kind: type) -> None:
    source = "".join(inspect.getsource(each) for each in kind.__mro__ if each.__module__.startswith("feast"))
    for name in ("cached_registry_proto", "cached_registry_proto_created", "cached_registry_proto_ttl"):
        assert f"self.{name}" in source, "plans are kept by the registry's cached content"


def test_a_content_is_numbered_once() -> None:
    content = RegistryProto()
    feast_seams.number(content)
    first = content.version_id
    assert feast_seams.number(content) == first == content.version_id
    assert first


def test_a_content_s_digest_ignores_its_number_and_its_time() -> None:
    one, other = RegistryProto(), RegistryProto()
    feast_seams.number(one)
    other.last_updated.GetCurrentTime()
    assert feast_seams.content_digest(one) == feast_seams.content_digest(other)
    other.projects.add()
    assert feast_seams.content_digest(one) != feast_seams.content_digest(other)


def test_a_configuration_can_be_exchanged(tmp_path: Path) -> None:
    config = RepoConfig(
        project="p", registry=str(tmp_path / "r.db"), provider="local", entity_key_serialization_version=3
    )
    other = object()
    assert feast_seams.with_offline_config(config, other).offline_store is other
    assert config.offline_store is not other


def test_an_address_is_taken_apart() -> None:
    nodes, options = feast_seams.redis_address("one:6379,two:6380,ssl=true")
    assert [(node["host"], str(node["port"])) for node in nodes] == [("one", "6379"), ("two", "6380")]
    assert options["ssl"] is True


def test_metrics_come_by_feasts_own_formulas() -> None:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t AS SELECT * FROM (VALUES (1.0, 'a'), (3.0, 'a'), (NULL, 'b')) AS v(x, y)")
        (numbers,) = feast_seams.numeric_metrics(connection, "t", ["x"], 4)
        letters = feast_seams.categorical_metric(connection, "t", "y", 2)
    assert (numbers["row_count"], numbers["null_count"], numbers["mean"]) == (3, 1, 2.0)
    assert letters["row_count"] == 3


def test_a_response_asks_for_its_types_where_ours_has_them() -> None:
    assert "self._feature_types.get(" in inspect.getsource(OnlineResponse.to_dict), "UUIDs would be shown as texts"


def test_an_engine_is_asked_for_one_view_after_the_other() -> None:
    assert "self._materialize_one(registry, task, **kwargs)" in inspect.getsource(ComputeEngine.materialize)
    engine = BulkMaterializationEngine.__new__(BulkMaterializationEngine)
    engine.load_view = lambda task: f"loaded {task}"  # type: ignore[method-assign, assignment, return-value]
    tasks = [cast("MaterializationTask", task) for task in ("a", "b")]
    assert engine.materialize(cast("BaseRegistry", None), tasks) == ["loaded a", "loaded b"]


def test_feasts_redis_store_gets_its_clients_where_ours_makes_them() -> None:
    source = inspect.getsource(RedisOnlineStore)
    assert ("self._get_client(" in source, "self._get_client_async(" in source) == (True, True)
    store = PackedRedisOnlineStore()
    store.client = lambda config: f"client of {config}"  # type: ignore[method-assign, assignment, return-value]
    assert store._get_client("here") == "client of here"


def test_the_clock_is_aware() -> None:
    assert abs((utils._utc_now() - datetime.now(UTC)).total_seconds()) < 60


def test_what_feast_says_of_on_demand_views_is_hidden_where_it_is_asked_for() -> None:
    (said,) = re.findall(r'"(On demand .*)"', inspect.getsource(FeatureStore._validate_all_feature_views))
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        warnings.warn(said, RuntimeWarning, stacklevel=1)
        feast_seams.hide_experimental_warning()
        warnings.warn(said, RuntimeWarning, stacklevel=1)
    assert len(heard) == 1


def test_no_module_of_ours_changes_which_warnings_are_shown_when_it_is_imported() -> None:
    at_import = {
        file.name
        for file in STORES.parent.rglob("*.py")
        for statement in ast.parse(file.read_text()).body
        if isinstance(statement, ast.Expr) and "warnings." in ast.unparse(statement.value)
        if isinstance(statement.value, ast.Call)
    }
    assert at_import == set()


def test_feasts_server_tells_its_store(store_of: Callable[..., FeatureStore]) -> None:
    store = store_of()
    assert feast_seams.serving_store(feature_server.get_app(store)) is store
    with pytest.raises(LookupError, match="has no route /get-online-features"):
        feast_seams.serving_store(FastAPI())


def test_features_of_a_request_come_as_it_names_them_or_as_its_service(store_of: Callable[..., FeatureStore]) -> None:
    store = store_of(FeatureService(name="all_v1", features=[], owner="me", description="All"))
    by_list = SimpleNamespace(feature_service=None, features=["a:b"])
    by_service = SimpleNamespace(feature_service="all_v1", features=None)
    assert asyncio.run(feast_seams.permitted_features(by_list, store)) == ["a:b"]
    service = asyncio.run(feast_seams.permitted_features(by_service, store))
    assert cast("FeatureService", service).name == "all_v1"


def test_a_lookup_stands_in_feasts_audit_log_where_that_is_on(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[dict[str, Any]] = []
    monkeypatch.setattr(metrics, "emit_online_audit_log", lambda **facts: written.append(facts))
    request = SimpleNamespace(entities={"user_id": [1, 2]})
    for is_on in (False, True):
        monkeypatch.setattr(metrics._config, "audit_logging", is_on)
        feast_seams.log_lookup(request, ["a:b", "a:c"], 2, "success", 1.5)
    assert written == [
        {
            "requestor_id": "anonymous",
            "entity_keys": ["user_id"],
            "entity_count": 2,
            "feature_views": ["a"],
            "feature_count": 2,
            "status": "success",
            "latency_ms": 1.5,
        }
    ]


def private_names(tree: ast.Module) -> set[str]:
    """The private names that a module takes from an object that is not its own, imports, or looks up by text."""
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name("self" | "cls")):
                continue
            case ast.Attribute(attr=name) | ast.Call(func=ast.Name("getattr"), args=[_, ast.Constant(name), *_]):
                found.add(str(name))
            case ast.ImportFrom(module=str(module)) if module.startswith("feast"):
                found |= {alias.name for alias in node.names}
    return {name for name in found if name in PRIVATE or (name.startswith("_") and not name.startswith("__"))}


def test_no_other_module_uses_a_private_name_of_another_package() -> None:
    """redis-py's are in redis/wire.py, PySpark's in spark/exchange.py, with what is done where they are missing. Of
    paths that look like patterns, and no others, spark/spines.py asks Java, to which PySpark has no public way.

    Python documents os._exit, for all its underscore.
    """
    files = [file for file in STORES.rglob("*.py") if file.name != "feast_seams.py"]
    elsewhere = {str(file.relative_to(STORES)): private_names(ast.parse(file.read_text())) for file in files}
    assert {file: names for file, names in elsewhere.items() if names} == {
        "redis/wire.py": {"_sock"},
        "serving.py": {"_exit"},
        "spark/exchange.py": {"_jdf", "_jvm"},
        "spark/spines.py": {"_jsc", "_jvm"},
    }


def test_no_other_class_of_ours_overrides_a_private_method_of_feast() -> None:
    kinds = [kind for name in ("offline", "online", "materialization", "provider") for kind in classes_of(name)]
    assert PackedRedisOnlineStore in kinds
    kinds += [PackedResponse, TableJob, PointInTimeJob]
    overridden = {
        f"{kind.__name__}.{name}"
        for kind in kinds
        for name, method in vars(kind).items()
        for base in kind.__mro__
        if base.__module__.startswith("feast.") and name.startswith("_") and inspect.isfunction(method)
        if name in vars(base) and not name.startswith("__") and name not in ABSTRACT
    }
    assert overridden == set()


def classes_of(module: str) -> list[type]:
    found = importlib.import_module(f"transformations.stores.{module}")
    return [each for each in vars(found).values() if isinstance(each, type) and each.__module__ == found.__name__]
