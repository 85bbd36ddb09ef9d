"""`features status` names the very command that comes next, and following its words ends in "up to date"."""

import json
import re
from typing import Any

import pytest

from transformations.engine.base.settings import get_settings


def states(world: Any, view: str = "user_clicks") -> tuple[str, str | None]:
    (found,) = json.loads(world.run("status", view, "--json").stdout)["views"]
    return found["state"], found["command"]


@pytest.mark.usefixtures("_spark")
def test_following_the_commands_leads_from_nothing_to_up_to_date(world: Any) -> None:
    assert states(world) == ("source missing", "features ingest clicks FILE")

    world.deliver_all()
    assert states(world) == ("not built", "features build user_clicks")

    world.run("build")
    assert states(world) == ("not applied", "feast -c feature_repo apply")

    world.apply()
    load = "feast -c feature_repo materialize 1970-01-01T00:00:00 2024-05-11T06:00:00 --views user_clicks"
    assert states(world) == ("online behind", load)

    world.materialize("2024-05-11T06:00:00+00:00")
    assert states(world) == ("up to date", None)


def test_new_data_a_new_definition_and_a_flushed_store_are_each_seen(built: Any) -> None:
    built.apply()
    built.materialize("2024-05-11T07:00:00+00:00")

    built.deliver_later()
    assert states(built) == ("sources newer", "features build user_clicks")

    built.run("build")
    assert states(built)[0] == "online behind"

    built.rewrite(('Sum("seconds", name="attention_seconds"', 'Sum("seconds", name="attention_in_seconds"'))
    assert states(built) == ("redefined", "features build user_clicks")

    built.run("build")
    assert states(built)[0] == "not applied"

    built.apply()
    assert states(built)[0] == "online behind"

    built.materialize("2024-05-12T07:00:00+00:00")
    assert states(built)[0] == "up to date"

    flush(built)
    assert states(built)[0] == "online behind"


def test_a_source_without_a_complete_day_asks_for_the_word_about_it(world: Any) -> None:
    row = "click_id,user_id,page,seconds,clicked_at\n1,1,/cats,1.0,2024-05-02T16:00:00\n"
    world.deliver("clicks", row)
    world.deliver("clicks", "click_id\n1\n", retract=True)

    assert states(world) == ("no complete day", "features ingest clicks FILE --complete-through DAY")


def test_the_table_and_the_moment_of_all_views_together(built: Any) -> None:
    result = built.run("status")

    assert result.exit_code == 0
    assert "user_clicks  not applied  2024-05-10  2024-05-10        0" in result.stdout
    assert "the newest rows of all of them can be served from 2024-05-11 07:00 UTC on" in result.stdout
    assert result.stdout.rstrip().endswith("next:\n  feast -c feature_repo apply")


def test_the_days_since_the_last_complete_one_are_shown(built: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURES_CLOCK", "2024-07-11T12:00:00Z")
    get_settings.cache_clear()
    built.apply()
    built.materialize("2024-05-11T07:00:00+00:00")
    said = built.run("status").stdout
    assert re.search(r"user_clicks +up to date .* 61 days$", said, re.MULTILINE)
    assert said.rstrip().endswith("nothing to do: every view has all that its sources have")

    contract = built.settings.contracts / "clicks.yaml"
    promise = "slaProperties: [{property: latency, value: 6, unit: h}]\nschema:"
    contract.write_text(contract.read_text().replace("schema:", promise, 1))
    assert states(built) == ("source late", None)
    said = built.run("status").stdout
    assert "clicks is late: its last complete day ended 61 days ago, longer than its contract promises" in said


def test_several_views_are_built_by_one_command(world: Any) -> None:
    world.deliver_all()

    assert world.run("status").stdout.rstrip().endswith("next:\n  features build")


def test_one_view_is_shown_with_the_versions_of_its_table(built: Any) -> None:
    document: dict[str, Any] = json.loads(built.run("status", "user_clicks", "--json").stdout)

    assert [(version["version"], version["kind"]) for version in document["versions"]] == [(0, "first load")]
    assert document["moment"] == "2024-05-11 06:00:00+00:00"
    assert document["views"][0]["offline"]["rows"] == document["versions"][0]["rows"]


def flush(world: Any) -> None:
    from redis import Redis

    from transformations.local.redis import embedded_url

    with Redis.from_url(embedded_url(world.settings)) as client:
        client.flushall()


def test_times_are_shown_in_the_zone_of_the_contract(built: Any) -> None:
    contract = built.settings.contracts / "clicks.yaml"
    text = contract.read_text().replace("timestampZone, value: UTC", "timestampZone, value: Europe/Berlin")
    contract.write_text(text.replace("version: 1.0.0", "version: 2.0.0"))
    built.run("build")  # another zone of naive times is another table
    built.apply()
    built.materialize("2024-05-11T07:00:00+00:00")

    said = built.run("status", "user_clicks").stdout
    assert "its newest rows can be served from 2024-05-11 08:00 +02:00 on" in said
    assert re.search(r"^user_clicks .* 2024-05-11 09:00 \+02:00", said, re.MULTILINE)
    assert re.search(r"^ +\d .* \d\d:\d\d \+0[12]:00 ", said, re.MULTILINE)
    assert re.search(r"^  20.* \+0[12]:00, complete through", built.run("runs", "user_clicks").stdout, re.MULTILINE)
    compared = built.run("parity", "user_clicks").stdout
    assert re.search(r"values at .* \+0[12]:00: all are equal", compared), compared
