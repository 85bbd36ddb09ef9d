"""Segments: the append-only files that predictions are recorded in before they are answered, one a worker at a time.

predictions/_segments/20240520T060000123456Z-scorer1-4711-9f2c41d0.segment

Each line is a checksum (CRC-32 of the rest, eight hexadecimal digits), a blank and JSON: a prediction record, or a mark
of answers that were not sent. So a whole line is known from a torn one, wherever a crash has cut or holed the file.

A worker holds a lock on its segment for as long as it writes to it, and the kernel releases it however the worker ends.
So a segment that can be locked is closed for ever: nobody opens one again. It gets its name only after it is locked.

What is lost when: nothing that was answered, if the process dies; what was written since the last fsync, if the machine
does (`record_sync`).
"""

from __future__ import annotations

import os
import re
import socket
import threading
import time
import weakref
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self
from uuid import uuid4

from pydantic_core import to_json

from transformations.engine.base import storage
from transformations.engine.base.disk_faults import known_fault
from transformations.engine.base.errors import ServiceUnavailableError
from transformations.engine.base.settings import Settings

SUFFIX = ".segment"
_MEGABYTE = 2**20
_MOST_WAIT = 0.5
"""Seconds between two looks at what is due."""


class UnrecordedError(ServiceUnavailableError):
    """A prediction cannot be recorded, and the settings say that it is then not answered."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How predictions are recorded.

    sync_seconds: how old a line gets before it is forced to disk; 0 for each request by itself, None for never.
    is_refused_when_full: whether a request fails whose prediction cannot be recorded. backlog_bytes: of all segments
    that wait to be collected. segment_bytes, segment_seconds: from where on a segment is closed and the next begun.
    """

    sync_seconds: float | None
    is_refused_when_full: bool
    backlog_bytes: int
    segment_bytes: int
    segment_seconds: float

    @classmethod
    def of(cls, settings: Settings) -> Options:
        """The options that the settings say."""
        match settings.record_sync:
            case "never":
                sync_seconds = None
            case "each":
                sync_seconds = 0.0
            case milliseconds:
                sync_seconds = int(milliseconds) / 1000
        return cls(
            sync_seconds=sync_seconds,
            is_refused_when_full=settings.record_when_full == "refuse",
            backlog_bytes=settings.record_backlog_mb * _MEGABYTE,
            segment_bytes=settings.record_segment_mb * _MEGABYTE,
            segment_seconds=settings.record_segment_seconds,
        )


@dataclass(frozen=True)
class Receipt:
    """Where the records of a request are: so many rows in the bytes [first, end) of a segment."""

    segment: str
    first: int
    end: int
    rows: int


@dataclass(kw_only=True)
class Counts:
    """What a worker has recorded since it started.

    unrecorded: rows answered without a record. refused: rows not answered for want of one. unanswered: rows marked so.
    failures: writes and forces to disk that failed. backlog_bytes: of all segments in the folder, when last looked.
    """

    recorded: int = 0
    unrecorded: int = 0
    refused: int = 0
    unanswered: int = 0
    failures: int = 0
    backlog_bytes: int = 0
    segments: int = 0


@dataclass(kw_only=True)
class _Segment:
    name: str
    descriptor: int
    began: float
    size: int = 0
    forced: int = 0


def segments_folder(settings: Settings) -> Path:
    """Where all segments are. Its name is none that a model can have."""
    return settings.predictions_dir / "_segments"


class Recorder:
    """One worker's record. Its first segment is there before anything is answered.

    Safe for threads. After a fork the child writes to a segment of its own, begun with its first record. force: what
    forces a file to disk. DiskError where the folder cannot be written.
    """

    def __init__(self, folder: Path, options: Options, force: Callable[[int], None] = os.fsync) -> None:
        self.counts = Counts()
        self._folder, self._options, self._force = folder, options, force
        self._fault = ""
        self._closed = False
        self._left: list[_Segment] = []
        self._wait = min(options.sync_seconds or _MOST_WAIT, options.segment_seconds, _MOST_WAIT)
        self._forced_at = time.monotonic()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._segment: _Segment | None = None
        try:
            storage.make_folder(folder)
            self._segment = self._begin()
            self._look_at_backlog()
        except OSError as error:
            raise known_fault(error) or error from error
        self._start_keeper()
        _RECORDERS.add(self)

    def record(self, lines: Sequence[bytes]) -> Receipt | None:
        """Write a request's lines at once; they are in the file when this returns, and on disk as the options say.

        None where they could not be written and the request is to be answered all the same. UnrecordedError where it
        is not to be: the disk is full or fails, or too much waits to be collected.
        """
        text = b"".join(map(_checked, lines))
        with self._lock:
            try:
                receipt = self._write(text, len(lines))
            except OSError as error:
                self._failed(error)
                receipt = None
            if receipt is not None:
                self.counts.recorded += len(lines)
                return receipt
            if not self._options.is_refused_when_full:
                self.counts.unrecorded += len(lines)
                return None
            self.counts.refused += len(lines)
            raise UnrecordedError(
                f"the prediction cannot be recorded ({self._fault}), so it is not answered. Run `features predictions "
                f"collect`, make room on the disk, or set FEATURES_RECORD_WHEN_FULL=answer."
            )

    def unanswered(self, receipt: Receipt | None) -> None:
        """Mark the records of a request whose answer was not sent, as of one that was given up. Never fails."""
        if receipt is None:
            return
        mark = to_json({"unanswered": [receipt.first, receipt.end], "segment": receipt.segment}) + b"\n"
        with self._lock, suppress(OSError):
            if self._write(_checked(mark), 0) is not None:
                self.counts.unanswered += receipt.rows

    def keep(self) -> None:
        """Force to disk what is due, begin the next segment where it is time, close those left, look at the backlog.

        A thread calls it by itself; it is here for those who cannot wait.
        """
        try:
            self._force_to_disk()
            with self._lock:
                if self._is_due():
                    self._next()
                left, self._left = self._left, []
            for segment in left:  # without the lock: requests do not wait for the disk
                self._finish(segment)
            self._look_at_backlog()
        except OSError as error:
            self._failed(error)

    @property
    def fault(self) -> str:
        """Why predictions cannot be recorded; empty while they can."""
        return self._fault

    def close(self) -> None:
        """Force everything to disk and close the segment, which can then be collected. Nothing can be recorded then."""
        self._stop.set()
        with self._lock:
            self._closed = True
            left, self._left = [*self._left, *([self._segment] if self._segment else [])], []
            self._segment = None
        for segment in left:
            try:
                self._finish(segment)
            except OSError as error:
                self._failed(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _write(self, text: bytes, rows: int) -> Receipt | None:
        """Append a text as a whole; None where the backlog is full. OSError, and no part of it is left, if it fails."""
        if self._closed:
            raise OSError("the record is closed")
        if self.counts.backlog_bytes + len(text) > self._options.backlog_bytes:
            self._fault = f"{self.counts.backlog_bytes / _MEGABYTE:,.0f} MB wait to be collected"
            return None
        segment = self._segment = self._segment or self._begin()
        try:
            if (written := os.write(segment.descriptor, text)) != len(text):
                raise OSError(f"the disk took {written:,} of {len(text):,} bytes")
            if self._options.sync_seconds == 0:
                self._force(segment.descriptor)
        except OSError:
            self._take_back(segment)
            raise
        receipt = Receipt(segment.name, segment.size, segment.size + len(text), rows)
        segment.size = receipt.end
        self.counts.backlog_bytes += len(text)
        self._fault = ""
        if segment.size >= self._options.segment_bytes:
            with suppress(OSError):  # this one simply grows
                self._next()
        return receipt

    def _take_back(self, segment: _Segment) -> None:
        """Cut off what a failed write has left; where that fails, too, leave the segment with its torn end."""
        try:
            os.ftruncate(segment.descriptor, segment.size)
        except OSError:
            self._segment = None
            os.close(segment.descriptor)

    def _begin(self) -> _Segment:
        """A new segment: locked first, then named, so that nobody takes it for closed."""
        while True:
            name = f"{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}-{_host()}-{os.getpid()}-{uuid4().hex[:8]}{SUFFIX}"
            unnamed = self._folder / f".{name}{storage.UNFINISHED}"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            descriptor = os.open(unnamed, flags, storage.FILE_MODE)
            try:
                if storage.try_lock(descriptor):
                    unnamed.rename(self._folder / name)
                    if self._options.sync_seconds is not None:
                        self._force_folder()
                    self.counts.segments += 1
                    return _Segment(name=name, descriptor=descriptor, began=time.monotonic())
            except FileNotFoundError:
                pass  # a collector took it for left over, between its creation and its lock
            except OSError:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def _is_due(self) -> bool:
        segment = self._segment
        is_old = segment is not None and time.monotonic() - segment.began >= self._options.segment_seconds
        return segment is not None and is_old and segment.size > 0

    def _next(self) -> None:
        """Begin the next segment, then leave this one to be closed: at no moment is there none."""
        before, self._segment = self._segment, self._begin()
        if before is not None:
            self._left.append(before)

    def _finish(self, segment: _Segment) -> None:
        try:
            if self._options.sync_seconds is not None and segment.forced < segment.size:
                self._force(segment.descriptor)
        finally:
            os.close(segment.descriptor)

    def _force_to_disk(self) -> None:
        """Force what is written by now; without the lock, since requests would wait for the disk."""
        with self._lock:
            segment, wait = self._segment, self._options.sync_seconds
            if wait is None or segment is None or segment.forced == segment.size:
                return
            if time.monotonic() + self._wait < self._forced_at + wait:  # it is not due before the next look
                return
            self._forced_at = time.monotonic()
            size, descriptor = segment.size, os.dup(segment.descriptor)
        try:
            self._force(descriptor)
            segment.forced = size
        except OSError:
            with self._lock:  # what a disk failed to take once, a second force reports as taken
                if segment is self._segment:
                    self._next()
            raise
        finally:
            os.close(descriptor)

    def _failed(self, error: OSError) -> None:
        self._fault = f"{error.strerror or error}: {self._folder}"
        self.counts.failures += 1

    def _force_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._force(descriptor)
        finally:
            os.close(descriptor)

    def _look_at_backlog(self) -> None:
        waiting = 0
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    waiting += entry.stat().st_size if entry.name.endswith(SUFFIX) else 0
        self.counts.backlog_bytes = waiting

    def _start_keeper(self) -> None:
        threading.Thread(target=_keep, args=(weakref.ref(self), self._stop, self._wait), daemon=True).start()

    def _start_anew(self) -> None:
        """In the child of a fork: let go of the parent's segments, and begin an own one with the first record."""
        for segment in (*self._left, *([self._segment] if self._segment else [])):
            with suppress(OSError):
                os.close(segment.descriptor)  # the parent's own descriptor still holds the lock
        self._segment, self._left = None, []
        self.counts = Counts(backlog_bytes=self.counts.backlog_bytes)
        self._lock, self._stop = threading.Lock(), threading.Event()
        if not self._closed:
            self._start_keeper()


_RECORDERS: weakref.WeakSet[Recorder] = weakref.WeakSet()  # of this process, for the moment after a fork


def _after_fork() -> None:
    for recorder in _RECORDERS:
        recorder._start_anew()


os.register_at_fork(after_in_child=_after_fork)


def _keep(recorder: weakref.ref[Recorder], stop: threading.Event, seconds: float) -> None:
    while not stop.wait(seconds):
        if (there := recorder()) is None:
            return
        there.keep()
        del there


def _checked(line: bytes) -> bytes:
    """A line as it stands in a segment."""
    return b"%08x %b" % (zlib.crc32(line), line)


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9]", "", socket.gethostname())[:20]
