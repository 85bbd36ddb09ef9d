"""What the features of a household mean, by literal events."""

from datetime import UTC, datetime

import pyarrow as pa

from transformations.engine.testing import as_of
from transformations.households import (
    basket_vs_usual,
    days_since_trip,
    household_coupon_use,
    household_demographics,
    household_department_affinity,
    household_purchases,
)

TWO_BASKETS = """
    household_id  basket_id  transaction_timestamp  sales_value  retail_disc  coupon_disc  coupon_match_disc
    1             11         2017-03-01 10:00       30.00        5.00         3.00         2.00
    1             11         2017-03-01 10:00       10.00        0.00         0.00         0.00
    1             12         2017-03-02 10:00       20.00        0.00         0.00         0.00"""


def test_spend_sum_7d_falls_to_zero_after_a_quiet_week() -> None:
    spend = as_of(
        household_purchases,
        "spend_sum_7d",
        """
        household_id  transaction_timestamp  sales_value
        1             2017-03-01 10:00       30.00""",
    )
    assert [spend(1, d) for d in ("2017-03-01", "2017-03-02", "2017-03-08", "2017-03-09")] == [None, 30.0, 30.0, 0.0]


def test_a_trip_is_a_basket_however_many_lines_it_has() -> None:
    trips = as_of(household_purchases, "trips_count_28d", TWO_BASKETS)
    assert [trips(1, day) for day in ("2017-03-02", "2017-03-03", "2017-03-30", "2017-03-31")] == [1, 2, 1, 0]


def test_basket_value_is_the_mean_over_baskets_and_unknown_without_one() -> None:
    basket_value = as_of(household_purchases, "basket_value_mean_7d", TWO_BASKETS)
    assert [basket_value(1, day) for day in ("2017-03-02", "2017-03-03", "2017-03-10")] == [40.0, 30.0, None]


def test_discount_is_the_share_of_all_discounts_in_the_shelf_value() -> None:
    discount = as_of(household_purchases, "discount_ratio_lifetime", TWO_BASKETS)
    assert discount(1, "2017-03-02") == 10.0 / 50.0


def test_trip_at_is_the_time_of_the_last_line_to_the_second() -> None:
    trip_at = as_of(household_purchases, "trip_at_last_lifetime", TWO_BASKETS)
    assert trip_at(1, "2017-06-01") == datetime(2017, 3, 2, 10, tzinfo=UTC)


def test_a_trip_late_in_the_evening_of_new_york_counts_for_that_shopping_day() -> None:
    trips = as_of(
        household_purchases,
        "trips_count_7d",
        """
        household_id  basket_id  transaction_timestamp
        1             11         2017-03-02 04:59:59""",
    )
    assert [trips(1, day) for day in ("2017-03-01", "2017-03-02")] == [None, 1]


def test_department_affinity_is_kept_per_household_and_department() -> None:
    events = """
        household_id  department  basket_id  transaction_timestamp  sales_value
        1             DELI        11         2017-03-01 10:00       4.00
        1             PRODUCE     11         2017-03-01 10:00       2.50
        1             DELI        12         2017-03-05 10:00       6.00"""
    spend = as_of(household_department_affinity, "department_spend_sum_28d", events)
    trips = as_of(household_department_affinity, "department_trips_count_28d", events)
    assert (spend(1, "DELI", "2017-03-10"), trips(1, "DELI", "2017-03-10")) == (10.0, 2)
    assert (spend(1, "PRODUCE", "2017-03-10"), trips(1, "PRODUCE", "2017-03-10")) == (2.5, 1)
    assert spend(1, "FLORAL", "2017-03-10") is None


def test_a_redemption_counts_from_the_day_after_it_and_a_household_without_any_has_none() -> None:
    redemptions = as_of(
        household_coupon_use,
        "redemptions_count_28d",
        """
        household_id  redemption_date
        1             2017-03-01""",
    )
    assert [redemptions(1, day) for day in ("2017-03-01", "2017-03-02", "2017-03-30")] == [0, 1, 0]
    assert redemptions(2, "2017-03-02") == 0


def test_redemption_at_is_the_end_of_the_day_since_only_the_day_is_known() -> None:
    redemption_at = as_of(
        household_coupon_use,
        "redemption_at_last_lifetime",
        """
        household_id  redemption_date
        1             2017-03-01""",
    )
    assert redemption_at(1, "2017-03-02") == datetime(2017, 3, 2, 4, 59, 59, tzinfo=UTC)


def test_demographics_hold_from_the_first_day_on() -> None:
    events = """
        household_id  age    income  home_ownership  marital_status  household_size  household_comp    kids_count
        1             25-34  35-49K  -               Married         2               2 Adults No Kids  0"""
    values = {
        name: as_of(household_demographics, name, events)(1, "2017-01-01")
        for name in (
            "age",
            "income",
            "home_ownership",
            "marital_status",
            "household_size",
            "household_comp",
            "kids_count",
        )
    }
    assert list(values.values()) == ["25-34", "35-49K", None, "Married", "2", "2 Adults No Kids", "0"]


def test_basket_vs_usual_is_unknown_where_the_usual_basket_is_unknown_or_zero() -> None:
    baskets = pa.array([50.0, 50.0, 50.0, None])
    usual = pa.array([25.0, 0.0, None, 25.0])
    assert basket_vs_usual(baskets, usual).to_pylist() == [2.0, None, None, None]


def test_days_since_trip_counts_from_the_last_trip_to_the_request() -> None:
    now = pa.array([datetime(2017, 3, 3, 12, tzinfo=UTC)] * 2, pa.timestamp("us", tz="UTC"))
    last = pa.array([datetime(2017, 3, 1, 0, tzinfo=UTC), None], pa.timestamp("us", tz="UTC"))
    assert days_since_trip(now, last).to_pylist() == [2.5, None]
