"""The rules of documentation and naming, each broken once."""

from typing import Any

import pytest
from feast import Entity, FeatureService, FeatureView, Field, FileSource, OnDemandFeatureView, RequestSource, ValueType
from feast.repo_contents import RepoContents
from feast.types import Bool, FeastType, Float64, Int64, String

from transformations.engine.base.errors import DefinitionError
from validation.documentation import problems, require_documented

GOOD = {"unit": "visits", "expect": ">= 0"}


def entity(**changes: str) -> Entity:
    facts = {"owner": "me", "description": "A user", **changes}
    return Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64, **facts)


def feature(name: str = "visits", dtype: FeastType = Int64, description: str = "Visits", **tags: str | None) -> Field:
    kept = {key: tag for key, tag in {**GOOD, **tags}.items() if tag is not None}
    return Field(name=name, dtype=dtype, description=description, tags=kept)


def view(*features: Field, name: str = "user_visits", **changes: str) -> FeatureView:
    facts = {"owner": "me", "description": "Visits", **changes}
    source = FileSource(name="visits", path="visits.parquet", timestamp_field="at")
    schema = [Field(name="user_id", dtype=Int64), *(features or [feature()])]
    return FeatureView(name=name, entities=[entity()], schema=schema, source=source, **facts)


def on_demand(name: str = "user_now", **tags: str) -> OnDemandFeatureView:
    facts = {"half.description": "Half", "half.unit": "visits", "half.expect": "anything", **tags}
    return OnDemandFeatureView(
        name=name,
        sources=[view(), RequestSource(name="cart", schema=[Field(name="price", dtype=Float64, description="Price")])],
        schema=[Field(name="half", dtype=Float64)],
        mode="python",
        udf=on_demand,  # type: ignore[arg-type]
        udf_string="def half(inputs): ...",
        owner="me",
        description="Now",
        tags=facts,
    )


def service(name: str = "churn_v1", **changes: str) -> FeatureService:
    return FeatureService(name=name, features=[view()], **{"owner": "me", "description": "Churn", **changes})


def contents(*objects: Any) -> RepoContents:
    def of(kind: type) -> list[Any]:
        return [each for each in objects if isinstance(each, kind)]

    entities = of(Entity) or [entity()]
    views, computed, services = of(FeatureView), of(OnDemandFeatureView), of(FeatureService)
    return RepoContents([], [], views, computed, [], [], entities, services, [])


def test_a_documented_repository_has_no_problem() -> None:
    assert problems(contents(view(), on_demand(), service())) == []
    require_documented(contents(view(), on_demand(), service()))


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        (entity(owner=""), "entity user has no owner. Write owner=…."),
        (entity(description=" "), "entity user has no description. Write description=…."),
        (view(owner=""), "view user_visits has no owner. Write owner=…."),
        (view(description=""), "view user_visits has no description. Write description=…."),
        (service(owner=""), "service churn_v1 has no owner. Write owner=…."),
        (service(name="churn"), "service churn is not named <model>_v<N>. Rename it, such as churn_v1."),
        (view(name="visits"), "view visits is not named <entity>_<subject>. Begin its name with user_."),
        (on_demand(name="now"), "on-demand view now is not named <entity>_<subject>. Begin its name with user_."),
        (
            view(feature(description="")),
            "feature user_visits:visits has no description. Write description=… where it is declared.",
        ),
        (view(feature(unit=None)), "feature user_visits:visits has no unit. Write unit=… where it is declared."),
        (
            view(feature(expect=None)),
            "feature user_visits:visits is a number without an expected range. Write expect=…, such as at_least(0).",
        ),
        (on_demand(**{"half.unit": ""}), "feature user_now:half has no unit. Write unit=… where it is declared."),
        (
            view(feature(window="7d")),
            "feature user_visits:visits is not named <measure>_<aggregation>_<window>. Rename its measure.",
        ),
        (
            view(feature("Visits")),
            "feature user_visits:Visits is not in lower case letters, digits and _. Rename it.",
        ),
        (
            view(feature("new", Bool)),
            "feature user_visits:new is Bool; is_… and has_… are for Bool, and Bool for them. Rename it.",
        ),
        (
            view(feature("is_new", String)),
            "feature user_visits:is_new is String; is_… and has_… are for Bool, and Bool for them. Rename it.",
        ),
        (
            view(feature("bounces", Float64, unit="rate")),
            "feature user_visits:bounces is a rate, and its name does not say so. End the measure's name in _rate.",
        ),
        (
            view(feature("age", Float64, unit="days")),
            "feature user_visits:age is in days, and its name does not say so. Put days into its name.",
        ),
    ],
)
def test_a_broken_rule_is_named_with_its_place_and_remedy(broken: Any, problem: str) -> None:
    declared = contents(broken) if isinstance(broken, Entity | FeatureView) else contents(view(), broken)
    assert [str(found) for found in problems(declared)] == [problem]


def test_a_text_needs_no_range_and_a_windowed_name_its_window() -> None:
    good = view(feature("plan", String, expect=None), feature("visits_count_7d", window="7d"), feature("is_new", Bool))
    assert problems(contents(good)) == []


def test_a_request_field_needs_a_description() -> None:
    silent = on_demand()
    silent.source_request_sources["cart"].schema[0].description = ""
    (found,) = problems(contents(view(), silent))
    assert str(found) == "request field cart:price has no description. Write Field(description=…)."


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(DefinitionError) as refused:
        require_documented(contents(entity(owner=""), view(feature(unit=None, expect=None), owner="")))
    lines = str(refused.value).splitlines()
    assert lines[0] == "4 rules of documentation and naming are broken:"
    assert len(lines) == 5
