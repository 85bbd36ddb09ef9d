"""What features are about, and who answers for them."""

from feast import Entity, ValueType

GROWTH = "growth@example.com"
MERCHANDISING = "merchandising@example.com"

household = Entity(
    name="household",
    join_keys=["household_id"],
    value_type=ValueType.INT64,
    description="A household that shops with a loyalty card",
    owner=GROWTH,
)

product = Entity(
    name="product",
    join_keys=["product_id"],
    value_type=ValueType.INT64,
    description="A product on the shelf",
    owner=MERCHANDISING,
)

department = Entity(
    name="department",
    join_keys=["department"],
    value_type=ValueType.STRING,
    description="A department of the store, such as GROCERY",
    owner=MERCHANDISING,
)
