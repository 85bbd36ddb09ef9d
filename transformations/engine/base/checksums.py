"""A checksum for each file of a table or dataset, so that a flipped bit is found years later.

Checksums are kept in `SHA256SUMS` beside the files, one line per file, as `sha256sum -c SHA256SUMS` reads them. Lines
are only appended; of two lines about one file, the later counts.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

FILE = "SHA256SUMS"
_LINE = re.compile(r"^([0-9a-f]{64})  ([^\r\n]+)\r?$", re.MULTILINE)
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
    append(folder, dict(zip(names, hashes, strict=True)))


def append(folder: Path, known: Mapping[str, str]) -> None:
    """Append checksums that are known, by file."""
    if not known:
        return
    lines = "".join(f"{checksum}  {name}\n" for name, checksum in known.items())
    descriptor = os.open(folder / FILE, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":  # a killed writer's half line stays apart
            lines = "\n" + lines
        os.write(descriptor, lines.encode())
    finally:
        os.close(descriptor)


def recorded(folder: Path) -> Mapping[str, str]:
    """The recorded checksums by file, relative to the folder; lines that cannot be read are skipped."""
    return _lines_of(folder).checksums


def times_recorded(folder: Path, name: str) -> int:
    """How often a checksum of this file was recorded: more than once where it was written anew."""
    return _lines_of(folder).counts[name]


@dataclass(frozen=True)
class _Lines:
    checksums: Mapping[str, str]
    counts: Counter[str]


def _lines_of(folder: Path) -> _Lines:
    file = folder / FILE
    if not file.is_file():
        return _Lines({}, Counter())
    facts = file.stat()
    return _parsed(file, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=64)
def _parsed(file: Path, _size: int, _modified: int) -> _Lines:
    found = [(name, checksum) for checksum, name in _LINE.findall(file.read_bytes().decode("utf-8", errors="replace"))]
    return _Lines(dict(found), Counter(name for name, _ in found))
