"""What the features of a product mean, by literal events."""

from transformations.engine.testing import as_of
from transformations.products import product_demand

SALES = """
    product_id  household_id  transaction_timestamp  quantity  sales_value
    7           1             2017-03-01 10:00       2         5.00
    7           1             2017-03-02 10:00       1         2.50
    7           2             2017-03-02 11:00       3         6.00
    7           2             2017-03-20 11:00       0         0.00"""


def test_units_are_summed_over_the_window() -> None:
    units = as_of(product_demand, "units_sum_7d", SALES)
    assert [units(7, day) for day in ("2017-03-02", "2017-03-03", "2017-03-09", "2017-03-10")] == [2, 6, 4, 0]


def test_buyers_are_different_households() -> None:
    buyers = as_of(product_demand, "buyers_count_28d", SALES)
    assert [buyers(7, day) for day in ("2017-03-02", "2017-03-03")] == [1, 2]


def test_price_is_what_a_unit_cost_on_average_and_unknown_when_none_was_sold() -> None:
    price = as_of(product_demand, "price_ratio_7d", SALES)
    assert [price(7, day) for day in ("2017-03-03", "2017-03-21")] == [13.5 / 6, None]
