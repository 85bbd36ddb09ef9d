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


def test_what_a_table_was_built_from_is_told_where_it_differs(built: Any) -> None:
    """Attention was counted in seconds when the table was built; now it is declared from clicks."""
    assert "stored otherwise" not in built.run("lineage", "user_clicks").stdout
    built.rewrite(
        ('Sum("seconds", name="attention_seconds"', 'Sum("click_id", name="attention_seconds"'),
        ('Count(name="clicks"', 'Count(name="visits"'),
    )

    said = built.run("lineage", "user_clicks").stdout.partition("stored otherwise, until the next build\n")[2]

    assert sorted(said.splitlines()) == [
        (
            "  user_clicks:attention_seconds_sum_7d: computed from clicks.seconds (version 0), "
            "declared from clicks.click_id"
        ),
        "  user_clicks:clicks_count_7d: computed from clicks.clicked_at (version 0), no longer declared",
        "  user_clicks:visits_count_7d: not stored yet (version 0), declared from clicks.clicked_at",
    ]
    for column in ("clicks.click_id", "clicks.seconds"):
        assert "stored otherwise: user_clicks:attention" in built.run("impact", column).stdout
    stored = json.loads(built.run("lineage", "click_at_last_lifetime", "--json").stdout)["stored"]
    assert [each["stored"] for each in stored] == [["clicks.clicked_at"]]
