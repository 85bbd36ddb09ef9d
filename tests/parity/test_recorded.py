"""A lookup that was made before, against the tables that were online then."""

from dataclasses import replace

import pyarrow as pa

from validation.parity.causes import Cause, Kind
from validation.parity.recorded import RecordedLookup, check_recorded, record_lookup

from .shop import Shop, sale

ROWS = pa.table({"user_id": [1, 2], "cart_value": [5.0, 6.0]})
VIEWS = ("user_sales", "user_plan", "user_now")


def look_up(shop: Shop, *features: str) -> RecordedLookup:
    """Everything, or these features."""
    views = [*shop.store.list_feature_views(), *shop.store.list_on_demand_feature_views()]
    every = [f"{view.name}:{each.name}" for view in views for each in view.features]
    response = shop.store.get_online_features(
        features=list(features) or every, entity_rows=ROWS.to_pylist(), full_feature_names=True
    )
    return record_lookup(response, ROWS, shop.now, shop.loaded())


def deliver_a_day(shop: Shop) -> None:
    shop.deliver(sale(4, "2024-05-03 15:00", 40.4), through="2024-05-04")
    shop.build()


def test_what_was_served_is_what_the_tables_of_then_give_whatever_came_later(shop: Shop) -> None:
    lookup = look_up(shop)
    shop.now = "2024-05-05T12:00:00Z"
    shop.deliver(sale(2, "2024-05-02 15:00", 99.9))
    deliver_a_day(shop)
    shop.materialize()

    report = check_recorded(shop.store, lookup)
    assert (report.compared, report.differing, report.skipped) == (2 * (5 + 1 + 2), 0, {})


def test_a_value_that_was_not_promised_is_skew(shop: Shop) -> None:
    lookup = look_up(shop)
    first, second = lookup.answer["user_sales__spend_sum_2d"]
    wrong = {"user_sales__spend_sum_2d": [replace(first, value=first.value + 1), second]}  # type: ignore[operator]

    report = check_recorded(shop.store, replace(lookup, answer={**lookup.answer, **wrong}))
    (found,) = (each for each in report.features if each.differing)
    assert (found.feature, dict(found.kinds)) == ("user_sales:spend_sum_2d", {Kind.SKEW: 1})
    assert [each.cause for each in found.examples] == [Cause.OTHER_VALUE]


def test_rows_that_became_available_before_the_lookup_and_after_the_load_are_late(shop: Shop) -> None:
    deliver_a_day(shop)
    shop.materialize()
    shop.now = "2024-05-05T06:00:00Z"

    report = check_recorded(shop.store, look_up(shop))
    kinds = {each.feature: dict(each.kinds) for each in report.features if each.differing}
    assert kinds["user_sales:spend_sum_2d"] == {Kind.LATE: 2}
    assert kinds["user_now:spend_with_cart"] == {Kind.LATE: 2}
    assert report.skewed == 0


def test_a_row_that_was_served_before_its_load_is_skew_though_training_has_it(shop: Shop) -> None:
    deliver_a_day(shop)
    shop.materialize()
    loaded = shop.loaded()
    shop.now = "2024-05-05T06:00:00Z"
    shop.materialize()

    report = check_recorded(shop.store, replace(look_up(shop), loaded=loaded))
    spend = next(each for each in report.features if each.feature == "user_sales:spend_sum_2d")
    assert (dict(spend.kinds), {each.cause for each in spend.examples}) == ({Kind.SKEW: 2}, {Cause.EARLY})
    computed = next(each for each in report.features if each.feature == "user_now:spend_with_cart")
    assert dict(computed.kinds) == {Kind.SKEW: 2}


def test_what_was_not_asked_for_or_not_loaded_is_left_out_with_the_reason(shop: Shop) -> None:
    lookup = look_up(shop, "user_sales:spend_sum_2d", "user_plan:plan")
    report = check_recorded(shop.store, replace(lookup, loaded={}))
    assert report.skipped == dict.fromkeys(VIEWS[:2], "it was not loaded when the lookup was recorded")

    report = check_recorded(shop.store, lookup)
    assert [each.feature for each in report.features] == ["user_plan:plan"]
    assert report.skipped["user_sales"].startswith("the recorded lookup did not ask for user_sales:sales_count_2d, ")
