"""Temporary folders that outlive nobody for long: what killed processes leave, the next one that makes some removes."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from transformations.engine.base.disk_faults import paths_in
from transformations.engine.base.files.local import FILE_MODE, make_folder, try_lock

_LOCK = ".in-use"


@dataclass(frozen=True)
class Scratch:
    """A temporary folder of this process, closed to others. lock: the descriptor that says that it is in use."""

    path: Path
    lock: int

    def remove(self) -> None:
        """Remove the folder and all in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self.lock)


def make_scratch(prefix: str, parent: Path | None = None) -> Scratch:
    """Make a temporary folder whose name begins so. parent: where; by default where the system has such folders.

    Once a process and place, those of the same prefix whose processes were killed are removed: a training retrieval
    that the system stops for its memory leaves what it had spilled.
    """
    place = Path(tempfile.gettempdir()) if parent is None else parent
    make_folder(place)
    remove_abandoned(place, prefix)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{prefix}", dir=place))  # under its own name it is in use at once
    lock = os.open(unfinished / _LOCK, os.O_RDWR | os.O_CREAT, FILE_MODE)
    with suppress(OSError):  # a disk without locks: its folders are nobody's to remove
        try_lock(lock)
    return Scratch(unfinished.rename(place / unfinished.name.removeprefix(".")), lock)


@contextmanager
def scratch_folder(prefix: str, parent: Path | None = None) -> Iterator[Path]:
    """A folder of `make_scratch` that goes when the context ends."""
    scratch = make_scratch(prefix, parent)
    try:
        yield scratch.path
    finally:
        scratch.remove()


@cache
def use_beside_others(folder: Path, leavings: Sequence[str]) -> None:
    """Say that this process uses a folder as long as it lives, as others may; where none does yet, remove what earlier
    ones have left there under such names: of libraries that tidy up when they end, and not when they are killed.
    """
    make_folder(folder)
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, FILE_MODE)
    with suppress(OSError):  # a disk without locks
        if try_lock(lock):
            for name in leavings:
                for left in paths_in(folder, name):
                    shutil.rmtree(left, ignore_errors=True)
        fcntl.flock(lock, fcntl.LOCK_SH)


@cache
def remove_abandoned(place: Path, prefix: str) -> None:
    """Remove the folders of `make_scratch` in a place whose processes have ended; once a process."""
    for folder in place.glob(f"{prefix}*"):
        with suppress(OSError):  # another user's, or gone by now
            if folder.stat(follow_symlinks=False).st_uid == os.geteuid():
                _remove_if_abandoned(folder)


def _remove_if_abandoned(folder: Path) -> None:
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
    try:
        if try_lock(lock):
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
