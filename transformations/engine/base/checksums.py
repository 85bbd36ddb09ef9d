"""A checksum for each file of a table or dataset, so that a flipped bit is found years later.

Checksums are kept in `SHA256SUMS` beside the files, one line per file, as `sha256sum -c SHA256SUMS` reads them. Lines
are only appended; of two lines about one file, the later counts.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

FILE = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
_THREADS = 4


def content_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def record(folder: Path, files: Iterable[str]) -> None:
    """Append the checksums of these files, named relative to the folder, as they are now."""
    names = list(files)
    if not names:
        return
    with ThreadPoolExecutor(min(_THREADS, len(names))) as pool:  # hashing does not hold Python's lock
        hashes = list(pool.map(content_hash, (folder / name for name in names)))
    lines = "".join(f"{checksum}  {name}\n" for checksum, name in zip(hashes, names, strict=True))
    descriptor = os.open(folder / FILE, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":  # a killed writer's half line stays one of its own
            lines = "\n" + lines
        os.write(descriptor, lines.encode())
    finally:
        os.close(descriptor)


def recorded(folder: Path) -> Mapping[str, str]:
    """The recorded checksums by file, relative to the folder; lines that cannot be read are skipped."""
    file = folder / FILE
    if not file.is_file():
        return {}
    facts = file.stat()
    return _lines(file, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=64)
def _lines(file: Path, _size: int, _modified: int) -> Mapping[str, str]:
    lines = file.read_bytes().decode("utf-8", errors="replace").splitlines()
    return {found[2]: found[1] for found in map(_LINE.fullmatch, lines) if found}
