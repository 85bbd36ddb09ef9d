"""Apply, then deploy: in between a process serves, and trains with, the version of its own code; nothing goes down."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from types import ModuleType
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, RequestSource
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.types import Float64, Int64
from redis import Redis

from transformations.engine.base.errors import DataError
from transformations.stores.computed.on_demand import on_demand_view
from transformations.stores.computed.rollout import Newer, as_served, newer_applied

NOW = "2024-05-09T10:00:00+00:00"
OLD = '''
import pyarrow.compute as pc
from transformations import ANYTHING, Float64, Int64, on_demand

@on_demand(unit="USD", expect=ANYTHING)
def total(price: Float64, spent: Float64) -> Float64:
    """The price and what was spent."""
    return pc.add(price, spent)

@on_demand(unit="visits", expect=ANYTHING)
def next_visit(visits: Int64) -> Int64:
    """The number of the next visit."""
    return pc.add(visits, 1)
'''
# Another computation, from other inputs, in another dtype, and a function more.
NEW = '''
import pyarrow.compute as pc
from transformations import ANYTHING, Float64, Int64, on_demand

@on_demand(unit="USD", expect=ANYTHING)
def total(discount: Float64, paid: Float64) -> Float64:
    """What was paid, less the discount."""
    return pc.subtract(paid, discount)

@on_demand(unit="visits", expect=ANYTHING)
def next_visit(visits: Int64) -> Float64:
    """The number of the next visit."""
    return pc.add(pc.cast(visits, "float64"), 1.0)

@on_demand(unit="USD", expect=ANYTHING)
def twice(paid: Float64) -> Float64:
    """Twice what was paid."""
    return pc.multiply(paid, 2.0)
'''
UNAPPLIED = OLD.replace("pc.add(price, spent)", "pc.multiply(price, spent)")

ROWS = """
    user_id  event_timestamp  created_timestamp  spent  paid  visits
    1        2024-05-01       2024-05-01         10     7     3
"""
price = RequestSource(name="cart", schema=[Field(name="price", dtype=Float64)])
discount = RequestSource(name="cart", schema=[Field(name="discount", dtype=Float64)])


class World:
    """A feature store of which the code is deployed and the views are applied separately."""

    def __init__(self, store: FeatureStore, user: Entity, visits: FeatureView, module_of: Any) -> None:
        self.store, self.user, self.visits, self.module_of = store, user, visits, module_of

    def deploy(self, code: str) -> None:
        """Another process, with this code: a process remembers how it has resolved a request."""
        self.functions = self.module_of("rollout_functions", code)
        self.store = FeatureStore(config=self.store.config)

    def apply(self, code: str, *names: str, source: RequestSource = price) -> None:
        self.deploy(code)
        functions = [getattr(self.functions, name) for name in names]
        view = on_demand_view("user_now", functions, [self.visits, source], owner="me", description="Now")
        self.store.apply([self.user, self.visits, view, FeatureService(name="offer_v1", features=[view])])

    def online(self, features: Any = None, **request: Any) -> Any:
        service = features or self.store.get_feature_service("offer_v1", allow_cache=False)
        return self.store.get_online_features(service, [{"user_id": 1, **request}])

    def training(self, *features: str, **request: Any) -> Any:
        spine = pd.DataFrame([{"user_id": 1, "event_timestamp": pd.Timestamp(NOW), **request}])
        names = [name.partition(":")[2] for name in features]
        return self.store.get_historical_features(spine, list(features)).to_arrow().select(names).to_pylist()[0]


@pytest.fixture
def world(
    store_of: Callable[..., FeatureStore],
    stored: Callable[..., FeatureView],
    table_of: Callable[..., pa.Table],
    module_of: Callable[[str, str], ModuleType],
    user: Entity,
    clock: Callable[[str], None],
    redis: Redis,
) -> World:
    clock(NOW)
    table = table_of(ROWS, spent=pa.float64(), paid=pa.float64())
    visits = stored("user_visits", table, spent=Float64, paid=Float64, visits=Int64)
    store = store_of(user, visits)
    store.materialize(datetime(1970, 1, 1), datetime.fromisoformat(NOW))
    return World(store, user, visits, module_of)


def test_between_apply_and_deploy_the_old_code_serves_and_trains_with_its_own_version(world: World) -> None:
    world.apply(OLD, "total", "next_visit")
    expected = {"user_id": [1], "total": [15.0], "next_visit": [4]}
    assert world.online(price=5.0).to_dict() == expected

    world.apply(NEW, "total", "next_visit", "twice", source=discount)
    world.deploy(OLD)

    response = world.online(price=5.0)
    assert response.to_dict() == {**expected, "twice": [None]}
    statuses = dict(zip(response.proto.metadata.feature_names.val, response.proto.results, strict=True))
    assert [FieldStatus.Name(statuses[name].statuses[0]) for name in ("total", "next_visit", "twice")] == [
        "PRESENT",
        "PRESENT",
        "NOT_FOUND",
    ]
    assert world.training("user_now:total", "user_now:next_visit", price=5.0, discount=0.0) == {
        "total": 15.0,
        "next_visit": 4,
    }
    assert newer_applied(world.store.registry, "test") == [Newer("user_now", applied=1, served=0)]
    asyncio.run(world.store.initialize())

    world.deploy(NEW)
    assert world.online(discount=1.0).to_dict() == {
        "user_id": [1],
        "total": [6.0],
        "next_visit": [4.0],
        "twice": [14.0],
    }
    assert newer_applied(world.store.registry, "test") == []


def test_code_that_was_never_applied_fails_when_the_server_starts(world: World) -> None:
    world.apply(OLD, "total", "next_visit")
    world.apply(NEW, "total", "next_visit", source=discount)
    asyncio.run(world.store.initialize())
    world.deploy(UNAPPLIED)

    message = (
        r"user_now: its functions' code here was never applied \(rollout_functions:next_visit was applied as \w{16}, "
        r"is \w{16}, rollout_functions:total was applied as \w{16}, is \w{16}\).* Run `feast apply` from this version"
    )
    with pytest.raises(DataError, match=message):
        asyncio.run(world.store.initialize())
    with pytest.raises(DataError, match=message):
        world.online(price=5.0)
    with pytest.raises(DataError, match=message):
        world.training("user_now:total", price=5.0, discount=1.0)
    assert newer_applied(world.store.registry, "test") == [Newer("user_now", applied=1, served=None)]


def test_a_deploy_after_a_deletion_finds_no_version_in_the_history(world: World) -> None:
    world.apply(OLD, "total", "next_visit")
    world.store.delete_feature_service("offer_v1")
    world.store.delete_feature_view("user_now")
    world.apply(NEW, "total", "next_visit", source=discount)
    world.deploy(OLD)
    with pytest.raises(DataError, match="never applied"):
        asyncio.run(world.store.initialize())


def test_an_old_server_restarts_although_a_view_is_applied_of_which_it_knows_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.apply(OLD + NEW.replace("total", "rest"), "twice", "rest", source=discount)
    world.deploy(OLD)
    asyncio.run(world.store.initialize())
    assert "on-demand view user_now: ['rest', 'twice'] not served by this version of the code" in caplog.text
    features = ["user_now:rest", "user_visits:spent"]
    assert world.online(features).to_dict() == {"user_id": [1], "rest": [None], "spent": [10.0]}
    with pytest.raises(DataError, match="user_now:rest: applied by a newer version of the code than this one"):
        world.training("user_now:rest", discount=1.0)
    assert newer_applied(world.store.registry, "test") == [Newer("user_now", applied=None, served=None)]


def test_a_module_that_lacks_something_else_is_no_newer_view(world: World) -> None:
    world.apply(OLD, "total")
    with pytest.raises(ModuleNotFoundError):
        world.deploy("import not_installed_here\n" + OLD)
    with pytest.raises(DataError, match="cannot be imported here: No module named 'not_installed_here'"):
        asyncio.run(world.store.initialize())


def test_an_old_version_reads_its_inputs_as_they_are_described_now(world: World) -> None:
    world.apply(OLD, "total")
    for field in world.visits.features:
        field.description = "Described since"
    world.apply(NEW, "total", source=discount)
    world.deploy(OLD)
    assert world.online(price=5.0).to_dict() == {"user_id": [1], "total": [15.0]}


def test_an_input_of_the_old_version_that_is_gone_is_named(world: World, stored: Callable[..., FeatureView]) -> None:
    world.apply(OLD, "total")
    world.visits = stored("user_visits", paid=Float64, visits=Int64)
    world.apply(NEW, "total", source=discount)
    world.deploy(OLD)
    with pytest.raises(DataError, match=r"user_now: version 0, .* reads user_visits:spent, which is no longer applied"):
        asyncio.run(world.store.initialize())


def test_the_same_code_under_other_words_is_the_applied_version(world: World) -> None:
    world.apply(OLD, "total")
    world.apply(OLD.replace("The price and what", "Price and what"), "total")
    world.deploy(OLD)
    assert newer_applied(world.store.registry, "test") == []
    assert world.online(price=5.0).to_dict() == {"user_id": [1], "total": [15.0]}


def test_a_registry_read_into_the_place_of_an_earlier_one_is_not_taken_for_it(world: World) -> None:
    world.apply(OLD, "total")
    assert world.online(["user_now:total"], price=5.0).to_dict() == {"user_id": [1], "total": [15.0]}
    world.apply(NEW, "total", source=discount)
    assert world.online(["user_now:total"], discount=1.0).to_dict() == {"user_id": [1], "total": [6.0]}
    content = world.store.registry.cached_registry_proto
    world.apply(OLD, "total", "next_visit")
    content.CopyFrom(world.store.registry.proto())
    world.store.registry.cached_registry_proto = content
    views = as_served(world.store.registry).get_any_feature_view("user_now", "test", allow_cache=True)
    assert [feature.name for feature in views.features] == ["total", "next_visit"]
