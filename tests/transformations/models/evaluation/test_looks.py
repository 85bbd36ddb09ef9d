"""Looks at a test period: counted by candidate, never lost, and after ten the period is spent."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from transformations.engine.base.errors import ConflictError, DataError
from transformations.engine.base.settings import Settings
from transformations.models.evaluation import looks as looking
from transformations.models.evaluation.looks import FILE, Look, look_at, looks


def look(candidate: int, first: int = 1, last: int = 10, label: str = "leaves") -> Look:
    """A look of a candidate at days of a month."""
    return Look(
        entity="who",
        label=label,
        first=datetime(2020, 3, first, tzinfo=UTC),
        last=datetime(2020, 3, last, tzinfo=UTC),
        artifact=f"{candidate:064x}",
        model="churn",
        version=candidate,
        at=datetime(2020, 4, candidate, tzinfo=UTC),
        who="ada",
    )


def test_each_candidate_has_its_number_and_keeps_it(tmp_path: Path) -> None:
    assert [look_at(tmp_path / "models", look(candidate)) for candidate in (1, 2, 1, 3, 2)] == [1, 2, 1, 3, 2]
    assert len(looks(tmp_path / "models")) == 3


def test_only_looks_at_overlapping_periods_of_the_same_label_count(tmp_path: Path) -> None:
    assert look_at(tmp_path, look(1, 1, 10)) == 1
    assert look_at(tmp_path, look(2, 10, 20)) == 2
    assert look_at(tmp_path, look(3, 11, 15)) == 2
    assert look_at(tmp_path, look(4, 21, 30)) == 1
    assert look_at(tmp_path, look(5, 1, 30, label="buys")) == 1


def test_after_ten_candidates_the_period_is_spent_and_the_eleventh_is_not_recorded(tmp_path: Path) -> None:
    assert [look_at(tmp_path, look(candidate)) for candidate in range(1, 11)] == list(range(1, 11))
    with pytest.raises(DataError, match=r"from 2020-03-01 to 2020-03-10 is spent: 10 candidates .* churn version 1 on"):
        look_at(tmp_path, look(11))
    assert len(looks(tmp_path)) == 10
    assert look_at(tmp_path, look(3)) == 3


def test_a_look_that_was_cut_off_while_it_was_written_is_not_one(tmp_path: Path) -> None:
    look_at(tmp_path, look(1))
    file = tmp_path / FILE
    file.write_bytes(file.read_bytes() + b'{"entity": "wh')
    assert look_at(tmp_path, look(2)) == 2
    assert [each.version for each in looks(tmp_path)] == [1, 2]


def test_of_two_machines_that_look_at_once_one_is_told_so_and_its_look_counts_once_it_is_repeated(
    at_machine: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    def on(name: str) -> Path:
        return at_machine(name).models_dir

    found, is_first = looking.pull, iter([True])

    def meanwhile(path: Path) -> int:
        number = found(path)
        if next(is_first, False):
            assert look_at(on("b"), look(2)) == 1
            on("a")
        return number

    monkeypatch.setattr(looking, "pull", meanwhile)
    with pytest.raises(ConflictError, match=r"looks\.jsonl: another machine"):
        look_at(on("a"), look(1))
    assert look_at(on("a"), look(1)) == 2
    assert [each.version for each in looks(on("c"))] == [2, 1]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    look_at(tmp_path, look(1))
    file = tmp_path / FILE
    file.write_text("nothing\n" + file.read_text())
    with pytest.raises(DataError, match="line 1 is no look"):
        looks(tmp_path)
