"""Materialization into a real Redis: the newest row of each key, exact, and never from the wrong table."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource
from feast.feature_view import FeatureViewState
from feast.types import Float64, Int64, UnixTimestamp
from redis import Redis

from transformations.engine.base.errors import DataError, FeaturesError, UsageError
from transformations.engine.base.settings import get_settings
from transformations.local import redis as embedded
from transformations.stores.loads.packing import Packer
from transformations.stores.redis import catalogue as online_catalog
from transformations.stores.redis.loaded import loaded_views
from transformations.stores.views import feature_view

OWNER = "team@example.com"
Store = Callable[..., FeatureStore]
Rows = Callable[..., pa.Table]
View = Callable[..., FeatureView]

DOMAIN = """
from transformations import Last, Sum, WindowedFeatures, at_least

user_visits = WindowedFeatures(
    name="user_visits",
    join_key="user_id",
    source="visits",
    description="Visits of a user",
    features=[Sum("spent", name="spend", description="What was spent", unit="USD", expect=at_least(0))],
)
"""


def online(store: FeatureStore, feature: str, *users: Any) -> list[Any]:
    rows = [{"user_id": user} for user in users]
    return store.get_online_features([feature], rows).to_dict()[feature.partition(":")[2]]


def materialize(store: FeatureStore, end: str, start: str = "1970-01-01") -> None:
    store.materialize(datetime.fromisoformat(start), datetime.fromisoformat(end).replace(tzinfo=UTC))


@pytest.fixture
def visits(contracts: Path, module_of: Callable[[str, str], ModuleType], user: Entity) -> FeatureView:
    return feature_view(module_of("visit_domain", DOMAIN).user_visits, entity=user, owner=OWNER)


def test_the_newest_row_not_later_than_the_end_is_served(
    store_of: Store, stored: View, table_of: Rows, user: Entity
) -> None:
    table = table_of(
        """
        user_id  event_timestamp  created_timestamp  spent
        1        2024-05-01       2024-05-01         1
        1        2024-05-03       2024-05-03         3
        1        2024-05-03       2024-05-04         4
        1        2024-05-05       2024-05-05         5
        2        2024-05-02       2024-05-02         -"""
    )
    store = store_of(user, stored("user_visits", table, spent=Int64))
    materialize(store, "2024-05-03")
    assert online(store, "user_visits:spent", 1, 2, 3) == [4, None, None]
    materialize(store, "2024-05-09", start="2024-05-08")
    assert online(store, "user_visits:spent", 1) == [5]


def test_what_is_not_yet_available_now_is_held_back_and_matures_later(
    store_of: Store, stored: View, table_of: Rows, user: Entity, clock: Callable[[str], None]
) -> None:
    table = table_of(
        """
        user_id  event_timestamp      created_timestamp  spent
        1        2024-05-01           2024-05-01         1
        1        2024-05-02 06:00:00  2024-05-01         2"""
    )
    store = store_of(user, stored("user_visits", table, spent=Int64))
    found = []
    for now in ("2024-05-02T05:59:59.999999Z", "2024-05-02T06:00:00Z"):
        clock(now)
        materialize(store, "2030-01-01")
        found += online(store, "user_visits:spent", 1)
    assert found == [1, 2]


def test_values_arrive_exact_and_null_for_null(
    store_of: Store, stored: View, user: Entity, at: Callable[[str], datetime]
) -> None:
    moments = [at("2024-05-01")] * 3
    table = pa.table(
        {
            "user_id": pa.array([1, 2, 3], pa.int32()),
            "event_timestamp": pa.array(moments, pa.timestamp("us", tz="UTC")),
            "created_timestamp": pa.array(moments, pa.timestamp("us", tz="UTC")),
            "exact": pa.array([2**53 + 1, None, -(2**63)]),
            "share": pa.array([0.1, float("nan"), None]),
            "seen_at": pa.array([at("1969-12-31T23:59:59.5"), None, at("2024-05-01T01:02:03.9")]),
        }
    )
    view = stored("user_visits", table, exact=Int64, share=Float64, seen_at=UnixTimestamp)
    store = store_of(user, view)
    materialize(store, "2024-05-02")
    assert online(store, "user_visits:exact", 1, 2, 3) == [2**53 + 1, None, -(2**63)]
    assert online(store, "user_visits:share", 1, 2, 3) == [0.1, None, None]
    seconds = [at("1969-12-31T23:59:59"), None, at("2024-05-01T01:02:03")]
    assert online(store, "user_visits:seen_at", 1, 2, 3) == seconds


def test_a_table_of_a_definition_is_loaded_from_its_published_version(
    store_of: Store, visits: FeatureView, user: Entity, table_of: Rows, publish: Callable[..., Any]
) -> None:
    store = store_of(user, visits)
    text = "user_id  event_timestamp  created_timestamp  spend_sum_lifetime\n1  2024-05-01  2024-05-01  1.5"
    publish(visits, table_of(text, spend_sum_lifetime=pa.float64()))
    materialize(store, "2024-06-01")
    assert online(store, "user_visits:spend_sum_lifetime", 1) == [1.5]
    publish(visits, table_of(text.replace("05-01  1.5", "05-07  2.5"), spend_sum_lifetime=pa.float64()))
    materialize(store, "2024-06-01")
    assert online(store, "user_visits:spend_sum_lifetime", 1) == [2.5]


def test_a_table_of_another_definition_is_refused_in_materialization_and_training(
    store_of: Store, visits: FeatureView, user: Entity, table_of: Rows, publish: Callable[..., Any]
) -> None:
    store = store_of(user, visits)
    text = "user_id  event_timestamp  created_timestamp  spend_sum_lifetime\n1  2024-05-01  2024-05-01  1.5"
    spine = table_of("user_id  event_timestamp\n1  2024-05-02")
    with pytest.raises(DataError, match="user_visits: nothing has been built in"):
        materialize(store, "2024-06-01")
    publish(visits, table_of(text, spend_sum_lifetime=pa.float64()), definition_hash="0123456789abcdef")
    message = f"was built from definition 0123456789abcdef, the applied view is of {visits.tags['definition_hash']}"
    with pytest.raises(DataError, match=message):
        materialize(store, "2024-06-01")
    with pytest.raises(DataError, match=message):
        store.get_historical_features(spine, ["user_visits:spend_sum_lifetime"])


def test_a_failed_or_interrupted_run_leaves_the_view_as_it_was(
    store_of: Store, stored: View, table_of: Rows, user: Entity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = table_of("user_id  event_timestamp  created_timestamp  spent\n1  2024-05-01  2024-05-01  7")
    store = store_of(user, stored("user_visits", table, spent=Int64))
    materialize(store, "2024-05-02")

    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as during:
        during.setattr(Packer, "pack", interrupted)
        with pytest.raises(FeaturesError, match="user_visits: interrupted"):
            materialize(store, "2024-05-03")
    (tmp_path / "user_visits.parquet").unlink()
    with pytest.raises(DataError, match="there is no Parquet file"):
        materialize(store, "2024-05-03")
    assert store.get_feature_view("user_visits").state == FeatureViewState.AVAILABLE_ONLINE
    assert online(store, "user_visits:spent", 1) == [7]


def test_a_flushed_redis_is_full_again_after_one_incremental_run(
    store_of: Store, stored: View, table_of: Rows, user: Entity
) -> None:
    table = table_of("user_id  event_timestamp  created_timestamp  spent\n1  2024-05-01  2024-05-01  7")
    store = store_of(user, stored("user_visits", table, spent=Int64))
    materialize(store, "2024-05-02")
    with Redis.from_url(embedded.redis_url(get_settings())) as client:
        client.flushall()
    store.materialize_incremental(datetime(2024, 5, 3, tzinfo=UTC))
    assert online(store, "user_visits:spent", 1) == [7]


def test_a_view_of_no_entity_is_loaded_too(store_of: Store, table_of: Rows, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table_of("happened_at  rate\n2024-05-01  7\n2024-05-03  9"), tmp_path / "market.parquet")
    market = FeatureView(
        name="market",
        entities=[],
        schema=[Field(name="rate", dtype=Int64)],
        source=FileSource(name="market", path="market.parquet", timestamp_field="happened_at"),
    )
    store = store_of(market)
    materialize(store, "2024-05-09")
    assert store.get_online_features(["market:rate"], {"any": [1]}).to_dict() == {"rate": [9]}


def test_pushing_to_a_built_table_is_refused(
    store_of: Store, visits: FeatureView, user: Entity, table_of: Rows, publish: Callable[..., Any]
) -> None:
    store = store_of(user, visits)
    text = "user_id  event_timestamp  created_timestamp  spend_sum_lifetime\n1  2024-05-01  2024-05-01  1.5"
    rows = table_of(text, spend_sum_lifetime=pa.float64())
    with pytest.raises(DataError, match="user_visits: there is no Parquet file at"):
        store.write_to_offline_store("user_visits", rows.to_pandas())
    publish(visits, rows)
    with pytest.raises(UsageError, match="its table is written by `features build` alone"):
        store.write_to_offline_store("user_visits", rows.to_pandas(), reorder_columns=False)


def incremental(store: FeatureStore, end: str) -> None:
    store.materialize_incremental(datetime.fromisoformat(end).replace(tzinfo=UTC))


def rows_written(store: FeatureStore) -> int:
    return loaded_views(store, get_settings())["user_visits"].rows


def statuses(store: FeatureStore, feature: str, *users: int) -> list[str]:
    response: Any = store.get_online_features([feature], {"user_id": list(users)})
    found: list[str] = response.statuses()[feature.partition(":")[2]]
    return found


def test_the_first_incremental_run_takes_old_rows_and_later_ones_what_is_new(
    redis: Redis, store_of: Store, visits: FeatureView, user: Entity, table_of: Rows, publish: Callable[..., Any]
) -> None:
    store, spend = store_of(user, visits), "user_visits:spend_sum_lifetime"
    columns = "user_id  event_timestamp  created_timestamp  spend_sum_lifetime"

    def published(*rows: str) -> None:
        publish(visits, table_of("\n".join([columns, *rows]), spend_sum_lifetime=pa.float64()))

    published("1  2020-05-01  2020-05-01  1", "2  2020-05-01  2020-05-01  2", "3  2020-05-09  2020-05-09  3")
    incremental(store, "2020-05-08")
    assert (online(store, spend, 1, 2, 3), rows_written(store)) == ([1, 2, None], 2)

    incremental(store, "2020-05-10")  # 3 was held back, and has matured
    assert (online(store, spend, 1, 2, 3), rows_written(store)) == ([1, 2, 3], 1)

    published("1  2020-04-01  2020-05-10  9", "2  2020-05-01  2020-05-10  7")  # late, and a correction
    incremental(store, "2020-05-11")
    assert (online(store, spend, 1, 2, 3), rows_written(store)) == ([1, 7, 3], 2)

    incremental(store, "2020-05-12")
    assert rows_written(store) == 0
    materialize(store, "2020-05-12", start="2020-05-02")  # what START asks for is written again
    assert rows_written(store) == 1


def test_rows_that_a_rewritten_file_lacks_are_gone_and_pushed_rows_stay(
    redis: Redis, store_of: Store, stored: View, table_of: Rows, user: Entity, tmp_path: Path
) -> None:
    import pyarrow.parquet as pq

    text = """
        user_id  event_timestamp  created_timestamp  spent
        1        2024-05-01       2024-05-01         1
        2        2024-05-01       2024-05-01         2"""
    store = store_of(user, stored("user_visits", table_of(text), spent=Int64))
    materialize(store, "2024-05-03")
    pushed = table_of("user_id  event_timestamp  created_timestamp  spent\n4  2024-05-02  2024-05-02  4")
    store.write_to_online_store("user_visits", pushed.to_pandas())
    pq.write_table(table_of(text.replace("2        2024", "3        2024")), tmp_path / "user_visits.parquet")
    incremental(store, "2024-05-04")
    assert online(store, "user_visits:spent", 1, 2, 3, 4) == [1, None, 2, 4]
    assert len(list(redis.scan_iter("{?}?????"))) == 3  # the table before is unlinked


def test_an_added_feature_is_not_found_until_a_run_has_backfilled_it(
    redis: Redis, store_of: Store, stored: View, table_of: Rows, user: Entity
) -> None:
    table = table_of("user_id  event_timestamp  created_timestamp  spent  seen\n1  2024-05-01  2024-05-01  1  5")
    store = store_of(user, stored("user_visits", table, spent=Int64))
    materialize(store, "2024-05-02")
    store.apply([stored("user_visits", None, seen=Int64, spent=Int64)])
    found = []
    for end in (None, "2024-05-03"):
        if end:
            incremental(store, end)
        values = [online(store, f"user_visits:{name}", 1)[0] for name in ("spent", "seen")]
        found.append((values, statuses(store, "user_visits:seen", 1, 2)))
    assert found == [([1, None], ["NOT_FOUND", "NOT_FOUND"]), ([1, 5], ["PRESENT", "NOT_FOUND"])]


def test_a_deleted_view_hides_its_rows_at_once_even_when_it_comes_back(
    redis: Redis, store_of: Store, stored: View, table_of: Rows, user: Entity
) -> None:
    table = table_of("user_id  event_timestamp  created_timestamp  spent\n1  2024-05-01  2024-05-01  1")
    view = stored("user_visits", table, spent=Int64)
    store = store_of(user, view, stored("user_others", table, spent=Int64))
    materialize(store, "2024-05-02")
    store.apply([], objects_to_delete=[view], partial=False)
    assert len(list(redis.scan_iter("{1}?????"))) == 1
    store.apply([stored("user_visits", None, spent=Int64)])
    assert online(store, "user_visits:spent", 1) == [None]
    assert online(store, "user_others:spent", 1) == [1]
    incremental(store, "2024-05-02")
    assert online(store, "user_visits:spent", 1) == [1]


def test_a_load_that_is_killed_leaves_what_was_there_and_a_later_run_clears_up(
    redis: Redis, store_of: Store, stored: View, table_of: Rows, user: Entity, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "user_id  event_timestamp  created_timestamp  spent\n1  2024-05-01  2024-05-01  "
    store = store_of(user, stored("user_visits", table_of(text + "1"), spent=Int64))
    materialize(store, "2024-05-02")
    stored("user_visits", table_of(text + "2"), spent=Int64)

    def killed(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as during:
        during.setattr(online_catalog, "publish", killed)
        with pytest.raises(FeaturesError, match="interrupted"):
            materialize(store, "2024-05-03")
    assert online(store, "user_visits:spent", 1) == [1]
    assert len(list(redis.scan_iter("{1}?????"))) == 2
    for number in redis.hkeys("{features}:leftovers"):
        redis.hset("{features}:leftovers", number, "0")  # as if ten minutes had passed
    materialize(store, "2024-05-03")
    assert online(store, "user_visits:spent", 1) == [2]
    assert len(list(redis.scan_iter("{1}?????"))) == 1


@pytest.mark.parametrize("offline_store", ["dask", "duckdb"])
def test_another_offline_store_feeds_the_same_rows(
    redis: Redis, store_of: Store, stored: View, table_of: Rows, user: Entity, offline_store: str
) -> None:
    table = table_of(
        """
        user_id  event_timestamp  created_timestamp  spent             share
        1        2020-05-01       2020-05-01         9007199254740993  0.5
        1        2020-05-02       2020-05-02         9007199254740995  -
        2        2020-05-01       2020-05-01         7                 1.5""",
        share=pa.float64(),
    )
    view = stored("user_visits", table, spent=Int64, share=Float64)
    store = store_of(user, view, offline_store={"type": offline_store})
    incremental(store, "2020-05-03")
    assert online(store, "user_visits:spent", 1, 2) == [9007199254740995, 7]
    assert online(store, "user_visits:share", 1, 2) == [None, 1.5]


def test_a_redis_that_is_flushed_during_a_run_is_full_after_it(
    redis: Redis, store_of: Store, stored: View, table_of: Rows, user: Entity, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = table_of("user_id  event_timestamp  created_timestamp  spent\n1  2024-05-01  2024-05-01  7")
    store = store_of(user, stored("user_visits", table, spent=Int64))
    pack, flushes = Packer.pack, []

    def flushing(packer: Packer, batch: pa.RecordBatch) -> Any:
        if not flushes:
            flushes.append(redis.flushall())
        return pack(packer, batch)

    monkeypatch.setattr(Packer, "pack", flushing)
    materialize(store, "2024-05-02")
    assert online(store, "user_visits:spent", 1) == [7]


def test_a_view_without_rows_is_loaded_with_none(redis: Redis, store_of: Store, stored: View, user: Entity) -> None:
    none = pa.table(
        {
            "user_id": pa.array([], pa.int64()),
            "event_timestamp": pa.array([], pa.timestamp("us", tz="UTC")),
            "created_timestamp": pa.array([], pa.timestamp("us", tz="UTC")),
            "spent": pa.array([], pa.int64()),
        }
    )
    store = store_of(user, stored("user_visits", none, spent=Int64))
    materialize(store, "2024-05-02")
    assert online(store, "user_visits:spent", 1) == [None]
    assert rows_written(store) == 0
