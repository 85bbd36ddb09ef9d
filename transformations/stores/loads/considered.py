"""Which rows a materialization considers: a decision about the cursor of the last one and what the source is now.

A run considers the rows in files that are new since the cursor's version, those that became available since its end,
and those between START and END; of each key among them it writes the newest row not later than END and now. Where the
cursor does not tell (a first run, a flushed Redis, a feature that was added) it considers all. Where what the cursor or
a run that ended half-way stands for is no longer so (a table that was rebuilt, files that were replaced, columns that
are read otherwise), and where nobody knows whose rows are there, it also loads all into a table of its own, so that
nothing of what was before stays behind: a rebuilt table's rows need not be newer than those they replace.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from transformations.stores.history.history import History
from transformations.stores.redis.catalogue import Table
from transformations.stores.redis.loaded import Loaded
from transformations.stores.rows.packed_rows import Schema

Files = Mapping[str, tuple[int, int]]
FilesAt = Callable[[Loaded], tuple[str, ...] | None]
"""The files of the source at what was loaded; None where that can no longer be told."""


@dataclass(frozen=True)
class Considered:
    """all: every key, else only touched ones. anew: into a table that takes the place of the view's when it is full.

    new_files: whose rows touch their keys; after: so do rows later than this.
    """

    all: bool
    anew: bool = False
    new_files: tuple[str, ...] = ()
    after: datetime | None = None


def considered(
    cursor: Loaded | None,
    begun: Iterable[Loaded],
    table: Table | None,
    schema: Schema,
    definition: str | None,
    history: History,
    files_at: FilesAt,
) -> Considered:
    """What a run has to consider after the last one, and after those that began."""
    if table is None:
        return Considered(all=True)
    number = table.number.decode()
    written = [loaded for loaded in (cursor, *begun) if loaded is not None and loaded.table == number]
    if not written or not all(is_contained(loaded, definition, history, files_at) for loaded in written):
        return Considered(all=True, anew=True)
    if cursor is None or cursor.table != number or cursor.schema != schema.text():
        return Considered(all=True)
    before = set(files_at(cursor) or ())
    return Considered(
        all=False, new_files=tuple(file for file in history.files if file not in before), after=cursor.end
    )


def is_contained(loaded: Loaded, definition: str | None, history: History, files_at: FilesAt) -> bool:
    """Whether a history holds all rows that were loaded, so that the newest ones of both are the newest of it."""
    if loaded.definition != definition:
        return False
    files = files_at(loaded)
    return files is not None and set(files) <= set(history.files) and loaded.source == source_digest(history, files)


def source_digest(history: History, files: Sequence[str]) -> str:
    """Tells apart sources that are read by other columns, and tables whose log began anew and counts the same versions.

    files: of the source when it was loaded; plain ones are told apart by their sizes and times of change.
    """
    named = [] if history.version is None else sorted(files)
    facts = (history.timestamp, history.created, sorted(history.renamed.items()), named)
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def plain_files(history: History) -> Files:
    """Of plain files their sizes and times of change; nothing of a Delta table, whose log tells."""
    if history.version is not None:
        return {}
    facts = {file: Path(file).stat() for file in history.files}
    return {file: (stat.st_size, stat.st_mtime_ns) for file, stat in facts.items()}
