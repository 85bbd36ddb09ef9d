"""Which features each model reads, in training and online alike."""

from entities import GROWTH, MERCHANDISING
from feast import FeatureService
from household_views import (
    household_coupon_use,
    household_demographics,
    household_department_affinity,
    household_now,
    household_purchases,
    household_recency,
)
from product_views import product_demand

coupon_response_v1 = FeatureService(
    name="coupon_response_v1",
    features=[household_purchases, household_coupon_use, household_demographics, household_now, household_recency],
    owner=GROWTH,
    description="Will this household redeem a coupon in the 28 days after a checkout?",
    tags={"consumer": "coupon_response", "clearance": "personal"},
)

household_lapse_v1 = FeatureService(
    name="household_lapse_v1",
    features=[household_purchases, household_coupon_use, household_recency],
    owner=GROWTH,
    description="Will this household stay away in the 14 days to come?",
    tags={"consumer": "household_lapse", "clearance": "pseudonymous"},
)

product_ranking_v1 = FeatureService(
    name="product_ranking_v1",
    features=[household_department_affinity, product_demand],
    owner=MERCHANDISING,
    description="Which products to show a household first",
    tags={"consumer": "product_ranking", "clearance": "pseudonymous"},
)
