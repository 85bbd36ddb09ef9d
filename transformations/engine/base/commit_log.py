"""The commits of a Delta table as its log holds them, and whether each is whole.

Our logs are never cleaned up, so every version is there. A commit never changes, so each process parses it once.
Delta's checkpoints leave out what writers noted, so our notes of the first commits are summed up in a file beside the
table (`logs/summary.py`): a log of years is read from that, and from the commits since.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from transformations.engine.base import checksums
from transformations.engine.base.disk_faults import paths_in
from transformations.engine.base.errors import DamagedError, DiskError, FeaturesError
from transformations.engine.base.files.copies import pull_log
from transformations.engine.base.logs import summary
from transformations.engine.base.logs.summary import LoggedCommit

_OTHER_BYTES = f"it does not hold the bytes that were written, by {checksums.FILE} beside the table"
_HINT = "_last_checkpoint"
"""The file that tells Delta which checkpoint is the newest."""
_MOVED_AWAY = ".damaged"
"""The suffix of a commit that somebody has given up."""
_COMMIT = re.compile(r"(\d{20})\.json")
_ENTRY = re.compile(rf"_delta_log/{_COMMIT.pattern}")
COMMITS_A_SUMMARY = 100
"""After so many commits the summary is written anew, as Delta's checkpoints are."""
_OURS = "features."
"""The prefix of our records' keys in a log."""


def has_table(folder: Path) -> bool:
    """Whether a table of ours is in the folder; DiskError where a file stands in the folder's place."""
    if folder.is_file():
        raise DiskError.not_a_folder(folder)
    return is_table(folder)


def is_table(folder: Path) -> bool:
    """Whether the folder holds a Delta table with a published version. DamagedError where its log has been lost."""
    pull_log(folder)
    if entry_of(folder, 0).is_file() or paths_in(folder / "_delta_log", "*.json") or checkpoints(folder):
        return True
    _refuse_lost_end(folder, -1, checksums.recorded(folder))
    return False


def entry_of(folder: Path, version: int) -> Path:
    """The file of a commit, whether it is there or not."""
    return folder / "_delta_log" / f"{version:020}.json"


def log_entries(folder: Path) -> list[Path]:
    """The files of a table's commits, by version; a folder in the place of one is none."""
    log = folder / "_delta_log"
    return [log / name for name in _names_in_log(folder)[0]]


def _names_in_log(folder: Path) -> tuple[list[str], Set[str]]:
    """The names of a table's commits, by version, and of what was moved away as damaged.

    A path takes three microseconds to make, so of years there are names alone.
    """
    names, moved = [], set()
    try:
        with os.scandir(folder / "_delta_log") as found:  # whose entries know what they are without a system call
            for each in found:
                if each.name.endswith(_MOVED_AWAY):
                    moved.add(each.name)
                elif _COMMIT.fullmatch(each.name) and each.is_file():
                    names.append(each.name)
    except (FileNotFoundError, NotADirectoryError):
        return [], set()
    return sorted(names), moved


def checkpoints(folder: Path) -> list[Path]:
    """The files that sum up a table's commits, by version."""
    return paths_in(folder / "_delta_log", "*.checkpoint.parquet")


def actions(entry: Path) -> Iterator[Mapping[str, Any]]:
    """The actions of a commit."""
    return (json.loads(line) for line in entry.read_text(encoding="utf-8").splitlines() if line)


def logged_commits(folder: Path, until: int | None = None, *, from_summary: bool = True) -> list[LoggedCommit]:
    """The commits of a table of ours up to a version, oldest first. DamagedError where one is missing or damaged.

    from_summary: those that a whole summary tells of are read from it; only that they are there is looked at.
    """
    names, moved = _names_in_log(folder)
    if not names and checkpoints(folder):
        raise damaged_entry(entry_of(folder, 0), "it is missing", is_newest=False)
    recorded = checksums.recorded(folder)
    newest = _version_of(names[-1]) if names else -1
    _refuse_lost_end(folder, newest, recorded)
    found = list(_summed_up(folder, names, moved)) if from_summary else []
    wanted = len(names) if until is None else until + 1
    for version, name in enumerate(names[len(found) : wanted], len(found)):
        if _version_of(name) != version:
            raise damaged_entry(entry_of(folder, version), "it is missing", is_newest=False)
        found.append(_read_commit(folder, version, recorded, is_newest=version == newest))
    return found[:wanted]


def newest_record(folder: Path, key: str, until: int) -> Mapping[str, Any] | None:
    """The newest record under a key among the commits up to a version that is there; None where there is none.

    Errors as of `newest_records`.
    """
    found = newest_records(folder, key, until)
    return found[max(found)] if found else None


def newest_records(folder: Path, key: str, until: int) -> Mapping[int, Mapping[str, Any]]:
    """By version, ascending, the newest records under a key among the commits up to a version that is there: the last
    one that a whole summary tells of, and all since.

    However long the log is, it takes as long: commits that a whole summary tells of are not looked at, but for the last
    one. DamagedError where one of the others is missing or damaged, or where commits after a newest one were lost.
    """
    recorded = checksums.recorded(folder)
    is_newest = not entry_of(folder, until + 1).exists()
    if is_newest:
        _refuse_lost_end(folder, until, recorded)
    head = _head_of(folder)
    if head is None or head.commits > until + 1:
        return _records_of(dict(enumerate(logged_commits(folder, until))), key)
    since = range(head.commits, until + 1)
    read = {each: _read_commit(folder, each, recorded, is_newest=is_newest and each == until) for each in since}
    if key not in head.versions:
        return _records_of(read, key)
    version = head.versions[key]
    if key not in head.newest:  # it is a long one
        return _records_of({version: logged_commits(folder, version)[version], **read}, key)
    return {version: head.newest[key], **_records_of(read, key)}


def _records_of(commits: Mapping[int, LoggedCommit], key: str) -> Mapping[int, Mapping[str, Any]]:
    found = {version: commit.record(key) for version, commit in commits.items()}
    return {version: record for version, record in found.items() if record is not None}


def _read_commit(folder: Path, version: int, recorded: Mapping[str, str], *, is_newest: bool) -> LoggedCommit:
    entry = entry_of(folder, version)
    try:
        facts = entry.stat()
    except FileNotFoundError:
        raise damaged_entry(entry, "it is missing", is_newest=False) from None
    checksum = recorded.get(f"_delta_log/{entry.name}")
    commit = parsed_commit(entry, facts.st_size, facts.st_mtime_ns)
    if facts.st_size and not _holds(entry, facts.st_size, facts.st_mtime_ns, checksum) and not _is_second(entry):
        if not isinstance(commit, str):
            raise _one_of_two_damaged(entry)
        commit = _OTHER_BYTES
    if isinstance(commit, str):
        raise damaged_entry(entry, commit, is_newest=is_newest)
    return commit


def _is_second(entry: Path) -> bool:
    """Whether a commit stands in the place of a damaged one, and its writer was killed before it took a checksum."""
    taken = checksums.times_recorded(entry.parents[1], f"_delta_log/{entry.name}")
    return taken == 1 and _moved_away(entry).exists()


def _moved_away(entry: Path) -> Path:
    return entry.with_name(f"{entry.name}{_MOVED_AWAY}")


def _refuse_lost_end(folder: Path, newest: int, recorded: Mapping[str, str]) -> None:
    """DamagedError where commits after the newest one (-1: none is there) were recorded, and nobody has moved them away
    as damaged.
    """
    log, sums = folder / "_delta_log", folder / checksums.FILE
    first = f"_delta_log/{newest + 1:020}"
    if checksums.greatest(folder, "_delta_log/") < first:  # as a rule, however many there are
        return
    names = (name for name in recorded if name.startswith("_delta_log/") and name > first)
    lost = [log / f"{int(found[1]):020}.json" for found in map(_ENTRY.fullmatch, sorted(names)) if found]
    lost = [entry for entry in lost if not _moved_away(entry).exists()]
    if not lost:
        return
    if newest >= 0 and f"_delta_log/{newest + 1:020}.json" not in recorded:
        raise DamagedError(
            f"{sums} is damaged: it names {lost[0].name}, and not version {newest + 1} before it. Bring it back from a "
            f"copy. Without one, delete that line: the commit that it was about then has no checksum."
        )
    commits = _names_in_log(folder)[0]
    unrecorded = next((name for name in commits if f"_delta_log/{name}" not in recorded), None)
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
    logged_commits(folder, from_summary=False)


def sum_up(folder: Path, version: int | None = None) -> None:
    """Write the summary of a table's commits anew: what they noted, and a checksum of the last one. Where that fails,
    all stays as it was: with a summary a log is only read faster.

    version: of a commit just made, whose writer sums up if it is the last of a hundred.
    """
    with suppress(OSError, FeaturesError):
        if version is None or (version + 1) % COMMITS_A_SUMMARY == 0:
            _write_summary(folder)


def _write_summary(folder: Path) -> None:
    commits = logged_commits(folder)
    text = summary.summary_of(commits, checksums.content_hash(entry_of(folder, len(commits) - 1)))
    draft = folder / f".{summary.FILE}.{uuid4().hex}.unfinished"
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640), "w", encoding="utf-8") as file:
            file.write(text)
        draft.replace(folder / summary.FILE)
    finally:
        draft.unlink(missing_ok=True)


def _version_of(name: str) -> int:
    """The version of a commit, by the name of its file."""
    return int(name[:20])


def _head_of(folder: Path) -> summary.Head | None:
    """The head of the summary of a log; None where there is none, it is damaged, or not of this log.

    A commit that was moved away as damaged may have another one in its place: then all are read.
    """
    file = folder / summary.FILE
    try:
        facts = file.stat()
        head = summary.read_head(file, facts.st_size, facts.st_mtime_ns)
        if head is None or any(_moved_away(entry_of(folder, each)).exists() for each in head.versions.values()):
            return None
        entry = entry_of(folder, head.commits - 1)
        facts = entry.stat()
    except OSError:
        return None
    return head if entry.is_file() and _holds(entry, facts.st_size, facts.st_mtime_ns, head.last) else None


def _summed_up(folder: Path, names: Sequence[str], moved: Set[str]) -> Sequence[LoggedCommit]:
    """The first commits of a log, by their summary; none where it is damaged, or not of this log."""
    head, file = _head_of(folder), folder / summary.FILE
    if head is None or len(names) < head.commits or _version_of(names[head.commits - 1]) != head.commits - 1:
        return ()  # the names are different numbers in order, so where the last is there, all are
    if any(_version_of(name) < head.commits for name in moved if _COMMIT.match(name)):
        return ()
    facts = file.stat()
    commits = summary.read_commits(file, facts.st_size, facts.st_mtime_ns)
    return commits if len(commits) == head.commits else ()


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
    """DamagedError for a commit or checkpoint that does not hold the bytes that were written, or cannot be read at all,
    and for a checkpoint that is named and not there.

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
                f"lost: move it away, and {file.with_name(_HINT)} with it, and repeat the command."
            )
    if fault := fault_of_hint(folder):
        raise DamagedError(fault)


def fault_of_hint(folder: Path) -> str | None:
    """What to tell of a log whose commits are whole, and in which Delta looks for a checkpoint that is not there."""
    hint = folder / "_delta_log" / _HINT
    try:
        version = json.loads(hint.read_bytes())["version"]
    except (OSError, ValueError, TypeError, KeyError):  # without a name in it, delta-rs looks for itself
        return None
    if type(version) is not int or version < 0 or paths_in(hint.parent, f"{version:020}.checkpoint*.parquet"):
        return None
    return (
        f"{hint} is damaged: it names the checkpoint of version {version}, which is not there. A checkpoint only sums "
        f"up the commits beside it, which are whole, so nothing is lost: move {hint} away and repeat the command."
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


def read_entry(entry: Path) -> LoggedCommit | str:
    """The commit in a file, or what is wrong with it."""
    facts = entry.stat()
    return parsed_commit(entry, facts.st_size, facts.st_mtime_ns)


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
