"""`features explain`: events, run, chosen row and online value of one feature, together."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.transformations.cli.disks.damages import flip, flip_a_value


@pytest.fixture
def served(serve: Callable[..., Any]) -> Any:
    return serve("2024-05-05T12:00:00+00:00")


def explain(world: Any, *arguments: str) -> dict[str, Any]:
    return json.loads(world.run("explain", *arguments, "--json").stdout)


def test_a_value_with_its_events_its_run_its_row_and_what_is_online(served: Any) -> None:
    found = explain(served, "attention_seconds_sum_7d", "1")

    assert (found["as_of"], found["value"], found["window"]) == ("2024-05-05", 15.0, "7d")
    assert [(each["click_id"], each["seconds"]) for each in found["events"]] == [(1, 10.0), (2, 5.0)]
    row = found["chosen"]
    assert (row["value"], row["event_timestamp"], row["created_timestamp"]) == (
        15.0,
        "2024-05-03 06:00:00+00:00",
        "2024-05-03 06:00:00+00:00",
    )
    assert (row["version"], row["kind"], found["table_version"]) == (0, "first load", 0)
    online = found["online"]
    assert (online["value"], online["status"], online["loaded_version"]) == (15.0, "PRESENT", 0)
    assert online["event_timestamp"] == row["event_timestamp"]
    assert online["difference"] is None


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("offline/user_clicks/run=*/*.parquet", "does not hold the bytes that were written"),
        ("offline/user_clicks/_delta_log/*.json", "damaged"),
        ("raw/clicks/_delta_log/*.json", "damaged"),
    ],
)
def test_what_is_damaged_is_named_and_explains_nothing(built: Any, pattern: str, said: str) -> None:
    arguments = ("explain", "user_clicks:attention_seconds_sum_7d", "1", "--at", "2024-05-05")
    assert built.run(*arguments).exit_code == 0
    place = max(built.settings.data.glob(pattern))
    (flip_a_value if place.suffix == ".parquet" else flip)(place)
    done = built.run(*arguments)
    assert (done.exit_code, str(place) in done.output, said in done.output) == (3, True, True), done.output


def test_at_an_earlier_moment_the_row_of_then_is_chosen(served: Any) -> None:
    found = explain(served, "user_clicks:attention_seconds_sum_7d", "1", "--at", "2024-05-03T05:59:59Z")

    assert (found["as_of"], found["value"]) == ("2024-05-02", 10.0)
    assert (found["chosen"]["value"], found["chosen"]["event_timestamp"]) == (10.0, "2024-05-02 06:00:00+00:00")


def test_a_corrected_row_is_shown_beside_the_one_that_corrects_it(served: Any) -> None:
    rows = "click_id,user_id,page,seconds,clicked_at\n2,1,/dogs,50.0,2024-05-02T16:00:00\n"
    served.deliver("clicks", rows, correction=True)
    assert served.run("build").exit_code == 0

    found = explain(served, "attention_seconds_sum_7d", "1")
    assert (found["value"], found["chosen"]["value"], found["chosen"]["version"]) == (60.0, 60.0, 1)
    assert [(each["value"], each["version"]) for each in found["other_rows"]] == [(15.0, 0)]
    assert found["online"]["value"] == 15.0
    assert (
        found["online"]["difference"] == "corrected since, not materialized: not materialized since version 0 (now 1)"
    )


def test_what_was_not_built_yet_is_said(served: Any) -> None:
    rows = "click_id,user_id,page,seconds,clicked_at\n2,1,/dogs,50.0,2024-05-02T16:00:00\n"
    served.deliver("clicks", rows, correction=True)

    assert "today's events" in explain(served, "attention_seconds_sum_7d", "1")["remarks"][0]


def test_it_reads_as_a_page(served: Any) -> None:
    said = served.run("explain", "clicks_count_7d", "1").stdout

    assert "By definition, as-of 2024-05-05 (America/New_York), 7d: 2 clicks" in said
    assert "Offline, version 0 of the table: 2" in said
    assert "Online, at 2024-05-05 12:00:00 UTC: 2 (PRESENT)" in said
    assert "as training has it at this moment" in said


def test_a_moment_is_shown_with_its_offset_in_the_contracts_zone_and_without_unit(served: Any) -> None:
    served.tell_times_of("America/New_York")
    said = served.run("explain", "click_at_last_lifetime", "1").stdout

    assert "By definition, as-of 2024-05-05 (America/New_York), lifetime: 2024-05-02 12:00:00 -04:00\n" in said
    assert "Online, at 2024-05-05 08:00:00 -04:00: 2024-05-02 12:00:00 -04:00 (PRESENT)" in said
    assert "UTC" not in said


def test_an_entity_that_was_never_seen_has_the_unseen_value_everywhere(served: Any) -> None:
    found = explain(served, "clicks_count_7d", "77")

    assert (found["value"], found["chosen"], found["events"]) == (0, None, [])
    assert (found["online"]["value"], found["online"]["status"]) == (0, "PRESENT")


def test_an_unknown_feature_is_refused_with_the_nearest(served: Any) -> None:
    found = served.run("explain", "click_count_7d", "1")
    assert found.exit_code == 2
    assert "clicks_count_7d" in found.stderr
