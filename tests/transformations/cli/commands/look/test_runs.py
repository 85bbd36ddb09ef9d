"""`features runs` lists what wrote a table: range, rows, sources, definition and code."""

import json
from typing import Any


def test_a_run_tells_what_it_covered_and_what_it_came_from(built: Any) -> None:
    shown = built.run("runs", "user_topics").stdout

    assert shown.startswith("user_topics version 0: first load, ")
    assert "as-of 2024-05-02 to 2024-05-11" in shown
    assert "complete through 2024-05-10" in shown
    assert "from clicks v0, pages v0; definition " in shown


def test_runs_are_listed_oldest_first(built: Any) -> None:
    built.deliver_later()
    built.run("build")

    document = json.loads(built.run("runs", "user_clicks", "--json").stdout)

    assert [(run["version"], run["kind"]) for run in document] == [(0, "first load"), (1, "incremental")]


def test_before_the_first_build_it_says_how_to_begin(world: Any) -> None:
    result = world.run("runs")

    assert result.exit_code == 0
    assert result.stderr == "no table has been built yet: features build\n"


def test_a_view_without_a_table_is_a_usage_error(built: Any) -> None:
    result = built.run("runs", "user_clickz")

    assert result.exit_code == 2
    assert "did you mean 'user_clicks'?" in result.output
