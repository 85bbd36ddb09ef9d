"""What differs without anybody's fault: late and corrected rows, until the next materialization."""

from validation.parity.causes import Kind
from validation.parity.live import check_live
from validation.parity.report import FeatureReport, LiveReport
from validation.parity.sides import Sample

from .shop import WIDER_SALES, Shop, sale


def feature(report: LiveReport, name: str) -> FeatureReport:
    (found,) = (each for each in report.features if each.feature == name)
    return found


def test_rows_of_a_version_that_was_not_materialized_yet_are_late(shop: Shop) -> None:
    shop.now = "2024-05-05T12:00:00Z"
    shop.deliver(sale(4, "2024-05-04 15:00", 40.4), through="2024-05-04")
    shop.build()

    report = shop.report()
    spend = feature(report, "user_sales:spend_sum_2d")
    assert report.skewed == 0
    assert (spend.compared, spend.equal, spend.kinds) == (2, 0, {Kind.LATE: 2})
    assert spend.examples[0].words == "not materialized since version 0 (now 1)"
    shop.materialize()
    assert shop.report().differing == 0


def test_rows_that_became_available_since_end_are_late(shop: Shop) -> None:
    shop.deliver(sale(4, "2024-05-03 15:00", 40.4), through="2024-05-04")
    shop.build()
    shop.materialize()
    shop.now = "2024-05-05T06:00:00Z"

    spend = feature(shop.report(), "user_sales:spend_sum_2d")
    assert spend.kinds[Kind.LATE] == spend.differing > 0
    assert spend.examples[0].words == "not materialized since END 2024-05-04 12:00:00 UTC"


def test_a_row_that_was_asserted_anew_is_corrected_since(shop: Shop) -> None:
    shop.deliver(sale(2, "2024-05-02 15:00", 99.9))
    shop.build()

    spend = feature(shop.report(), "user_sales:spend_sum_2d")
    assert (spend.kinds, spend.forms) == ({Kind.CORRECTED: 1}, {"value": 1})
    shop.materialize()
    assert shop.report().differing == 0


def test_retracted_sales_are_corrected_to_null(shop: Shop) -> None:
    shop.retract(3)
    shop.build()

    assert feature(shop.report(), "user_sales:spend_sum_2d").forms == {"null": 1}
    shop.materialize()
    assert shop.report().differing == 0


def test_a_flushed_redis_is_late_with_everything_and_says_why(shop: Shop) -> None:
    shop.flush()

    report = shop.report()
    spend = feature(report, "user_sales:spend_sum_2d")
    assert (report.skewed, spend.forms) == (0, {"missing": 2})
    assert spend.examples[0].words == "never materialized into this Redis"
    shop.materialize()
    assert shop.report().differing == 0


def test_a_rebuilt_table_is_late_until_it_is_loaded(shop: Shop) -> None:
    shop.definition = WIDER_SALES
    shop.build()
    shop.apply()

    report = shop.report()
    assert report.skewed == 0
    assert feature(report, "user_sales:rebates_count_2d").forms == {"missing": 2}
    assert feature(report, "user_sales:spend_sum_2d").differing == 0
    shop.materialize()
    assert shop.report().differing == 0


def test_computed_features_differ_as_their_inputs_do(shop: Shop) -> None:
    shop.deliver(sale(2, "2024-05-02 15:00", 99.9))
    shop.build()

    cart = feature(shop.report({"cart_value": 5.0}), "user_now:spend_with_cart")
    assert cart.kinds == {Kind.CORRECTED: 1}
    assert cart.examples[0].keys == {"user_id": 1, "cart_value": 5.0}


def test_a_sample_is_the_same_for_the_same_seed(shop: Shop) -> None:
    shop.deliver(*(sale(100 + user, "2024-05-02 15:00", 1.0, user=user) for user in range(10, 40)))
    shop.build()
    views = [shop.store.get_feature_view("user_sales")]

    def keys(seed: int) -> list[object]:
        report = check_live(shop.store, views, shop.loaded(), shop.now, entities=Sample(5, seed))
        return [each.keys["user_id"] for each in feature(report, "user_sales:spend_sum_2d").examples]

    assert keys(1) == keys(1) != keys(2)
