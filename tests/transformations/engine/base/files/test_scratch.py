"""Temporary folders go with their processes, also with those that were killed, and with nobody else's."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
    use_beside_others.cache_clear()


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


def test_what_a_library_left_goes_once_nobody_uses_the_folder(tmp_path: Path) -> None:
    with another_process(tmp_path):
        use_beside_others(tmp_path, ("rows-*",))
        assert (tmp_path / "rows-1").is_dir()
    use_beside_others.cache_clear()  # as in the next process, though this one still uses it
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scratch, "try_lock", lambda _: True)
        use_beside_others(tmp_path, ("rows-*",))
    assert not (tmp_path / "rows-1").exists()
