"""Vacuum removes what nothing refers to: leftovers of killed runs and, on request, old versions that no pin keeps.

Young files stay, because a running build refers to its files only when it publishes them.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType

from transformations.engine.base import storage
from transformations.engine.base.disk_faults import faults_in_words
from transformations.engine.base.storage import Contents, StoredFile
from transformations.engine.merging.data_changes import changes_since
from transformations.engine.raw.originals import Readers, note_given_up, removable
from transformations.engine.raw.zone import RawTable
from transformations.engine.tables.offline_tables import OfflineTable, Run
from transformations.engine.tables.pins import Pins, giving_up


@dataclass(frozen=True)
class Held:
    """A version that only its pins keep. files, size_bytes: those that nothing else refers to."""

    version: int
    reasons: tuple[str, ...]
    files: int
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Vacuumed:
    """What was removed from one table, or would be. given_up: versions that are no longer whole."""

    zone: str
    table: str
    files: int = 0
    size_bytes: int = 0
    given_up: tuple[int, ...] = ()
    held: tuple[Held, ...] = ()


@faults_in_words()
def vacuum_table(
    table: OfflineTable,
    older_than: timedelta,
    *,
    keep_versions: int | None = None,
    needed: Pins = MappingProxyType({}),
    loaded: Collection[int] = (),
    dry_run: bool = False,
) -> Vacuumed:
    """Remove the files of an offline table that no kept version refers to and that have not changed for `older_than`.

    keep_versions: how many of the newest versions to keep, besides pinned ones and those that were the newest within
    `older_than`, which somebody may still be reading; None: all. needed: versions that stay as if they were pinned,
    with the reasons, should their pins be lost. loaded: the versions that online stores were last loaded from; the
    files that their next loads read stay, too, though they were merged into others since. Raises ConflictError while
    another process writes the table.
    """
    with table.writing(), giving_up(table) as pinned:
        pins = _merged(pinned, needed)
        published = list(storage.contents(table.path))
        unpinned = _kept_versions(published, keep_versions, older_than)
        awaited = {path for version in loaded for path in _new_files(table, version, published)}
        parts = list(_parts_to_remove(table, published, unpinned | set(pins), awaited, older_than))
        gone = {file.path.relative_to(table.path).as_posix() for part in parts for file in part.files}
        given_up = tuple(each.version for each in published if gone & set(each.files))
        found = Vacuumed(
            zone="offline",
            table=table.name,
            given_up=given_up,
            held=_held_versions(published, unpinned, pins),
        )
        return _remove(found, parts, dry_run)


@faults_in_words()
def vacuum_source(
    raw: RawTable,
    older_than: timedelta,
    *,
    keep_originals: timedelta | None = None,
    readers: Callable[[], Readers] = Readers,
    dry_run: bool = False,
) -> Vacuumed:
    """Remove what killed ingestions left in a source's raw table, and merged files that were merged again since.

    keep_originals: how long the files of drops stay once they were merged into others; None: for ever, so that every
    version stays readable. readers: who reads the source. Raises ConflictError while another process writes the table.
    """
    with raw.writing():
        published = list(storage.contents(raw.folder))
        kept = _kept_versions(published, 1, older_than)
        read = {Path(path).parts[0] for each in published if each.version in kept for path in each.files}
        leftovers = [folder for folder in raw.leftovers() if folder.name not in read]
        folders = [*leftovers, *storage.folders_below(raw.folder, "gone=*")]
        parts = [_Part(folder, storage.files_below(folder), True) for folder in folders]
        parts = [part for part in parts if _is_old(part.files, older_than)]
        parts += _unfinished_commits(raw.folder, older_than)
        if keep_originals is not None and raw.exists():
            originals = removable(raw.snapshot(), raw.folder, readers(), max(keep_originals, older_than))
            parts += [_Part(file.path.parent, [file], False) for file in originals]
            if not dry_run:
                note_given_up(raw.folder, [file.path for file in originals])
        return _remove(Vacuumed(zone="raw", table=raw.contract.name), parts, dry_run)


@dataclass(frozen=True)
class _Part:
    """Files to remove from one folder. is_whole: the folder has no others."""

    folder: Path
    files: Sequence[StoredFile]
    is_whole: bool


def _merged(pins: Pins, needed: Pins) -> Pins:
    versions = sorted(pins.keys() | needed.keys())
    return {each: tuple(sorted({*pins.get(each, ()), *needed.get(each, ())})) for each in versions}


def _kept_versions(published: Sequence[Contents], keep_versions: int | None, older_than: timedelta) -> set[int]:
    """The versions whose files stay even without a pin."""
    if keep_versions is None:
        return {each.version for each in published}
    recently = time.time() - older_than.total_seconds()
    newest = {each.version for each in published[-keep_versions:]}
    return newest | {each.version for each, successor in pairwise(published) if successor.published > recently}


def _parts_to_remove(
    table: OfflineTable,
    published: Sequence[Contents],
    kept: set[int],
    awaited: set[str],
    older_than: timedelta,
) -> Iterator[_Part]:
    """What runs and compactions wrote, one by one, that no kept version refers to and no load awaits: rows, what was
    carried over, half-written files.
    """
    referenced = awaited | {path for each in published if each.version in kept for path in each.files}
    carried = _carried_by(table.runs(), kept)
    for folder in storage.folders_below(table.path, "*=*"):
        every = storage.files_below(folder)
        files = [file for file in every if file.path.relative_to(table.path).as_posix() not in referenced]
        if files and folder.name not in carried and _is_old(every, older_than):
            yield _Part(folder, files, len(files) == len(every))
    yield from _unfinished_commits(table.path, older_than)


def _carried_by(runs: Sequence[Run], kept: set[int]) -> set[str | None]:
    """What the newest run up to each of these versions carried over."""
    versions = [run.version for run in runs]
    newest = (bisect_right(versions, version) - 1 for version in kept)
    return {runs[position].carry for position in newest if position >= 0}


def _new_files(table: OfflineTable, version: int, published: Sequence[Contents]) -> tuple[str, ...]:
    """The files that a load after the one of this version reads; none where it loads all rows anyway."""
    if not published or version > published[-1].version:
        return ()
    changes = changes_since(table.path, version, published[-1].version, published[-1].files)
    return changes.added if changes is not None and changes.keeps_rows else ()


def _unfinished_commits(table: Path, older_than: timedelta) -> Iterator[_Part]:
    for file in storage.unfinished_commits(table):
        if _is_old([file], older_than):
            yield _Part(file.path.parent, [file], False)


def _is_old(files: Sequence[StoredFile], older_than: timedelta) -> bool:
    """Whether no file has changed for that long, by the machine's clock, which dates files, too."""
    return all(file.modified <= time.time() - older_than.total_seconds() for file in files)


def _held_versions(published: Sequence[Contents], unpinned: set[int], pins: Pins) -> tuple[Held, ...]:
    freely = {path for each in published if each.version in unpinned for path in each.files}
    held = []
    for each in published:
        if each.version in pins and each.version not in unpinned:
            sizes = [size for path, size in each.files.items() if path not in freely]
            held.append(Held(each.version, pins[each.version], len(sizes), sum(sizes)))
    return tuple(held)


def _remove(found: Vacuumed, parts: Sequence[_Part], dry_run: bool) -> Vacuumed:
    for part in () if dry_run else parts:
        if part.is_whole:
            storage.discard(part.folder)
        else:
            storage.remove(part.files)
    files = [file for part in parts for file in part.files]
    return replace(found, files=len(files), size_bytes=sum(file.size for file in files))
