"""A place in object storage: `FEATURES_DATA=s3://bucket/prefix`. What is published is there; a local folder has copies.

An object is written whole or not at all. Nothing here replaces one that readers rely on: a name is taken once, by
whoever puts it first (`put_new`, a conditional put). Credentials, region and endpoint come from the usual environment
(`AWS_ACCESS_KEY_ID`, `AWS_REGION`, `AWS_ENDPOINT_URL`, …).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from io import RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import uuid4

from transformations.engine.base.errors import ServiceUnavailableError, UsageError
from transformations.engine.base.settings import COPIES_OF, get_settings, keeps_copies

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_TRANSFERS = 16
"""Files on their way at a time: a request takes tens of milliseconds, whatever its size."""
_CHUNK = 8 * 2**20
_ENDPOINTS = (
    *("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT"),
    *("AZURE_STORAGE_ENDPOINT", "AZURITE_BLOB_STORAGE_URL", "FEATURES_DATA"),
)
_NAMED = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL",
    "az": "AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_ENDPOINT",
}
_FEW_TRIES = {"max_retries": 4, "retry_timeout": timedelta(seconds=30)}


@dataclass(frozen=True)
class Stored:
    """An object: its name relative to a folder, its bytes, and when it was written, in seconds since the epoch."""

    name: str
    size: int
    modified: float


@dataclass(frozen=True)
class Bucket:
    """A place in object storage and the folder of its copies: an object's key is its copy's path in that folder."""

    url: str
    root: Path

    def url_of(self, path: Path) -> str:
        """The URL of a copy's object, or of a folder of them."""
        return f"{self.url}/{quote(self._key(path), safe='/=')}".rstrip("/")

    def size(self, path: Path) -> int | None:
        """The bytes of an object; None where there is none."""
        import obstore

        with self._answering():
            try:
                return int(obstore.head(self._store, self._key(path))["size"])
            except FileNotFoundError:
                return None

    def objects(self, folder: Path, after: str | None = None) -> list[Stored]:
        """The objects in a folder and its folders, by name; after: only those whose name is greater."""
        import obstore

        prefix = self._key(folder)
        with self._answering():
            found = obstore.list(self._store, prefix, offset=None if after is None else f"{prefix}/{after}").collect()
        named = sorted((each["path"].removeprefix(f"{prefix}/"), each) for each in found)
        return [Stored(name, each["size"], each["last_modified"].timestamp()) for name, each in named]

    def folders(self, folder: Path) -> list[str]:
        """The names of a folder's folders, in order."""
        import obstore

        with self._answering():
            found = obstore.list_with_delimiter(self._store, self._key(folder))["common_prefixes"]
        return sorted(each.rstrip("/").rpartition("/")[2] for each in found)

    def read(self, path: Path) -> bytes:
        """The bytes of a small object. FileNotFoundError where there is none."""
        import obstore

        with self._answering():
            return bytes(obstore.get(self._store, self._key(path)).bytes())

    def read_all(self, paths: Sequence[Path]) -> list[bytes]:
        """The bytes of small objects, many at a time."""
        with ThreadPoolExecutor(_TRANSFERS) as pool:
            return list(pool.map(self.read, paths))

    def download(self, path: Path, target: Path) -> str:
        """Write an object's bytes to a file; their SHA-256. FileNotFoundError where there is no such object."""
        import obstore

        digest = hashlib.sha256()
        with self._answering(), target.open("wb") as file:
            for chunk in obstore.get(self._store, self._key(path)).stream(min_chunk_size=_CHUNK):
                data = bytes(chunk)
                digest.update(data)
                file.write(data)
        return digest.hexdigest()

    def reader(self, path: Path) -> RawIOBase:
        """An object, opened: only what is read of it is fetched. FileNotFoundError where there is no such object."""
        size = self.size(path)
        if size is None:
            raise FileNotFoundError(self.url_of(path))
        return _Opened(self, path, size)

    def read_range(self, path: Path, start: int, length: int) -> bytes:
        """Some bytes of an object. FileNotFoundError where there is none."""
        import obstore

        with self._answering():
            return bytes(obstore.get_range(self._store, self._key(path), start=start, length=length))

    def upload_as(self, file: Path, path: Path) -> None:
        """Put a file in the place of another path."""
        import obstore

        with self._answering():
            obstore.put(self._store, self._key(path), file)

    def upload(self, paths: Iterable[Path]) -> None:
        """Put copies in their places, many at a time. Only for names that nobody else gives."""
        with ThreadPoolExecutor(_TRANSFERS) as pool:
            for _ in pool.map(lambda path: self.upload_as(path, path), paths):
                pass

    def put_new(self, path: Path, content: bytes) -> bool:
        """Put an object where there is none yet; False where there is another one, which stays.

        A put whose answer was lost may be tried again and then finds its own bytes, which counts as success: the
        content must be that of no other writer.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        with self._answering():
            try:
                obstore.put(self._store, self._key(path), content, mode="create")
            except (AlreadyExistsError, PreconditionError):
                return self.read(path) == content
        return True

    def put_new_file(self, path: Path) -> bool:
        """Put a copy where there is no object yet; False where there is one, which stays."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        with self._answering():
            try:
                obstore.put(self._store, self._key(path), path, mode="create")
            except (AlreadyExistsError, PreconditionError):
                return False
        return True

    def remove(self, paths: Iterable[Path]) -> None:
        """Remove objects; those that are gone already are none the worse."""
        import obstore

        keys = [self._key(path) for path in paths]
        with self._answering():
            if keys:
                obstore.delete(self._store, keys)

    @property
    def delta_options(self) -> Mapping[str, str]:
        """What delta-rs needs besides the environment."""
        return {"allow_http": "true"} if _is_plain_http(self.url) else {}

    def _key(self, path: Path) -> str:
        key = path.absolute().relative_to(self.root).as_posix()
        return "" if key == "." else key

    @property
    def _store(self) -> ObjectStore:
        return _open_store(self.url, os.getpid(), tuple(os.environ.get(name) for name in _ENDPOINTS))

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """ServiceUnavailableError where the storage does not answer, or does not let this user in."""
        from obstore.exceptions import BaseError

        try:
            yield
        except BaseError as error:
            raise unanswered(self.url, error) from error


class _Opened(RawIOBase):
    """An object as a file that is read and never written."""

    def __init__(self, bucket: Bucket, path: Path, size: int) -> None:
        self._bucket, self._path, self._size, self._at = bucket, path, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        begin = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = begin + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        length = max(min(len(buffer), self._size - self._at), 0)
        if length:
            buffer[:length] = self._bucket.read_range(self._path, self._at, length)
            self._at += length
        return length


def bucket_of(path: Path) -> Bucket | None:
    """The place in object storage of which a path is a copy; None for what is local alone."""
    if not keeps_copies():
        return None
    settings = get_settings()
    if settings.bucket is None or not path.absolute().is_relative_to(settings.data):
        return None
    _claim(settings.data, settings.bucket)
    return Bucket(settings.bucket, settings.data)


def unanswered(url: str, error: Exception) -> ServiceUnavailableError:
    """The error for a storage that does not answer, in the words of the library."""
    said = str(error).partition("\n")[0].rstrip(". ")
    return ServiceUnavailableError(
        f"{url}: object storage does not do what is asked: {said}. Look at the credentials and the address in the "
        f"environment ({_NAMED.get(url[:2], 'docs/object-storage.md')}) and repeat the command: nothing half-written "
        f"can be seen."
    )


@lru_cache(maxsize=8)
def _claim(root: Path, url: str) -> None:
    """Note whose copies a folder has, before it has any: `Settings` refuses it for everything else."""
    root.mkdir(mode=0o750, parents=True, exist_ok=True)
    draft = root / f"{COPIES_OF}-{uuid4().hex}"
    draft.write_text(f"{url}\n", encoding="utf-8")
    draft.replace(root / COPIES_OF)  # for processes that begin at the same time


@lru_cache(maxsize=8)
def _open_store(url: str, _process: int, _environment: tuple[str | None, ...]) -> ObjectStore:
    try:
        from obstore.store import from_url
    except ModuleNotFoundError:
        raise UsageError(
            f"FEATURES_DATA={url}: object storage needs the extra `objects` (pip install 'feature-platform[objects]')."
        ) from None

    options: dict[str, Any] = {"client_options": {"allow_http": _is_plain_http(url)}, "retry_config": _FEW_TRIES}
    if url.startswith("s3://"):  # few services besides Amazon's own take many names in one request to delete
        options["config"] = {"aws_disable_bulk_delete": "true"}
    opened: ObjectStore = from_url(url, **options)
    return opened


def _is_plain_http(url: str) -> bool:
    """Whether the endpoint that somebody set is not encrypted, as on loopback."""
    return any((os.environ.get(name) or url).startswith("http://") for name in _ENDPOINTS)
