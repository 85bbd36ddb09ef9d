"""Decides which rows a materialization considers, from the last one's cursor and the present state of the source.

A run considers rows that were added since the cursor's version, rows that became available since its end, and rows
between START and END; for each of their keys it writes the newest row not later than END and now. If the cursor does
not help (a first run, a flushed Redis, an added feature), it considers all rows. If the online table may hold rows that
the source no longer has (a rebuilt table, replaced files, columns read differently, rows of unknown origin), it loads
all rows into a new online table, so that no old row stays: a rebuilt table's rows need not be newer than the old ones.
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


@dataclass(frozen=True)
class Since:
    """What happened to the source since a load. before: its files then. new: those that brought rows since, wherever
    these rows lie by now. keeps_rows: whether every row of then is there still.
    """

    before: tuple[str, ...]
    new: tuple[str, ...]
    keeps_rows: bool


SinceLoad = Callable[[Loaded], Since | None]
"""What happened to the source since a load; None if that can no longer be told."""


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What a run considers.

    all: every key; otherwise only keys with rows in `new_files` or later than `after`. anew: into a new online table,
    which replaces the view's once it is complete. lost: files with new rows that vacuum has given up since they were
    merged into others, so that every key is considered.
    """

    all: bool
    anew: bool = False
    new_files: tuple[str, ...] = ()
    after: datetime | None = None
    lost: tuple[str, ...] = ()


def decide_scope(
    cursor: Loaded | None,
    unfinished: Iterable[Loaded],
    table: Table | None,
    *,
    schema: Schema,
    definition: str | None,
    history: History,
    since_load: SinceLoad,
) -> Scope:
    """Decide what a run must consider after the last one and after unfinished ones."""
    if table is None:
        return Scope(all=True)
    number = table.number.decode()
    written = [loaded for loaded in (cursor, *unfinished) if loaded is not None and loaded.table == number]
    if not written or not all(is_contained(loaded, definition, history, since_load) for loaded in written):
        return Scope(all=True, anew=True)
    if cursor is None or cursor.table != number or cursor.schema != schema.text():
        return Scope(all=True)
    since = since_load(cursor)
    if since is None:
        return Scope(all=True)
    there = set(history.files)
    lost = tuple(file for file in since.new if file not in there and not Path(file).exists())
    return Scope(all=bool(lost), new_files=since.new, after=cursor.end, lost=lost)


def is_contained(loaded: Loaded, definition: str | None, history: History, since_load: SinceLoad) -> bool:
    """Whether a history holds every row that was loaded; then its newest rows are the newest of both."""
    if loaded.definition != definition:
        return False
    since = since_load(loaded)
    return since is not None and since.keeps_rows and loaded.source == source_digest(history, since.before)


def source_digest(history: History, files: Sequence[str]) -> str:
    """Distinguishes sources read through other columns, and tables whose log began anew with the same version numbers.

    files: of the source when it was loaded. Plain files are distinguished by size and time of change instead.
    """
    named = [] if history.version is None else sorted(files)
    facts = (history.timestamp, history.created, sorted(history.renamed.items()), named)
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def plain_files(history: History) -> Files:
    """The sizes and times of change of plain files; empty for a Delta table, whose log tells."""
    if history.version is not None:
        return {}
    facts = {file: Path(file).stat() for file in history.files}
    return {file: (stat.st_size, stat.st_mtime_ns) for file, stat in facts.items()}
