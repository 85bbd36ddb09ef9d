"""Feast's plan in words: what each kind of change is called, and which of them take something away."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from feast import Entity, FeatureService, FeatureView, Field, FileSource, OnDemandFeatureView, RequestSource, ValueType
from feast.diff.registry_diff import RegistryDiff, diff_registry_objects
from feast.infra.registry.registry import FeastObjectType
from feast.types import Float64, Int64, String

from transformations.insight.changes import Change, Changes, changes_of

KINDS = {
    Entity: FeastObjectType.ENTITY,
    FeatureView: FeastObjectType.FEATURE_VIEW,
    OnDemandFeatureView: FeastObjectType.ON_DEMAND_FEATURE_VIEW,
    FeatureService: FeastObjectType.FEATURE_SERVICE,
}


def entity(**facts: Any) -> Entity:
    return Entity(**{"name": "user", "join_keys": ["user_id"], "value_type": ValueType.INT64, "owner": "web", **facts})


def view(key: Field | None = None, **facts: Any) -> FeatureView:
    schema = [key or Field(name="user_id", dtype=Int64), Field(name="clicks", dtype=Int64)]
    source = FileSource(name="clicks", path="clicks.parquet", timestamp_field="at")
    given = {"name": "user_clicks", "entities": [entity()], "schema": schema, "source": source, "owner": "web"}
    return FeatureView(**{**given, **facts})


def on_demand(text: str, code: str) -> OnDemandFeatureView:
    namespace: dict[str, Any] = {}
    exec(text, namespace)
    return OnDemandFeatureView(
        name="user_now",
        sources=[RequestSource(name="cart", schema=[Field(name="price", dtype=Float64)])],
        schema=[Field(name="half", dtype=Float64)],
        mode="python",
        udf=namespace["user_now"],
        udf_string=text,
        owner="web",
        tags={"half.hash": code, "half.unit": "USD"},
    )


def changes(before: Any, after: Any, *services: FeatureService) -> Changes:
    plan = RegistryDiff()
    plan.add_feast_object_diff(diff_registry_objects(before, after, KINDS[type(after)]))
    return changes_of(plan, services)


def only(found: Changes) -> Change:
    (change,) = found.changes
    return change


@pytest.mark.parametrize(
    ("before", "after", "detail", "is_destructive"),
    [
        (view(), view(owner="growth"), "owner: web → growth", False),
        (view(), view(tags={"tier": "gold"}), "tier: none → gold", False),
        (view(), view(ttl=timedelta(days=3)), "ttl: none → 3 days, 0:00:00", False),
        (view(online=False), view(), "online: False → True", False),
        (view(), view(online=False), "online: True → False", True),
        (
            view(),
            view(key=Field(name="user_id", dtype=Int64, description="The user")),
            "key user_id, description: none → The user",
            False,
        ),
        (
            view(),
            view(entities=[entity(value_type=ValueType.STRING)], key=Field(name="user_id", dtype=String)),
            "key user_id, dtype: Int64 → String",
            True,
        ),
        (
            view(),
            view(entities=[entity(join_keys=["id"])], key=Field(name="id", dtype=Int64)),
            "join keys: user_id → id",
            True,
        ),
    ],
)
def test_a_view_changes_as_a_whole(before: FeatureView, after: FeatureView, detail: str, is_destructive: bool) -> None:
    change = only(changes(before, after))

    assert (change.action, change.kind, change.name) == ("changed", "view", "user_clicks")
    assert change.details == (detail,)
    assert change.is_destructive is is_destructive


def test_what_feast_alone_has_noted_of_a_view_is_no_change() -> None:
    registered = view()
    registered.materialization_intervals.append((datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC)))
    registered.batch_source.created_timestamp = datetime(2024, 1, 1, tzinfo=UTC)

    assert changes(registered, view()).changes == ()


def test_an_entity_under_another_key_is_destructive() -> None:
    change = only(changes(entity(), entity(join_keys=["id"])))

    assert (change.kind, change.is_destructive) == ("entity", True)
    assert "join_key: user_id → id" in change.details


def test_a_function_of_other_code_changes_its_feature() -> None:
    old = on_demand("def user_now(inputs):\n    return {'half': [p / 2 for p in inputs['price']]}\n", "aa")
    new = on_demand("def user_now(inputs):\n    return {'half': [p * 0.5 for p in inputs['price']]}\n", "bb")

    change = only(changes(old, new))

    assert (change.kind, change.name, change.details) == ("feature", "user_now:half", ("code: aa → bb",))


def test_a_service_that_loses_a_feature_is_destructive() -> None:
    two = FeatureService(name="churn_v1", features=[view()], owner="ml")
    one = FeatureService(name="churn_v1", features=[view()[[]]], owner="ml")

    assert only(changes(one, two)).details == ("now also user_clicks:clicks",)
    assert not changes(one, two).is_destructive
    assert only(changes(two, one)).details == ("no longer user_clicks:clicks",)
    assert changes(two, one).is_destructive


def test_those_who_read_what_changes_are_touched_and_named_with_their_owners() -> None:
    reader = FeatureService(name="churn_v1", features=[view()], owner="ml")
    other = FeatureService(name="other_v1", features=[], owner="ops")

    found = changes(view(), view(description="Clicks"), reader, other)

    assert found.touched_services == ("churn_v1",)
    assert found.touched_views == ("user_clicks",)
    assert found.owners == ("ml", "web")


def test_only_another_definition_asks_for_a_rebuild() -> None:
    same = changes(view(tags={"definition_hash": "aa"}), view(tags={"definition_hash": "aa"}, owner="growth"))
    other = changes(view(tags={"definition_hash": "aa"}), view(tags={"definition_hash": "bb"}))

    assert same.computed == {}
    assert other.computed == {"user_clicks": "bb"}
    assert only(other).details == ("computation: aa → bb",)
