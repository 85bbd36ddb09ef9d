"""Online lookups against a real Redis: the same values as training, each with the status it deserves."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, RequestSource
from feast.errors import RequestDataNotFoundInEntityRowsException
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.types import Float64, Int64, String, UnixTimestamp
from redis import Redis

from transformations.engine.base.errors import DataError, UsageError
from transformations.stores.base.feast_seams import online_client
from transformations.stores.computed.on_demand import on_demand_view

OWNER = "team@example.com"
NOW = "2024-05-09T10:00:00.250000+00:00"

FUNCTIONS = '''
import pyarrow.compute as pc
from transformations import ANYTHING, Float64, Int64, String, UnixTimestamp, on_demand

@on_demand(unit="ratio", expect=ANYTHING)
def price_ratio(price: Float64, spent_mean: Float64) -> Float64:
    """The price against what is spent on average."""
    return pc.divide(price, spent_mean)

@on_demand(unit="seconds", expect=ANYTHING)
def idle_seconds(request_timestamp: UnixTimestamp, visit_at: UnixTimestamp) -> Float64:
    """Seconds since the last visit."""
    return pc.divide(pc.cast(pc.microseconds_between(visit_at, request_timestamp), "float64"), 1e6)

@on_demand(unit="visits", expect=ANYTHING)
def visits_twice(visits: Int64) -> Int64:
    """Twice the visits."""
    return pc.multiply(visits, 2)

@on_demand(unit="text", expect=ANYTHING)
def greeting(plan: String, price_ratio: Float64) -> String:
    """Plan and ratio, in words."""
    return pc.binary_join_element_wise(plan, pc.cast(price_ratio, "string"), "/")
'''

ROWS = """
    user_id  event_timestamp      created_timestamp    spent_mean  visits             visit_at                    plan
    1        2024-05-01           2024-05-01           10.5        9007199254740993   2024-05-01T09:00:00.900000  gold
    2        2024-05-02           2024-05-02           -           -                  -                           -
    3        2024-05-01           2024-05-01           2.5         3                  2024-04-01                  -
    3        2024-05-08           2024-05-08           0.1         4                  2024-05-07                  free
"""


@pytest.fixture
def store(
    store_of: Callable[..., FeatureStore],
    stored: Callable[..., FeatureView],
    table_of: Callable[..., pa.Table],
    module_of: Callable[[str, str], ModuleType],
    user: Entity,
    clock: Callable[[str], None],
    redis: Redis,
) -> FeatureStore:
    functions = module_of("lookup_functions", FUNCTIONS)
    visits = stored(
        "user_visits",
        table_of(ROWS, spent_mean=pa.float64(), plan=pa.string(), visit_at=pa.timestamp("us", tz="UTC")),
        spent_mean=Float64,
        visits=Field(name="visits", dtype=Int64, tags={"unseen": "0"}),
        visit_at=UnixTimestamp,
        plan=String,
    )
    cart = RequestSource(name="cart", schema=[Field(name="price", dtype=Float64)])
    names = ("greeting", "price_ratio", "idle_seconds", "visits_twice")
    now = on_demand_view(
        "user_now", [getattr(functions, name) for name in names], [visits, cart], owner=OWNER, description="Now"
    )
    clock(NOW)
    feature_store = store_of(user, visits, now, FeatureService(name="offer_v1", features=[visits, now]))
    feature_store.materialize(datetime(1970, 1, 1), datetime.fromisoformat(NOW))
    return feature_store


@pytest.mark.parametrize("full_feature_names", [False, True])
def test_a_lookup_equals_training_at_the_same_moment(store: FeatureStore, full_feature_names: bool) -> None:
    service = store.get_feature_service("offer_v1")
    rows = [{"user_id": user, "price": price} for user, price in ((3, 1), (1, 2.5), (2, 1.0), (9, 4.0), (1, None))]
    online = store.get_online_features(service, rows, full_feature_names=full_feature_names).to_dict()
    spine = pd.DataFrame(rows).assign(event_timestamp=pd.Timestamp(NOW))
    training = store.get_historical_features(spine, service, full_feature_names=full_feature_names).to_arrow()
    expected = training.drop_columns(["price", "event_timestamp"]).to_pydict()
    assert online == expected
    prefixes = ("user_visits__", "user_now__") if full_feature_names else ("", "")
    assert online[prefixes[0] + "visits"] == [4, 2**53 + 1, None, 0, 2**53 + 1]
    assert online[prefixes[1] + "greeting"] == ["free/10", "gold/0.23809523809523808", None, None, None]
    assert online[prefixes[1] + "visits_twice"] == [8, 2**54 + 2, None, 0, 2**54 + 2]
    assert online[prefixes[1] + "idle_seconds"][0] == 2 * 86_400 + 10 * 3_600 + 0.25


def test_only_what_was_asked_for_comes_back(store: FeatureStore) -> None:
    rows = [{"user_id": 3, "price": 1.0}]
    found = store.get_online_features(["user_now:price_ratio"], rows).to_dict()
    assert found == {"user_id": [3], "price_ratio": [10.0]}
    found = store.get_online_features(["user_visits:plan"], [{"user_id": 3}], full_feature_names=True).to_dict()
    assert found == {"user_id": [3], "user_visits__plan": ["free"]}


async def test_the_server_s_way_gives_the_same(store: FeatureStore) -> None:
    service = store.get_feature_service("offer_v1")
    columns = {"user_id": [3, 9], "price": [1, 2.5]}
    expected = store.get_online_features(service, columns)
    found = await store.get_online_features_async(service, columns)
    assert found.proto == expected.proto
    await store.provider.online_store.close()


def test_a_request_may_bring_its_own_time(store: FeatureStore) -> None:
    moments = ["2024-05-07T00:00:01Z", "2024-05-07T02:01:00+02:00", None]
    rows = {"user_id": [3, 3, 3], "price": [1.0] * 3, "request_timestamp": moments}
    found = store.get_online_features(["user_now:idle_seconds"], rows).to_dict()
    until_now = 2 * 86_400 + 10 * 3_600 + 0.25
    assert found == {"user_id": [3, 3, 3], "idle_seconds": [1.0, 60.0, until_now]}


def test_each_value_says_whether_it_is_present_null_or_of_nobody(store: FeatureStore) -> None:
    features = ["user_visits:plan", "user_visits:visits", "user_now:visits_twice"]
    rows = [{"user_id": user, "price": 1.0} for user in (3, 2, 9)]
    response = store.get_online_features(features, rows).proto
    statuses = {
        name: [FieldStatus.Name(status) for status in vector.statuses]
        for name, vector in zip(response.metadata.feature_names.val, response.results, strict=True)
    }
    assert statuses == {
        "user_id": ["PRESENT", "PRESENT", "PRESENT"],
        "plan": ["PRESENT", "NULL_VALUE", "NOT_FOUND"],
        "visits": ["PRESENT", "NULL_VALUE", "PRESENT"],
        "visits_twice": ["PRESENT", "NULL_VALUE", "PRESENT"],
    }


def test_past_its_ttl_a_value_is_withheld_with_its_event_timestamp_told(
    store_of: Callable[..., FeatureStore],
    stored: Callable[..., FeatureView],
    table_of: Callable[..., pa.Table],
    user: Entity,
    clock: Callable[[str], None],
) -> None:
    table = table_of("user_id  event_timestamp  created_timestamp  spent\n1  2024-05-01  2024-05-01  7")
    view = stored("user_visits", table, spent=Int64)
    view.ttl = timedelta(days=1)
    store = store_of(user, view)
    clock("2024-05-01T12:00:00Z")
    store.materialize(datetime(2024, 5, 1), datetime(2024, 5, 2))
    found = []
    for now in ("2024-05-02T00:00:00Z", "2024-05-02T00:00:00.000001Z"):
        clock(now)
        vector = store.get_online_features(["user_visits:spent"], [{"user_id": 1}]).proto.results[1]
        when = vector.event_timestamps[0].ToDatetime().day
        found.append((vector.values[0].int64_val, FieldStatus.Name(vector.statuses[0]), when))
    assert found == [(7, "PRESENT", 1), (0, "OUTSIDE_MAX_AGE", 1)]


@pytest.mark.parametrize(
    ("price", "message"),
    [
        (["5", 1.0], r"request field 'price' has values \(float, str\) that make no column"),
        (["5"], "user_now: request field 'price' is declared Float64, but holds string such as '5'"),
        ([True], "user_now: request field 'price' is declared Float64, but holds bool such as True"),
        ([2**53 + 1], "row 0 holds 9007199254740993, which cannot become Float64 without loss"),
    ],
)
def test_a_request_value_of_another_kind_is_refused(store: FeatureStore, price: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        store.get_online_features(["user_now:price_ratio"], {"user_id": [1] * len(price), "price": price})


@pytest.mark.parametrize("nobody", [[], {"user_id": []}])
def test_an_empty_request_gets_an_empty_answer(store: FeatureStore, nobody: Any) -> None:
    answer = store.get_online_features(["user_visits:plan", "user_now:price_ratio"], nobody)
    assert answer.to_dict() == {"user_id": [], "plan": [], "price_ratio": []}
    assert answer.statuses() == {"plan": [], "price_ratio": []}


def test_a_request_that_lacks_something_says_what(store: FeatureStore) -> None:
    with pytest.raises(RequestDataNotFoundInEntityRowsException, match="price"):
        store.get_online_features(["user_now:price_ratio"], [{"user_id": 1}])
    with pytest.raises(UsageError, match="the request lacks join key 'user_id'"):
        store.get_online_features(["user_visits:plan"], [{"uid": 1}])
    with pytest.raises(UsageError, match="different lengths: user_id 2, price 1"):
        store.get_online_features(["user_now:price_ratio"], {"user_id": [1, 2], "price": [1.0]})
    with pytest.raises(UsageError, match="entity row 1 has user, the first has user_id"):
        store.get_online_features(["user_visits:plan"], [{"user_id": 1}, {"user": 2}])


def test_a_registry_that_is_due_is_renewed_beside_the_request_and_never_in_it(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry: Any = store.registry
    threads, renewed, refresh = [], threading.Event(), registry.refresh

    def watched(*arguments: Any, **options: Any) -> None:
        threads.append(threading.current_thread())
        refresh(*arguments, **options)
        renewed.set()

    monkeypatch.setattr(registry, "refresh", watched)
    registry.cached_registry_proto_created -= timedelta(days=1)
    for features in (["user_visits:plan"], ["user_visits:visits"]):  # no plan of either is there yet
        assert store.get_online_features(features, {"user_id": [3]}).present()
    assert renewed.wait(10)
    assert threading.main_thread() not in threads
    assert len(threads) == 1


def test_a_request_may_name_an_entity_often_and_in_any_order(store: FeatureStore) -> None:
    users = [3, 1, 9, 3, 3, None, 1]
    answer: Any = store.get_online_features(["user_visits:visits", "user_visits:plan"], {"user_id": users})
    assert answer.to_dict() == {
        "user_id": users,
        "visits": [4, 2**53 + 1, 0, 4, 4, None, 2**53 + 1],
        "plan": ["free", "gold", None, "free", "free", None, "gold"],
    }
    assert answer.present()["visits"] == [True, True, True, True, True, False, True]
    assert answer.statuses()["visits"][5] == "NOT_FOUND"  # a null names no entity, and so no unseen one either
    assert answer.to_df()["plan"].tolist() == answer.to_arrow()["plan"].to_pylist()


def test_an_answer_tells_event_timestamps_when_asked(store: FeatureStore) -> None:
    answer = store.get_online_features(["user_visits:visits"], {"user_id": [3, 9]})
    events = answer.to_dict(include_event_timestamps=True)["visits__ts"]
    assert events == [int(datetime.fromisoformat("2024-05-08T00:00:00+00:00").timestamp()), 0]
    assert [stamp.seconds for stamp in answer.proto.results[1].event_timestamps] == events


def test_a_flushed_redis_answers_not_found_and_new_rows_are_found(store: FeatureStore) -> None:
    features, users = ["user_visits:plan"], {"user_id": [3]}
    assert store.get_online_features(features, users).to_dict()["plan"] == ["free"]
    online_client(store).flushall()
    answer: Any = store.get_online_features(features, users)
    assert (answer.to_dict()["plan"], answer.statuses()["plan"]) == ([None], ["NOT_FOUND"])
    store.materialize(datetime(1970, 1, 1), datetime.fromisoformat(NOW))
    assert store.get_online_features(features, users).to_dict()["plan"] == ["free"]
