"""What is offered about households: stored views, and what is computed when a household stands at the checkout."""

from entities import GROWTH, department, household
from feast import Field, RequestSource
from feast.types import Float64

from transformations import households
from transformations.stores.on_demand import on_demand_view
from transformations.stores.views import feature_view

household_purchases = feature_view(
    households.household_purchases, entity=household, owner=GROWTH, tags={"domain": "households"}
)
household_department_affinity = feature_view(
    households.household_department_affinity,
    entities=[household, department],
    owner=GROWTH,
    tags={"domain": "households"},
)
household_coupon_use = feature_view(
    households.household_coupon_use, entity=household, owner=GROWTH, tags={"domain": "households"}
)
household_demographics = feature_view(
    households.household_demographics, entity=household, owner=GROWTH, tags={"domain": "households"}
)

checkout = RequestSource(
    name="checkout",
    schema=[
        Field(
            name="basket_value", dtype=Float64, description="Value of the basket at the checkout", tags={"unit": "USD"}
        )
    ],
    description="What the checkout knows of the basket",
    owner=GROWTH,
)

household_now = on_demand_view(
    "household_now",
    [households.basket_vs_usual],
    sources=[household_purchases, checkout],
    owner=GROWTH,
    description="A household at the checkout, against what it usually does",
    tags={"domain": "households"},
)
household_recency = on_demand_view(
    "household_recency",
    [households.days_since_trip],
    sources=[household_purchases],
    owner=GROWTH,
    description="How long ago a household did what it does",
    tags={"domain": "households"},
)
