"""Reading segments: every whole line, also while a worker goes on writing; torn ones are counted."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from transformations.engine.base import storage
from transformations.engine.base.disk_faults import paths_in
from transformations.models.predictions.segments import SUFFIX
from transformations.models.records.predictions import PredictionRecord

_CHECKSUM = 9  # eight digits and a blank


@dataclass(frozen=True)
class Recorded:
    """A record and where its line begins in its segment."""

    record: PredictionRecord
    offset: int


@dataclass(frozen=True)
class Mark:
    """The records in the bytes [first, end) of a segment were not answered."""

    segment: str
    first: int
    end: int


@dataclass(frozen=True, kw_only=True)
class SegmentContent:
    """What a segment holds. torn: lines that were cut or holed by a crash; they were not answered, unless the machine
    itself went down. unreadable: whole lines that this release does not know.
    """

    name: str
    records: tuple[Recorded, ...]
    marks: tuple[Mark, ...]
    torn: int
    unreadable: tuple[str, ...]


def segments_in(folder: Path) -> list[Path]:
    """The segments in a folder, open ones too, oldest first."""
    return sorted(paths_in(folder, f"*{SUFFIX}"))


def read_segment(path: Path) -> SegmentContent:
    """All whole lines of a segment. FileNotFoundError where it has been collected in the meantime."""
    records: list[Recorded] = []
    marks: list[Mark] = []
    unreadable: list[str] = []
    torn = 0
    for line in _lines(path.read_bytes()):
        torn += line.is_torn
        if line.text is None:
            continue
        try:
            match json.loads(line.text):
                case {"unanswered": [int(first), int(end)], "segment": str(segment)}:
                    marks.append(Mark(segment, first, end))
                case _:
                    records.append(Recorded(PredictionRecord.model_validate_json(line.text), line.offset))
        except ValueError as error:
            unreadable.append(f"byte {line.offset:,}: {str(error).splitlines()[0]}")
    return SegmentContent(
        name=path.name, records=tuple(records), marks=tuple(marks), torn=torn, unreadable=tuple(unreadable)
    )


@contextmanager
def closed_segment(path: Path) -> Iterator[bool]:
    """Whether nobody writes to a segment any more; while this lasts, nobody else takes it for closed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    try:
        yield storage.try_lock(descriptor) and path.exists()
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class _Line:
    offset: int
    text: bytes | None
    is_torn: bool


def _lines(content: bytes) -> Iterator[_Line]:
    """The lines of a segment by their checksums. A hole of zeros, as a crash leaves one, costs no line behind it."""
    offset = 0
    for line in content.split(b"\n"):
        whole = line.lstrip(b"\0")
        begins = offset + len(line) - len(whole)
        offset += len(line) + 1
        if not line:
            continue
        checksum, text = whole[:_CHECKSUM], whole[_CHECKSUM:] + b"\n"
        is_whole = offset <= len(content) and checksum == b"%08x " % zlib.crc32(text)
        yield _Line(begins, text if is_whole else None, not is_whole or len(whole) < len(line))
