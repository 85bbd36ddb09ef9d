"""`features compact`: few files, the same rows, and no word of anything else."""

import json
from collections.abc import Callable

import pytest

from tests.worlds.clicking import World
from transformations.engine.merging import merged_files
from transformations.engine.tables.offline_tables import OfflineTable


def test_it_says_what_it_merged_and_a_second_time_that_nothing_is_left(built: World) -> None:
    built.deliver_later()
    assert built.run("build").exit_code == 0
    before = json.loads(built.run("status", "--json").output)["views"]
    result = built.run("compact", "user_clicks", "--json")
    assert result.exit_code == 0, result.output
    table, source = json.loads(result.output)
    assert (table["table"], table["version"], table["files"][1]) == ("user_clicks", 2, 1)
    assert (source["table"], source["version"], source["files"]) == ("clicks", 2, [2, 1])
    again = built.run("compact", "user_clicks")
    assert again.output == "nothing to merge in 2 tables: few files are small\n"

    after = json.loads(built.run("status", "--json").output)["views"]
    assert [each["state"] for each in after] == [each["state"] for each in before]
    versions = json.loads(built.run("status", "user_clicks", "--json").output)["versions"]
    assert [(each["kind"], each["rows"]) for each in versions][2:] == [("compaction", 0)]


def test_a_table_that_is_not_there_is_told_with_those_that_are(built: World) -> None:
    result = built.run("compact", "user_click")
    assert result.exit_code == 2
    assert "user_clicks" in result.output


def test_a_build_merges_once_files_are_many_and_says_so(built: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(merged_files, "MANY", 2)
        built.deliver_later()
        result = built.run("build")
    assert result.exit_code == 0, result.output
    assert "with the same rows (version 2" in result.output
    assert built.run("explain", "user_clicks:clicks_count_7d", "1", "--at", "2024-05-12T12:00:00Z").exit_code == 0


@pytest.mark.proof
def test_vacuum_keeps_what_the_next_load_reads_and_all_of_it_where_redis_is_away(
    serve: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = serve("2024-05-12T12:00:00Z")
    folder = world.settings.offline_dir / "user_clicks"
    world.deliver_later()
    assert world.run("build").exit_code == 0
    assert world.run("compact", "user_clicks").exit_code == 0
    (latest,) = [run for run in OfflineTable(folder).runs() if run.version == 1]
    vacuum = ("vacuum", "user_clicks", "--keep-versions", "1", "--older-than", "0", "--yes")

    with monkeypatch.context() as patch:
        patch.setenv("FEATURES_REDIS_URL", "redis://127.0.0.1:1")
        away = world.run(*vacuum)
    assert "What is online is unknown, so the files that a load might still read stay" in away.output
    assert list((folder / f"run={latest.run_id}").glob("*.parquet"))

    assert world.run(*vacuum).exit_code == 0
    assert list((folder / f"run={latest.run_id}").glob("*.parquet"))
    world.materialize("2024-05-12T12:00:00+00:00")
    assert world.run(*vacuum).exit_code == 0
    assert not list((folder / f"run={latest.run_id}").glob("*.parquet"))
    (state,) = json.loads(world.run("status", "user_clicks", "--json").output)["views"]
    assert state["state"] == "up to date"
