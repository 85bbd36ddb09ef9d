"""Checksums beside the files: appended line by line, and read again only where somebody else has written."""

from collections.abc import Callable
from pathlib import Path

import pytest

from transformations.engine.base import checksums
from transformations.engine.base.checksums import FILE, append, greatest, recorded, times_recorded

A, B, C = "a" * 64, "b" * 64, "c" * 64


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How often a file of checksums was read."""
    found, read = checksums.found_in, list[Path]()
    monkeypatch.setattr(checksums, "found_in", lambda file: read.append(file) or found(file))
    return lambda: len(read)


def test_what_this_process_appends_is_known_without_another_look(tmp_path: Path, readings: Callable[[], int]) -> None:
    append(tmp_path, {"one": A})
    assert recorded(tmp_path) == {"one": A}
    for number in range(50):
        append(tmp_path, {f"_delta_log/{number:03}": B})
        assert recorded(tmp_path)[f"_delta_log/{number:03}"] == B
        assert greatest(tmp_path, "_delta_log/") == f"_delta_log/{number:03}"
    append(tmp_path, {"one": C})
    assert (recorded(tmp_path)["one"], greatest(tmp_path, "nothing"), readings()) == (C, "", 1)
    checksums.READ.cache_clear()
    assert (recorded(tmp_path)["one"], len(recorded(tmp_path)), readings()) == (C, 51, 2)


def test_what_others_append_or_change_is_read_again(tmp_path: Path, readings: Callable[[], int]) -> None:
    append(tmp_path, {"one": A})
    assert recorded(tmp_path) == {"one": A}
    with (tmp_path / FILE).open("a") as file:
        file.write(f"{B}  two\n")
    append(tmp_path, {"three": C})  # to a file that is not as it was read
    assert (recorded(tmp_path), readings()) == ({"one": A, "two": B, "three": C}, 2)
    (tmp_path / FILE).write_text((tmp_path / FILE).read_text().replace(A, C))
    assert (recorded(tmp_path)["one"], readings()) == (C, 3)
    (tmp_path / FILE).unlink()
    assert (recorded(tmp_path), greatest(tmp_path, "")) == ({}, "")


def test_the_half_line_of_a_killed_writer_stays_apart(tmp_path: Path) -> None:
    append(tmp_path, {"one": A})
    with (tmp_path / FILE).open("a") as file:
        file.write(B[:20])
    assert recorded(tmp_path) == {"one": A}
    append(tmp_path, {"two": B})
    assert recorded(tmp_path) == {"one": A, "two": B}
    checksums.READ.cache_clear()
    assert recorded(tmp_path) == {"one": A, "two": B}


def test_a_file_that_was_written_anew_has_been_recorded_twice(tmp_path: Path) -> None:
    append(tmp_path, {"one": A})
    append(tmp_path, {"one": B, "two": A})
    assert [times_recorded(tmp_path, name) for name in ("one", "two", "three")] == [2, 1, 0]
    assert times_recorded(tmp_path / "no folder", "one") == 0
