"""What is published whole and may be replaced: folders such as datasets and artifacts, files such as a day's record.

In object storage each has a log. Its files are put under a name that nobody else gives; then the next number of the log
is taken by a conditional put, and names them with their SHA-256. So a reader sees it before or after, never a mixture,
and of two writers that began with the same number one publishes:

    datasets/churn/@files-3f…/train.parquet      put first
    datasets/churn/@log/000001.json              {"files": "@files-3f…", "sha256": {"train.parquet": "9a…"}}
    datasets/churn/@log/000002.json              {"files": null}: taken away

The copy on this machine has a note beside it, `.churn.published`, of the number that it is of. In a local folder there
is neither log nor note: what is published is what is there.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from uuid import uuid4

from transformations.engine.base.checksums import content_hash
from transformations.engine.base.disk_faults import paths_in
from transformations.engine.base.errors import ConflictError, DamagedError
from transformations.engine.base.files.bucket import Bucket, bucket_of
from transformations.engine.base.files.local import UNFINISHED, exclusive, make_file, make_folder, replace_text

_LOG, _FILES = "@log", "@files-"
_ENTRY = re.compile(r"(\d{6})\.json")
_FETCHES = 16


def put_folder(finished: Path, target: Path) -> None:
    """Put a finished folder into its place at once; what was there becomes a leftover beside it.

    ConflictError where another machine has published or withdrawn it since this one looked.
    """
    files = {path.relative_to(finished).as_posix(): path for path in sorted(finished.rglob("*")) if path.is_file()}
    bucket = bucket_of(target)
    number = 0 if bucket is None else _put(bucket, target, files, _held(target))
    _settle(target, number, finished)


@contextmanager
def replacing(target: Path, after: int | None = None) -> Iterator[Path]:
    """An empty file that takes its target's place at once when the block ends; if it fails, nothing has happened.

    after: the number that the new content was made from, as `pull` gave it; None where it replaces whatever there is.
    ConflictError where another machine has published or withdrawn the file since, or does so at the same moment.
    """
    make_folder(target.parent)
    draft = _beside(target)
    try:
        yield make_file(draft)
        number, bucket = 0, bucket_of(target)
        if bucket is not None:
            number = _put(bucket, target, {target.name: draft}, _newest(bucket, target) if after is None else after)
        _settle(target, number, draft)
        if bucket is not None:
            _remove_files(bucket, target, number - 1)
    finally:
        draft.unlink(missing_ok=True)


def withdraw(target: Path, after: int | None = None) -> int:
    """Take away what is published, everywhere at once; a folder's files stay, for whoever reads them now. The number of
    the newest entry then.

    after: as of `replacing`; by default the number of the copy which is here. ConflictError as there.
    """
    number, bucket = 0, bucket_of(target)
    before = (_held(target) if after is None else after) if bucket is not None else 0
    if bucket is not None and before:
        number = _take(bucket, target, before + 1, {"files": None, "sha256": {}})
    is_folder = target.is_dir()
    _settle(target, number, None)
    if bucket is not None and before and not is_folder:
        _remove_files(bucket, target, before)
    return number


def pull(target: Path) -> int:
    """Have a file or folder as it is published, or nothing where it was withdrawn; the number of its newest entry.

    It is 0 for local folders, and for what was never published. DamagedError where there are other bytes than written.
    """
    bucket = bucket_of(target)
    if bucket is None:
        return 0
    number = _newest(bucket, target)
    if number > _held(target):
        with _copying(target):
            while number > _held(target):  # else another process has brought it meanwhile
                number = _bring(bucket, target, number)
    return number


def bring(target: Path) -> Path:
    """Have what is published once and never replaced: nothing is asked where it is here."""
    if not target.exists():
        pull(target)
    return target


def published_in(folder: Path, pattern: str = "[!.@]*") -> list[Path]:
    """What a folder holds under such names, here or in object storage, sorted. What was withdrawn may be among it."""
    here, bucket = paths_in(folder, pattern), bucket_of(folder)
    if bucket is None:
        return here
    return sorted({*here, *(folder / name for name in bucket.folders(folder) if fnmatch(name, pattern))})


def pull_all(folder: Path, pattern: str = "[!.@]*") -> list[Path]:
    """Have what a folder holds under such names, as it is published now."""
    found = published_in(folder, pattern)
    if bucket_of(folder) is not None:
        with ThreadPoolExecutor(_FETCHES) as pool:
            list(pool.map(pull, found))
        found = [path for path in found if path.exists()]
    return found


def bring_all(folder: Path, pattern: str = "[!.@]*") -> list[Path]:
    """Have what a folder holds under such names, each published once and never replaced."""
    return [path for path in map(bring, published_in(folder, pattern)) if path.exists()]


@dataclass(frozen=True)
class _Entry:
    """What a log says last. place: the folder of the files, None where they were withdrawn."""

    place: str | None
    hashes: Mapping[str, str]


def _put(bucket: Bucket, target: Path, files: Mapping[str, Path], after: int) -> int:
    """Put files and take the next number for them."""
    place = target / f"{_FILES}{uuid4().hex}"
    with ThreadPoolExecutor(_FETCHES) as pool:
        hashes = dict(zip(files, pool.map(content_hash, files.values()), strict=True))
        list(pool.map(lambda name: bucket.upload_as(files[name], place / name), files))
    try:
        return _take(bucket, target, after + 1, {"files": place.name, "sha256": hashes})
    except ConflictError:
        bucket.remove(place / name for name in files)
        raise


def _take(bucket: Bucket, target: Path, number: int, entry: Mapping[str, object]) -> int:
    if not bucket.put_new(_entry_of(target, number), json.dumps(entry).encode()):
        raise ConflictError(
            f"{target.name}: another machine published, replaced or removed it meanwhile. Nothing was published by "
            f"this one; repeat the command."
        )
    return number


def _settle(target: Path, number: int, finished: Path | None) -> None:
    """Have here what this process has published: under the lock of copies, since others fetch it as soon as it is."""
    if not number:
        _swap(target, finished)
        return
    with _copying(target):
        if number > _held(target):  # else something newer has been brought
            _swap(target, finished)
            replace_text(_note_of(target), f"{number}\n")


def _swap(target: Path, finished: Path | None) -> None:
    if target.is_dir():
        target.rename(_beside(target))
    elif finished is None:
        target.unlink(missing_ok=True)
    if finished is not None:
        finished.replace(target)


def _newest(bucket: Bucket, target: Path) -> int:
    """The newest number of a log; 0 for none."""
    held = _held(target)
    later = bucket.objects(target / _LOG, f"{held:06}.json" if held else None)
    return max((int(found[1]) for each in later if (found := _ENTRY.fullmatch(each.name))), default=held)


def _bring(bucket: Bucket, target: Path, number: int) -> int:
    """Put what an entry names into the place of what is here; the number to bring, if it is another one by now."""
    entry = _read_entry(bucket, _entry_of(target, number))
    make_folder(target.parent)
    draft = _beside(target)
    try:
        if entry.place is not None:
            _download(bucket, target, entry, draft)
        _swap(target, None if entry.place is None else draft)
        replace_text(_note_of(target), f"{number}\n")
    except FileNotFoundError as error:
        if (newer := _newest(bucket, target)) > number:  # which took the place of these files
            return newer
        raise DamagedError(
            f"{bucket.url_of(target)}: a file of it is missing ({error}). Bring it back from a copy."
        ) from None
    finally:
        if draft.is_dir():
            shutil.rmtree(draft)
        draft.unlink(missing_ok=True)
    return number


def _download(bucket: Bucket, target: Path, entry: _Entry, draft: Path) -> None:
    """The files of an entry, verified: one of the target's own name alone is a file, else they are a folder's."""
    is_file = list(entry.hashes) == [target.name]
    copies = {name: draft if is_file else draft / name for name in entry.hashes}
    for folder in {copy.parent for copy in copies.values()}:
        make_folder(folder)
    place = target / str(entry.place)
    with ThreadPoolExecutor(_FETCHES) as pool:
        found = pool.map(lambda name: bucket.download(place / name, copies[name]), copies)
        for name, checksum in zip(copies, found, strict=True):
            if checksum != entry.hashes[name]:
                raise DamagedError(f"{bucket.url_of(place / name)} is damaged: {_OTHER}")
            copies[name].chmod(0o440)


def _remove_files(bucket: Bucket, target: Path, number: int) -> None:
    """Remove the files that an entry names and nobody needs any more; who reads them now finds the newer ones."""
    if number:
        entry = _read_entry(bucket, _entry_of(target, number))
        bucket.remove(target / str(entry.place) / name for name in entry.hashes)


_OTHER = "it does not hold the bytes that were written. Bring the object back from a copy or an earlier version of it."


def _read_entry(bucket: Bucket, file: Path) -> _Entry:
    try:
        read = json.loads(bucket.read(file))
        return _Entry(read["files"], dict(read["sha256"]))
    except (ValueError, KeyError, TypeError):
        raise DamagedError(f"{bucket.url_of(file)} is damaged: {_OTHER}") from None


@contextmanager
def _copying(target: Path) -> Iterator[None]:
    with exclusive(target.with_name(f".{target.name}.copying"), f"the copy of {target.name}"):
        yield


def _held(target: Path) -> int:
    """The number of the log that is here; 0 for none."""
    try:
        return int(_note_of(target).read_text())
    except (FileNotFoundError, ValueError):
        return 0


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}-{uuid4().hex}{UNFINISHED}")


def _entry_of(target: Path, number: int) -> Path:
    return target / _LOG / f"{number:06}.json"


def _note_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.published")
