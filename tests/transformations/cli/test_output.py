"""Output: tables that can be read and parsed, JSON alone on stdout, numbers as people write them."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from transformations.cli import output
from transformations.cli.options import json_option

TABLE = [["name", "meaning", "rows"], ["user_visits", "what a user has visited", "12"], ["pages", "a page", "3"]]


def test_a_table_aligns_numbers_right_and_leaves_no_trailing_blanks(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(["view", "rows"], [["user [visits]", 1234567], ["page", None]], title="Tables")

    assert capsys.readouterr().out.splitlines() == [
        "Tables",
        "view                rows",
        "user [visits]  1,234,567",
        "page",
    ]


def test_a_narrow_terminal_breaks_no_word(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    output.print_table(["name"], [["abcdefghijklmnopqrstuvwxyz"]])

    assert capsys.readouterr().out.splitlines() == ["abcdefghijklmnopqrstuvwxyz"]


@pytest.mark.parametrize(("width", "lines"), [(42, 3), (41, 4)])
def test_a_table_takes_the_whole_width(
    width: int, lines: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    output.print_table(TABLE[0], TABLE[1:])

    printed = capsys.readouterr().out.splitlines()
    assert (len(printed), max(map(len, printed)) <= width) == (lines, True)


def test_json_is_the_only_thing_on_stdout_and_progress_stays_on_stderr() -> None:
    @click.command()
    @json_option
    def command(as_json: bool) -> None:
        with output.progress("counting", total=2) as advance:
            advance(2)
        if as_json:
            output.print_json({"day": date(2017, 6, 1), "file": Path("a/b"), "text": "–"})

    result = CliRunner().invoke(command, ["--json"])

    assert json.loads(result.stdout) == {"day": "2017-06-01", "file": "a/b", "text": "–"}
    assert result.stderr.startswith("counting: ")


def test_a_step_that_fails_is_not_reported_as_done(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="broken"), output.progress("counting"):
        raise ValueError("broken")

    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("width", "widths"),
    [
        (80, [11, 23, 4]),  # fits as it is
        (42, [11, 23, 4]),
        (41, [11, 22, 4]),  # the widest column gives way
        (26, [11, 7, 4]),  # as far as its longest word
        (25, None),
    ],
)
def test_columns_give_way_as_long_as_no_word_is_broken(width: int, widths: list[int] | None) -> None:
    assert output.column_widths(TABLE, width) == widths


def test_on_a_narrow_terminal_each_row_becomes_a_block(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "25")
    output.print_table(TABLE[0], [["user_visits", "what a user has visited", 12], ["pages", None, 3]], title="Views")

    assert capsys.readouterr().out.splitlines() == [
        "Views",
        "user_visits",
        "  meaning  what a user has visited",
        "  rows     12",
        "pages",
        "  rows     3",
    ]


@pytest.mark.parametrize("given", [{"fg": "green"}, {"fg": "red", "bold": False}, {"bold": True}, {"dim": True}])
def test_styles_of_commands_pass_and_escapes_in_their_texts_are_written_out(given: dict[str, Any]) -> None:
    styled = click.style("text", **given)
    assert output.seen(styled) == styled
    assert output.seen("\x1b[5mtext") == r"\u001b[5mtext"
