"""A checksum for each file of a table or dataset, so that a flipped bit is found years later.

Checksums are kept in `SHA256SUMS` beside the files, one line per file, as `sha256sum -c SHA256SUMS` reads them. Lines
are only appended; of two lines about one file, the later counts.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import TypeAlias

FILE = "SHA256SUMS"
_LINE = re.compile(rb"^([0-9a-f]{64})  ([^\r\n]+)\r?$", re.MULTILINE)
_DIGITS = 64
_NO_UTF_8 = "\ufffd"
_MOST_SEARCHES = 50
"""As many take as long as reading all lines does, of a table of years."""
_THREADS = 4
_FILES_KEPT = 64
_Stamp: TypeAlias = tuple[int, int, int]
"""A file's inode, bytes and last change."""


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
    file = folder / FILE
    lines = "".join(f"{checksum}  {name}\n" for name, checksum in known.items())
    descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
    try:
        before = os.fstat(descriptor)
        size = before.st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":  # a killed writer's half line stays apart
            lines = "\n" + lines
        written = lines.encode()
        left = memoryview(written)
        while left:  # a full disk takes a part, and says so the next time
            left = left[os.write(descriptor, left) :]
        after = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if after.st_size == size + len(written):  # else somebody else has appended, too
        READ.grow(file, before, after, written, known)


def recorded(folder: Path) -> Mapping[str, str]:
    """The recorded checksums by file, relative to the folder; lines that cannot be read are skipped."""
    return _lines_of(folder)


def greatest(folder: Path, prefix: str) -> str:
    """The greatest of the recorded names that begin so; empty without any."""
    return _lines_of(folder).greatest(prefix)


def times_recorded(folder: Path, name: str) -> int:
    """How often a checksum of this file was recorded: more than once where it was written anew."""
    file = folder / FILE
    return sum(each == name for each, _ in _found_in(bytes_of(file))) if file.is_file() else 0


class _Lines(Mapping[str, str]):
    """The checksums in a file's text, by name.

    A table of years has tens of thousands of lines, and whoever opens it asks for a few: those are searched for, from
    the end, where they stand as a rule. Who asks for many, or goes through all, has them all read.
    """

    def __init__(self, text: bytes, greatest: Mapping[str, str] | None = None) -> None:
        self._text = text
        self._greatest = dict(greatest or {})
        self._all: Mapping[str, str] | None = None
        self._searches = 0

    def __getitem__(self, name: str) -> str:
        self._searches += 1
        if self._all is not None or self._searches > _MOST_SEARCHES:
            return self._read()[name]
        if _NO_UTF_8 in name:  # which stands for other bytes
            return self._read()[name]
        written = name.encode("utf-8", errors="surrogatepass")
        at = len(self._text)
        while (at := self._text.rfind(b"  " + written, 0, at)) >= 0:
            line = _LINE.match(self._text, max(0, at - _DIGITS))
            if line and line[2] == written:
                return line[1].decode()
            at += 1 + len(written)  # a name may begin with what it is searched by
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def greatest(self, prefix: str) -> str:
        """The greatest name that begins so; empty without any."""
        if prefix not in self._greatest:
            begun = re.findall(rb"  (?=(%b[^\r\n]*))" % re.escape(prefix.encode()), self._text)
            names = (each.decode("utf-8", errors="replace") for each in sorted(begun, reverse=True))
            self._greatest[prefix] = next((name for name in names if name in self), "")
        return self._greatest[prefix]

    def with_more(self, written: bytes, added: Mapping[str, str]) -> _Lines:
        """The lines of the file once these bytes are appended, which add these checksums."""
        greatest = {
            prefix: max((name, *(each for each in added if each.startswith(prefix))))
            for prefix, name in list(self._greatest.items())
        }
        return _Lines(self._text + written, greatest)

    def _read(self) -> Mapping[str, str]:
        if self._all is None:
            self._all = dict(_found_in(self._text))
        return self._all


class _Read:
    """What was read of files, each as long as it stays as it was, or is appended to by this process alone.

    Each commit to a table adds some lines: nobody reads the others again.
    """

    def __init__(self) -> None:
        self._lines: OrderedDict[Path, tuple[_Stamp, _Lines]] = OrderedDict()
        self._lock = Lock()
        self.cache_clear = self._lines.clear  # called as that of a function's cache

    def lines(self, file: Path, facts: os.stat_result) -> _Lines:
        """The lines of a file with these facts."""
        with self._lock:
            known = self._lines.get(file)
        if known is not None and known[0] == _stamp_of(facts):
            return known[1]
        lines = _Lines(bytes_of(file))
        self._keep(file, facts, lines)
        return lines

    def grow(
        self, file: Path, before: os.stat_result, after: os.stat_result, written: bytes, added: Mapping[str, str]
    ) -> None:
        """Take over what this process has appended to a file that it knows as it was before."""
        with self._lock:
            known = self._lines.get(file)
        if known is not None and known[0] == _stamp_of(before):
            self._keep(file, after, known[1].with_more(written, added))

    def _keep(self, file: Path, facts: os.stat_result, lines: _Lines) -> None:
        with self._lock:
            self._lines[file] = (_stamp_of(facts), lines)
            self._lines.move_to_end(file)
            while len(self._lines) > _FILES_KEPT:
                self._lines.popitem(last=False)


READ = _Read()


def _lines_of(folder: Path) -> _Lines:
    file = folder / FILE
    if not file.is_file():
        return _Lines(b"")
    return READ.lines(file, file.stat())


def _stamp_of(facts: os.stat_result) -> _Stamp:
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def bytes_of(file: Path) -> bytes:
    """What a file of checksums holds."""
    return file.read_bytes()


def _found_in(text: bytes) -> Iterator[tuple[str, str]]:
    """The names and checksums in a file's text, line by line."""
    return ((name.decode("utf-8", errors="replace"), each.decode()) for each, name in _LINE.findall(text))
