"""`features diff` says in words what `feast apply` would change, and fails where it would take something away."""

import json
from typing import Any

import pytest

from transformations.engine.base.errors import DefinitionError
from transformations.insight.repository import open_store, read_contents

SPEND = 'Sum("seconds", name="attention_seconds", description="Attention", unit="seconds", expect=at_least(0)),'


def test_everything_is_new_before_the_first_apply(world: Any) -> None:
    result = world.run("diff")

    assert result.exit_code == 0
    assert "+ view user_clicks\n    3 features (clicks_count_7d, attention_seconds_sum_7d, " in result.stdout
    assert "+ service reading_v1\n" in result.stdout
    assert "5 added, 0 changed, 0 removed" in result.stdout
    assert "to build: user_clicks, for the first time" in result.stdout


def test_after_an_apply_there_is_nothing_to_apply(world: Any) -> None:
    world.apply()

    result = world.run("diff")

    assert result.exit_code == 0
    assert result.stdout == "nothing to apply: the registry has what feature_repo/ declares\n"


def test_a_further_feature_is_named_with_who_is_touched_and_what_a_rebuild_costs(built: Any) -> None:
    built.apply()
    built.rewrite(
        (SPEND, SPEND + '\n        Count(name="looks", description="Looks", unit="looks", expect=at_least(0)),')
    )

    result = built.run("diff")

    assert result.exit_code == 0
    assert "+ feature user_clicks:looks_count_7d\n    Int64, looks, Looks, 7 business days\n" in result.stdout
    assert "services touched: reading_v1\n" in result.stdout
    assert "widened: reading_v1 lists whole views and so gets user_clicks:looks_count_7d as well; " in result.stdout
    assert "owners: ml@x.org, web@x.org\n" in result.stdout
    run = json.loads(built.run("runs", "user_clicks", "--json").stdout)[0]
    events = run["counts"]["events"]
    assert f"to rebuild: user_clicks, {run['rows']} rows ({events} events to read, about " in result.stdout
    built.run("build", "user_clicks")
    assert json.loads(built.run("runs", "user_clicks", "--json").stdout)[0]["counts"]["events"] == events


def test_a_service_that_names_its_features_is_not_widened(world: Any) -> None:
    named = ("features=[user_clicks]", 'features=[user_clicks[["clicks_count_7d"]]]')
    world.rewrite(named)
    world.apply()
    world.rewrite(
        named, (SPEND, SPEND + '\n        Count(name="looks", description="Looks", unit="looks", expect=at_least(0)),')
    )

    result = world.run("diff")

    assert "+ feature user_clicks:looks_count_7d" in result.stdout
    assert "widened" not in result.stdout


# user_topics gets the feature that user_clicks has, and both are in one service.
COLLIDING = [
    (
        'Count(name="topic_clicks", description="Clicks on a topic"',
        'Count(name="clicks", description="Clicks on a topic"',
    ),
    ("features=[user_clicks]", "features=[user_clicks, user_topics]"),
]


def test_two_views_of_a_service_with_one_feature_name_are_refused(world: Any) -> None:
    world.rewrite(*COLLIDING)

    result = world.run("diff")

    assert result.exit_code == 2
    assert "reading_v1: user_clicks and user_topics have a feature clicks_count_7d each" in result.stderr
    with pytest.raises(DefinitionError, match=r"full_feature_names=True") as refused:
        feast_validates(world)
    assert "user_topics[[…]]" in str(refused.value)


def test_a_service_read_by_full_names_may_have_one_name_twice(world: Any) -> None:
    world.rewrite(
        *COLLIDING, ('description="Reads on?"', 'tags={"full_feature_names": "true"}, description="Reads on?"')
    )

    assert world.run("diff").exit_code == 0
    feast_validates(world)


def feast_validates(world: Any) -> None:
    """What `feast plan` and `feast apply` do first."""
    store = open_store(world.settings)
    for view in read_contents(world.settings).feature_views:
        store._get_provider().validate_data_source(store.config, view.batch_source)


def test_a_removed_feature_is_destructive(world: Any) -> None:
    world.apply()
    world.rewrite((SPEND, ""))

    result = world.run("diff")

    assert result.exit_code == 3
    assert "- feature user_clicks:attention_seconds_sum_7d  DESTRUCTIVE\n" in result.stdout
    assert "~ service reading_v1  DESTRUCTIVE\n    no longer user_clicks:attention_seconds_sum_7d\n" in result.stdout


def test_another_dtype_is_destructive(world: Any) -> None:
    world.apply()
    contract = world.folder / "contracts" / "clicks.yaml"
    contract.write_text(contract.read_text().replace("logicalType: number", "logicalType: integer"))

    result = world.run("diff")

    assert result.exit_code == 3
    assert "~ feature user_clicks:attention_seconds_sum_7d  DESTRUCTIVE\n    dtype: Float64 → Int64\n" in result.stdout


def test_a_removed_view_is_destructive_and_its_service_is_touched(world: Any) -> None:
    world.apply()
    view = 'user_topics = feature_view(clicking.user_topics, entities=[user, topic], owner="news@x.org")\n'
    world.rewrite((view, ""))

    document = json.loads(world.run("diff", "--json").stdout)

    assert document["is_destructive"]
    assert [(each["action"], each["kind"], each["name"]) for each in document["changes"]] == [
        ("removed", "view", "user_topics")
    ]
    assert document["owners"] == ["news@x.org"]


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        (
            'description="Attention"',
            'description="Attention paid"',
            "description: Attention, 7 business days → Attention paid",
        ),
        ('owner="ml@x.org"', 'owner="me@x.org"', "~ service reading_v1\n    owner: ml@x.org → me@x.org"),
        (
            'description="What a user clicks"',
            'description="Clicks"',
            "~ view user_clicks\n    description: What a",
        ),
    ],
)
def test_a_change_of_words_is_shown_and_is_harmless(world: Any, old: str, new: str, change: str) -> None:
    world.apply()
    world.rewrite((old, new))

    result = world.run("diff")

    assert result.exit_code == 0
    assert change in result.stdout
    assert "rebuild" not in result.stdout


def test_another_computation_under_the_same_name_is_shown_as_such(built: Any) -> None:
    built.apply()
    built.rewrite(("available_after=hours(2)", "available_after=hours(4)"))

    result = built.run("diff")

    assert result.exit_code == 0
    assert "available_after: 2 hours → 4 hours" in result.stdout
    assert "computation: " in result.stdout
    assert "to rebuild: user_clicks" in result.stdout


def test_the_house_rules_that_the_tests_would_refuse_are_said_before(world: Any) -> None:
    world.rewrite(('name="attention_seconds"', 'name="attention"'))

    result = world.run("diff")

    assert "house rules broken: " in result.stderr
    unnamed = (
        "feature user_clicks:attention_sum_7d is in seconds, and its name does not say so. Put seconds into its name."
    )
    assert f"  {unnamed}\n" in result.stderr
    assert "  measure user_clicks.attention has no test. Ask for it by as_of(…), or call the function" in result.stderr
    assert unnamed in json.loads(world.run("diff", "--json").stdout)["broken_rules"]
