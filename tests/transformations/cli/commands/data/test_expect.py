"""`features expect`, and what builds and `features show` make of the file that it writes."""

import json
import re
from typing import Any

import pytest

HEADER = "click_id,user_id,page,seconds,clicked_at\n"
USERS = 120


def clicks(day: int, seconds: float) -> str:
    """Every user looks at a page for that long, at noon in New York."""
    lines = [f"{day * USERS + user},{user},/cats,{seconds},2024-05-{day:02}T16:00:00" for user in range(USERS)]
    return HEADER + "\n".join(lines) + "\n"


@pytest.fixture
def expected(world: Any, _spark: None) -> Any:
    """Clicks of three days, built and expected."""
    world.deliver("pages", "page,topic\n/cats,animals\n")
    for day in (1, 2, 3):
        world.deliver("clicks", clicks(day, 10.0 + day), complete_through=f"2024-05-0{day}")
    assert world.run("build").exit_code == 0
    result = world.run("expect", "user_clicks", "--from", "2024-05-02", "--to", "2024-05-04")
    path = world.folder / "expectations" / "user_clicks.yaml"
    assert result.stdout == f"written: {path} (20 rules for 3 features, from 2024-05-02 to 2024-05-04)\n"
    return world


def test_what_was_measured_is_written_shown_and_held_against_the_next_build(expected: Any) -> None:
    again = expected.run("expect", "user_clicks", "--from", "2024-05-02", "--to", "2024-05-04")
    assert again.stdout.startswith("unchanged: ")
    text = (expected.folder / "expectations" / "user_clicks.yaml").read_text()
    assert "  clicks_count_7d:  # Clicks, 7 business days; clicks\n    null_share: [0, 0.02]\n" in text
    assert "    outside_range: [0, 0]\n    quantiles:\n      5%: [0, 4]\n" in text
    assert "      5%: {was: 0.5, a_day: [0, 0], within: 0.0625}\n" in text  # noon is half a day before the next one
    shown = expected.run("show", "clicks_count_7d").stdout
    assert "Distribution  share of nulls 0 to 0.02; share outside the range 0; 5 % quantile 0 to 4" in shown

    expected.deliver("clicks", clicks(4, 1_000.0), complete_through="2024-05-04")
    failure = expected.run("build", "user_clicks")
    assert failure.exit_code == 3
    assert "attention_seconds_sum_7d: median is 1036, expected" in failure.stderr
    assert failure.stderr.count("Error: ") == 1

    refused = expected.run("show", "user_clicks").stdout
    assert "Refused  incremental as-of 2024-05-05; version 0 serves on\n" in refused
    assert re.search(r"attention_seconds_sum_7d +median +\S.* to \S+ +1036 +user_id 0 \(1036.0\)", refused)
    assert "features build --accept user_clicks" in refused
    assert json.loads(expected.run("runs", "user_clicks", "--json").stdout)[-1]["version"] == 0

    accepted = expected.run("build", "--accept", "user_clicks")
    assert accepted.exit_code == 0
    assert "user_clicks: not as expected, and accepted: attention_seconds_sum_7d: median is 1036" in accepted.stdout
    assert "not as expected, and accepted: attention_seconds_sum_7d: " in expected.run("runs", "user_clicks").stdout
    assert "Refused" not in expected.run("show", "user_clicks").stdout


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("expect", "--from", "2024-05-04", "--to", "2024-05-03"), "--from 2024-05-04 is after --to 2024-05-03."),
        (("expect", "--to", "2024-06-01"), "its table covers the as-of days 2024-05-02 to 2024-05-11, not all of"),
        (("expect", "user_click"), "did you mean 'user_clicks'?"),
        (
            ("build", "user_topics", "--accept", "user_clicks"),
            "--accept user_clicks: it is not among the views to build.",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(built: Any, command: tuple[str, ...], said: str) -> None:
    result = built.run(*command)
    assert result.exit_code == 2
    assert said in result.stderr


def test_too_few_entities_to_be_judged_are_told(built: Any) -> None:
    said = built.run("expect", "user_clicks").stdout
    assert "2 entities are too few to judge: builds hold only their number against it, below 100\n" in said
    text = (built.folder / "expectations" / "user_clicks.yaml").read_text()
    assert "\nentities: {was: 2, a_day: [0, " in text


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "null_share: [0, 0.02]",
            "shares: {a: [0, 1]}",
            "features.clicks_count_7d.shares cannot be judged: Int64 has",
        ),
        (
            "null_share: [0, 0.02]",
            "null_share: [0, 2%]",
            ":8: features.clicks_count_7d.null_share holds '2%'. Write a n",
        ),
    ],
)
def test_a_build_is_refused_over_a_file_that_cannot_be_meant(built: Any, old: str, new: str, said: str) -> None:
    assert built.run("expect", "user_clicks").exit_code == 0
    path = built.folder / "expectations" / "user_clicks.yaml"
    path.write_text(path.read_text().replace(old, new, 1))
    built.deliver_later()
    refused = built.run("build")
    assert refused.exit_code == 2
    assert f"user_clicks.yaml{'' if said.startswith(':') else ': '}{said}" in refused.stderr
    assert json.loads(built.run("runs", "user_clicks", "--json").stdout)[-1]["version"] == 0
    assert json.loads(built.run("runs", "user_topics", "--json").stdout)[-1]["version"] == 1
