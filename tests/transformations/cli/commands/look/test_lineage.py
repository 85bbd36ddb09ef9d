"""`features lineage` and `features impact`: both ways from any name, with who must be asked."""

import json
from typing import Any

import pytest

DATASET = """
owner: ml@x.org
feature_service: reading_v1
spine: {query: "SELECT user_id, clicked_at AS event_timestamp FROM raw.clicks WHERE page <> '/lost'"}
"""


@pytest.fixture
def declared(world: Any) -> Any:
    """The project with a dataset whose spine reads clicks, and an owner that can be reached."""
    (world.repository / "datasets").mkdir()
    (world.repository / "datasets" / "reading.yaml").write_text(DATASET)
    (world.repository / "owners.yaml").write_text("owners: {ml@x.org: {team: Models, contact: channel models}}\n")
    return world


def names(things: list[dict[str, Any]]) -> dict[str, str]:
    return {thing["name"]: thing["as"] for thing in things}


def test_a_feature_leads_down_to_columns_and_up_to_datasets(declared: Any) -> None:
    found = json.loads(declared.run("lineage", "attention_seconds_sum_7d", "--json").stdout)
    assert names(found["upstream"]) == {
        "clicks.seconds": "value",
        "clicks.click_id": "key",
        "clicks.user_id": "key",
        "clicks.clicked_at": "event time",
    }
    assert names(found["downstream"]) == {"reading_v1": "features", "reading": "features"}


def test_a_column_of_a_lookup_leads_to_the_features_that_it_keys(declared: Any) -> None:
    found = json.loads(declared.run("lineage", "pages.topic", "--json").stdout)
    assert names(found["downstream"]) == {"user_topics:topic_clicks_count_7d": "key"}


def test_a_spine_reads_the_columns_that_its_query_names(declared: Any) -> None:
    found = json.loads(declared.run("lineage", "reading", "--json").stdout)
    spine = {name for name, role in names(found["upstream"]).items() if role == "spine"}
    assert spine == {"clicks.user_id", "clicks.clicked_at", "clicks.page"}


def test_the_impact_of_a_column_names_what_it_touches_and_whom_to_ask(declared: Any) -> None:
    found = json.loads(declared.run("impact", "clicks.seconds", "--json").stdout)
    assert [thing["name"] for thing in found["touched"]] == [
        "user_clicks:attention_seconds_sum_7d",
        "reading_v1",
        "reading",
    ]
    assert found["ask"] == [
        {"owner": "ml@x.org", "team": "Models", "contact": "channel models", "for": "reading_v1, reading"},
        {"owner": "web@x.org", "team": "", "contact": "", "for": "user_clicks"},
    ]
    shown = declared.run("impact", "clicks.seconds").stdout
    assert shown.startswith("a change of clicks.seconds touches 1 feature, 1 feature service, 1 dataset\n")
    assert "channel models" in shown


def test_an_unknown_name_is_answered_with_near_ones(declared: Any) -> None:
    result = declared.run("lineage", "clicks.secnds")
    assert result.exit_code == 2
    assert "Near: clicks.seconds" in result.output
