"""`features show` explains any name, from services down to source columns."""

import json
from typing import Any

import pytest


def card(world: Any, word: str) -> dict[str, Any]:
    (found,) = json.loads(world.run("show", word, "--json").stdout)
    return found


def test_a_feature_has_meaning_unit_expectation_dtype_owner_and_lineage(world: Any) -> None:
    found = card(world, "attention_seconds_sum_7d")

    assert found["name"] == "user_clicks:attention_seconds_sum_7d"
    assert found["meaning"] == "Attention, 7 business days"
    assert (found["unit"], found["expected"], found["dtype"]) == ("seconds", ">= 0", "Float64")
    assert found["computed_as"] == "Sum(seconds) over 7d"
    assert found["owner"] == "web@x.org"
    assert found["lineage"] == ["reading_v1", "  user_clicks:attention_seconds_sum_7d", "    clicks.seconds"]
    assert found["freshness"] == {"user_clicks": "not built yet"}


def test_freshness_is_how_far_the_table_is_complete(built: Any) -> None:
    assert card(built, "user_clicks")["freshness"] == {"user_clicks": "complete through 2024-05-10"}


def test_the_value_of_an_entity_never_seen_is_told(world: Any) -> None:
    assert card(world, "clicks_count_7d")["never_seen"] == "0"
    assert card(world, "topic_clicks_count_7d")["never_seen"] == "null"


def test_a_looked_up_key_leads_to_the_source_it_comes_from(world: Any) -> None:
    assert card(world, "user_topics")["sources"] == "clicks, pages"


@pytest.mark.parametrize(
    ("word", "kind", "fact", "text"),
    [
        ("user_clicks", "feature view", "keyed_by", "user_id"),
        ("user_clicks", "feature view", "services", "reading_v1"),
        ("reading_v1", "feature service", "features", "3, of 1 view"),
        ("user", "entity", "views", "user_clicks, user_topics"),
        ("clicks", "source", "event_time", "clicked_at"),
        ("pages", "source", "views", "user_topics"),
        ("clicks.seconds", "source column", "features", "user_clicks:attention_seconds_sum_7d"),
        ("pages.topic", "source column", "key_of", "user_topics"),
        ("USER_CLICKS:CLICKS_COUNT_7D", "feature", "unit", "clicks"),
    ],
)
def test_every_kind_of_thing_has_its_facts(world: Any, word: str, kind: str, fact: str, text: str) -> None:
    found = card(world, word)

    assert (found["kind"], found[fact]) == (kind, text)


def test_a_name_that_means_several_things_shows_all_of_them(world: Any) -> None:
    found = json.loads(world.run("show", "topic", "--json").stdout)

    assert [(each["kind"], each["name"]) for each in found] == [("entity", "topic"), ("source column", "pages.topic")]


def test_a_person_reads_facts_and_lineage(world: Any) -> None:
    shown = world.run("show", "attention_seconds_sum_7d").stdout

    assert shown.startswith("user_clicks:attention_seconds_sum_7d  (feature)\nMeaning")
    assert shown.endswith("Lineage\n  reading_v1\n    user_clicks:attention_seconds_sum_7d\n      clicks.seconds\n")


def test_an_unknown_word_is_answered_with_the_near_ones(world: Any) -> None:
    result = world.run("show", "attention")

    assert result.exit_code == 2
    assert "nothing here is called 'attention'. Near: attention_seconds_sum_7d." in result.output
