"""`features build` computes what is missing, says what it did, and says when there is nothing to do."""

import json
from typing import Any

import pytest

TOPICS_VIEW = 'user_topics = feature_view(clicking.user_topics, entities=[user, topic], owner="news@x.org")\n'


def test_a_first_build_tells_what_it_wrote_and_what_it_could_not_match(built: Any) -> None:
    built.deliver_later()

    result = built.run("build")

    table = [line.split("  ") for line in result.stdout.splitlines()]
    assert table[1][0] == "user_clicks"
    assert "incremental" in result.stdout
    assert "2024-05-02 – 2024-05-12" in result.stdout
    assert "tables: " in result.stdout


@pytest.mark.usefixtures("_spark")
def test_events_without_a_match_in_a_lookup_are_counted(world: Any) -> None:
    world.deliver_all()

    result = world.run("build", "user_topics")

    assert "user_topics: 1 event without a match in pages" in result.stdout


def test_a_second_build_has_nothing_to_do(built: Any) -> None:
    result = built.run("build")

    assert result.exit_code == 0
    assert result.stdout == "nothing to do for user_clicks, user_topics: no source has anything new\n"


@pytest.mark.usefixtures("_spark")
def test_only_the_named_view_is_built(world: Any) -> None:
    world.deliver_all()

    document = json.loads(world.run("build", "user_clicks", "--json").stdout)

    assert [entry["view"] for entry in document] == ["user_clicks"]
    assert document[0]["run"]["kind"] == "first load"
    assert document[0]["run"]["complete_through"] == "2024-05-10"
    assert not (world.settings.offline_dir / "user_topics").exists()


def test_a_source_that_was_never_ingested_is_named_with_its_command(world: Any) -> None:
    world.deliver("pages", "page,topic\n/cats,animals\n")

    result = world.run("build")

    assert result.exit_code == 3
    assert "nothing has been ingested yet of clicks (for user_topics)" in result.output
    assert "  features ingest clicks FILE" in result.output


def test_an_unknown_view_is_answered_with_the_nearest(world: Any) -> None:
    result = world.run("build", "user_click")

    assert result.exit_code == 2
    assert "did you mean 'user_clicks'?" in result.output


@pytest.mark.usefixtures("_spark")
def test_a_definition_that_no_view_offers_is_reported(world: Any) -> None:
    world.rewrite((TOPICS_VIEW, ""))
    world.deliver_all()

    result = world.run("build")

    remark = "transformations.clicking has user_topics, which no view in feature_repo/ offers: it is not built."
    assert remark in result.stderr
    assert "user_topics" not in result.stdout


def test_a_range_is_computed_again_and_found_unchanged(built: Any) -> None:
    result = built.run("build", "user_clicks", "--from", "2024-05-03", "--to", "2024-05-05")

    assert result.exit_code == 0
    assert result.stdout == "nothing to do for user_clicks: no source has anything new\n"


def test_a_day_that_is_no_day_is_a_usage_error(world: Any) -> None:
    assert world.run("build", "--from", "yesterday").exit_code == 2


def test_a_repository_without_views_says_how_to_write_one(world: Any) -> None:
    world.rewrite(views='"""Nothing is offered yet."""\n')

    result = world.run("build")

    assert result.exit_code == 0
    assert "feature_repo/ offers no view yet. `features new DOMAIN` writes a first one." in result.stderr
