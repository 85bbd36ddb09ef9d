"""Which rows a materialization considers: a decision about the cursor of the last one and what the source is now.

A run considers the rows in files that are new since the cursor's version, those that became available since its end,
and those between START and END; of each key among them it writes the newest row not later than END and now. Where the
cursor does not tell (a first run, a flushed Redis, a feature that was added) it considers all. Where what the cursor
stands for is no longer so (a table that was rebuilt, files that were replaced) it also loads all into a table of its
own, so that nothing of what was before stays behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from transformations.stores.history.history import History
from transformations.stores.redis.catalogue import Table
from transformations.stores.redis.loaded import Loaded
from transformations.stores.rows.packed_rows import Schema

Files = Mapping[str, tuple[int, int]]


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
    table: Table | None,
    schema: Schema,
    definition: str | None,
    history: History,
    before: tuple[str, ...] | None,
) -> Considered:
    """What a run has to consider.

    before: the files of the source at the cursor's version; None where that can no longer be told.
    """
    if cursor is None or table is None or cursor.table != table.number.decode():
        return Considered(all=True)
    if cursor.definition != definition or before is None or not set(before) <= set(history.files):
        return Considered(all=True, anew=True)
    if cursor.schema != schema.text():
        return Considered(all=True)
    new = tuple(file for file in history.files if file not in set(before))
    return Considered(all=False, new_files=new, after=cursor.end)


def plain_files(history: History) -> Files:
    """Of plain files their sizes and times of change; nothing of a Delta table, whose log tells."""
    if history.version is not None:
        return {}
    facts = {file: Path(file).stat() for file in history.files}
    return {file: (stat.st_size, stat.st_mtime_ns) for file, stat in facts.items()}
