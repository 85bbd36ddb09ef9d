"""The commits of a Delta table as its log holds them, and whether each is whole.

Our logs are never cleaned up, so every version is there. A commit never changes, so each process parses it once.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from transformations.engine.base import checksums
from transformations.engine.base.disk_faults import paths_in
from transformations.engine.base.errors import DamagedError, DiskError

_OTHER_BYTES = f"it does not hold the bytes that were written, by {checksums.FILE} beside the table"
_MOVED_AWAY = ".damaged"
"""The suffix of a commit that somebody has given up."""
_COMMIT = re.compile(r"(\d{20})\.json")
_ENTRY = re.compile(rf"_delta_log/{_COMMIT.pattern}")
_OURS = "features."
"""The prefix of our records' keys in a log."""


@dataclass(frozen=True)
class LoggedCommit:
    """A commit in the log. info: everything that Delta and the writer noted; records: our own notes in it, parsed."""

    info: Mapping[str, Any]
    records: Mapping[str, Mapping[str, Any]]

    def record(self, key: str) -> Mapping[str, Any] | None:
        """The record under a key; None if there is none."""
        if key in self.records or key not in self.info:
            return self.records.get(key)
        found: Mapping[str, Any] = json.loads(self.info[key])
        return found


def has_table(folder: Path) -> bool:
    """Whether a table of ours is in the folder; DiskError where a file stands in the folder's place."""
    if folder.is_file():
        raise DiskError.not_a_folder(folder)
    return is_table(folder)


def is_table(folder: Path) -> bool:
    """Whether the folder holds a Delta table with a published version. DamagedError where its log has been lost."""
    if paths_in(folder / "_delta_log", "*.json") or checkpoints(folder):
        return True
    _refuse_lost_end(folder, log_entries(folder), checksums.recorded(folder))
    return False


def log_entries(folder: Path) -> list[Path]:
    """The files of a table's commits, by version; a folder in the place of one is none."""
    log = folder / "_delta_log"
    try:
        with os.scandir(log) as found:  # whose entries know what they are without a system call
            names = sorted(each.name for each in found if _COMMIT.fullmatch(each.name) and each.is_file())
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [log / name for name in names]  # sorting paths takes a microsecond a comparison


def checkpoints(folder: Path) -> list[Path]:
    """The files that sum up a table's commits, by version."""
    return paths_in(folder / "_delta_log", "*.checkpoint.parquet")


def actions(entry: Path) -> Iterator[Mapping[str, Any]]:
    """The actions of a commit."""
    return (json.loads(line) for line in entry.read_text(encoding="utf-8").splitlines() if line)


def logged_commits(folder: Path, until: int | None = None) -> list[LoggedCommit]:
    """The commits of a table of ours up to a version, oldest first. DamagedError where one is missing or damaged."""
    entries = log_entries(folder)
    if not entries and checkpoints(folder):
        raise damaged_entry(folder / "_delta_log" / f"{0:020}.json", "it is missing", is_newest=False)
    recorded = checksums.recorded(folder)
    _refuse_lost_end(folder, entries, recorded)
    moved = {path.name for path in paths_in(folder / "_delta_log", f"*{_MOVED_AWAY}")}
    found = []
    for version, entry in enumerate(entries if until is None else entries[: until + 1]):
        if int(entry.stem) != version:
            raise damaged_entry(entry.with_name(f"{version:020}.json"), "it is missing", is_newest=False)
        facts = entry.stat()
        name = f"_delta_log/{entry.name}"
        is_second = f"{entry.name}{_MOVED_AWAY}" in moved
        is_of_first = is_second and checksums.times_recorded(folder, name) == 1  # its writer was killed in between
        checksum = None if is_of_first else recorded.get(name)
        commit = parsed_commit(entry, facts.st_size, facts.st_mtime_ns)
        if facts.st_size and not _holds(entry, facts.st_size, facts.st_mtime_ns, checksum):
            if not isinstance(commit, str):
                raise _one_of_two_damaged(entry)
            commit = _OTHER_BYTES
        if isinstance(commit, str):
            raise damaged_entry(entry, commit, is_newest=entry == entries[-1])
        found.append(commit)
    return found


def _refuse_lost_end(folder: Path, entries: Sequence[Path], recorded: Mapping[str, str]) -> None:
    """DamagedError where commits after the last one were recorded, and nobody has moved them away as damaged."""
    known = int(entries[-1].stem) + 1 if entries else 0
    log, sums = folder / "_delta_log", folder / checksums.FILE
    published = sorted(int(found[1]) for found in map(_ENTRY.fullmatch, recorded) if found)
    lost = [log / f"{version:020}.json" for version in published if version >= known]
    lost = [entry for entry in lost if not entry.with_name(f"{entry.name}{_MOVED_AWAY}").exists()]
    if not lost:
        return
    if entries and known not in published:
        raise DamagedError(
            f"{sums} is damaged: it names {lost[0].name}, and not version {known} before it. Bring it back from a "
            f"copy. Without one, delete that line: the commit that it was about then has no checksum."
        )
    unrecorded = next((entry.name for entry in entries if f"_delta_log/{entry.name}" not in recorded), None)
    doubt = f" ({unrecorded} has no checksum, so it may be that line of {sums} that is damaged.)" if unrecorded else ""
    raise DamagedError(
        f"{lost[0]} is missing, and it was published. Bring it back from a copy. Without one, say that the table "
        f"is to be what it was before (touch {lost[0]}{_MOVED_AWAY}); run again what wrote it, and load the view "
        f"in full (docs/operations.md, `Damaged files`).{doubt}"
    )


def check_log(folder: Path) -> None:
    """DamagedError where a commit of the table in a folder is missing, cut short or no longer the JSON that it was."""
    parsed_commit.cache_clear()  # read the files themselves, whatever is cached
    _holds.cache_clear()
    logged_commits(folder)


def damaged_entry(entry: Path, what: str, *, is_newest: bool = True) -> DamagedError:
    """The error for a damaged commit; what: as in `it is empty`."""
    if is_newest:
        return DamagedError(
            f"{entry} is damaged: {what}. It is the newest commit of its table. Move it away "
            f"(mv {entry} {entry}{_MOVED_AWAY}): the table is then what it was before; run again what wrote it, and "
            f"load the view in full (docs/operations.md, `Damaged files`)."
        )
    return DamagedError(
        f"{entry} is damaged: {what}. Bring it back from a copy of the table. Without one, an offline table can be "
        f"computed anew: move {entry.parents[1]} away and run `features build`."
    )


def _one_of_two_damaged(entry: Path) -> DamagedError:
    sums = entry.parents[1] / checksums.FILE
    return DamagedError(
        f"{entry} reads as a whole commit, but does not hold the bytes whose checksum is in {sums}: one of the two is "
        f"damaged. Bring both back from a copy. Without one, look into the commit: if it is right, delete its lines "
        f"from {sums}. If not, and it is the newest, move it away (mv {entry} {entry}{_MOVED_AWAY}) and run again what "
        f"wrote it; an older one of an offline table takes the table with it: move {entry.parents[1]} away and run "
        f"`features build` (docs/operations.md, `Damaged files`)."
    )


def check_log_bytes(folder: Path) -> None:
    """DamagedError for a commit or checkpoint that does not hold the bytes that were written, or cannot be read at all.

    For a log that cannot be read though `check_log` finds its commits whole: the checksums tell which file it is.
    """
    recorded = checksums.recorded(folder)
    entries = log_entries(folder)
    for entry in entries:
        if recorded.get(f"_delta_log/{entry.name}") not in (None, checksums.content_hash(entry)):
            raise damaged_entry(entry, _OTHER_BYTES, is_newest=entry == entries[-1])
    for file in checkpoints(folder):
        if what := _fault_of_checkpoint(file, recorded.get(f"_delta_log/{file.name}")):
            raise DamagedError(
                f"{file} is damaged: {what}. It only sums up the commits beside it, which are whole, so nothing is "
                f"lost: move it away, and {file.with_name('_last_checkpoint')} with it, and repeat the command."
            )


def _fault_of_checkpoint(file: Path, checksum: str | None) -> str | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if checksum not in (None, checksums.content_hash(file)):
        return _OTHER_BYTES
    try:
        pq.read_table(file)
    except (pa.ArrowException, OSError) as error:
        return str(error).splitlines()[0].rstrip(".")
    return None


@lru_cache(maxsize=16_384)
def _holds(entry: Path, _size: int, _modified: int, checksum: str | None) -> bool:
    """Whether a commit holds the bytes that its checksum was taken of; its writer reads it before there is one."""
    return checksum is None or checksum == checksums.content_hash(entry)


@lru_cache(maxsize=16_384)
def parsed_commit(entry: Path, _size: int, _modified: int) -> LoggedCommit | str:
    """A commit, or what is wrong with it. One that carries a record of ours ends with the record's number."""
    if not _size:
        return "it is empty"
    try:
        kinds = {kind: content for action in actions(entry) for kind, content in action.items()}
        info = kinds.get("commitInfo", {})
        records = {key: json.loads(text) for key, text in info.items() if key.startswith(_OURS)}
    except (ValueError, AttributeError, TypeError):
        return "it is not the JSON that was written"
    if records and "txn" not in kinds:
        return "its end is missing"
    return LoggedCommit(info, records)
