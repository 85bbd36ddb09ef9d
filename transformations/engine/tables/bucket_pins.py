"""Pins of a table in object storage: an object each, so that machines pin and unpin beside each other.

A lock of one machine does not hold off another one, so who gives files up and who pins say so before they look:

    vacuum    puts its notice    reads the pins       removes files that none needs    takes its notice away
    pin       puts its pin       looks for notices    looks for the version's files

Whichever put comes first, the other one sees it: vacuum leaves the files, or the pin is taken back.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from transformations.engine.base.errors import ConflictError, DamagedError
from transformations.engine.base.files.bucket import Bucket

_PINS, _NOTICES = "pins", "giving-up"
_NOTICE_SECONDS = 86_400.0
"""After a day, a notice is that of a vacuum that was killed."""


def read_pins(bucket: Bucket, table: Path) -> Mapping[int, tuple[str, ...]]:
    """The pinned versions, ascending, each with its reasons. DamagedError for a pin that cannot be read."""
    folder = table / _PINS
    names = [each.name for each in bucket.objects(folder)]
    found: dict[int, list[str]] = {}
    for name, content in zip(names, bucket.read_all([folder / name for name in names]), strict=True):
        try:
            read = json.loads(content)
            found.setdefault(int(read["version"]), []).append(str(read["reason"]))
        except (ValueError, KeyError, TypeError):
            raise DamagedError(
                f"{bucket.url_of(folder / name)} is damaged: it is not the pin that was written. Bring it back from a "
                f"copy, or remove it if nobody needs that version any more."
            ) from None
    return {version: tuple(sorted(found[version])) for version in sorted(found)}


def put_pin(bucket: Bucket, table: Path, version: int, reason: str) -> None:
    """Keep a version. ConflictError while a vacuum gives files of the table up."""
    file = _file_of(table, version, reason)
    is_new = bucket.size(file) is None
    bucket.put_new(file, _content(version, reason))
    if is_new and _notices(bucket, table):
        bucket.remove([file])
        raise ConflictError(
            f"offline table {table.name}: files of it are being given up. Repeat the command when `features vacuum` is "
            f"done; where it was killed, run it again."
        )


def remove_pin(bucket: Bucket, table: Path, version: int, reason: str) -> None:
    """Keep a version no longer for this reason."""
    bucket.remove([_file_of(table, version, reason)])


@contextmanager
def noticed(bucket: Bucket, table: Path) -> Iterator[None]:
    """Give notice that files of the table are given up: pins that are put meanwhile are refused."""
    notice = table / _NOTICES / uuid4().hex
    bucket.remove(table / _NOTICES / each for each in _notices(bucket, table, of_killed=True))
    bucket.put_new(notice, notice.name.encode())
    try:
        yield
    finally:
        bucket.remove([notice])


def _notices(bucket: Bucket, table: Path, *, of_killed: bool = False) -> list[str]:
    since = time.time() - _NOTICE_SECONDS
    return [each.name for each in bucket.objects(table / _NOTICES) if (each.modified < since) == of_killed]


def _file_of(table: Path, version: int, reason: str) -> Path:
    return table / _PINS / f"{version}-{hashlib.sha256(reason.encode()).hexdigest()[:16]}.json"


def _content(version: int, reason: str) -> bytes:
    return json.dumps({"version": version, "reason": reason}, ensure_ascii=False).encode()
