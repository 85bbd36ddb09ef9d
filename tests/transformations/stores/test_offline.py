"""Training retrieval: each feature's value as of each row's moment, and the rows as they were given."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureService, FeatureView, Field, FileSource, RequestSource, ValueType
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.types import Bool, Float32, Float64, Int64, String, UnixTimestamp

from transformations.engine.base.errors import DataError, UsageError
from transformations.stores.computed.on_demand import on_demand_view

from .training_rows import VISITS, Rows, Store, View, spine, values

OWNER = "team@example.com"
TIMESTAMP = pa.timestamp("us", tz="UTC")


@pytest.fixture
def visits(stored: View, table_of: Rows) -> FeatureView:
    return stored("user_visits", table_of(VISITS, spent=pa.float64()), spent=Float64)


def test_a_row_counts_from_its_event_timestamp_on_to_the_microsecond(
    store_of: Store, user: Entity, visits: Any
) -> None:
    store = store_of(user, visits)
    moments = ("2024-04-30T23:59:59.999999", "2024-05-01", "2024-05-02T23:59:59.999999", "2024-05-03", "2030-01-01")
    rows = spine(*((1, moment) for moment in moments))
    assert values(store, rows, "user_visits:spent") == [None, 10.0, 10.0, 30.0, 30.0]


def test_rows_keep_their_order_and_columns_and_an_unknown_key_is_null(
    store_of: Store, user: Entity, visits: Any
) -> None:
    rows = spine((2, "2024-05-09"), (1, "2024-05-02"), (7, "2024-05-09"), (1, "2024-05-09"), (1, "2024-05-02"))
    found = store_of(user, visits).get_historical_features(rows, ["user_visits:spent"]).to_df()
    pd.testing.assert_frame_equal(found[list(rows.columns)], rows)
    assert found["spent"].astype(object).where(found["spent"].notna(), None).tolist() == [None, 10.0, None, 30.0, 10.0]


def test_of_rows_with_equal_key_and_event_timestamp_the_last_created_counts(
    store_of: Store, user: Entity, stored: View, table_of: Rows
) -> None:
    table = table_of(
        """
        user_id  event_timestamp  created_timestamp    spent
        1        2024-05-01       2024-05-04           2
        1        2024-05-01       2024-05-01           1
        1        2024-05-01       2024-05-04 00:00:01  3
        1        2024-05-01       -                    9""",
        spent=pa.float64(),
    )
    store = store_of(user, stored("user_visits", table, spent=Float64))
    assert values(store, spine((1, "2024-05-02")), "user_visits:spent") == [3.0]


def test_as_served_a_row_counts_only_once_it_was_created(
    store_of: Store, user: Entity, stored: View, table_of: Rows
) -> None:
    table = table_of(
        """
        user_id  event_timestamp  created_timestamp  spent
        1        2024-05-01       2024-05-01         1
        1        2024-05-02       2024-05-05         2
        1        2024-05-01       2024-05-07         3
        2        2024-05-01       -                  4""",
        spent=pa.float64(),
    )
    store = store_of(user, stored("user_visits", table, spent=Float64))
    rows = spine(*((1, f"2024-05-0{day}") for day in (1, 4, 5, 8)), (2, "2024-05-08"))
    assert values(store, rows, "user_visits:spent") == [3.0, 2.0, 2.0, 2.0, 4.0]
    as_served = values(store, rows, "user_visits:spent", filter_by_created_timestamp=True)
    assert as_served == [1.0, 1.0, 2.0, 2.0, None]


def test_a_ttl_includes_its_last_microsecond_and_no_more(store_of: Store, user: Entity, visits: FeatureView) -> None:
    visits.ttl = timedelta(days=2)
    rows = spine((1, "2024-05-05"), (1, "2024-05-05T00:00:00.000001"))
    assert values(store_of(user, visits), rows, "user_visits:spent") == [30.0, None]


def test_an_unseen_entity_has_the_default_and_an_expired_or_nameless_one_has_not(
    store_of: Store, user: Entity, stored: View, table_of: Rows
) -> None:
    view = stored(
        "user_visits",
        table_of(VISITS, spent=pa.float64()),
        spent=Field(name="spent", dtype=Float64, tags={"unseen": "0"}),
    )
    view.ttl = timedelta(days=2)
    rows = spine((1, "2024-04-01"), (9, "2024-05-09"), (1, "2024-05-09"), (2, "2024-05-03"), (None, "2024-05-03"))
    assert values(store_of(user, view), rows, "user_visits:spent") == [0.0, 0.0, None, None, None]


def test_values_come_in_their_declared_dtype_in_the_forms_that_protobuf_can_carry(
    store_of: Store, user: Entity, stored: View, at: Callable[[str], datetime]
) -> None:
    table = pa.table(
        {
            "user_id": pa.array([1], pa.int32()),
            "event_timestamp": pa.array([datetime(2024, 5, 1)], pa.timestamp("ns")),
            "created_timestamp": pa.array([datetime(2024, 5, 1)], pa.timestamp("ns")),
            "rounded": [0.1],
            "missing": [float("nan")],
            "last_at": pa.array([at("2024-05-01T10:00:00.999999")], TIMESTAMP),
            "exact": pa.array([2**53 + 1]),
            "is_new": pa.array([1], pa.int8()),
            "plan": pa.array(["gold"]).dictionary_encode(),
        }
    )
    dtypes = {"rounded": Float32, "missing": Float64, "last_at": UnixTimestamp, "exact": Int64}
    view = stored("user_visits", table, **dtypes, is_new=Bool, plan=String)
    store = store_of(user, view)
    names = [f"user_visits:{name}" for name in (*dtypes, "is_new", "plan")]
    found = values(store, spine((1, "2024-05-02")), *names)
    expected = [[0.10000000149011612], [None], [at("2024-05-01T10:00:00")], [2**53 + 1], [True], ["gold"]]
    assert found == expected


def test_a_value_that_its_declared_dtype_cannot_hold_is_refused_by_name(
    store_of: Store, user: Entity, stored: View, table_of: Rows
) -> None:
    view = stored("user_visits", table_of(VISITS.replace("30", "2.7"), spent=pa.float64()), spent=Int64)
    job = store_of(user, view).get_historical_features(spine((1, "2024-05-09")), ["user_visits:spent"])
    with pytest.raises(DataError, match=r"user_visits: feature 'spent' is declared Int64, but row 0 holds 2\.7"):
        job.to_arrow()


def test_full_names_and_two_views_with_one_feature_name(
    store_of: Store, user: Entity, stored: View, table_of: Rows, visits: FeatureView
) -> None:
    calls = stored("user_calls", table_of(VISITS.replace("30", "99"), spent=pa.float64()), spent=Float64)
    refs = ["user_calls:spent", "user_visits:spent"]
    store = store_of(user, visits, calls)
    table = store.get_historical_features(spine((1, "2024-05-09")), refs, full_feature_names=True).to_arrow()
    assert table.column_names == ["user_id", "event_timestamp", "user_calls__spent", "user_visits__spent"]
    assert table["user_calls__spent"].to_pylist() + table["user_visits__spent"].to_pylist() == [99.0, 30.0]


def test_one_view_under_two_roles(store_of: Store, user: Entity, visits: FeatureView) -> None:
    buyer = visits.with_name("buyer").with_join_key_map({"user_id": "buyer_id"})
    seller = visits.with_name("seller").with_join_key_map({"user_id": "seller_id"})
    service = FeatureService(name="deal_v1", features=[buyer, seller])
    rows = spine((1, "2024-05-02"), key="buyer_id").assign(seller_id=[1])
    rows.loc[1] = [7, rows.event_timestamp[0] + timedelta(days=3), 1]
    store = store_of(user, visits, service)
    table = store.get_historical_features(rows, service, full_feature_names=True).to_arrow()
    assert table["buyer__spent"].to_pylist() == [10.0, None]
    assert table["seller__spent"].to_pylist() == [10.0, 30.0]


def test_composite_keys_renamed_columns_and_a_view_of_no_entity(
    store_of: Store, user: Entity, table_of: Rows, tmp_path: Path
) -> None:
    page = Entity(name="page", join_keys=["page"], value_type=ValueType.STRING)
    pq.write_table(
        table_of(
            """
            user_id  page  happened_at  n
            1        home  2024-05-01   3
            1        news  2024-05-02   5
            1        -     2024-05-02   8""",
            page=pa.string(),
        ),
        tmp_path / "hits.parquet",
    )
    pq.write_table(table_of("happened_at  rate\n2024-05-01  7\n2024-05-03  9"), tmp_path / "market.parquet")
    hits = FeatureView(
        name="user_hits",
        entities=[user, page],
        schema=[Field(name="user_id", dtype=Int64), Field(name="page", dtype=String), Field(name="hits", dtype=Int64)],
        source=FileSource(name="hits", path="hits.parquet", timestamp_field="happened_at", field_mapping={"n": "hits"}),
    )
    market = FeatureView(
        name="market",
        entities=[],
        schema=[Field(name="rate", dtype=Int64)],
        source=FileSource(name="market", path="market.parquet", timestamp_field="happened_at"),
    )
    rows = spine((1, "2024-05-02"), (1, "2024-05-03"), (1, "2024-05-01")).assign(page=["news", "home", None])
    store = store_of(user, page, hits, market)
    assert values(store, rows, "user_hits:hits", "market:rate") == [[5, 3, None], [7, 9, 7]]


def test_integers_with_nulls_stay_integers_where_nullable_dtypes_are_asked_for(
    store_of: Store, user: Entity, stored: View, table_of: Rows
) -> None:
    view = stored("user_visits", table_of(VISITS.replace("10", str(2**53 + 1))), spent=Int64)
    rows = spine((1, "2024-05-02"), (9, "2024-05-02"))
    store = store_of(user, view, offline_store={"nullable_dtypes": True})
    frame = store.get_historical_features(rows, ["user_visits:spent"]).to_df()
    assert str(frame["spent"].dtype) == "Int64"
    assert frame["spent"][0] == 2**53 + 1


def test_the_spine_may_be_arrow_and_its_moments_under_another_name(
    store_of: Store, user: Entity, visits: FeatureView, at: Callable[[str], datetime]
) -> None:
    rows = pa.table({"user_id": pa.array([1, 2], pa.int16()), "when": pa.array([at("2024-05-02")] * 2, TIMESTAMP)})
    table = store_of(user, visits).get_historical_features(rows, ["user_visits:spent"]).to_arrow()
    assert table.drop_columns("spent").equals(rows)
    assert table["spent"].to_pylist() == [10.0, None]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"spent": 1.0},
            "the spine has a column 'spent', and so would the result: it is the name of feature user_visits",
        ),
        ({"user_id": None}, "the spine lacks 'user_id', a join key of user_visits. It has event_timestamp"),
        ({"event_timestamp": None}, "the spine has no column of timestamps and none called event_timestamp"),
    ],
)
def test_a_spine_that_does_not_fit_is_refused(
    store_of: Store, user: Entity, visits: FeatureView, change: dict[str, Any], message: str
) -> None:
    rows = spine((1, "2024-05-02"))
    rows = rows.drop(columns=list(change)) if None in change.values() else rows.assign(**change)
    with pytest.raises(UsageError, match=message):
        store_of(user, visits).get_historical_features(pa.Table.from_pandas(rows), ["user_visits:spent"])


def test_a_row_without_a_moment_is_refused(store_of: Store, user: Entity, visits: FeatureView) -> None:
    rows = pa.table({"user_id": [1, 1], "event_timestamp": pa.array([0, None], TIMESTAMP)})
    with pytest.raises(DataError, match="spine column 'event_timestamp' is null at row 1"):
        store_of(user, visits).get_historical_features(rows, ["user_visits:spent"])


def test_without_a_spine_every_row_of_a_range_of_time_is_given(
    store_of: Store, user: Entity, visits: FeatureView, at: Callable[[str], datetime]
) -> None:
    job = store_of(user, visits).get_historical_features(
        features=["user_visits:spent"], start_date=datetime(2024, 5, 1), end_date=datetime(2024, 5, 2)
    )
    assert job.to_arrow().to_pydict() == {
        "user_id": [1, 2],
        "event_timestamp": [at("2024-05-01"), at("2024-05-02")],
        "spent": [10.0, None],
    }


def test_a_view_of_no_entity_gives_every_row_of_a_range_of_time_too(
    store_of: Store, table_of: Rows, at: Callable[[str], datetime], tmp_path: Path
) -> None:
    table = table_of(
        """
        event_timestamp  created_timestamp  rate
        2024-05-01       2024-05-01         1.5
        2024-05-03       2024-05-03         2.5""",
        rate=pa.float64(),
    )
    pq.write_table(table, tmp_path / "rates.parquet")
    source = FileSource(name="rates", path=str(tmp_path / "rates.parquet"), timestamp_field="event_timestamp")
    rates = FeatureView(name="rates", entities=[], schema=[Field(name="rate", dtype=Float64)], source=source)
    job = store_of(rates).get_historical_features(
        features=["rates:rate"], start_date=datetime(2024, 5, 2), end_date=datetime(2024, 5, 4)
    )
    assert job.to_arrow().to_pydict() == {"event_timestamp": [at("2024-05-03")], "rate": [2.5]}


def test_on_demand_features_are_computed_for_training_and_saved_with_the_dataset(
    store_of: Store, user: Entity, visits: FeatureView, module_of: Callable[[str, str], ModuleType], tmp_path: Path
) -> None:
    text = '''
import pyarrow.compute as pc
from transformations import ANYTHING, Float64, UnixTimestamp, on_demand

@on_demand(unit="ratio", expect=ANYTHING)
def price_ratio(price: Float64, spent: Float64, request_timestamp: UnixTimestamp) -> Float64:
    """The price against what was spent before; null on a Sunday."""
    is_sunday = pc.equal(pc.day_of_week(request_timestamp), 6)
    return pc.if_else(is_sunday, None, pc.divide(price, spent))
'''
    cart = RequestSource(name="cart", schema=[Field(name="price", dtype=Float64)])
    function = module_of("cart_functions", text).price_ratio
    now = on_demand_view("user_now", [function], [visits, cart], owner=OWNER, description="Now")
    store = store_of(user, visits, now)
    rows = spine((1, "2024-05-02"), (1, "2024-05-05"), (2, "2024-05-02")).assign(price=[5, 6, 7])
    job = store.get_historical_features(rows, ["user_now:price_ratio"], full_feature_names=True)
    assert job.to_arrow()["user_now__price_ratio"].to_pylist() == [0.5, None, None]
    storage = SavedDatasetFileStorage(path="saved.parquet")
    saved = store.create_saved_dataset(job, "carts", storage)
    assert saved.to_df()["user_now__price_ratio"].tolist()[0] == 0.5
    assert pq.read_table(tmp_path / "saved.parquet").num_rows == 3
    with pytest.raises(SavedDatasetLocationAlreadyExists):
        job.persist(storage)
    with pytest.raises(UsageError, match="the spine lacks 'price', which user_now takes from the request"):
        store.get_historical_features(pa.Table.from_pandas(rows.drop(columns="price")), ["user_now:price_ratio"])
