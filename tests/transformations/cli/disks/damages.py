"""Ways in which a disk loses what was written, each done to one file or folder."""

from __future__ import annotations

import ctypes
import os
import random
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import pyarrow.parquet as pq

Damage = Callable[[Path], None]
_CAPABILITY_VERSION = 0x20080522
_OVERRIDES = 0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: of capabilities(7), those that pass over permissions


def truncate(file: Path) -> None:
    """The first half, as after a power failure."""
    _write(file, file.read_bytes()[: file.stat().st_size // 2])


def empty(file: Path) -> None:
    _write(file, b"")


def flip(file: Path, seed: int = 0) -> None:
    """One bit, anywhere."""
    content = bytearray(file.read_bytes())
    if content:
        chosen = random.Random(crc32(f"{file.name} {seed}".encode()))
        content[chosen.randrange(len(content))] ^= 1 << chosen.randrange(8)
    _write(file, bytes(content))


def flip_a_value(file: Path) -> None:
    """Flip the lowest bit of a file that leaves it readable, and its rows others."""
    whole, rows = file.read_bytes(), pq.read_table(file, partitioning=None)
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1
        file.write_bytes(flipped)
        try:
            if not pq.read_table(file, partitioning=None).equals(rows):
                return
        except Exception:
            continue
    raise AssertionError(f"no bit of {file} changes a value unnoticed")


def delete(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def rename(path: Path) -> None:
    path.rename(path.with_name(f"{path.name}.moved"))


def become_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def become_a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("no folder")


def deny(path: Path) -> None:
    """Nobody may read or write it."""
    path.chmod(0)


def refuse_writes(folder: Path) -> None:
    """Nothing below may be written, as on a disk that the system has mounted read-only after an error."""
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(root, name)
            path.chmod(path.stat().st_mode & ~0o222)
    folder.chmod(folder.stat().st_mode & ~0o222)


def allow(folder: Path) -> None:
    """Undo `deny` and `refuse_writes` below a folder, so that it can be removed."""
    if folder.is_dir():
        folder.chmod(0o700)
        for each in folder.iterdir():
            if not each.is_symlink():
                allow(each)


def fill_the_disk(_: Path) -> None:
    """No file can grow beyond a few bytes, which binds root, too."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def give_up_root() -> None:
    """Let permissions bind this process and the threads that it starts, even if it is root's."""
    if os.geteuid():
        return
    header, sets = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()
    library = ctypes.CDLL(None, use_errno=True)
    if library.capget(header, sets):
        raise OSError(ctypes.get_errno(), "capget")
    for part in range(3):  # effective, permitted, inheritable
        sets[part] &= ~_OVERRIDES
    if library.capset(header, sets):
        raise OSError(ctypes.get_errno(), "capset")


def empty_the_disk() -> None:
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def _write(file: Path, content: bytes) -> None:
    file.chmod(0o640)
    file.write_bytes(content)


OF_FILES: dict[str, Damage] = {
    "cut short": truncate,
    "empty": empty,
    "bit flipped": flip,
    "another bit flipped": lambda file: flip(file, 1),
    "deleted": delete,
    "a folder": become_a_folder,
    "denied": deny,
}
OF_FOLDERS: dict[str, Damage] = {
    "deleted": delete,
    "renamed": rename,
    "a file": become_a_file,
    "denied": deny,
    "read-only": refuse_writes,
}
FULL = "disk full"
ALL = OF_FILES | OF_FOLDERS | {FULL: fill_the_disk}
