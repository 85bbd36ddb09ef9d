"""The same on-demand views on Feast's own stores: slower, with the same values; what they cannot know is refused."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, OnDemandFeatureView, RepoConfig, RequestSource
from feast.types import Float64, Int64, String, UnixTimestamp

from transformations.engine.base.errors import DataError, UsageError
from transformations.stores.computed.evaluation import evaluate
from transformations.stores.computed.on_demand import on_demand_view

FUNCTIONS = '''
import pyarrow as pa
import pyarrow.compute as pc
from transformations import ANYTHING, Bool, Float64, Int64, String, UnixTimestamp, on_demand

@on_demand(unit="USD", expect=ANYTHING)
def total(price: Float64, spent: Float64) -> Float64:
    """The price and what was spent."""
    return pc.add(price, spent)

@on_demand(unit="ratio", expect=ANYTHING)
def ratio(total: Float64, spent: Float64) -> Float64:
    """The total against what was spent; null for nothing spent."""
    return pc.divide(total, pc.if_else(pc.equal(spent, 0.0), None, spent))

@on_demand(unit="visits", expect=ANYTHING)
def next_visit(visits: Int64) -> Int64:
    """The number of the next visit."""
    return pc.add(visits, 1)

@on_demand(unit="text", expect=ANYTHING)
def shout(plan: String) -> String:
    """The plan, loud."""
    return pc.utf8_upper(plan)

@on_demand(unit="flag", expect=ANYTHING)
def is_new(seen_at: UnixTimestamp) -> Bool:
    """Whether the user was never seen before May."""
    return pc.greater_equal(pc.month(seen_at), 5)

@on_demand(unit="seconds", expect=ANYTHING)
def idle(request_timestamp: UnixTimestamp, seen_at: UnixTimestamp) -> Int64:
    """Seconds since the user was seen."""
    return pc.seconds_between(seen_at, request_timestamp)
'''
ROWS = """
    user_id  event_timestamp  created_timestamp  spent  visits  plan  seen_at
    1        2024-05-01       2024-05-01         10.5   41      gold  2024-04-30T10:00:00
    2        2024-05-01       2024-05-01         -      -       -     -
    3        2024-05-01       2024-05-01         0      0       free  2024-05-01T00:00:00
"""
NAMES = ["total", "ratio", "next_visit", "shout", "is_new"]
REQUEST = {"user_id": [1, 2, 3, 9], "price": [5, 2.5, 1.0, 4.0]}


@pytest.fixture
def visits(stored: Callable[..., FeatureView], table_of: Callable[..., pa.Table]) -> FeatureView:
    table = table_of(ROWS, spent=pa.float64(), plan=pa.string())
    return stored("user_visits", table, spent=Float64, visits=Int64, plan=String, seen_at=UnixTimestamp)


@pytest.fixture
def stock(
    tmp_path: Path, user: Entity, visits: FeatureView, module_of: Callable[[str, str], ModuleType]
) -> Callable[..., tuple[FeatureStore, OnDemandFeatureView]]:
    """A store over DuckDB and SQLite as Feast has them, with a view of these functions."""

    def make(*names: str) -> tuple[FeatureStore, OnDemandFeatureView]:
        functions = module_of("stock_functions", FUNCTIONS)
        cart = RequestSource(name="cart", schema=[Field(name="price", dtype=Float64)])
        sources = [visits, cart] if "total" in names else [visits]
        view = on_demand_view(
            "user_now", [getattr(functions, name) for name in names], sources, owner="me", description="Now"
        )
        config = RepoConfig(
            project="test",
            provider="local",
            registry=str(tmp_path / "registry.pb"),
            offline_store="duckdb",
            online_store={"type": "sqlite", "path": str(tmp_path / "online.db")},
            entity_key_serialization_version=3,
        )
        config.repo_path = tmp_path
        store = FeatureStore(config=config)
        store.apply([user, visits, view])
        store.materialize(datetime(1970, 1, 1), datetime(2024, 5, 2))
        return store, view

    return make


def test_training_and_lookup_on_feasts_own_stores_give_what_ours_give(
    stock: Callable[..., tuple[FeatureStore, OnDemandFeatureView]],
) -> None:
    store, view = stock(*NAMES)
    references = [f"user_now:{name}" for name in NAMES]
    online = store.get_online_features(references, REQUEST).to_dict()
    assert {name: online[name] for name in NAMES} == {
        "total": [15.5, None, 1.0, None],
        "ratio": [15.5 / 10.5, None, None, None],
        "next_visit": [42, None, 1, None],
        "shout": ["GOLD", None, "FREE", None],
        "is_new": [False, None, True, None],
    }
    spine = pd.DataFrame(REQUEST).assign(event_timestamp=pd.Timestamp("2024-05-02", tz="UTC"))
    training = store.get_historical_features(spine, references).to_arrow().sort_by("user_id")
    assert {name: training[name].to_pylist() for name in NAMES} == {name: online[name] for name in NAMES}

    columns = {f"user_visits:{name}": training[name] for name in ("spent", "visits", "plan", "seen_at")}
    ours = evaluate(view, {**columns, "price": training["price"]}, pa.nulls(4, pa.timestamp("us", "UTC")))
    assert {name: ours[name].to_pylist() for name in NAMES} == {name: online[name] for name in NAMES}


def test_what_is_computed_from_the_moment_is_refused_on_feasts_own_stores(
    stock: Callable[..., tuple[FeatureStore, OnDemandFeatureView]],
) -> None:
    store, _ = stock("idle", "next_visit")
    message = (
        r"user_now: idle is computed from request_timestamp, which Feast's own stores do not pass.*view of its own"
    )
    with pytest.raises(UsageError, match=message):
        store.get_online_features(["user_now:idle"], {"user_id": [1]})
    spine = pd.DataFrame({"user_id": [1], "event_timestamp": [pd.Timestamp("2024-05-02", tz="UTC")]})
    with pytest.raises(UsageError, match=message):
        store.get_historical_features(spine, ["user_now:idle"]).to_arrow()


@pytest.mark.parametrize("price", [["5"], [True], [2**53 + 1]])
def test_a_request_value_of_another_kind_is_refused_there_too(
    stock: Callable[..., tuple[FeatureStore, OnDemandFeatureView]], price: list[Any]
) -> None:
    store, _ = stock("total")
    with pytest.raises(DataError, match="user_now: input 'price' is declared Float64, but"):
        store.get_online_features(["user_now:total"], {"user_id": [1], "price": price})
