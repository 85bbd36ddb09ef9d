"""Training between the build of a changed definition and its `feast apply`: what is the same by both is read."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pandas as pd
import pyarrow.compute as pc
import pytest
from feast import FeatureService

from transformations import ANYTHING, Float64, Sum, WindowedFeatures, days, derived
from transformations.engine.base.errors import DataError
from transformations.engine.base.settings import get_settings
from transformations.engine.tables.offline_tables import OfflineTable
from transformations.engine.vocabulary.functions import RowFunction

from .shop import USER_SALES, WIDER_SALES, Shop

COUNT, SPEND = "user_sales:sales_count_2d", "user_sales:spend_sum_2d"


def net(rate: float) -> RowFunction:
    @derived(unit="USD")
    def net_amount(amount: Float64) -> Float64:
        """What is left after tax."""
        return pc.multiply(amount, rate)

    return net_amount


def taxed(rate: float) -> WindowedFeatures:
    """With a derived column that two features read."""
    income = Sum("net_amount", name="income", description="Income", unit="USD", expect=ANYTHING)
    return replace(USER_SALES, derived=[net(rate)], features=[*USER_SALES.features, income])


def read(shop: Shop, features: Sequence[str] | FeatureService, **more: Any) -> dict[str, list[Any]]:
    moments = pd.to_datetime(["2024-05-04T12:00:00Z"] * 2)
    spine = pd.DataFrame({"user_id": [1, 2], "cart_value": [0.5, 0.5], "event_timestamp": moments})
    asked = features if isinstance(features, FeatureService) else list(features)
    found = shop.store.get_historical_features(entity_df=spine, features=asked, **more).to_arrow()
    return {name: found[name].to_pylist() for name in found.column_names if name not in spine.columns}


def build(shop: Shop, definition: WindowedFeatures, *, apply: bool = False) -> None:
    shop.definition = definition
    shop.build()
    if apply:
        shop.apply()


@pytest.mark.parametrize("as_served", [False, True])
@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        (USER_SALES, WIDER_SALES, []),
        (WIDER_SALES, USER_SALES, ["rebates_count_2d", "rebates_count_lifetime"]),
        (
            USER_SALES,
            replace(
                USER_SALES,
                features=[replace(USER_SALES.features[0], windows=[days(3)]), *USER_SALES.features[1:]],
            ),
            ["sales_count_2d", "sales_count_lifetime"],
        ),
        (taxed(0.8), taxed(0.5), ["income_sum_2d", "income_sum_lifetime"]),
    ],
    ids=["added", "removed", "another window", "another derived column"],
)
def test_unchanged_features_are_read_and_changed_ones_refused_by_name(
    shop: Shop, before: WindowedFeatures, after: WindowedFeatures, changed: list[str], as_served: bool
) -> None:
    build(shop, before, apply=True)
    names = [field.name for field in shop.store.get_feature_view("user_sales").features]
    kept = [f"user_sales:{name}" for name in names if name not in changed]
    view = shop.store.get_feature_view("user_sales")
    service = FeatureService(name="kept_v1", features=[view[[name for name in names if name not in changed]]])
    shop.store.apply([service])
    expected = read(shop, kept, filter_by_created_timestamp=as_served)
    assert expected["spend_sum_2d"] == [20.2, 30.3]

    build(shop, after)
    assert read(shop, kept, filter_by_created_timestamp=as_served) == expected
    assert read(shop, shop.store.get_feature_service("kept_v1"), filter_by_created_timestamp=as_served) == expected
    ago = read(shop, ["user_now:seconds_since_sale"])["seconds_since_sale"]
    assert ago == [45 * 3600, 44 * 3600]  # of sales at 15:00 and 16:00 two days before
    for name in changed:
        with pytest.raises(DataError, match=f"Not the same in both: {name}; .* `feast apply`"):
            read(shop, [SPEND, f"user_sales:{name}"])

    shop.apply()
    assert read(shop, [SPEND]) == {"spend_sum_2d": [20.2, 30.3]}


def test_a_feature_that_is_applied_and_not_built_yet_is_refused_by_name(shop: Shop) -> None:
    shop.definition = WIDER_SALES
    shop.apply()
    assert read(shop, [COUNT, SPEND]) == {"sales_count_2d": [1, 1], "spend_sum_2d": [20.2, 30.3]}
    with pytest.raises(DataError, match=r"Not the same in both: rebates_count_2d; .* Run `features build`"):
        read(shop, [COUNT, "user_sales:rebates_count_2d"])


def test_what_the_table_as_a_whole_decides_goes_on_being_refused(shop: Shop) -> None:
    build(shop, WIDER_SALES)
    refusal = "its table was built from definition .*, the applied view is of .*Run `features build` and `feast apply`"
    with pytest.raises(DataError, match=refusal):
        shop.materialize()
    with pytest.raises(DataError, match=refusal):  # the moments of the rows follow from all features
        shop.store.get_historical_features(
            features=[SPEND], start_date=datetime(2024, 5, 1), end_date=datetime(2024, 5, 5)
        )


def test_what_tells_nothing_of_its_features_is_refused_whole(shop: Shop) -> None:
    view = shop.store.get_feature_view("user_sales")
    del view.tags["feature_hashes"]
    shop.store.apply([view])
    assert read(shop, [SPEND]) == {"spend_sum_2d": [20.2, 30.3]}
    build(shop, WIDER_SALES)
    assert OfflineTable(get_settings().offline_dir / "user_sales").runs()[-1].feature_hashes
    with pytest.raises(DataError, match="its table was built from definition"):
        read(shop, [SPEND])
