"""Temporary folders that outlive nobody for long: what killed processes leave, the next one that makes some removes."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from transformations.engine.base.disk_faults import paths_in
from transformations.engine.base.files.local import FILE_MODE, make_folder, try_lock

_LOCK = ".in-use"
_UNNAMED_SECONDS = 600
"""A hidden folder of ours that is older is neither being made nor being removed: its process was killed meanwhile."""


@dataclass(frozen=True)
class Scratch:
    """A temporary folder of a process, closed to others. lock: the descriptor that says that it is in use."""

    path: Path
    lock: int
    process: int

    def remove(self) -> None:
        """Remove the folder and all in it; a forked process leaves its parent's alone."""
        if self.process == os.getpid():
            _remove(self.path)
            os.close(self.lock)


def make_scratch(prefix: str, parent: Path | None = None) -> Scratch:
    """Make a temporary folder whose name begins so. parent: where; by default where the system has such folders.

    Once a process and place, those of the same prefix whose processes were killed are removed: a training retrieval
    that the system stops for its memory leaves what it had spilled.
    """
    place = Path(tempfile.gettempdir()) if parent is None else parent
    make_folder(place)
    remove_abandoned(place, prefix)
    hidden = Path(tempfile.mkdtemp(prefix=f".{prefix}", dir=place))  # under its own name it is in use at once
    try:
        lock = os.open(hidden / _LOCK, os.O_RDWR | os.O_CREAT, FILE_MODE)
        with suppress(OSError):  # a disk without locks: its folders are nobody's to remove
            try_lock(lock)
        return Scratch(hidden.rename(place / hidden.name.removeprefix(".")), lock, os.getpid())
    except OSError:
        shutil.rmtree(hidden, ignore_errors=True)
        raise


@contextmanager
def scratch_folder(prefix: str, parent: Path | None = None) -> Iterator[Path]:
    """A folder of `make_scratch` that goes when the context ends."""
    scratch = make_scratch(prefix, parent)
    try:
        yield scratch.path
    finally:
        scratch.remove()


_USED: dict[Path, int] = {}
"""By folder that this process uses beside others, the descriptor that says so."""


def use_beside_others(folder: Path, leavings: Sequence[str]) -> None:
    """Say that this process uses a folder as long as it lives, as others may; where no other does now, remove what was
    left there under such names: by libraries that tidy up when they end, and not when they are killed.

    It is called before the library begins, so that nothing there is this process' own.
    """
    make_folder(folder)
    lock = _USED.get(folder)
    if lock is None:
        lock = _USED.setdefault(folder, os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, FILE_MODE))
    with suppress(OSError):  # a disk without locks
        if try_lock(lock):
            for name in leavings:
                for left in (*paths_in(folder, name), *paths_in(folder, f".{name}")):
                    _remove(left)
        fcntl.flock(lock, fcntl.LOCK_SH)


@cache
def remove_abandoned(place: Path, prefix: str) -> None:
    """Remove the folders of `make_scratch` in a place whose processes have ended; once a process."""
    for pattern in (f"{prefix}*", f".{prefix}*"):
        for folder in place.glob(pattern):
            with suppress(OSError):  # another user's, or gone by now
                facts = folder.stat(follow_symlinks=False)
                if facts.st_uid == os.geteuid():
                    _remove_if_abandoned(folder, time.time() - facts.st_mtime)


def _remove_if_abandoned(folder: Path, age: float) -> None:
    if folder.name.startswith("."):
        if age > _UNNAMED_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
        return
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
    try:
        if try_lock(lock):
            _remove(folder)
    finally:
        os.close(lock)


def _remove(path: Path) -> None:
    """Remove a file, or a folder under a hidden name: where this process is killed meanwhile, others know the rest."""
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    with suppress(OSError):
        path = path.rename(path.with_name(f".{path.name}"))
    shutil.rmtree(path, ignore_errors=True)
