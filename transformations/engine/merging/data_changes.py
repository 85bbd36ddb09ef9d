"""What changed a Delta table's rows since a version, and what only laid the same rows out in other files.

A commit whose actions all say `dataChange: false` gives the table the same rows in other files. So what is new since a
version are the files that later commits added with rows of their own, wherever these rows lie by now:

    version 0   add a, with rows             since version 0:   b and c are new
    version 1   add b, with rows             since version 1:   c is new
    version 2   a and b merged into ab       since version 2:   c is new
    version 3   add c, with rows             since version 3:   nothing is new
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote

from transformations.engine.base.commit_log import actions, entry_of, log_entries


@dataclass(frozen=True)
class DataChanges:
    """What happened to a table's rows after a version. Paths are relative to the table.

    before: the files of that version. added: files that brought new rows since, in the order of their commits; merged
    or not, and no longer on disk perhaps. keeps_rows: whether every row of that version is there still.
    """

    before: tuple[str, ...]
    added: tuple[str, ...]
    keeps_rows: bool

    @property
    def brings_nothing(self) -> bool:
        """Whether the table has the very rows that it had."""
        return self.keeps_rows and not self.added


def changes_since(folder: Path, version: int, until: int, files: Iterable[str]) -> DataChanges | None:
    """What changed the rows of the table in a folder after `version`, up to and including `until`.

    files: of the version `until`, relative to the table. No other commits are read than those in between, however long
    the log is. None where it no longer has all of them, as another writer may have cleaned it up.
    """
    entries = [entry_of(folder, number) for number in range(version + 1, until + 1)]
    if not 0 <= version <= until or not all(entry.is_file() for entry in entries):
        return None
    commits = [read_changes(entry) for entry in entries]
    added: dict[str, None] = {}
    keeps_rows = True
    for commit in commits:
        for path in commit.removed:
            if path in added:
                del added[path]
            else:
                keeps_rows = False
        added |= dict.fromkeys(commit.added)
    before = set(files)
    for commit in reversed(commits):
        before = (before - commit.every_added) | commit.every_removed
    return DataChanges(tuple(sorted(before)), tuple(added), keeps_rows)


def original_files(folder: Path, until: int) -> list[str]:
    """The files, relative to the table, that brought the rows of a version of ours in the first place."""
    found: dict[str, None] = {}
    for entry in log_entries(folder)[: until + 1]:
        commit = read_changes(entry)
        if commit.removed:  # by a rebuild, which leaves nothing
            found.clear()
        found |= dict.fromkeys(commit.added)
    return list(found)


@dataclass(frozen=True)
class CommitChanges:
    """The files that one commit added and removed with their rows; every_…: also those that it merged into others."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    every_added: Set[str]
    every_removed: Set[str]


def read_changes(entry: Path) -> CommitChanges:
    """The changes of a commit, which is parsed once a process."""
    facts = entry.stat()
    return _parsed_changes(entry, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=16_384)
def _parsed_changes(entry: Path, _size: int, _modified: int) -> CommitChanges:
    files: dict[str, dict[str, bool]] = {"add": {}, "remove": {}}
    for action in actions(entry):
        for kind in files.keys() & action.keys():
            files[kind][unquote(action[kind]["path"])] = action[kind].get("dataChange") is True
    added, removed = files["add"], files["remove"]
    return CommitChanges(
        added=tuple(path for path, changes_rows in added.items() if changes_rows),
        removed=tuple(path for path, changes_rows in removed.items() if changes_rows),
        every_added=frozenset(added),
        every_removed=frozenset(removed),
    )
