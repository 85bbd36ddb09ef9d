"""Features of a product: who buys it, how much, and at which price."""

from transformations import CountDistinct, Ratio, Sum, WindowedFeatures, at_least, between, days, hours

product_demand = WindowedFeatures(
    name="product_demand",
    join_key="product_id",
    source="transactions",
    windows=[days(7), days(28)],
    available_after=hours(2),
    description="Demand for a product",
    features=[
        Sum("quantity", name="units", description="Units sold", unit="units", expect=at_least(0)),
        CountDistinct(
            "household_id",
            name="buyers",
            description="Households that bought it",
            unit="households",
            expect=at_least(0),
        ),
        Ratio(
            Sum("sales_value"),
            Sum("quantity"),
            name="price",
            description="Mean price paid for a unit",
            unit="USD a unit",
            expect=between(0, 1_000),
        ),
    ],
)
