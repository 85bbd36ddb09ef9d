"""`features preview` computes a row from raw events by definition: as-of a day, or what could be served at a moment."""

import json
from typing import Any

import pytest


def preview(world: Any, *arguments: str) -> dict[str, Any]:
    return json.loads(world.run("preview", *arguments, "--json").stdout)


def test_as_of_a_day_only_earlier_events_count(world: Any) -> None:
    world.deliver_all()

    found = preview(world, "user_clicks", "1", "--at", "2024-05-02")

    assert found["features"] == {
        "clicks_count_7d": 1,
        "attention_seconds_sum_7d": 10.0,
        "click_at_last_lifetime": "2024-05-01 16:00:00+00:00",
    }
    assert found["events"] == 1
    assert found["available_from"] == "2024-05-02T06:00:00+00:00"


@pytest.mark.parametrize(
    ("moment", "as_of"),
    [("2024-05-03T05:59:59Z", "2024-05-02"), ("2024-05-03T06:00:00Z", "2024-05-03")],
)
def test_a_moment_asks_for_the_row_that_could_be_served_then(world: Any, moment: str, as_of: str) -> None:
    world.deliver_all()

    assert preview(world, "user_clicks", "1", "--at", moment)["as_of"] == as_of


def test_looked_up_attributes_may_be_part_of_the_key(world: Any) -> None:
    world.deliver_all()

    found = preview(world, "user_topics", "user_id=1,topic=animals", "--at", "2024-05-03")

    assert found["features"] == {"topic_clicks_count_7d": 2}


def test_a_page_that_nobody_described_has_no_topic(world: Any) -> None:
    world.deliver_all()

    assert preview(world, "user_topics", "user_id=2,topic=animals", "--at", "2024-05-03")["features"] is None


def test_the_preview_is_what_the_build_stores(built: Any) -> None:
    import pyarrow.parquet as pq

    from transformations.engine.tables.offline_tables import OfflineTable

    latest = OfflineTable(built.settings.offline_dir / "user_clicks").latest()
    rows = [row for file in latest.files for row in pq.read_table(file).to_pylist()]
    (stored,) = [row for row in rows if row["user_id"] == 1 and row["event_timestamp"].day == 3]
    found = preview(built, "user_clicks", "1", "--at", "2024-05-03")["features"]

    assert {name: str(value) for name, value in found.items()} == {name: str(stored[name]) for name in found}


def test_a_person_reads_a_table_with_units(world: Any) -> None:
    world.deliver_all()

    shown = world.run("preview", "user_clicks", "user_id=1", "--at", "2024-05-03").stdout

    assert "user_clicks of user_id 1, as-of 2024-05-03 (America/New_York), servable from 2024-05-03 06:00 UTC" in shown
    assert "attention_seconds_sum_7d  15                       seconds" in shown
    assert "from 2 of 2 events of this key in clicks" in shown


def test_an_entity_never_seen_has_no_row(world: Any) -> None:
    world.deliver_all()

    shown = world.run("preview", "user_clicks", "9", "--at", "2024-05-03").stdout

    assert "never seen before 2024-05-03" in shown


def test_a_day_beyond_what_is_complete_is_remarked(world: Any) -> None:
    world.deliver_all()

    assert "complete through 2024-05-10 only" in world.run("preview", "user_clicks", "1", "--at", "2024-05-12").stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["user_click", "1"], "did you mean 'user_clicks'?"),
        (["user_clicks", "one"], "user_id is Int64. Write a whole number of at most 64 bits"),
        (["user_topics", "1"], "Write user_id=…,topic=…"),
        (["user_clicks", "1", "--at", "soon"], "neither a day (2020-02-01) nor a moment"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(world: Any, arguments: list[str], complaint: str) -> None:
    result = world.run("preview", *arguments)

    assert result.exit_code == 2
    assert complaint in result.output


def test_a_source_that_was_never_ingested_is_named_with_its_command(world: Any) -> None:
    result = world.run("preview", "user_clicks", "1")

    assert result.exit_code == 3
    assert "features ingest clicks FILE" in result.output


def test_the_house_rules_that_the_view_breaks_are_said_beside_its_values(world: Any) -> None:
    world.deliver_all()
    world.rewrite(('name="attention_seconds"', 'name="attention"'))

    result = world.run("preview", "user_clicks", "1", "--at", "2024-05-02")

    assert "feature user_clicks:attention_sum_7d is in seconds, and its name does not say so." in result.stderr
    assert "user_clicks.attention has no test." in result.stderr
    assert "user_topics" not in result.stderr
