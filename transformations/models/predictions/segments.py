"""Segments: the append-only files that predictions are recorded in before they are answered, one a worker at a time.

predictions/_segments/20240520T060000123456Z-scorer1-4711-9f2c41d0.segment

Each line is a checksum (CRC-32 of the rest, eight hexadecimal digits), a blank and JSON: a prediction record, or a mark
of answers that were not sent. So a whole line is known from a torn one, wherever a crash has cut or holed the file.

A worker holds a lock on its segment until it writes to the next one and knows what became of each answer; the kernel
releases it however the worker ends. So a segment that can be locked is closed for ever: nobody opens one again, and its
marks stand in it. It gets its name only after it is locked.
"""

from __future__ import annotations

import os
import re
import socket
import time
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from pydantic_core import to_json

from transformations.engine.base import storage
from transformations.engine.base.files.local import force_folder
from transformations.engine.base.settings import Settings

SUFFIX = ".segment"
Force = Callable[[int], None]
"""Forces an open file to disk: `os.fsync`, but for tests."""


def segments_folder(settings: Settings) -> Path:
    """Where all segments are. Its name is none that a model can have."""
    return settings.predictions_dir / "_segments"


class Segment:
    """An open segment.

    size: the bytes of its whole lines. forced: how many of them are on disk. is_torn: part of a line stands behind
    them. pending: requests of which nobody has said yet whether they were answered. is_given_up: nothing may be
    appended any more. began, left_at: seconds by the monotonic clock.
    """

    def __init__(self, name: str, descriptor: int) -> None:
        self.name, self.descriptor = name, descriptor
        self.began = time.monotonic()
        self.left_at = 0.0
        self.size = self.forced = self.pending = 0
        self.is_torn = self.is_given_up = False

    @classmethod
    def begin(cls, folder: Path, force: Force | None) -> Segment:
        """Make a segment: locked first, then named, so that nobody takes it for closed."""
        while True:
            name = f"{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}-{_host()}-{os.getpid()}-{uuid4().hex[:8]}{SUFFIX}"
            unnamed = folder / f".{name}{storage.UNFINISHED}"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            descriptor = os.open(unnamed, flags, storage.FILE_MODE)
            try:
                if storage.try_lock(descriptor):
                    unnamed.rename(folder / name)
                    if force is not None:
                        force_folder(folder, force)
                    return cls(name, descriptor)
            except FileNotFoundError:
                pass  # a collector took it for left over, between its creation and its lock
            except OSError:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def append(self, text: bytes, force: Force | None) -> None:
        """Append whole lines by one write, forced to disk where that is asked for.

        OSError if that fails; no part of the text is left then, unless the disk refuses that, too: `is_torn` says so.
        """
        try:
            if (written := os.write(self.descriptor, text)) != len(text):
                raise OSError(f"the disk took {written:,} of {len(text):,} bytes")
            if force is not None:
                force(self.descriptor)
        except OSError:
            try:
                os.ftruncate(self.descriptor, self.size)
            except OSError:
                self.is_torn = True
            raise
        self.size += len(text)

    def close(self, force: Force | None) -> None:
        """Close it for ever, what is not on disk yet forced there before."""
        try:
            if force is not None and self.forced < self.size:
                force(self.descriptor)
        finally:
            os.close(self.descriptor)


def checked(line: bytes) -> bytes:
    """A line as it stands in a segment."""
    return b"%08x %b" % (zlib.crc32(line), line)


def mark(first: int, end: int) -> bytes:
    """The line that says of the records in the bytes [first, end) of its segment that they were not answered."""
    return checked(to_json({"unanswered": [first, end]}) + b"\n")


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9]", "", socket.gethostname())[:20]
