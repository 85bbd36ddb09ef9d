"""`features parity` on a built project: equal, late until it is materialized, skewed where Redis lost a row."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest

from transformations.insight.repository import open_store
from transformations.stores.base.feast_seams import online_client
from validation.parity.sides import NotComparable, sides_of


@pytest.fixture
def served(serve: Callable[..., Any]) -> Any:
    return serve("2024-05-20T12:00:00+00:00")


def lose_row_of_user_1(world: Any) -> None:
    store = open_store(world.settings)
    redis = online_client(store)
    assert redis.delete(*redis.scan_iter(b"{1}*"))


def test_the_command_that_parity_prints_for_a_row_of_the_future_replaces_it(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"user_id": 1, "clicks_count_7d": 99, "attention_seconds_sum_7d": 9.5, "click_at_last_lifetime": None}
    moments = dict.fromkeys(("event_timestamp", "created_timestamp"), pd.Timestamp("2031-01-01", tz="UTC"))
    with monkeypatch.context() as before_such_rows_were_refused:
        before_such_rows_were_refused.setenv("FEATURES_PUSH_LEAD_SECONDS", str(10 * 365 * 86_400))
        open_store(served.settings).write_to_online_store("user_clicks", pd.DataFrame([row | moments]))
    found = served.run("parity")
    assert (found.exit_code, "2031-01-01" in found.stderr) == (3, True)

    command = re.search(r"`feast -c feature_repo materialize (\S+) (\S+)`", found.stderr)
    assert command
    start, end = (datetime.fromisoformat(moment).replace(tzinfo=UTC) for moment in command.groups())
    open_store(served.settings).materialize(start, end)
    assert served.run("parity").exit_code == 0


def test_what_was_materialized_is_equal_to_training(served: Any) -> None:
    said = served.run("parity").stdout

    assert "user_clicks:clicks_count_7d" in said
    assert "7 values at 2024-05-20 12:00:00 UTC: all are equal" in said


def test_one_view_as_json(served: Any) -> None:
    found = json.loads(served.run("parity", "user_clicks", "--all", "--json").stdout)

    assert (found["compared"], found["differing"], found["skewed"]) == (6, 0, 0)
    assert {each["feature"] for each in found["features"]} == {
        "user_clicks:clicks_count_7d",
        "user_clicks:attention_seconds_sum_7d",
        "user_clicks:click_at_last_lifetime",
    }


def test_what_was_built_since_is_stale_and_no_green_light(served: Any) -> None:
    served.deliver_later()
    assert served.run("build").exit_code == 0

    found = served.run("parity", "user_clicks")
    assert found.exit_code == 3
    assert "late: not materialized: 1" in found.stdout
    assert "not materialized since version 0 (now 1)" in found.stdout
    assert re.search(r"6 values at .* differ, \d as Redis is stale, 0 by skew", found.stdout)
    assert re.search(r"of 6 values are stale.*what `features status` names.*--allow stale", found.stderr)
    document = json.loads(served.run("parity", "user_clicks", "--json", "--allow", "stale").stdout)
    assert (document["outcomes"], document["skewed"]) == (["stale"], 0)
    assert document["stale"] == document["differing"] > 0
    assert served.run("parity", "user_clicks", "--allow", "stale").exit_code == 0
    assert served.run("parity", "user_clicks", "--allow", "uncompared").exit_code == 3


def test_a_view_that_was_never_loaded_is_no_green_light(built: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURES_CLOCK", "2024-05-20T12:00:00Z")
    monkeypatch.setenv("FEATURES_REDIS_READ_TIMEOUT_MS", "10000")
    built.apply()

    found = built.run("parity", "user_clicks")
    assert found.exit_code == 3
    assert "user_clicks: never materialized into this Redis" in found.stderr
    assert built.run("parity", "user_clicks", "--allow", "stale").exit_code == 3
    assert built.run("parity", "user_clicks", "--allow", "stale", "--allow", "unmaterialized").exit_code == 0


def test_a_view_that_cannot_be_compared_stands_beside_the_others_and_is_no_green_light(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sides(installation: Any, view: Any, entities: Any) -> Any:
        if view.name == "user_topics":
            raise NotComparable("its table is gone")
        return sides_of(installation, view, entities)

    monkeypatch.setattr("validation.parity.sides.sides_of", sides)
    found = served.run("parity")
    assert found.exit_code == 3
    assert "6 values at 2024-05-20 12:00:00 UTC: all are equal; 1 view not compared" in found.stdout
    assert "not compared: user_topics: its table is gone" in found.stdout
    assert "whether training and serving agree is unknown" in found.stderr
    assert served.run("parity", "--allow", "uncompared").exit_code == 0


def test_nothing_to_compare_is_no_green_light(world: Any) -> None:
    store = open_store(world.settings)
    assert not store.list_feature_views()
    found = world.run("parity")
    assert (found.exit_code, "nothing was compared" in found.stdout) == (3, True)
    assert "`features status` names what comes first" in found.stderr
    assert world.run("parity", "--allow", "uncompared").exit_code == 0


@pytest.mark.proof
def test_days_taken_back_are_no_zeros_in_training_nor_online(served: Any) -> None:
    def online() -> list[object]:
        asked = {"features": ["user_clicks:clicks_count_7d"], "entity_rows": [{"user_id": 1}]}
        return open_store(served.settings).get_online_features(**asked).to_dict()["clicks_count_7d"]

    assert online() == [0]  # no click in the week before 11 May
    assert served.run("ingest", "clicks", "--complete-through", "2024-05-03", "--correction").exit_code == 0
    assert served.run("build").exit_code == 0
    while commands := [each["command"] for each in json.loads(served.run("status", "--json").stdout)["views"]]:
        if not any(commands):
            break
        load = next(command for command in commands if command)
        assert load.startswith("feast -c feature_repo materialize 1970-01-01T00:00:00 ")
        served.materialize(load.split()[5] + "+00:00")

    assert served.run("parity", "--all").exit_code == 0
    assert online() == [2]  # as-of 4 May, the last that is known of


def test_a_lost_row_is_skew_and_ends_with_exit_code_3(served: Any) -> None:
    lose_row_of_user_1(served)

    found = served.run("parity")
    assert found.exit_code == 3
    assert re.search(r"values are skewed .* lost row.*user_id 1", found.stderr)


def test_all_moments_are_told_in_the_contracts_zone(served: Any) -> None:
    lose_row_of_user_1(served)
    served.tell_times_of("America/New_York")

    found = served.run("parity", "user_clicks")
    assert "6 values at 2024-05-20 08:00:00 -04:00: 2 differ" in found.stdout
    assert re.search(
        r"online null \(NOT_FOUND\), training 2024-05-02 12:00:00 -04:00; the table holds a row of .* 02:00:00 -04:00,",
        found.stdout,
    )
    assert "UTC" not in found.stdout + found.stderr


def test_the_tolerance_is_a_share_of_the_values(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lose_row_of_user_1(served)

    assert served.run("parity", "user_clicks", "--tolerance", "0.5").exit_code == 0
    monkeypatch.setenv("FEATURES_PARITY_TOLERANCE", "0.5")
    assert served.run("parity", "user_clicks").exit_code == 0
    monkeypatch.setenv("FEATURES_PARITY_TOLERANCE", "0.3")
    found = served.run("parity", "user_clicks")
    assert found.exit_code == 3
    assert "33.333%, tolerated 30.000%" in found.stderr


def test_an_unknown_view_is_refused_with_the_nearest(served: Any) -> None:
    found = served.run("parity", "user_click")
    assert found.exit_code == 2
    assert "user_clicks" in found.stderr


def test_request_fields_must_be_an_object(served: Any) -> None:
    found = served.run("parity", "--request", "5")
    assert (found.exit_code, "no object" in found.stderr) == (2, True)
