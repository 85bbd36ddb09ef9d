"""Pins: versions of an offline table that must stay readable, each with its reasons, such as a training dataset.

They are kept in `pins.json` beside the table. Vacuum never removes a file of a pinned version.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from transformations.engine.base import storage
from transformations.engine.base.errors import DataError
from transformations.engine.tables.offline_tables import OfflineTable

Pins = Mapping[int, tuple[str, ...]]


def pin(table: OfflineTable, version: int, reason: str) -> None:
    """Keep a version for this reason; a second time changes nothing.

    Raises DataError where there is no such version, or where its files were given up already.
    """
    with holding(table) as pins:
        table.at(version)
        _write_pins(table, {**pins, version: (*pins.get(version, ()), reason)})


def unpin(table: OfflineTable, version: int, reason: str | None = None) -> bool:
    """Remove a version's pin for this reason, or all its pins; whether there was one."""
    with holding(table) as pins:
        left = tuple(each for each in pins.get(version, ()) if reason is not None and each != reason)
        _write_pins(table, {**pins, version: left})
        return left != pins.get(version, ())


def pinned(table: OfflineTable) -> Pins:
    """The pinned versions, ascending, each with its reasons."""
    path = _file_of(table)
    if not path.exists():
        return {}
    try:
        found = {int(version): tuple(map(str, reasons)) for version, reasons in json.loads(path.read_text()).items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise DataError(
            f"{path} cannot be read ({error}). It is a JSON object of versions, each with its list of reasons; "
            f"mend it, so that no pinned version is given up."
        ) from None
    return dict(sorted(found.items()))


@contextmanager
def holding(table: OfflineTable) -> Iterator[Pins]:
    """The pins, locked against other processes."""
    with storage.exclusive(table.path / ".pins.lock", f"the pins of {table.name}"):
        yield pinned(table)


def _write_pins(table: OfflineTable, pins: Pins) -> None:
    said = {str(version): sorted(set(reasons)) for version, reasons in sorted(pins.items()) if reasons}
    storage.replace_text(_file_of(table), json.dumps(said, indent=2, ensure_ascii=False) + "\n")


def _file_of(table: OfflineTable) -> Path:
    return table.path / "pins.json"
