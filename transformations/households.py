"""Features of a household: what it buys, how often, with which discounts and coupons, and who it is."""

import pyarrow.compute as pc

from transformations import (
    LIFETIME,
    Attribute,
    Count,
    CountDistinct,
    Float64,
    Last,
    Lookup,
    PlainFeatures,
    Ratio,
    Sum,
    UnixTimestamp,
    WindowedFeatures,
    at_least,
    between,
    days,
    derived,
    hours,
    on_demand,
    one_of,
    quotient,
)


@derived(unit="USD")
def discount(retail_disc: Float64, coupon_disc: Float64, coupon_match_disc: Float64) -> Float64:
    """Everything taken off a line: loyalty discount, coupon, and the store's match of the coupon."""
    return pc.add(pc.add(retail_disc, coupon_disc), coupon_match_disc)


@derived(unit="USD")
def shelf_value(sales_value: Float64, discount: Float64) -> Float64:
    """What a line would have cost without discounts."""
    return pc.add(sales_value, discount)


household_purchases = WindowedFeatures(
    name="household_purchases",
    join_key="household_id",
    source="transactions",
    windows=[days(7), days(28), LIFETIME],
    available_after=hours(2),
    description="Trips and spend of a household",
    derived=[discount, shelf_value],
    features=[
        CountDistinct("basket_id", name="trips", description="Shopping trips", unit="trips", expect=at_least(0)),
        Sum("sales_value", name="spend", description="Amount paid", unit="USD", expect=at_least(0)),
        Ratio(
            Sum("sales_value"),
            CountDistinct("basket_id"),
            name="basket_value",
            description="Mean value of a basket",
            unit="USD",
            expect=between(0, 1_500),
        ),
        Ratio(
            Sum("discount"),
            Sum("shelf_value"),
            name="discount",
            description="Discounts as a share of the value at shelf prices",
            unit="ratio",
            expect=between(0, 1),
        ),
        Last(
            "transaction_timestamp",
            name="trip_at",
            windows=[LIFETIME],
            description="Time of the last trip",
            unit="UTC time",
        ),
    ],
)

household_department_affinity = WindowedFeatures(
    name="household_department_affinity",
    join_key=["household_id", "department"],
    source="transactions",
    windows=[days(28), LIFETIME],
    available_after=hours(2),
    description="How much a household buys in each department",
    lookups=[Lookup("department", source="products", on="product_id")],
    features=[
        CountDistinct(
            "basket_id",
            name="department_trips",
            description="Trips that bought there",
            unit="trips",
            expect=at_least(0),
        ),
        Sum("sales_value", name="department_spend", description="Amount paid there", unit="USD", expect=at_least(0)),
    ],
)

household_coupon_use = WindowedFeatures(
    name="household_coupon_use",
    join_key="household_id",
    source="coupon_redemptions",
    windows=[days(28), LIFETIME],
    available_after=hours(2),
    description="Coupons a household has redeemed",
    features=[
        Count(name="redemptions", description="Coupons redeemed", unit="coupons", expect=at_least(0), unseen=0),
        Last(
            "redemption_date",
            name="redemption_at",
            windows=[LIFETIME],
            description="End of the last day with one",
            unit="UTC time",
        ),
    ],
)

household_demographics = PlainFeatures(
    name="household_demographics",
    join_key="household_id",
    source="demographics",
    available_after=hours(2),
    description="Who lives in a household, as far as it said",
    features=[
        Attribute("age", description="Age bracket of the head of household", unit="years"),
        Attribute("income", description="Income bracket", unit="USD a year"),
        Attribute("home_ownership", description="Owner or renter", unit="category"),
        Attribute(
            "marital_status", description="Marital status", unit="category", expect=one_of("Married", "Unmarried")
        ),
        Attribute("household_size", description="Number of people", unit="people"),
        Attribute("household_comp", description="Adults and kids", unit="category"),
        Attribute("kids_count", description="Number of kids", unit="people"),
    ],
)


@on_demand(unit="ratio", expect=between(0, 1_000))
def basket_vs_usual(basket_value: Float64, basket_value_mean_28d: Float64) -> Float64:
    """This basket against the household's mean basket of 28 days; null where that is null or 0."""
    return quotient(basket_value, basket_value_mean_28d)


@on_demand(unit="days", expect=at_least(0))
def days_since_trip(request_timestamp: UnixTimestamp, trip_at_last_lifetime: UnixTimestamp) -> Float64:
    """Days from the household's last known trip to the request; null where no trip is known."""
    seconds = pc.seconds_between(trip_at_last_lifetime, request_timestamp)
    return pc.divide(pc.cast(seconds, "float64"), 86_400.0)
