"""Names that a service has twice: which are refused, and which are no collision."""

from __future__ import annotations

import pytest
from feast import Entity, FeatureService, FeatureView, Field, FileSource, RequestSource, ValueType
from feast.base_feature_view import BaseFeatureView
from feast.types import Float64, Int64

from transformations import ANYTHING, on_demand
from transformations import Float64 as Column
from transformations.stores.base.collisions import collisions_of
from transformations.stores.base.on_demand import on_demand_view

USER = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
CART = RequestSource(name="cart", schema=[Field(name="price", dtype=Float64)])


def view(name: str, *features: str, key: Entity = USER) -> FeatureView:
    source = FileSource(name=name, path=f"{name}.parquet", timestamp_field="event_timestamp")
    fields = [Field(name=feature, dtype=Float64) for feature in features]
    keys = [Field(name=key.join_key, dtype=Int64)]
    return FeatureView(name=name, entities=[key], schema=[*keys, *fields], source=source)


@on_demand(unit="ratio", expect=ANYTHING)
def twice(price: Column) -> Column:
    """The price, twice."""
    return price


def now(name: str, *sources: RequestSource) -> BaseFeatureView:
    return on_demand_view(name, [twice], sources=list(sources), owner="web", description="Now")


def said(*views: BaseFeatureView, **facts: object) -> list[str]:
    service = FeatureService(name="s_v1", features=list(views), **facts)  # type: ignore[arg-type]
    return list(collisions_of(service, {each.name: each for each in views}))


def test_different_names_are_no_collision() -> None:
    assert said(view("a", "spend"), view("b", "trips"), now("c", CART)) == []


@pytest.mark.parametrize(
    ("views", "clash"),
    [
        ((view("a", "spend"), view("b", "spend")), "a and b have a feature spend each"),
        ((view("a", "twice"), now("c", CART)), "a and c have a feature twice each"),
        ((now("c", CART), now("d", CART)), "c and d have a feature twice each"),
        ((view("a", "price"), now("c", CART)), "feature price of a has the name of a request field of c"),
        (
            (view("a", "shop_id"), view("b", "spend", key=Entity(name="s", join_keys=["shop_id"]))),
            "feature shop_id of a has the name of a join key of b",
        ),
        ((view("a", "event_timestamp"),), "feature event_timestamp of a has the name of the time"),
        (
            (
                view("a", "spend").with_name("origin").with_join_key_map({"user_id": "origin_id"}),
                view("a", "spend").with_name("target").with_join_key_map({"user_id": "target_id"}),
            ),
            "origin and target have a feature spend each",
        ),
    ],
)
def test_two_values_of_one_name_are_refused(views: tuple[BaseFeatureView, ...], clash: str) -> None:
    (fault,) = said(*views)
    assert fault.startswith(f"service s_v1: {clash}")
    assert "full_feature_names=True" in fault


def test_readers_by_full_names_tell_them_apart() -> None:
    assert said(view("a", "spend"), view("b", "spend"), tags={"full_feature_names": "true"}) == []
