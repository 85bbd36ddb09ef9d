"""Folders that are published whole, such as datasets, in object storage: each with a log of what was put in its place.

Files are put under a name that nobody else gives; then the next number of the folder's log is taken by a conditional
put, and names them with their SHA-256. So a reader sees the folder before or after, never a mixture:

    datasets/churn/@files-3f…/train.parquet      put first
    datasets/churn/@log/000001.json              {"files": "@files-3f…", "sha256": {"train.parquet": "9a…"}}
    datasets/churn/@log/000002.json              {"files": null}: taken away
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from transformations.engine.base.checksums import content_hash
from transformations.engine.base.errors import ConflictError, DamagedError
from transformations.engine.base.files.bucket import Bucket, bucket_of
from transformations.engine.base.files.local import UNFINISHED, exclusive, make_folder, replace_text

_LOG, _FILES = "@log", "@files-"
_ENTRY = re.compile(rf"(?:(.+)/)?{_LOG}/(\d{{6}})\.json")
_FETCHES = 16


def put_folder(finished: Path, target: Path) -> None:
    """Publish a finished folder's files as those of `target`, in place of what is there; nothing for local folders.

    ConflictError where another machine was faster. The caller then puts the folder into its place on this one.
    """
    bucket = bucket_of(target)
    if bucket is None:
        return
    files = {path.relative_to(finished).as_posix(): path for path in sorted(finished.rglob("*")) if path.is_file()}
    place = target / f"{_FILES}{uuid4().hex}"
    with ThreadPoolExecutor(_FETCHES) as pool:
        hashes = dict(zip(files, pool.map(content_hash, files.values()), strict=True))
        list(pool.map(lambda name: bucket.upload_as(files[name], place / name), files))
    _take_next(bucket, target, {"files": place.name, "sha256": hashes})


def withdraw_folder(target: Path) -> None:
    """Take a published folder away; its files stay, for whoever reads them now."""
    bucket = bucket_of(target)
    if bucket is not None and _newest(bucket, target):
        _take_next(bucket, target, {"files": None, "sha256": {}})


def pull_folder(target: Path) -> None:
    """Have the folder as it is published now, or none where it was taken away; nothing for local folders."""
    bucket = bucket_of(target)
    if bucket is not None:
        _bring(bucket, target, _newest(bucket, target))


def pull_folders(zone: Path) -> None:
    """Have all folders that are published in a zone."""
    bucket = bucket_of(zone)
    if bucket is None:
        return
    numbers: dict[str, int] = {}
    for each in bucket.objects(zone):
        if (found := _ENTRY.fullmatch(each.name)) and found[1]:
            numbers[found[1]] = max(numbers.get(found[1], 0), int(found[2]))
    for name, number in numbers.items():
        _bring(bucket, zone / name, number)


@dataclass(frozen=True)
class _Entry:
    """What a folder's log says last. place: the folder of its files, None where it was taken away."""

    place: str | None
    hashes: Mapping[str, str]


def _newest(bucket: Bucket, target: Path) -> int:
    """The newest number of a folder's log; 0 where it has none."""
    names = (f"{_LOG}/{each.name}" for each in bucket.objects(target / _LOG))
    return max((int(found[2]) for found in map(_ENTRY.fullmatch, names) if found), default=0)


def _take_next(bucket: Bucket, target: Path, entry: Mapping[str, object]) -> None:
    number = _held(target) + 1
    if not bucket.put_new(_entry_of(target, number), json.dumps(entry).encode()):
        raise ConflictError(
            f"{target.name}: another machine published, replaced or removed it meanwhile. Nothing was published by "
            f"this one; repeat the command."
        )
    replace_text(_note_of(target), f"{number}\n")


def _bring(bucket: Bucket, target: Path, number: int) -> None:
    if number == _held(target):
        return
    with exclusive(target.with_name(f".{target.name}.copies.lock"), f"the copy of {target.name}"):
        if number > _held(target):  # else another process has brought it meanwhile
            _exchange(bucket, target, number)


def _exchange(bucket: Bucket, target: Path, number: int) -> None:
    """Put the folder that an entry names into the place of the one that is here."""
    entry = _read_entry(bucket, _entry_of(target, number))
    make_folder(target.parent)
    unfinished = target.with_name(f".{target.name}-{uuid4().hex}{UNFINISHED}")
    try:
        if entry.place is not None:
            for folder in {(unfinished / name).parent for name in entry.hashes}:
                make_folder(folder)
            with ThreadPoolExecutor(_FETCHES) as pool:
                place, names = target / entry.place, list(entry.hashes)
                found = pool.map(lambda name: bucket.download(place / name, unfinished / name), names)
                for name, checksum in zip(names, found, strict=True):
                    if checksum != entry.hashes[name]:
                        raise DamagedError(f"{bucket.url_of(place / name)} is damaged: {_OTHER}")
                    (unfinished / name).chmod(0o440)
        if target.exists():
            target.rename(target.with_name(f".{target.name}-{uuid4().hex}{UNFINISHED}"))
        if entry.place is not None:
            unfinished.rename(target)
        replace_text(_note_of(target), f"{number}\n")
    except FileNotFoundError as error:
        raise DamagedError(
            f"{bucket.url_of(target)}: a file of it is missing ({error}). Bring it back from a copy."
        ) from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


_OTHER = "it does not hold the bytes that were written. Bring the object back from a copy or an earlier version of it."


def _read_entry(bucket: Bucket, file: Path) -> _Entry:
    try:
        read = json.loads(bucket.read(file))
        return _Entry(read["files"], dict(read["sha256"]))
    except (ValueError, KeyError, TypeError):
        raise DamagedError(f"{bucket.url_of(file)} is damaged: {_OTHER}") from None


def _held(target: Path) -> int:
    """The number of the folder's log that is here; 0 for none."""
    try:
        return int(_note_of(target).read_text())
    except (FileNotFoundError, ValueError):
        return 0


def _entry_of(target: Path, number: int) -> Path:
    return target / _LOG / f"{number:06}.json"


def _note_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.published")
