"""The proof bites: every kind of fault, put into a running installation, is caught and named.

Faults go into Redis, into the tables' files or into the stores' own code; the comparison itself is never touched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from feast import FeatureStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from transformations.engine.base.errors import DamagedError
from transformations.engine.base.settings import get_settings
from transformations.engine.tables.offline_tables import OfflineTable
from transformations.stores.base.feast_seams import online_client
from transformations.stores.online import PackedRedisOnlineStore
from transformations.stores.redis.catalogue import read_catalog
from transformations.stores.rows import packed_rows
from validation.parity.causes import Cause, Kind
from validation.parity.report import LiveReport

from . import shop as shops
from .shop import WIDER_SALES, Shop, sale


class OnlineRow:
    """One user's row of one view in Redis: the only place here that knows how rows are kept."""

    def __init__(self, shop: Shop, view: str, user: int = 1) -> None:
        self.redis = online_client(shop.store)
        catalog = read_catalog(self.redis, shop.store.project)
        self.key = f"{{{user}}}".encode() + catalog.tables[view].number
        self.schema = catalog.tables[view].schemas[-1]

    def read(self) -> bytes:
        row = self.redis.get(self.key)
        assert isinstance(row, bytes)
        return row

    def write(self, row: bytes) -> None:
        self.redis.set(self.key, row)

    def delete(self) -> None:
        assert self.redis.delete(self.key) == 1

    def change(self, feature: str, change: Callable[[Any], Any]) -> None:
        row = self.read()
        columns = self.schema.form.columns([row])
        places = self.schema.positions(self.schema.fields)
        values = {name: columns[place][0] for (name, _), place in zip(self.schema.fields, places, strict=True)}
        values[feature] = change(values[feature])
        self.write(self.schema.form.pack(row[: packed_rows.HEADER.size], list(values.values())))


def skews(report: LiveReport) -> dict[str, set[str]]:
    """For each skewed feature, the causes that were named."""
    found: dict[str, set[str]] = {}
    for feature in report.features:
        for cause, count in feature.causes.items():
            if cause.startswith(Kind.SKEW) and count:
                found.setdefault(feature.feature, set()).add(cause.partition(": ")[2])
    return found


def causes(report: LiveReport, view: str = "user_sales") -> set[str]:
    """All causes of skew in one view."""
    return {cause for feature, named in skews(report).items() if feature.startswith(f"{view}:") for cause in named}


def words(report: LiveReport, feature: str) -> str:
    (found,) = (each for each in report.features if each.feature == feature)
    return found.examples[0].words


def test_without_a_fault_everything_agrees(shop: Shop) -> None:
    report = shop.report()

    assert report.skipped == {}
    assert report.compared == 2 * (5 + 1 + 2)
    assert report.differing == 0


def test_a_row_older_than_the_one_that_was_materialized(shop: Shop) -> None:
    row = OnlineRow(shop, "user_sales")
    old = row.read()
    shop.now = "2024-05-05T12:00:00Z"
    shop.deliver(sale(4, "2024-05-04 15:00", 40.4), through="2024-05-04")
    shop.build()
    shop.materialize()
    row.write(old)

    report = shop.report()
    assert causes(report) == {Cause.STALE_ROW}
    assert "2024-05-04 06:00:00 UTC" in words(report, "user_sales:spend_sum_2d")
    assert "by its input spend_sum_2d" in words(report, "user_now:spend_with_cart")


def test_a_row_that_redis_lost(shop: Shop) -> None:
    OnlineRow(shop, "user_sales").delete()

    report = shop.report()
    assert causes(report) == {Cause.LOST_ROW}
    assert [each.forms["missing"] for each in report.features if each.feature == "user_sales:spend_sum_2d"] == [1]


def test_a_value_that_was_rounded_to_float32(shop: Shop) -> None:
    OnlineRow(shop, "user_sales").change("spend_sum_2d", lambda value: float(np.float32(value)))

    report = shop.report()
    assert skews(report)["user_sales:spend_sum_2d"] == {Cause.FLOAT32}
    assert causes(report) == {Cause.FLOAT32}


def test_a_value_that_is_neither_rounded_nor_old(shop: Shop) -> None:
    OnlineRow(shop, "user_sales").change("sales_count_2d", lambda value: value + 1)

    assert causes(shop.report()) == {Cause.OTHER_VALUE}


def test_a_correction_that_was_dropped(shop: Shop) -> None:
    row = OnlineRow(shop, "user_sales")
    before = row.read()
    shop.deliver(sale(2, "2024-05-02 15:00", 99.9))
    shop.build()
    shop.materialize()
    row.write(before)

    report = shop.report()
    assert causes(report) == {Cause.DROPPED_CORRECTION}
    assert "created 2024-05-04 12:00:00 UTC" not in words(report, "user_sales:spend_sum_2d").partition("which")[0]


def test_a_row_written_under_an_older_schema(shop: Shop) -> None:
    """By a process that has not seen the registry of today."""
    (older, _), store = shop.views(), shop.store
    shop.definition = WIDER_SALES
    shop.build()
    shop.apply()
    shop.materialize()
    asked = [f"user_sales:{field.name}" for field in older.features]
    response = store.get_online_features(features=asked, entity_rows=[{"user_id": 1}]).proto
    names = list(response.metadata.feature_names.val)
    values = {field.name: response.results[names.index(field.name)].values[0] for field in older.features}
    event = response.results[-1].event_timestamps[0].ToDatetime(tzinfo=UTC)
    key = EntityKey(join_keys=["user_id"], entity_values=[Value(int64_val=1)])
    PackedRedisOnlineStore().online_write_batch(store.config, older, [(key, values, event, event)], None)

    report = shop.report()
    assert set(skews(report)) == {"user_sales:rebates_count_2d", "user_sales:rebates_count_lifetime"}
    assert causes(report) == {Cause.SCHEMA}


def test_a_row_pushed_to_the_online_store_only(shop: Shop) -> None:
    at = pd.Timestamp("2024-05-04T11:00:00Z")
    pushed = {"user_id": [1], "event_timestamp": [at], "created_timestamp": [at], "plan": ["platinum"]}
    shop.store.write_to_online_store("user_plan", pd.DataFrame(pushed))

    report = shop.report()
    assert causes(report, "user_plan") == {Cause.PUSH}
    assert causes(report) == set()


def test_a_row_that_is_served_before_it_is_available(shop: Shop) -> None:
    shop.deliver(sale(4, "2024-05-03 15:00", 40.4), through="2024-05-04")
    shop.build()
    shop.now = "2024-05-05T06:00:00Z"
    shop.materialize()
    shop.now = "2024-05-05T05:59:59Z"

    report = shop.report()
    assert Cause.EARLY in causes(report)
    assert causes(report) == {Cause.EARLY}


@pytest.mark.parametrize("shift", [-1, 1])
def test_a_ttl_that_is_off_by_a_microsecond_online(shop: Shop, monkeypatch: pytest.MonkeyPatch, shift: int) -> None:
    from transformations.stores.lookups import plans

    real = plans.ViewPlan

    def shifted(**facts: Any) -> Any:
        return real(**{**facts, "ttl": facts["ttl"] + shift if facts["ttl"] else 0})

    event = datetime.fromisoformat("2024-05-03T09:00:00+00:00")  # midnight in New York, and five hours
    edge = event + shops.PLAN_TTL
    shop.now = edge if shift < 0 else edge + timedelta(microseconds=1)
    assert shop.report().skewed == 0
    monkeypatch.setattr(plans, "ViewPlan", shifted)
    shop.store = FeatureStore(config=shop.store.config)  # plans are compiled once a process

    assert causes(shop.report(), "user_plan") == {Cause.TTL}


def test_a_ttl_that_is_off_by_a_microsecond_in_training(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformations.stores.training import retrieval

    real = retrieval.Stored.ttl_micros.fget
    shop.now = datetime.fromisoformat("2024-05-03T09:00:00+00:00") + shops.PLAN_TTL
    monkeypatch.setattr(retrieval.Stored, "ttl_micros", property(lambda stored: max(real(stored) - 1, 0)))

    assert causes(shop.report(), "user_plan") == {Cause.TTL}


def test_a_function_that_computes_something_else_online(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformations.stores.lookups import plans

    real = plans.evaluation_of

    class Changed:
        def __init__(self, *given: Any, **options: Any) -> None:
            self.evaluation = real(*given, **options)
            self.needs_moment = self.evaluation.needs_moment
            self.request_column = self.evaluation.request_column

        def __call__(self, *given: Any) -> Any:
            values = self.evaluation(*given)
            return {**values, "spend_with_cart": pc.multiply(values["spend_with_cart"], 2.0)}

    monkeypatch.setattr(plans, "evaluation_of", Changed)
    shop.store = FeatureStore(config=shop.store.config)  # plans are compiled once a process

    assert skews(shop.report()) == {"user_now:spend_with_cart": {Cause.CHANGED_FUNCTION}}


def test_a_function_whose_code_is_not_the_applied_one(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformations.stores.computed import wiring

    wiring.calls_of.cache_clear()
    monkeypatch.setitem(vars(shops.spend_with_cart), "content_hash", "another")
    try:
        report = shop.report()
    finally:
        wiring.calls_of.cache_clear()

    named = {cause for feature, found in skews(report).items() if "user_now" in feature for cause in found}
    assert named == {Cause.CHANGED_FUNCTION}


def test_a_table_whose_file_was_edited_behind_its_log(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused by its checksum, and where nobody verifies, its values are other ones."""
    latest = OfflineTable(get_settings().offline_dir / "user_sales").latest()
    assert latest is not None
    (file,) = latest.files
    rows = pq.read_table(file)
    doubled = [None if each is None else each * 2 for each in rows["spend_sum_2d"].to_pylist()]
    place = rows.column_names.index("spend_sum_2d")
    pq.write_table(rows.set_column(place, rows.field(place), [doubled]), file)

    with pytest.raises(DamagedError, match=f"^{file} is damaged"):
        shop.report()
    monkeypatch.setenv("FEATURES_OFFLINE_VERIFY", "false")
    assert causes(shop.report()) == {Cause.OTHER_VALUE}


def test_a_retrieval_that_lets_a_row_count_too_late(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformations.stores.training import retrieval

    real = retrieval.match_rows

    def shifted(connection: Any, spine: Any, stored: Any, **rest: Any) -> Any:
        earlier = pc.subtract(spine.moments, pa.scalar(timedelta(microseconds=1), pa.duration("us")))
        return real(connection, replace(spine, moments=earlier), stored, **rest)

    monkeypatch.setattr(retrieval, "match_rows", shifted)
    shop.now = "2024-05-04T06:00:00Z"  # the very moment from which the newest rows count

    assert causes(shop.report()) == {Cause.RETRIEVAL}
