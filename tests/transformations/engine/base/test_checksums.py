"""Checksums beside the files: appended line by line, and read again only where somebody else has written."""

import re
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformations.engine.base import checksums
from transformations.engine.base.checksums import FILE, append, greatest, recorded, times_recorded

A, B, C = "a" * 64, "b" * 64, "c" * 64


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How often a file of checksums was read."""
    found, read = checksums.bytes_of, list[Path]()
    monkeypatch.setattr(checksums, "bytes_of", lambda file: read.append(file) or found(file))
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


def test_a_name_that_is_no_text_is_found_by_what_is_shown_of_it(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(f"{A}  tr".encode() + b"\xe1in\n")
    assert {name: recorded(tmp_path)[name] for name in recorded(tmp_path)} == {"tr\ufffdin": A}
    assert greatest(tmp_path, "tr") == "tr\ufffdin"


def test_a_full_disk_is_told_of(tmp_path: Path) -> None:
    """It takes a part of what is written, and the file would have no checksum."""
    append(tmp_path, {"one": A})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            append(tmp_path, {"two": B})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    append(tmp_path, {"three": C})
    assert recorded(tmp_path) == {"one": A, "three": C}


_ALL = ("a", "b", "a  b", "ab", "log/1", "log/10", "log/2", "lög/3")
_NAMES = st.sampled_from(_ALL)
_LINES = st.tuples(st.sampled_from([A, B, C, A[:-1], "G" * 64]), _NAMES, st.sampled_from(["\n", "\r\n", "", "\n\n"]))


@given(lines=st.lists(_LINES, max_size=8), added=st.dictionaries(_NAMES, st.just(A), max_size=2))
def test_searching_for_a_line_finds_what_reading_all_of_them_finds(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[str, str, str]], added: dict[str, str]
) -> None:
    folder = tmp_path_factory.mktemp("sums")
    (folder / FILE).write_bytes("".join(f"{checksum}  {name}{end}" for checksum, name, end in lines).encode())
    for more in ({}, added):
        append(folder, more)
        text = (folder / FILE).read_bytes().decode()
        whole = [re.fullmatch(r"([0-9a-f]{64})  ([^\r]+)\r?", line) for line in text.split("\n")]
        expected = {found[2]: found[1] for found in whole if found}
        assert {name: found for name in [*expected, *_ALL] if (found := recorded(folder).get(name))} == expected
        assert greatest(folder, "log/") == max((name for name in expected if name.startswith("log/")), default="")
    assert dict(recorded(folder)) == expected
