"""Local files and folders: their modes, locks, small texts replaced at once, and folders taken away at once."""

from __future__ import annotations

import fcntl
import fnmatch
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_IMODE, S_ISDIR
from typing import IO, Any
from uuid import uuid4

from transformations.engine.base import disk_faults
from transformations.engine.base.errors import ConflictError
from transformations.engine.base.files.bucket import bucket_of

LOCK_WAIT_SECONDS = 60.0
FILE_MODE, FOLDER_MODE = 0o640, 0o750
"""The most that files and folders of the data folder allow: nothing to others, whatever the process' umask."""
UNFINISHED = ".unfinished"
"""The suffix of a file that is still being written."""


@dataclass(frozen=True)
class StoredFile:
    """A file on disk: absolute path, bytes, last change (seconds since the epoch)."""

    path: Path
    size: int
    modified: float


@contextmanager
def exclusive(lock: Path, subject: str, wait_seconds: float = LOCK_WAIT_SECONDS) -> Iterator[None]:
    """Hold `lock` against every other process; it ends with the process, however that ends.

    Raises ConflictError, naming the holder, when it has waited that long. Other machines are not held off: in object
    storage, commits are.
    """
    make_folder(lock.parent)
    with os.fdopen(os.open(lock, os.O_RDWR | os.O_APPEND | os.O_CREAT, FILE_MODE), "a+") as file:
        deadline = time.monotonic() + wait_seconds
        while not try_lock(file):
            if time.monotonic() >= deadline:
                file.seek(0)
                raise ConflictError(
                    f"{subject}: process {file.read().strip() or 'unknown'} is writing it and was not done after "
                    f"{wait_seconds:.0f} s. Nothing was published; repeat the command when it is done."
                )
            time.sleep(0.05)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, closed to others; one that is there stays as it is."""
    for each in reversed([each for each in (folder, *folder.parents) if not each.is_dir()]):
        each.mkdir(mode=FOLDER_MODE, exist_ok=True)


def make_file(file: Path) -> Path:
    """Make an empty file, closed to others, for a library to write."""
    file.touch(mode=FILE_MODE)
    return file


def close_to_others(path: Path) -> None:
    """Take away what a file or folder allows beyond our modes, where it is this user's."""
    mode = path.stat().st_mode
    allowed = S_IMODE(mode) & (FOLDER_MODE if S_ISDIR(mode) else FILE_MODE)
    if allowed != S_IMODE(mode):
        with suppress(PermissionError):  # another user's, as a cluster's executor may be
            path.chmod(allowed)


def try_lock(file: IO[Any] | int) -> bool:
    """Lock an open file, or its descriptor, against every other process; False where another one holds the lock.

    It is released when the last process that inherited the descriptor has closed it.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def discard(folder: Path) -> None:
    """Remove a folder that no version refers to; readers see it vanish at once. What cannot be removed is harmless."""
    if (bucket := bucket_of(folder)) is not None:
        bucket.remove(folder / each.name for each in bucket.objects(folder))
    gone = folder.with_name(f"gone={uuid4().hex}")
    with suppress(OSError):
        folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def remove(files: Sequence[StoredFile]) -> None:
    """Remove files that no version refers to."""
    if files and (bucket := bucket_of(files[0].path)) is not None:
        bucket.remove(file.path for file in files)
    for file in files:
        file.path.unlink(missing_ok=True)


def files_below(folder: Path) -> list[StoredFile]:
    """All files in a folder and its folders, hidden ones too, by name; what is in object storage counts, too."""
    found = {path: stored_file(path) for path in disk_faults.files_below(folder)}
    if (bucket := bucket_of(folder)) is not None:
        objects = (StoredFile(folder / each.name, each.size, each.modified) for each in bucket.objects(folder))
        found |= {each.path: each for each in objects}
    return [found[path] for path in sorted(found)]


def holds_files(folder: Path) -> bool:
    """Whether there is anything in a folder, here or in object storage."""
    bucket = None if folder.is_dir() else bucket_of(folder)
    return folder.is_dir() if bucket is None else bool(bucket.objects(folder))


def folders_below(folder: Path, pattern: str) -> list[Path]:
    """A folder's folders of such names, sorted; what is in object storage counts, too."""
    found = {path for path in disk_faults.paths_in(folder, pattern) if path.is_dir()}
    if (bucket := bucket_of(folder)) is not None:
        found |= {folder / name for name in fnmatch.filter(bucket.folders(folder), pattern)}
    return sorted(found)


def stored_file(path: Path) -> StoredFile:
    """The facts of a file on this disk."""
    facts = path.stat()
    return StoredFile(path, facts.st_size, facts.st_mtime)


def force_folder(folder: Path, force: Callable[[int], None] = os.fsync) -> None:
    """Force the names in a folder to disk. force: as `os.fsync`, but for tests."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        force(descriptor)
    finally:
        os.close(descriptor)


def replace_text(path: Path, text: str) -> None:
    """Replace a small file atomically: readers see the old text or the new one, even if this process is killed."""
    unfinished = path.with_name(f".{path.name}.{uuid4().hex}{UNFINISHED}")
    try:
        make_file(unfinished).write_text(text, encoding="utf-8")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
