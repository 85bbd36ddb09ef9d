"""What an error of the disk or of memory means to a person: which path, what is wrong with it, and what to do.

The libraries that touch files (Arrow, DuckDB, delta-rs, SQLite, Spark) each tell a full disk, a damaged file or a lack
of memory in words of their own, some without the path. Their errors are recognised here, once, for commands and callers
from Python alike.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import re
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from traceback import walk_tb
from typing import get_args

from transformations.engine.base import checksums
from transformations.engine.base.errors import DamagedError, DiskError, FeaturesError, LowMemoryError
from transformations.engine.base.settings import file_in_place_of, get_settings, keeps_copies

# The errors whose text is searched: any other may quote such words without being about our disk.
_LIBRARIES = frozenset(
    {"_duckdb", "duckdb", "_internal", "deltalake", "pyarrow", "py4j", "pyspark", "sqlite3", "sqlalchemy"}
)
_WORDS = {
    "no space left on device": errno.ENOSPC,
    "database or disk is full": errno.ENOSPC,
    "disk quota exceeded": errno.EDQUOT,
    "file too large": errno.EFBIG,
    "read-only file system": errno.EROFS,
    "permission denied": errno.EACCES,
    "operation not permitted": errno.EPERM,
    "input/output error": errno.EIO,
    "disk i/o error": errno.EIO,
    "not a directory": errno.ENOTDIR,
    "is a directory": errno.EISDIR,
    "points to a directory": errno.EISDIR,
    "too many open files": errno.EMFILE,
}
_NUMBERED = re.compile(r"os error (\d+)|\"errno\":\s*\"(\d+)\"|\[errno (\d+)\]", re.IGNORECASE)
_DAMAGED = re.compile(
    r"too small to be a Parquet file|No magic bytes found at end of file|magic bytes not found in footer|"
    r"Parquet file size is \d+ bytes|is not a Parquet file|Failed to read Parquet file|Parquet file .*corrupt|"
    r"deserialize thrift|TProtocolException|ZSTD Decompression failure|Unexpected end of (?:ZSTD )?stream|"
    r"Page was smaller|FAILED_READ_FILE|footer length"
)
_MISSING = re.compile(
    r"No files found that match the pattern|does not exist: file:|FileNotFoundException|FAILED_READ_FILE"
)
_READERS = frozenset({"_duckdb", "duckdb", "pyarrow", "py4j", "pyspark"})
_READERS_OWN = OSError | RuntimeError | UnicodeDecodeError
"""Python's own exceptions that readers raise as well."""
_READ: deque[str] = deque(maxlen=10_000)
_BYTES_TO_HASH = 8 * 2**30
"""A few seconds' worth."""
_VERIFYING_THREADS = 4
_OTHER_BYTES = "it does not hold the bytes that were written"
_QUOTED = re.compile(r"""["'](/[^"'\n]+)["']""")
_BARE = re.compile(r"(?:file:(?://)?|(?<![\w:/]))(/[^\s\"',;)]+)")
"""Neither the end of `disk I/O error`, nor an address such as https://…"""
_OUT_OF_MEMORY = re.compile(r"(?:Out of Memory Error|MemoryError)(?:: ?(.*))?$|^out of memory$", re.MULTILINE)
_JAVA_OUT_OF_MEMORY = re.compile(r"java\.lang\.OutOfMemoryError|GC overhead limit exceeded")
_WORKER_LOST = "Python worker exited unexpectedly"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DENIED = frozenset({errno.EACCES, errno.EPERM})
_NOT_A_FOLDER = frozenset({errno.ENOTDIR, errno.EEXIST})


def known_fault(error: BaseException, database: str | None = None) -> FeaturesError | None:
    """The error as ours, with path and remedy, if it comes from the disk, a damaged file or memory; else None.

    database: the SQLite file that is being read, which SQLite's errors do not name; by default the registry.
    DiskError where the disk is in the way, DamagedError where a stored file is damaged or missing, LowMemoryError where
    memory does not suffice.
    """
    for each in _causes_of(error):
        if isinstance(each, FeaturesError):
            return None
        if (
            isinstance(each, OSError | MemoryError | RuntimeError | UnicodeDecodeError)
            or type(each).__module__.partition(".")[0] in _LIBRARIES
        ):
            text = str(each)
            fault = (
                _of_memory(each, text)
                or _of_number(_error_number(each, text), _named_path(each, text) or _database_in(each, database))
                or changed_file_read(each)
                or _of_file(each, text)
                or _of_database(text, database or str(get_settings().registry_path))
            )
            if fault is not None:
                return fault
    return None


def note_reads(files: Iterable[str | Path]) -> None:
    """Have the files that are read now, and remember them: where the reader fails, one of them may be damaged."""
    read = list(map(str, files))
    _fetch(read)
    _READ.extend(read)


def verify_files(files: Iterable[str | Path]) -> None:
    """DamagedError for a file of a table that does not hold the bytes that were written; each is read once a process.

    For those that make something lasting of what they read: readers of Parquet take most flipped bits for other values.
    Files without a recorded checksum pass.
    """
    files = list(files)
    _fetch(files)
    stamps = [stamp for file in files if (stamp := _stamp_to_verify(Path(file))) is not None]
    if len(stamps) == 1:
        _verify_file(*stamps[0])
    elif stamps:
        with ThreadPoolExecutor(_VERIFYING_THREADS) as pool:  # hashing does not hold Python's lock
            for _ in pool.map(_verify_file, *zip(*stamps, strict=True)):
                pass


def verify_reads(files: Iterable[str | Path]) -> None:
    """`verify_files` for those that read to answer, which FEATURES_OFFLINE_VERIFY can spare."""
    if get_settings().offline_verify:
        verify_files(files)
    else:
        _fetch(files)


def _fetch(files: Iterable[str | Path]) -> None:
    """Have local copies of those that are in object storage."""
    if keeps_copies():
        from transformations.engine.base.files.copies import fetch

        fetch(files)


def _stamp_to_verify(file: Path) -> tuple[Path, str, int, int, int] | None:
    """A file, its recorded checksum, and what tells that it was changed since; None where nothing was recorded."""
    folder = _table_of(file)
    checksum = None if folder is None else checksums.recorded(folder).get(str(file.relative_to(folder)))
    if checksum is None or not file.is_file():
        return None
    facts = file.stat()
    return file, checksum, facts.st_ino, facts.st_size, facts.st_mtime_ns


@lru_cache(maxsize=65_536)
def _verify_file(file: Path, checksum: str, _inode: int, _size: int, _modified: int) -> None:
    if checksums.content_hash(file) != checksum:
        raise damaged(file, _OTHER_BYTES)


def _table_of(file: Path) -> Path | None:
    """The folder of the table or dataset that a file of ours belongs to."""
    data = get_settings().data
    return next((each for each in file.parents if each.parent.parent == data), None)


@contextmanager
def faults_in_words() -> Iterator[None]:
    """Raise errors of the disk or of memory as ours: within the context, or within a decorated function."""
    try:
        yield
    except Exception as error:
        if (fault := known_fault(error)) is not None:
            raise fault from error
        raise


def paths_in(folder: Path, pattern: str = "*") -> list[Path]:
    """What a folder holds under such names, sorted; nothing where there is no folder.

    `Path.glob` takes a folder that this user may not read for an empty one. OSError here, and DiskError for a file in
    the folder's place.
    """
    try:
        names = os.listdir(folder)  # noqa: PTH208  # names alone: paths of all of them would take longer
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        if folder.is_file():
            raise DiskError.not_a_folder(folder) from None
        return []
    return [folder / name for name in sorted(fnmatch.filter(names, pattern))]


def folders_in(zone: Path, pattern: str = "[!.]*") -> list[Path]:
    """The folders of a zone's tables, sorted; DiskError for a file in the place of one, which has no suffix.

    Of tables in object storage each has a folder, for its copies.
    """
    if get_settings().bucket is not None:
        from transformations.engine.base.files.copies import make_folders

        make_folders(zone)
    found = paths_in(zone, pattern)
    for path in found:
        if not path.suffix and path.is_file():
            raise DiskError.not_a_folder(path)
    return [path for path in found if path.is_dir()]


def files_below(folder: Path) -> list[Path]:
    """All files in a folder and its folders, hidden ones too, sorted; errors as `paths_in`."""
    if not folder.exists():
        return []
    found = os.walk(folder, onerror=_raise)  # `Path.rglob`, too, passes over what it may not read
    return sorted(path for root, _, names in found for path in (Path(root, name) for name in names) if path.is_file())


def _raise(error: OSError) -> None:
    raise error


def damaged(path: Path | str, what: str) -> DamagedError:
    """A file of a table or dataset that is there but cannot be what was written. what: as in `ends too early`."""
    settings = get_settings()
    if settings.bucket is not None and Path(path).is_relative_to(settings.data):
        return DamagedError(
            f"{path} is damaged: {what}. It is a copy of what is in {settings.bucket}: remove it (rm {path}) and "
            f"repeat the command, which fetches it again."
        )
    return DamagedError(
        f"{path} is damaged: {what}. Bring the file back from a copy, or undo what wrote it (docs/operations.md, "
        f"`Damaged files`). `features doctor --deep` checks every file."
    )


def missing(path: Path | str) -> DamagedError:
    """A file that a published version refers to and that is gone."""
    return DamagedError(
        f"{path} is missing, yet a published version refers to it. Bring the file back from a copy, or undo what wrote "
        f"it (docs/operations.md, `Damaged files`). `features doctor --deep` checks every file."
    )


def changed_file_read(error: BaseException) -> DamagedError | None:
    """A file among those last read that does not hold the bytes that were written.

    Readers describe a flipped bit in countless ways, most without a path, so the checksums decide.
    """
    is_readers = _package(error) in _READERS or type(error) in get_args(_READERS_OWN)
    if not is_readers or getattr(error, "errno", None) is not None:
        return None
    left = _BYTES_TO_HASH
    for file in (Path(path) for path in reversed(tuple(_READ))):
        folder = _table_of(file)
        if folder is None or not file.is_file():
            continue
        left -= file.stat().st_size
        if left < 0:
            break
        if checksums.recorded(folder).get(str(file.relative_to(folder))) not in (None, checksums.content_hash(file)):
            return damaged(file, _OTHER_BYTES)
    return None


def _of_memory(error: BaseException, text: str) -> LowMemoryError | None:
    if _JAVA_OUT_OF_MEMORY.search(text):
        return LowMemoryError(
            f"Spark's driver needs more memory than FEATURES_SPARK_DRIVER_MEMORY={get_settings().spark_driver_memory} "
            f"gives it. Raise that, or build fewer days at a time. Nothing was published."
        )
    if _WORKER_LOST in text:
        return LowMemoryError(
            "a worker of Spark was stopped from outside, as the system does when memory runs out (see `dmesg`). Free "
            "memory, or use fewer workers at a time: FEATURES_SPARK_MASTER='local[1]'. Nothing was published."
        )
    if _is_of_lost_java(error):
        return LowMemoryError(
            f"Spark's Java has ended in the middle of its work: it crashed or was stopped from outside, as the system "
            f"does when memory runs out (see `dmesg`). Nothing was published: repeat the command. If it happens again, "
            f"free memory, or lower FEATURES_SPARK_DRIVER_MEMORY={get_settings().spark_driver_memory}."
        )
    found = _OUT_OF_MEMORY.search(text)
    if found is None and not isinstance(error, MemoryError):
        return None
    (what, *_) = ((found[1] if found else text) or "memory is exhausted").splitlines()
    return LowMemoryError(
        f"this needs more memory than there is: {what.rstrip('.')}. Free memory, use a machine with more, or do it in "
        f"smaller parts: a delivery in several files, a load view by view (`--views`), a build of fewer days (`--to`). "
        f"Nothing half-done can be seen."
    )


def _is_of_lost_java(error: BaseException) -> bool:
    """Whether an error is that Spark's Java no longer answers, for which py4j mostly raises Python's own errors."""
    if type(error).__name__ == "Py4JNetworkError":
        return True
    frames = walk_tb(error.__traceback__) if isinstance(error, ConnectionError) else ()
    return any(frame.f_globals.get("__name__", "").startswith("py4j.") for frame, _ in frames)


def _of_number(number: int | None, path: str | None) -> FeaturesError | None:
    where = path or f"{get_settings().data}, or the temporary folder"
    if number in _FULL:
        return DiskError(
            f"{where}: the disk is full. Free some space there, or set FEATURES_DATA to a folder on a larger disk, and "
            f"repeat the command: nothing half-written can be seen, and `features vacuum` removes what was left."
        )
    if number == errno.EROFS:
        return DiskError(
            f"{where}: the disk is mounted read-only. Commands that only read work on; to write, mount it for writing "
            f"(after an error of the disk the system does this by itself: see `dmesg`), or set FEATURES_DATA."
        )
    if number in _DENIED:
        return DiskError(
            f"{where}: permission denied. Give this user the right (`ls -ld` shows who has it), or set FEATURES_DATA "
            f"to a folder of its own."
        )
    if number == errno.EIO:
        return DiskError(
            f"{where}: the disk fails to read or write (see `dmesg`). Move the data to another disk, then let "
            f"`features doctor --deep` check every file."
        )
    if number == errno.EMFILE:
        return DiskError(f"{where}: too many open files. Raise the limit (`ulimit -n`) and repeat the command.")
    if number in _NOT_A_FOLDER and path is not None:
        file = file_in_place_of(Path(path))
        return None if file is None else DiskError.not_a_folder(file)
    if number == errno.EISDIR and path is not None:
        return DiskError.not_a_file(path)
    return None


def _of_file(error: BaseException, text: str) -> FeaturesError | None:
    path = _named_path(error, text)
    if path is None:
        return None
    is_stored = Path(path).is_relative_to(get_settings().data)
    if is_stored and not Path(path).exists() and (isinstance(error, FileNotFoundError) or _MISSING.search(text)):
        return missing(path)
    return damaged(path, "it cannot be read as Parquet") if _DAMAGED.search(text) else None


def _of_database(text: str, where: str) -> FeaturesError | None:
    if "readonly database" in text:
        return DiskError(
            f"{where} cannot be written. Commands that only read work on; to write, give this user the right to write "
            f"it, its folder and the files beside it whose names begin alike (`ls -la`), or mount the disk for writing."
        )
    if "file is not a database" in text or "disk image is malformed" in text:
        anew = (
            "move it away and repeat the command, which makes a new one"
            if Path(where).parent == get_settings().mlflow_dir
            else "move it away, run `feast apply` and load again (`feast materialize START END`)"
        )
        return DamagedError(
            f"{where} is damaged: it is no SQLite database any more. Bring it back from a copy; without one, {anew}."
        )
    if "unable to open database file" in text:
        return DiskError(
            f"{where} cannot be opened. It must be a file in a folder that this user may write, and the disk must have "
            f"space: see `ls -ld`."
        )
    if "database is locked" in text:
        return DiskError(f"{where}: another process holds the registry. Repeat the command when that one is done.")
    return None


def _database_in(error: BaseException, database: str | None) -> str | None:
    """The SQLite file, where the error is SQLite's."""
    return database if _package(error) in ("sqlite3", "sqlalchemy") else None


def _package(error: BaseException) -> str:
    return type(error).__module__.partition(".")[0]


def _error_number(error: BaseException, text: str) -> int | None:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    if found := _NUMBERED.search(text):
        return int(next(number for number in found.groups() if number))
    words = text.lower()
    return next((number for word, number in _WORDS.items() if word in words), None)


def _named_path(error: BaseException, text: str) -> str | None:
    if isinstance(error, OSError) and isinstance(error.filename, str):
        return error.filename
    found = _QUOTED.search(text) or _BARE.search(text)
    return found[1].removeprefix("//") if found else None


def _causes_of(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came from, outermost first."""
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        following = following.__cause__ or following.__context__
