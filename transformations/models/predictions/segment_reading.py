"""Reading segments: every whole line, also while a worker goes on writing; torn ones are counted."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic_core import to_json

from transformations.engine.base import storage
from transformations.engine.base.disk_faults import paths_in
from transformations.models.predictions.segments import SUFFIX
from transformations.models.records.predictions import PredictionRecord

_MARK = b'{"unanswered":'
_CHECKSUM = 9  # eight digits and a blank


@dataclass(frozen=True, kw_only=True)
class SegmentContent:
    """What a segment holds. records: in the order they were written; not `answered` where a mark says so. torn: lines
    that a crash has cut or holed; nobody was answered by one, unless the machine itself went down. unreadable: whole
    lines that this release does not know.
    """

    name: str
    records: tuple[PredictionRecord, ...]
    torn: int
    unreadable: tuple[str, ...]


def segments_in(folder: Path) -> list[Path]:
    """The segments in a folder, open ones too, oldest first."""
    return sorted(paths_in(folder, f"*{SUFFIX}"))


def read_segment(path: Path) -> SegmentContent:
    """All whole lines of a segment. FileNotFoundError where it has been collected in the meantime."""
    records: dict[int, PredictionRecord] = {}
    unanswered: list[range] = []
    unreadable: list[str] = []
    torn = 0
    for line in _lines(path.read_bytes()):
        torn += line.is_torn
        if line.text is None:
            continue
        try:
            if line.text.startswith(_MARK):
                unanswered.append(range(*json.loads(line.text)["unanswered"]))
            else:
                records[line.offset] = PredictionRecord.model_validate_json(line.text)
        except (ValueError, TypeError) as error:
            unreadable.append(f"byte {line.offset:,}: {str(error).splitlines()[0]}")
    for marked in unanswered:
        for offset in [offset for offset in records if offset in marked]:
            records[offset] = records[offset].model_copy(update={"answered": False})
    return SegmentContent(name=path.name, records=tuple(records.values()), torn=torn, unreadable=tuple(unreadable))


def records_of_request(path: Path, request: str) -> list[PredictionRecord]:
    """The answers to a request in a segment, a record a row; what a version said in shadow is left out.

    It takes milliseconds: only the lines of the request are read as records. FileNotFoundError as `read_segment`.
    """
    begins = b'{"format":1,"id":' + to_json(f"{request}-")[:-1]
    content = path.read_bytes()
    if begins not in content:
        return []
    lines = (line.text for line in _lines(content) if line.text is not None and line.text.startswith(begins))
    records = (PredictionRecord.model_validate_json(text) for text in lines)
    return [each for each in records if each.role != "shadow" and each.id[len(request) + 1 :].isdigit()]


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
