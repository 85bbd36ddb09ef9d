"""A run's rows that a table refused: kept aside until the next good run, where no reader of the table looks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from transformations.engine.base import storage
from transformations.engine.base.disk_faults import paths_in
from transformations.engine.tables.offline_tables import OfflineTable

_PREFIX, _RECORD = "refused=", "refused.json"


@dataclass(frozen=True, kw_only=True)
class Refused:
    """What was refused: files, absolute, of rows beyond version `after` of the table (None: of a table without one).

    as_of: the newest as-of day that it covers. breaches: each as `Breach.document` gives it. replaces_all: whether the
    rows would have become the whole table.
    """

    after: int | None
    as_of: date
    at: str
    kind: str
    definition_hash: str
    replaces_all: bool
    rows: int
    breaches: Sequence[Mapping[str, Any]]
    files: tuple[str, ...]


def keep_aside(table: OfflineTable, folder: Path, record: Mapping[str, Any]) -> Path:
    """Move a run's rows aside, in place of what was refused before; the folder where they are."""
    discard_refused(table)
    storage.make_file(folder / _RECORD).write_text(json.dumps(record, indent=2, default=str), encoding="utf-8")
    kept = folder.rename(table.path / f"{_PREFIX}{folder.name.partition('=')[2]}")
    storage.discard(folder)  # what a cluster's tasks have put into object storage, whence it was fetched
    return kept


def refused(table: OfflineTable) -> Refused | None:
    """The candidate that the table refused last; None where none is kept."""
    for folder in paths_in(table.path, f"{_PREFIX}*"):
        try:
            record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError):  # removed meanwhile, or half-written by a process that was killed
            continue
        files = tuple(str(file.absolute()) for file in paths_in(folder, "*.parquet"))
        return Refused(**{**record, "as_of": date.fromisoformat(record["as_of"])}, files=files)
    return None


def discard_refused(table: OfflineTable) -> None:
    """Remove what the table refused before."""
    for folder in paths_in(table.path, f"{_PREFIX}*"):
        storage.discard(folder)
