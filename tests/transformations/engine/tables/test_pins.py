"""Pins: who needs which version, written beside the table."""

import json
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from transformations.engine.base.errors import DataError
from transformations.engine.tables.pins import pin, pinned, unpin
from transformations.engine.upkeep.vacuum import vacuum_table


def test_a_table_has_no_pins_until_something_refers_to_a_version(literal_table: Any) -> None:
    assert pinned(literal_table) == {}


def test_a_version_is_pinned_once_for_each_reason(literal_table: Any) -> None:
    literal_table.run("a", 1, kind="first load")
    literal_table.run("b", 2)
    for version, reason in ((1, "dataset churn"), (0, "audit"), (1, "dataset churn"), (1, "audit")):
        pin(literal_table, version, reason)
    assert pinned(literal_table) == {0: ("audit",), 1: ("audit", "dataset churn")}
    written = json.loads((literal_table.path / "pins.json").read_text())
    assert written["versions"] == {"0": ["audit"], "1": ["audit", "dataset churn"]}


def test_a_pin_is_taken_back_for_one_reason_or_for_all(literal_table: Any) -> None:
    literal_table.run("a", 1, kind="first load")
    for reason in ("audit", "dataset churn", "dataset spend"):
        pin(literal_table, 0, reason)
    assert unpin(literal_table, 0, "audit")
    assert pinned(literal_table) == {0: ("dataset churn", "dataset spend")}
    assert not unpin(literal_table, 0, "audit")
    assert unpin(literal_table, 0)
    assert pinned(literal_table) == {}


def test_what_is_not_there_cannot_be_pinned(literal_table: Any) -> None:
    literal_table.run("a", 1, kind="first load")
    with pytest.raises(DataError, match="user_clicks has no version 1; it has versions 0 to 0"):
        pin(literal_table, 1, "dataset churn")
    (literal_table.path / "run=a" / "1.parquet").unlink()
    with pytest.raises(DataError, match=r"run=a/1.parquet is missing, yet a published version refers to it"):
        pin(literal_table, 0, "dataset churn")
    assert pinned(literal_table) == {}


@pytest.mark.parametrize("harm", ["emptied", "cut short", "not ours", "lost"])
def test_damaged_or_lost_pins_are_never_taken_for_none(literal_table: Any, harm: str) -> None:
    literal_table.run("a", 1, kind="first load")
    pin(literal_table, 0, "dataset churn")
    file = literal_table.path / "pins.json"
    whole = file.read_text()
    match harm:
        case "lost":
            file.unlink()
        case "emptied":
            file.write_text("")
        case "cut short":
            file.write_text(whole[: len(whole) // 2])
        case "not ours":
            file.write_text('["churn"]')
    for attempt in (
        lambda: pinned(literal_table),
        lambda: pin(literal_table, 0, "audit"),
        lambda: unpin(literal_table, 0),
        lambda: vacuum_table(literal_table, timedelta(0), keep_versions=1),
    ):
        with pytest.raises(DataError, match=rf"{file} is (damaged|missing).* Without one, write {{.*dataset rebuild"):
            attempt()


def test_no_flipped_bit_changes_the_pins(literal_table: Any) -> None:
    literal_table.run("a", 1, kind="first load")
    literal_table.run("b", 2)
    pin(literal_table, 0, "dataset churn")
    file = literal_table.path / "pins.json"
    whole = file.read_bytes()
    for place in range(len(whole) * 8):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        file.write_bytes(flipped)
        with suppress(DataError):
            assert pinned(literal_table) == {0: ("dataset churn",)}, bytes(flipped)


def test_pins_are_written_anew_by_hand_where_they_are_lost(literal_table: Any) -> None:
    literal_table.run("a", 1, kind="first load")
    (literal_table.path / "pins.json").write_text('{"versions": {}}')
    assert pinned(literal_table) == {}
    pin(literal_table, 0, "dataset churn")
    assert pinned(literal_table) == {0: ("dataset churn",)}
