"""`features restore` brings old content back as a new version, after asking, and says what comes next."""

import json
from typing import Any


def test_an_earlier_version_is_brought_back_and_shows_in_runs_and_status(built: Any) -> None:
    built.deliver_later()
    built.run("build", "user_clicks")

    result = built.run("restore", "user_clicks", "--version", "0", "--yes")

    assert result.exit_code == 0
    assert "now:  version 1 (incremental), complete through 2024-05-11" in result.stderr
    assert "then: version 0 (first load), complete through 2024-05-10" in result.stderr
    assert result.stdout.startswith("user_clicks version 2 reads as version 0 did: ")
    assert "  features build user_clicks     takes in again what has come since\n" in result.stdout
    runs = built.run("runs", "user_clicks").stdout
    assert "user_clicks version 2: restore of version 0, " in runs
    (view,) = json.loads(built.run("status", "user_clicks", "--json").stdout)["views"]
    assert (view["state"], view["command"]) == ("sources newer", "features build user_clicks")

    again = built.run("restore", "user_clicks", "--version", "0", "--yes", "--json")
    assert json.loads(again.stdout) is None


def test_without_consent_nothing_is_restored(built: Any) -> None:
    result = built.run("restore", "user_clicks", "--version", "0")

    assert result.exit_code == 1
    assert "Make user_clicks read as it did then? [y/N]" in result.stderr
    assert [version["kind"] for version in versions(built)] == ["first load"]


def test_a_version_that_there_is_not_is_a_data_error(built: Any) -> None:
    result = built.run("restore", "user_clicks", "--version", "5", "--yes")

    assert result.exit_code == 3
    assert "offline table user_clicks has no version 5; it has versions 0 to 0." in result.output


def test_an_unknown_view_is_answered_with_the_nearest(world: Any) -> None:
    result = world.run("restore", "user_click", "--version", "0")

    assert result.exit_code == 2
    assert "did you mean 'user_clicks'?" in result.output


def versions(world: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(world.run("status", "user_clicks", "--json").stdout)["versions"]
    return found
