"""`features vacuum` tells what it removed of each table, what its versions and pins cost, and asks before giving up."""

import json
from pathlib import Path
from typing import Any

import pytest

from transformations.engine.tables.offline_tables import OfflineTable
from transformations.engine.tables.pins import pin, unpin


def leave_behind(folder: Path, name: str) -> Path:
    """A file as a killed run leaves it."""
    file = folder / name / "part-00000.parquet"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"half")
    return file


def test_leftovers_of_builds_and_ingestions_are_removed_and_told(world: Any) -> None:
    world.deliver_all()
    of_build = leave_behind(world.settings.offline_dir / "user_clicks", "run=killed")
    of_drop = leave_behind(world.settings.raw_dir / "clicks", "drop-000009-0a0a0a0a")

    assert world.run("vacuum").stdout.startswith("nothing to remove")
    told = world.run("vacuum", "--older-than", "0", "--dry-run").stdout
    assert of_build.exists()
    done = world.run("vacuum", "--older-than", "0").stdout

    removed = [["user_clicks", "offline", "1", "4", "B"], ["clicks", "raw", "1", "4", "B"]]
    assert [line.split() for line in told.splitlines()[1:]] == removed
    assert [line.split() for line in done.splitlines()[1:]] == removed
    assert not of_build.exists()
    assert not of_drop.exists()


def test_old_versions_are_given_up_after_asking_and_pinned_ones_stay(built: Any) -> None:
    built.rewrite(('Sum("seconds", name="attention_seconds"', 'Sum("seconds", name="attention_in_seconds"'))
    built.run("build", "user_clicks")
    table = OfflineTable(built.settings.offline_dir / "user_clicks")
    pin(table, 0, "dataset churn_v1")
    give_up = ("vacuum", "user_clicks", "--older-than", "0", "--keep-versions", "1")

    pinned = built.run(*give_up, "--yes").stdout
    assert "user_clicks: version 0 is pinned (dataset churn_v1) and keeps " in pinned
    shown = built.run("status", "user_clicks").stdout
    assert "Pinned by" in shown
    assert "dataset churn_v1" in shown

    unpin(table, 0)
    asked = built.run(*give_up)
    assert asked.exit_code == 1
    assert "user_clicks: gives up version 0; it cannot be read again." in asked.stderr
    (removed, *_) = json.loads(built.run(*give_up, "--yes", "--json").stdout)
    assert (removed["table"], removed["given_up"]) == ("user_clicks", [0])
    versions = json.loads(built.run("status", "user_clicks", "--json").stdout)["versions"]
    assert [(version["is_whole"], version["pins"]) for version in versions] == [(False, []), (True, [])]
    assert versions[1]["size_bytes"] > 0
    assert "given up" in built.run("status", "user_clicks").stdout


def test_a_table_that_is_being_written_does_not_hold_up_the_others(world: Any) -> None:
    busy = world.settings.offline_dir / "user_clicks"
    leave_behind(busy, "run=running")
    left = leave_behind(world.settings.offline_dir / "user_topics", "run=killed")

    with OfflineTable(busy).writing():
        result = world.run("vacuum", "--older-than", "0")

    assert result.exit_code == 3
    assert "offline table user_clicks: process " in result.output
    assert not left.exists()
    assert (busy / "run=running").exists()


def test_a_view_without_a_table_is_a_usage_error(world: Any) -> None:
    leave_behind(world.settings.offline_dir / "user_clicks", "run=killed")

    result = world.run("vacuum", "user_clickz")

    assert result.exit_code == 2
    assert "did you mean 'user_clicks'?" in result.output


@pytest.mark.parametrize("zone", ["offline", "raw"])
def test_a_file_in_the_place_of_a_table_is_not_passed_over(world: Any, zone: str) -> None:
    place = world.settings.data / zone / "clicks"
    place.parent.mkdir(parents=True)
    place.write_text("no folder")
    for command in ("vacuum", "compact"):
        done = world.run(command)
        assert (done.exit_code, f"{place} is a file where a folder is needed" in done.output) == (4, True), done.output
