"""Copies of what is in object storage, so that DuckDB, Spark and Arrow read local files.

Published files never change, so each is fetched once and its SHA-256 verified; commits are fetched in order. The
local folder of a table is then what it would be without object storage, but for the data files that nobody has read.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from transformations.engine.base import checksums
from transformations.engine.base.errors import DamagedError
from transformations.engine.base.files.bucket import Bucket, bucket_of
from transformations.engine.base.files.local import UNFINISHED, exclusive, make_file, make_folder
from transformations.engine.base.settings import get_settings

CHECKSUMS = "checksums"
"""The key in a commit's info: the SHA-256 of each file that it adds or refers to, by path relative to the table."""
_COMMIT = re.compile(r"\d{20}\.json")
_FETCHES = 16
_IN_USE_SECONDS = 3_600.0
_COPIED_ZONES = ("raw", "offline")


def fetch(files: Iterable[str | Path]) -> None:
    """Have local copies of these published files. DamagedError for one that is gone, or has other bytes."""
    settings = get_settings()
    bucket = bucket_of(settings.data)
    if bucket is None:
        return
    wanted = {Path(file).absolute() for file in files}
    ours = [file for file in wanted if file.is_relative_to(settings.data)]
    if settings.local_gb is not None:
        _mark_as_used(ours)
    lacking = [file for file in ours if not file.exists()]
    if lacking:
        with ThreadPoolExecutor(_FETCHES) as pool:
            for _ in pool.map(lambda file: _fetch_file(bucket, file), lacking):
                pass
        _give_up_copies(settings.data, settings.local_gb)


def fetch_folder(folder: Path) -> None:
    """Have local copies of all files in a published folder."""
    bucket = bucket_of(folder)
    if bucket is not None:
        fetch(folder / each.name for each in bucket.objects(folder))


def make_folders(zone: Path) -> None:
    """Make a folder for the copies of each table of a zone; nothing for zones of other things than tables."""
    if (bucket := bucket_of(zone)) is not None and zone.name in _COPIED_ZONES:
        for name in bucket.folders(zone):
            make_folder(zone / name)


def lacking_files(folder: Path, files: Iterable[Path]) -> list[Path]:
    """Those of a table's files that are gone: from object storage where the table is there, else from the disk."""
    bucket = bucket_of(folder)
    if bucket is None:
        return [file for file in files if not file.exists()]
    kept = {folder.absolute() / each.name for each in bucket.objects(folder)}
    return [file for file in files if file.absolute() not in kept]


def push(folder: Path, names: Sequence[str]) -> Mapping[str, str]:
    """Put finished files of a table where readers will look for them once a commit names them; their checksums.

    Those that are not here a cluster's tasks have put there, and told their checksums. DamagedError where none has.
    """
    bucket = bucket_of(folder)
    if bucket is None:
        return {}
    here = [folder / name for name in names if (folder / name).exists()]
    _mark_as_used(here)
    bucket.upload(here)
    recorded = checksums.recorded(folder)
    others = [folder / name for name in names if folder / name not in here]
    with ThreadPoolExecutor(_FETCHES) as pool:
        for file, size in zip(others, pool.map(bucket.size, others), strict=True):
            if size is None:
                raise missing_object(bucket, file)
    return {name: recorded[name] for name in names}


def pull_log(folder: Path) -> None:
    """Have all commits of a table that are published. DamagedError where the copies are those of another table."""
    bucket = bucket_of(folder)
    if bucket is None:
        return
    log = folder / "_delta_log"
    newest = _newest_entry(log)
    if newest is not None:
        _check_same(bucket, log / newest, (log / newest).stat().st_size)
    following = f"{0 if newest is None else int(newest[:20]) + 1:020}.json"
    if bucket.size(log / following) is None:
        return
    make_folder(log)
    with exclusive(folder / ".copies.lock", f"the copies of {folder.name}"):
        newest = _newest_entry(log)
        names = [each.name for each in bucket.objects(log, newest) if _COMMIT.fullmatch(each.name)]
        for name, content in zip(names, bucket.read_all([log / name for name in names]), strict=True):
            _add_entry(folder, name, content)


def _add_entry(folder: Path, name: str, content: bytes) -> None:
    """Make the copy of a commit, and what it says of its files' checksums. Whoever is killed repeats this."""
    recorded = checksums.recorded(folder)
    told = _checksums_in(content)
    checksums.append(folder, {file: told[file] for file in told if recorded.get(file) != told[file]})
    entry = folder / "_delta_log" / name
    draft = entry.with_name(f"_copy_{uuid4().hex}.json.tmp")
    try:
        make_file(draft).write_bytes(content)
        draft.replace(entry)
    finally:
        draft.unlink(missing_ok=True)
    checksums.record(folder, [f"_delta_log/{name}"])


def _checksums_in(commit: bytes) -> Mapping[str, str]:
    for line in commit.splitlines():
        action: Mapping[str, Any] = json.loads(line)
        if CHECKSUMS in action.get("commitInfo", {}):
            told: Mapping[str, str] = json.loads(action["commitInfo"][CHECKSUMS])
            return told
    return {}


def _newest_entry(log: Path) -> str | None:
    try:
        return max(filter(_COMMIT.fullmatch, os.listdir(log)), default=None)  # noqa: PTH208  # names alone are faster
    except FileNotFoundError:
        return None


@lru_cache(maxsize=4_096)
def _check_same(bucket: Bucket, entry: Path, size: int) -> None:
    """DamagedError where the newest commit here is not the one in object storage; asked once a process."""
    if (found := bucket.size(entry)) != size:
        what = "does not have it" if found is None else f"has another one, of {found:,} bytes"
        folder = entry.parents[1]
        raise DamagedError(
            f"{entry} is a copy of a published commit, and {bucket.url_of(entry)} {what}: the table there is another "
            f"one, or was cut. If it is right, move the copies away (mv {folder} {folder}.old) and repeat the command."
        )


def _fetch_file(bucket: Bucket, file: Path) -> None:
    make_folder(file.parent)
    draft = file.with_name(f".{file.name}.{uuid4().hex}{UNFINISHED}")
    try:
        checksum = bucket.download(file, make_file(draft))
        folder = bucket.root.joinpath(*file.relative_to(bucket.root).parts[:2])
        told = checksums.recorded(folder).get(file.relative_to(folder).as_posix(), checksum)
        if checksum != told:
            raise DamagedError(
                f"{bucket.url_of(file)} is damaged: it does not hold the bytes that were written. Bring the object "
                f"back from a copy or an earlier version of it, or undo what wrote it (docs/operations.md, `Damaged "
                f"files`)."
            )
        draft.replace(file)
    except FileNotFoundError:
        raise missing_object(bucket, file) from None
    finally:
        draft.unlink(missing_ok=True)


def missing_object(bucket: Bucket, file: Path) -> DamagedError:
    """The error for an object of a table that is gone."""
    return DamagedError(
        f"{bucket.url_of(file)} is missing, yet a published version refers to it. Bring the object back from a "
        f"copy, or undo what wrote it (docs/operations.md, `Damaged files`)."
    )


def _mark_as_used(files: Iterable[Path]) -> None:
    for file in files:
        if file.exists():
            os.utime(file, ns=(time.time_ns(), file.stat().st_mtime_ns))


def _give_up_copies(data: Path, most_gb: float | None) -> None:
    """Remove the copies that were used longest ago, and not in the last hour, until the others fit."""
    if most_gb is None:
        return
    found = [(file.stat(), file) for zone in _COPIED_ZONES for file in (data / zone).glob("*/*/*.parquet")]
    too_many = sum(facts.st_size for facts, _ in found) - most_gb * 1e9
    for facts, file in sorted(found, key=lambda each: each[0].st_atime_ns):
        if too_many <= 0 or facts.st_atime > time.time() - _IN_USE_SECONDS:
            return
        folder = file.parents[1]
        if file.relative_to(folder).as_posix() in checksums.recorded(folder):  # else it is not published yet
            file.unlink(missing_ok=True)
            too_many -= facts.st_size
