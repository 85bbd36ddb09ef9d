"""Pins: versions of an offline table that must stay readable, each with its reasons, such as a training dataset.

They are kept in `pins.json` beside the table. Vacuum never removes a file of a pinned version, so pins that are damaged
or lost must not be read as fewer pins: the file carries a checksum of its own content, and `.pins` beside it
says that there must be one. In object storage each pin is an object (`bucket_pins`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from transformations.engine.base import storage
from transformations.engine.base.errors import DamagedError
from transformations.engine.base.files.bucket import bucket_of
from transformations.engine.tables import bucket_pins
from transformations.engine.tables.offline_tables import OfflineTable

Pins = Mapping[int, tuple[str, ...]]
_NONE = '{"versions": {}}'


def pin(table: OfflineTable, version: int, reason: str) -> None:
    """Keep a version for this reason; a second time changes nothing.

    Raises DataError where there is no such version, or where its files were given up already.
    """
    with holding(table) as pins:
        bucket = bucket_of(table.path)
        if bucket is None:
            table.at(version)
            _write_pins(table, {**pins, version: (*pins.get(version, ()), reason)})
            return
        bucket_pins.put_pin(bucket, table.path, version, reason)
        try:
            table.at(version)
        except BaseException:
            if reason not in pins.get(version, ()):
                bucket_pins.remove_pin(bucket, table.path, version, reason)
            raise


def unpin(table: OfflineTable, version: int, reason: str | None = None) -> bool:
    """Remove a version's pin for this reason, or all its pins; whether there was one."""
    with holding(table) as pins:
        left = tuple(each for each in pins.get(version, ()) if reason is not None and each != reason)
        if (bucket := bucket_of(table.path)) is None:
            _write_pins(table, {**pins, version: left})
        else:
            for each in set(pins.get(version, ())) - set(left):
                bucket_pins.remove_pin(bucket, table.path, version, each)
        return left != pins.get(version, ())


def pinned(table: OfflineTable) -> Pins:
    """The pinned versions, ascending, each with its reasons. DamagedError where the file is damaged or lost."""
    if (bucket := bucket_of(table.path)) is not None:
        return bucket_pins.read_pins(bucket, table.path)
    path = _file_of(table)
    if not path.exists():
        if _mark_of(table).exists():
            raise _lost(path, "is missing")
        return {}
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        found = {int(version): tuple(map(str, reasons)) for version, reasons in read["versions"].items()}
    except (ValueError, AttributeError, TypeError, KeyError):
        raise _lost(path, "is damaged: it is not the JSON that was written") from None
    if read.get("sha256", _checksum(found)) != _checksum(found):  # written by hand it has none
        raise _lost(path, "is damaged: its checksum is that of another content")
    return dict(sorted(found.items()))


@contextmanager
def holding(table: OfflineTable) -> Iterator[Pins]:
    """The pins, locked against other processes."""
    with storage.exclusive(table.path / ".pins.lock", f"the pins of {table.name}"):
        yield pinned(table)


@contextmanager
def giving_up(table: OfflineTable) -> Iterator[Pins]:
    """The pins while files that none of them needs are removed: none is added meanwhile, by no other machine either."""
    with holding(table) as pins:
        bucket = bucket_of(table.path)
        if bucket is None:
            yield pins
        else:
            with bucket_pins.noticed(bucket, table.path):
                yield pinned(table)


def _write_pins(table: OfflineTable, pins: Pins) -> None:
    kept = {version: tuple(sorted(set(reasons))) for version, reasons in sorted(pins.items()) if reasons}
    document = {"versions": kept, "sha256": _checksum(kept)}
    storage.replace_text(_file_of(table), json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    storage.make_file(_mark_of(table))


def _checksum(pins: Pins) -> str:
    return hashlib.sha256(json.dumps(sorted(pins.items())).encode()).hexdigest()


def _lost(path: Path, what: str) -> DamagedError:
    return DamagedError(
        f"{path} {what}, so nobody knows which versions must stay: none is given up. Bring the file back from a copy. "
        f"Without one, write {_NONE} into it and run `features dataset rebuild NAME` for each dataset, which pins its "
        f"versions again."
    )


def _file_of(table: OfflineTable) -> Path:
    return table.path / "pins.json"


def _mark_of(table: OfflineTable) -> Path:
    return table.path / ".pins"
