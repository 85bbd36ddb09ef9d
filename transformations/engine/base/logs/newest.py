"""Whether an open table still is the newest version of what its folder holds, and moving it on.

delta-rs lists the whole log whenever it opens a table, so whoever asks twice keeps the table open.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit
from urllib.request import url2pathname

from transformations.engine.base.commit_log import damaged_entry, entry_of
from transformations.engine.base.files.copies import pull_log

if TYPE_CHECKING:
    from deltalake import DeltaTable

FileStamp: TypeAlias = tuple[int, int, int]
"""A file's inode, bytes and last change: another one in its place has another stamp."""


def is_newest(table: DeltaTable, stamp: FileStamp) -> bool:
    """Whether an open table still is what its folder holds: its commit is the file of that stamp, and the last one."""
    pull_log(folder_of(table))
    return _is_there(table, stamp) and not entry_of(folder_of(table), table.version() + 1).exists()


def commit_stamp(table: DeltaTable) -> FileStamp:
    """The stamp of the commit that made an open table's version; zeros, as no file has, where the commit was lost."""
    try:
        return _stamp_of(entry_of(folder_of(table), table.version()))
    except FileNotFoundError:
        return 0, 0, 0


def move_on(table: DeltaTable, stamp: FileStamp) -> bool:
    """Move an open table on to its newest version, by the commits since alone; False where its folder holds another
    table by now, or it has to be opened anew.
    """
    from deltalake.exceptions import DeltaError

    if not _is_there(table, stamp):
        return False
    try:
        table.update_incremental()
    except (DeltaError, OSError):  # whoever opens it anew is told what is damaged
        return False
    refuse_empty(table)
    return True


def refuse_empty(table: DeltaTable) -> None:
    """DamagedError for an open table whose newest commit is empty, which delta-rs (1.6) takes for one of nothing."""
    newest = entry_of(folder_of(table), table.version())
    if newest.is_file() and newest.stat().st_size == 0:
        raise damaged_entry(newest, "it is empty")


def folder_of(table: DeltaTable) -> Path:
    """The folder of an open table."""
    return Path(url2pathname(urlsplit(table.table_uri).path))


def _is_there(table: DeltaTable, stamp: FileStamp) -> bool:
    own = entry_of(folder_of(table), table.version())
    return own.exists() and _stamp_of(own) == stamp


def _stamp_of(path: Path) -> FileStamp:
    return (facts := path.stat()).st_ino, facts.st_size, facts.st_mtime_ns
