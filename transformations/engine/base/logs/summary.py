"""The summary of a table's first commits: at its head what it takes to open the table, then what each commit noted.

Four lines: a checksum of the head, the head, a checksum of the rest, the rest. So however many commits there are, the
newest record is read from a few kilobytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

FILE = "log-summary.json"
"""The file beside a table that sums up its first commits."""
LONGEST_IN_HEAD = 16_384
"""In characters. The record of a merge names each file whose rows it took, and whoever opens a table reads the head."""


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


@dataclass(frozen=True)
class Head:
    """commits: how many are summed up; last: the checksum of the last one. newest: by key, the newest record of ours
    among them, unless that is longer than `LONGEST_IN_HEAD`; versions: by key, whose it is.
    """

    commits: int
    last: str
    newest: Mapping[str, Mapping[str, Any]]
    versions: Mapping[str, int]


def summary_of(commits: Sequence[LoggedCommit], last: str) -> str:
    """The text of a summary. last: the checksum of the last of these commits."""
    every = {key: record for commit in commits for key, record in commit.records.items()}
    newest = {key: record for key, record in every.items() if len(json.dumps(record)) <= LONGEST_IN_HEAD}
    versions = {key: version for version, commit in enumerate(commits) for key in commit.records}
    head = json.dumps(asdict(Head(len(commits), last, newest, versions)), ensure_ascii=False)
    body = json.dumps(differences(commits), ensure_ascii=False)
    return "".join(f"{_checksum(each)}\n{each}\n" for each in (head, body))


@lru_cache(maxsize=64)
def read_head(file: Path, _size: int, _modified: int) -> Head | None:
    """The head of a summary; None where it is not what was written."""
    try:
        with file.open(encoding="utf-8") as lines:
            return Head(**json.loads(_whole(lines.readline(), lines.readline())))
    except (OSError, ValueError, TypeError):
        return None


@lru_cache(maxsize=64)
def read_commits(file: Path, _size: int, _modified: int) -> Sequence[LoggedCommit]:
    """The commits of a summary; none where it is not what was written."""
    try:
        _, _, checksum, body = file.read_text(encoding="utf-8").splitlines()
        return tuple(from_differences(json.loads(_whole(checksum, body))))
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def differences(commits: Sequence[LoggedCommit]) -> list[list[Any]]:
    """What each commit says otherwise than the one before: [its info, its records], each as [changed, left out].

    Most of a run's record is that of the run before. 1,000 runs of 5 kB are 300 kB, and parsed in a tenth of the time.
    """
    found = []
    info: Mapping[str, Any] = {}
    records: dict[str, Mapping[str, Any]] = {}
    for commit in commits:
        said = {key: value for key, value in commit.info.items() if key not in commit.records}
        notes = {key: _difference(records.get(key, {}), record) for key, record in commit.records.items()}
        found.append([_difference(info, said), notes])
        info = said
        records |= commit.records
    return found


def from_differences(found: Sequence[Sequence[Any]]) -> Iterator[LoggedCommit]:
    """The commits that `differences` was told."""
    info: Mapping[str, Any] = {}
    records: dict[str, Mapping[str, Any]] = {}
    for said, notes in found:
        info = _changed(info, *said)
        own = {key: _changed(records.get(key, {}), *note) for key, note in notes.items()}
        records |= own
        yield LoggedCommit(info, own)


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Any]:
    changed = {name: value for name, value in now.items() if name not in before or before[name] != value}
    return [changed, [name for name in before if name not in now]]


def _changed(before: Mapping[str, Any], changed: Mapping[str, Any], left_out: Sequence[str]) -> Mapping[str, Any]:
    if not changed and not left_out:
        return before
    now = {**before, **changed}
    for name in left_out:
        del now[name]
    return now


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _whole(checksum: str, line: str) -> str:
    """A line that has its checksum; ValueError for another one."""
    line = line.removesuffix("\n")
    if _checksum(line) != checksum.removesuffix("\n"):
        raise ValueError("these are not the bytes that were written")
    return line
