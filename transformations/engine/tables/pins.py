"""Pins: the versions of an offline table that something refers to, such as a training dataset, and why.

They stand in `pins.json` beside the table. A pinned version keeps its files, whatever vacuum is asked for.
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
        _write(table, {**pins, version: (*pins.get(version, ()), reason)})


def unpin(table: OfflineTable, version: int, reason: str | None = None) -> bool:
    """Take a version's pin for this reason back, or all its pins; whether there was one."""
    with holding(table) as pins:
        left = tuple(each for each in pins.get(version, ()) if reason is not None and each != reason)
        _write(table, {**pins, version: left})
        return left != pins.get(version, ())


def pinned(table: OfflineTable) -> Pins:
    """The pinned versions, ascending, each with its reasons."""
    path = _path(table)
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
    """The pins, which nobody else changes meanwhile."""
    with storage.exclusive(table.path / ".pins.lock", f"the pins of {table.name}"):
        yield pinned(table)


def _write(table: OfflineTable, pins: Pins) -> None:
    said = {str(version): sorted(set(reasons)) for version, reasons in sorted(pins.items()) if reasons}
    storage.replace_text(_path(table), json.dumps(said, indent=2, ensure_ascii=False) + "\n")


def _path(table: OfflineTable) -> Path:
    return table.path / "pins.json"
