"""What a definition spells out, and what it refuses at import."""

from collections.abc import Callable
from typing import Any

import pytest

from transformations import (
    LIFETIME,
    Attribute,
    Count,
    CountDistinct,
    Last,
    PlainFeatures,
    Ratio,
    Share,
    Sum,
    WindowedFeatures,
    at_least,
    between,
    column,
    days,
    hours,
)
from transformations.engine.base.errors import DefinitionError
from transformations.engine.vocabulary.aggregations import Aggregation


def view(*features: Aggregation, **changes: object) -> WindowedFeatures:
    facts = {
        "name": "user_clicks",
        "join_key": "user_id",
        "source": "clicks",
        "description": "Clicks",
        "windows": [days(7)],
    }
    return WindowedFeatures(**(facts | changes), features=features)  # type: ignore[arg-type]


def clicks(**changes: object) -> Count:
    return Count(**({"name": "clicks", "description": "Clicks", "unit": "clicks"} | changes))  # type: ignore[arg-type]


def test_features_are_named_by_measure_aggregation_and_window() -> None:
    declared = view(clicks(), windows=[days(7), LIFETIME]).declared
    assert [feature.name for feature in declared] == ["clicks_count_7d", "clicks_count_lifetime"]
    assert [feature.description for feature in declared] == ["Clicks, 7 business days", "Clicks, lifetime"]


def test_one_feature_is_made_for_each_declared_value() -> None:
    declared = view(clicks(per=column("page").each("Home Page", "cart"))).declared
    assert [feature.name for feature in declared] == ["clicks_home_page_count_7d", "clicks_cart_count_7d"]


def test_a_quotient_by_a_count_is_a_mean_and_any_other_a_ratio() -> None:
    mean = Ratio(Sum("amount"), CountDistinct("cart_id"), name="cart", description="Mean cart", unit="USD")
    ratio = Ratio(Sum("amount"), Sum("quantity"), name="price", description="Price", unit="USD")
    assert [feature.name for feature in view(mean, ratio).declared] == ["cart_mean_7d", "price_ratio_7d"]


@pytest.mark.parametrize(
    "declare",
    [
        lambda: view(clicks(), description="Clicks\u202e"),
        lambda: view(clicks(description="Cl\u200bicks")),
        lambda: view(clicks(unit="clicks\x1b")),
        lambda: PlainFeatures(
            name="user_facts",
            join_key="user_id",
            source="users",
            description="Facts",
            available_after=hours(1),
            features=[Attribute("age", description="Age\u2066", unit="years")],
        ),
    ],
)
def test_a_text_with_a_character_that_nobody_sees_is_refused(declare: Callable[[], object]) -> None:
    with pytest.raises(
        DefinitionError, match=r"^user_\w+(: \w+)?: (description|unit) holds U\+[0-9A-F]{4} \(.*Leave it out"
    ):
        declare()


def test_an_expectation_may_differ_by_window() -> None:
    measure = clicks(expect={days(7): between(0, 10), LIFETIME: at_least(0)}, windows=[days(7), LIFETIME])
    assert [str(feature.expect) for feature in view(measure).declared] == ["0 to 10", ">= 0"]


def test_a_plain_feature_is_the_column_as_it_stands() -> None:
    plain = PlainFeatures(
        name="user_profile",
        join_key="user_id",
        source="profiles",
        description="Profile",
        features=[Attribute("country", description="Country", unit="ISO code")],
    )
    assert [(feature.name, feature.description) for feature in plain.declared] == [("country", "Country")]


def test_a_missing_expectation_of_a_window_names_the_window() -> None:
    measure = clicks(expect={days(7): at_least(0)}, windows=[days(7), LIFETIME])
    with pytest.raises(DefinitionError, match="clicks declares no expectation for window lifetime"):
        _ = view(measure).declared


def test_two_measures_of_one_name_are_refused() -> None:
    with pytest.raises(DefinitionError, match="user_clicks declares clicks_count_7d twice"):
        view(clicks(), clicks())


def test_a_feature_named_like_a_key_is_refused() -> None:
    plain = {"name": "user_profile", "join_key": "user_id", "source": "profiles", "description": "Profile"}
    with pytest.raises(DefinitionError, match="feature user_id has the name of a key"):
        PlainFeatures(**plain, features=[Attribute("user_id", description="Id", unit="id")])  # type: ignore[arg-type]


def test_hours_are_no_window() -> None:
    with pytest.raises(DefinitionError, match="windows are days"):
        view(clicks(), windows=[hours(36)])


def test_a_window_of_no_day_is_refused() -> None:
    with pytest.raises(DefinitionError, match="at least one business day"):
        days(0)


@pytest.mark.parametrize("fact", ["name", "description", "unit"])
def test_a_measure_without_its_facts_is_refused(fact: str) -> None:
    with pytest.raises(DefinitionError, match=fact):
        view(clicks(**{fact: ""}))


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        (clicks(where="kind" == "link"), "clicks: where=False is no condition"),
        (clicks(where="kind == 'link'"), "is no condition. Compare a column"),
        (clicks(where=column("is_late")), r"where=column\('is_late'\) is no condition"),
        (clicks(per=column("kind")), r"per=column\('kind'\) names no values"),
        (clicks(per=["link"]), "names no values"),
        (Share(Count(), "web", name="web", description="W", unit="ratio"), "condition='web' is no condition"),  # type: ignore[arg-type]
        (Sum(column("amount"), name="spend", description="S", unit="USD"), "is no column's name"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_condition_is_refused_before_it_selects_anything(measure: Aggregation, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        view(measure)


@pytest.mark.parametrize("facts", [{"windows": [days(7)]}, {"per": column("kind").each("link")}, {"unseen": 0}])
def test_a_side_of_a_quotient_cannot_say_what_only_the_whole_can(facts: dict[str, Any]) -> None:
    ratio = Ratio(Sum("amount", **facts), Sum("quantity"), name="price", description="Price", unit="USD")
    with pytest.raises(DefinitionError, match=f"price: its Sum says {next(iter(facts))}=…, which only the whole"):
        view(ratio)


def test_a_view_without_features_is_refused() -> None:
    with pytest.raises(DefinitionError, match="declares no features"):
        view()


def test_a_view_name_in_upper_case_is_refused() -> None:
    with pytest.raises(DefinitionError, match="Rename it"):
        view(clicks(), name="UserClicks")


def test_last_has_no_window_of_its_own_unless_it_says_so() -> None:
    declared = view(Last("at", name="seen_at", windows=[LIFETIME], description="Seen", unit="UTC time")).declared
    assert [feature.name for feature in declared] == ["seen_at_last_lifetime"]
