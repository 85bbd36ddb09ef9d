"""Temporary folders go with their processes, also with those that were killed, and with nobody else's."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from transformations.engine.base.files import scratch
from transformations.engine.base.files.scratch import make_scratch, scratch_folder, use_beside_others

_ANOTHER_PROCESS = """
import sys
from pathlib import Path

from transformations.engine.base.files.scratch import make_scratch, use_beside_others

place = Path(sys.argv[1])
use_beside_others(place, ("rows-*",))
folder = make_scratch("own-", place).path
(folder / "spilled").write_text("rows")
(place / "rows-1").mkdir()
print(folder, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _first_of_its_process() -> None:
    scratch.remove_abandoned.cache_clear()


@contextmanager
def another_process(place: Path) -> Iterator[Path]:
    """Its folder, while it lives; at the end it is killed."""
    command = [sys.executable, "-c", _ANOTHER_PROCESS, str(place)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            said = process.stdout.readline().strip()
            assert said, "it failed"
            yield Path(said)
        finally:
            process.kill()


def test_a_folder_goes_with_its_context_and_is_closed_to_others(tmp_path: Path) -> None:
    with scratch_folder("own-", tmp_path / "new") as folder:
        (folder / "spilled").write_text("rows")
        assert folder.name.startswith("own-")
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not list((tmp_path / "new").iterdir())


def test_what_a_killed_process_left_goes_and_what_is_in_use_stays(tmp_path: Path) -> None:
    foreign, other_prefix = tmp_path / "own-somebody's", tmp_path / "other-1"
    for each in (foreign, other_prefix):
        each.mkdir()
    with another_process(tmp_path) as folder:
        assert (folder / "spilled").is_file()
        own = make_scratch("own-", tmp_path)
        assert folder.is_dir()
    scratch.remove_abandoned.cache_clear()  # as in the next process
    make_scratch("own-", tmp_path)
    assert not folder.exists()
    assert all(each.is_dir() for each in (own.path, foreign, other_prefix))
    own.remove()
    assert not own.path.exists()


def test_a_link_is_not_followed_and_a_folder_of_somebody_else_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with another_process(tmp_path / "elsewhere") as folder:
        pass
    place = tmp_path / "place"
    place.mkdir()
    (place / "own-link").symlink_to(folder)
    shutil.copytree(folder, place / "own-left")
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    make_scratch("own-", place)
    assert (place / "own-left").is_dir()
    monkeypatch.undo()
    scratch.remove_abandoned.cache_clear()
    make_scratch("own-", place)
    assert not (place / "own-left").exists()
    assert (folder / "spilled").is_file()


def test_what_killed_processes_had_begun_to_make_or_to_remove_goes_later(tmp_path: Path) -> None:
    old, young = tmp_path / ".own-1", tmp_path / ".own-2"
    for each in (old, young):
        each.mkdir()
        (each / "spilled").write_text("rows")
    os.utime(old, (time.time() - 3_600,) * 2)
    make_scratch("own-", tmp_path)
    assert not old.exists()
    assert young.is_dir()


def test_a_removal_that_is_killed_leaves_a_hidden_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it might have lost its lock, and would be nobody's to remove."""
    made = make_scratch("own-", tmp_path)
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    made.remove()
    assert [each.name for each in tmp_path.iterdir()] == [f".{made.path.name}"]


def test_a_forked_process_leaves_its_parent_s_folder_alone(tmp_path: Path) -> None:
    made = make_scratch("own-", tmp_path)
    replace(made, process=os.getpid() + 1).remove()
    assert made.path.is_dir()


def test_nothing_is_left_where_a_folder_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def full(path: Any, *given: Any, **more: Any) -> int:
        if str(path).endswith(".in-use"):
            raise OSError(28, "No space left on device")
        return opened(path, *given, **more)

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(OSError, match="No space left"):
        make_scratch("own-", tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_a_library_left_goes_once_nobody_else_uses_the_folder(tmp_path: Path) -> None:
    with another_process(tmp_path):
        use_beside_others(tmp_path, ("rows-*",))
        assert (tmp_path / "rows-1").is_dir()
    (tmp_path / ".rows-2").mkdir()  # that a killed process had begun to remove
    (tmp_path / "rows-3").touch()
    use_beside_others(tmp_path, ("rows-*",))
    assert not list(tmp_path.glob("*rows-*"))
