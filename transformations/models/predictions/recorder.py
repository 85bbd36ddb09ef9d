"""One worker's record of its predictions: written to segments before anything is answered.

What is lost when: nothing that was answered, if the process dies; what was written since the last force to disk, if the
machine does (`record_sync`).
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from transformations.engine.base import storage
from transformations.engine.base.disk_faults import known_fault
from transformations.engine.base.errors import ServiceUnavailableError
from transformations.engine.base.settings import Settings
from transformations.models.predictions.segments import SUFFIX, Force, Segment, checked, mark

_MEGABYTE = 2**20
_MOST_WAIT = 0.5
"""Seconds between two looks at what is due."""
_LONGEST_REQUEST = 600.0
"""Seconds after which a segment is closed although somebody never said what became of a request."""


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


@dataclass(slots=True)
class Receipt:
    """Where the records of a request are: so many rows in the bytes [first, end) of a segment. It is given back, by
    `answered` or `unanswered`, once the answer was sent or will never be.
    """

    segment: Segment
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


class Recorder:
    """One worker's record. Its first segment is there before anything is answered.

    Safe for threads. After a fork the child writes to a segment of its own, begun with its first record. force: what
    forces a file to disk. DiskError where the folder cannot be written.
    """

    def __init__(self, folder: Path, options: Options, force: Force = os.fsync) -> None:
        self.counts = Counts()
        self._folder, self._options, self._force = folder, options, force
        self._fault = ""
        self._closed = False
        self._left: list[Segment] = []
        self._wait = min(options.sync_seconds or _MOST_WAIT, options.segment_seconds, _MOST_WAIT)
        self._forced_at = time.monotonic()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._segment: Segment | None = None
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
        (found,) = self.record_all([lines])
        if isinstance(found, UnrecordedError):
            raise found
        return found

    def record_all(self, requests: Sequence[Sequence[bytes]]) -> Sequence[Receipt | UnrecordedError | None]:
        """As `record` of each request, but by one write, and forced to disk once where each is to be. Of each request
        what `record` gives or raises. Where all of them together cannot be written, each is by itself.
        """
        texts = [b"".join(map(checked, lines)) for lines in requests]
        rows = [len(lines) for lines in requests]
        with self._lock:
            receipts = self._written(texts, rows)
            if receipts is not None:
                return receipts
            if len(texts) == 1:
                return [self._unwritten(rows[0])]
            return [self._written_alone(text, count) for text, count in zip(texts, rows, strict=True)]

    def answered(self, receipt: Receipt | None) -> None:
        """Say that a request's answer was sent. A segment stays open until this is known of all its requests."""
        if receipt is not None:
            with self._lock:
                receipt.segment.pending -= 1

    def unanswered(self, receipt: Receipt | None) -> None:
        """Mark the records of a request whose answer was not sent, as of one that was given up. Never fails."""
        if receipt is None:
            return
        with self._lock:
            receipt.segment.pending -= 1
            if receipt.segment.is_given_up:
                return
            try:
                self._append(receipt.segment, mark(receipt.first, receipt.end))
                self.counts.unanswered += receipt.rows
            except OSError as error:
                self._failed(error)

    def keep(self) -> None:
        """Force to disk what is due, begin the next segment where it is time, close those left, look at the backlog.

        A thread calls it by itself; it is here for those who cannot wait.
        """
        try:
            self._force_to_disk()
            with self._lock:
                if self._is_due():
                    self._next()
                done = [segment for segment in self._left if _is_settled(segment)]
                self._left = [segment for segment in self._left if segment not in done]
                _give_up(done)
            for segment in done:  # without the lock: requests do not wait for the disk
                segment.close(self._force_or_never)
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
            left, self._left, self._segment = self._open_ones(), [], None
            _give_up(left)
        for segment in left:
            try:
                segment.close(self._force_or_never)
            except OSError as error:
                self._failed(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _written(self, texts: Sequence[bytes], rows: Sequence[int]) -> list[Receipt] | None:
        """The receipts of requests that have so many rows, appended by one write. None where the backlog is full or the
        write fails, of which no part is left.
        """
        try:
            return self._write(texts, rows)
        except OSError as error:
            self._failed(error)
            return None

    def _write(self, texts: Sequence[bytes], rows: Sequence[int]) -> list[Receipt] | None:
        if self._closed:
            raise OSError("the record is closed")
        text = texts[0] if len(texts) == 1 else b"".join(texts)
        if self.counts.backlog_bytes + len(text) > self._options.backlog_bytes:
            self._fault = f"{self.counts.backlog_bytes / _MEGABYTE:,.0f} MB wait to be collected"
            return None
        segment = self._segment = self._segment or self._begin()
        first, receipts = segment.size, list[Receipt]()
        self._append(segment, text)
        for each, count in zip(texts, rows, strict=True):
            receipts.append(Receipt(segment, first, first + len(each), count))
            first += len(each)
        segment.pending += len(texts)
        self.counts.recorded += sum(rows)
        self._fault = ""
        if segment.size >= self._options.segment_bytes:
            with suppress(OSError):  # this one simply grows
                self._next()
        return receipts

    def _written_alone(self, text: bytes, rows: int) -> Receipt | UnrecordedError | None:
        receipts = self._written([text], [rows])
        return self._unwritten(rows) if receipts is None else receipts[0]

    def _unwritten(self, rows: int) -> UnrecordedError | None:
        """What becomes of a request of so many rows that cannot be written, as the settings say."""
        if not self._options.is_refused_when_full:
            self.counts.unrecorded += rows
            return None
        self.counts.refused += rows
        return UnrecordedError(
            f"the prediction cannot be recorded ({self._fault}), so it is not answered. Run `features predictions "
            f"collect`, make room on the disk, or set FEATURES_RECORD_WHEN_FULL=answer."
        )

    def _append(self, segment: Segment, text: bytes) -> None:
        segment.append(text, self._force if self._options.sync_seconds == 0 else None)
        self.counts.backlog_bytes += len(text)

    def _open_ones(self) -> list[Segment]:
        return [*self._left, *([self._segment] if self._segment else [])]

    def _begin(self) -> Segment:
        self.counts.segments += 1
        return Segment.begin(self._folder, self._force_or_never)

    @property
    def _force_or_never(self) -> Force | None:
        return None if self._options.sync_seconds is None else self._force

    def _is_due(self) -> bool:
        segment = self._segment
        is_old = segment is not None and time.monotonic() - segment.began >= self._options.segment_seconds
        return segment is not None and is_old and segment.size > 0

    def _next(self) -> None:
        """Begin the next segment, then leave this one to be closed: at no moment is there none."""
        before, self._segment = self._segment, self._begin()
        if before is not None:
            self._leave(before)

    def _leave(self, segment: Segment) -> None:
        segment.left_at = time.monotonic()
        self._left.append(segment)

    def _force_to_disk(self) -> None:
        """Force what is written by now; without the lock, since requests would wait for the disk."""
        wait = self._options.sync_seconds
        if wait is None or time.monotonic() + self._wait < self._forced_at + wait:  # not due before the next look
            return
        self._forced_at = time.monotonic()
        with self._lock:
            due = [(each, each.size, os.dup(each.descriptor)) for each in self._open_ones() if each.forced < each.size]
        try:
            for segment, size, descriptor in due:
                self._force(descriptor)
                segment.forced = size
        except OSError:
            with self._lock:  # what a disk failed to take once, a second force reports as taken
                self._next()
            raise
        finally:
            for _, _, descriptor in due:
                os.close(descriptor)

    def _failed(self, error: OSError) -> None:
        if self._segment is not None and self._segment.is_torn:
            self._leave(self._segment)
            self._segment = None
        self._fault = f"{error.strerror or error}: {self._folder}"
        self.counts.failures += 1

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
        _give_up(self._open_ones())
        for segment in self._open_ones():
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


def _give_up(segments: Sequence[Segment]) -> None:
    for segment in segments:
        segment.is_given_up = True


def _is_settled(segment: Segment) -> bool:
    return segment.pending <= 0 or time.monotonic() - segment.left_at > _LONGEST_REQUEST
