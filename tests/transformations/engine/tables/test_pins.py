"""Pins: who needs which version, written beside the table."""

import json
from typing import Any

import pytest

from transformations.engine.base.errors import DataError
from transformations.engine.tables.pins import pin, pinned, unpin


def test_a_table_has_no_pins_until_something_refers_to_a_version(literal_table: Any) -> None:
    assert pinned(literal_table) == {}


def test_a_version_is_pinned_once_for_each_reason(literal_table: Any) -> None:
    literal_table.run("a", 1, kind="first load")
    literal_table.run("b", 2)
    for version, reason in ((1, "dataset churn"), (0, "audit"), (1, "dataset churn"), (1, "audit")):
        pin(literal_table, version, reason)
    assert pinned(literal_table) == {0: ("audit",), 1: ("audit", "dataset churn")}
    assert json.loads((literal_table.path / "pins.json").read_text()) == {
        "0": ["audit"],
        "1": ["audit", "dataset churn"],
    }


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


def test_pins_that_cannot_be_read_are_never_taken_for_none(literal_table: Any) -> None:
    literal_table.run("a", 1, kind="first load")
    (literal_table.path / "pins.json").write_text('["churn"]')
    with pytest.raises(DataError, match=r"pins\.json cannot be read"):
        pinned(literal_table)
