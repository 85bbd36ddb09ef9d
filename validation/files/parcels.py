"""The files of one delivery, which become one drop or nothing: a file, a list of files, or a folder.

    exports/2020-02-01/          one drop of two files; `_SUCCESS` is passed over, and counted
      part-0.parquet
      part-1.parquet
      _SUCCESS
    exports/clicks/day=2020-02-01/part-0.parquet     where the contract says folderColumns: [day]

All of a folder's files are part of the delivery. So a file that cannot be read, a subfolder that the contract does
not declare, and a link that leads out of the folder are refused by name. Names that begin with . or _ are other
programs' notes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from urllib.parse import unquote

from transformations.contracts import FileForm
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.storage import content_hash
from transformations.engine.base.words import plural
from validation.files.file_kinds import refuse_other_than_file

FileStamp: TypeAlias = tuple[int, int, int, int]
_UNFINISHED = "_temporary"  # where Spark keeps what it is still writing
_NULL_FOLDER = "__HIVE_DEFAULT_PARTITION__"  # what Hive and Spark call the folder of a null


@dataclass(frozen=True)
class ParcelFile:
    """One file: its path, its name within the delivery, and what the folders above it say of its rows.

    stamp: what tells that it is still as it was when the delivery was opened.
    """

    path: Path
    name: str
    folder_values: tuple[str | None, ...] = ()
    stamp: FileStamp | None = None


@dataclass(frozen=True)
class Parcel:
    """The files of one delivery, by name. passed_over: files that are no part of it, such as `_SUCCESS`."""

    name: str
    files: tuple[ParcelFile, ...]
    passed_over: int = 0

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(file.path.stat().st_size for file in self.files)

    def refuse_changed(self) -> None:
        """DataError for a file that was written to, replaced or removed since the delivery was opened.

        It is read several times: what was checked, hashed and stored would be three different things.
        """
        for file in self.files:
            if file.stamp is not None and _stamp(file.path) != file.stamp:
                raise DataError(
                    f"{file.name} changed while it was read, so nothing of it was written. Deliver it again once it is "
                    f"whole; whoever writes it should write it elsewhere and move it here at the end."
                )

    def content_hash(self, hashes: Mapping[str, str] | None = None) -> str:
        """The file's own hash; of several, one of their names and hashes, whatever order they were given in.

        hashes: by name, where the caller has them from `file_hashes` already.
        """
        found = self.file_hashes() if hashes is None else hashes
        if len(found) == 1:
            return next(iter(found.values()))
        return hashlib.sha256("".join(f"{name}\n{content}\n" for name, content in found.items()).encode()).hexdigest()

    def file_hashes(self) -> dict[str, str]:
        """The hash of each file, by its name."""
        return {file.name: content_hash(file.path) for file in self.files}


def open_parcel(paths: Path | Sequence[Path], form: FileForm) -> Parcel:
    """The delivery at a path, or of several files; UsageError for what is no file, DataError for a folder's faults."""
    given = (paths,) if isinstance(paths, Path) else tuple(paths)
    if len(given) == 1 and given[0].is_dir():
        return _folder(given[0], form)
    if form.folder_columns:
        raise UsageError(
            f"{given[0]}: the contract reads {', '.join(form.folder_columns)} from the names of folders "
            f"(folderColumns). Give the folder above them."
        )
    for path in given:
        if path.is_dir():
            raise UsageError(f"{path} is a folder among files. Give a folder alone, or files alone.")
        refuse_other_than_file(path)
    if len(given) == 1:
        return Parcel(given[0].name, (_file(given[0], given[0].name),))
    return _list(given)


def _file(path: Path, name: str, values: tuple[str | None, ...] = ()) -> ParcelFile:
    return ParcelFile(path, name, values, _stamp(path))


def _stamp(path: Path) -> FileStamp | None:
    """Which file it is, how long, and when it was last written to and changed; None where it is gone."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _list(paths: Sequence[Path]) -> Parcel:
    if len({path.resolve() for path in paths}) < len(paths):
        raise UsageError("a file is given twice. Give each once: its rows would be in the drop twice.")
    names = [path.name for path in paths]
    is_unique = len(set(names)) == len(names)
    files = [_file(path, path.name if is_unique else str(path)) for path in paths]
    files.sort(key=lambda file: file.name)
    return Parcel(f"{files[0].name} and {plural(len(files) - 1, 'more file', 'more files')}", tuple(files))


def _folder(folder: Path, form: FileForm) -> Parcel:
    if (folder / _UNFINISHED).exists():
        raise DataError(f"{folder.name}/ is still being written ({_UNFINISHED} is there). Wait, then ingest it.")
    found = list(_below(folder, folder, form.folder_columns, ()))
    files = sorted((file for file in found if file is not None), key=lambda file: file.name)
    if not files:
        raise DataError(f"{folder.name}/ has no file to read. Deliver the files, or say --complete-through alone.")
    return Parcel(f"{folder.resolve().name}/", tuple(files), len(found) - len(files))


def _below(
    top: Path, folder: Path, columns: Sequence[str], values: tuple[str | None, ...]
) -> Iterator[ParcelFile | None]:
    """The files below a folder; None for each that is passed over. columns: those that folders have yet to name."""
    for path in sorted(folder.iterdir()):
        name = path.relative_to(top).as_posix()
        if path.name.startswith((".", "_")):
            yield None
            continue
        if path.is_symlink() and not path.resolve().is_relative_to(top.resolve()):
            raise DataError(f"{name} of {top.name}/ is a link that leads out of the folder. Deliver the file itself.")
        if path.is_dir():
            if path.is_symlink():
                raise DataError(f"{name} of {top.name}/ is a link to a folder. Deliver the files themselves.")
            yield from _below(top, path, columns[1:], (*values, _folder_value(top, path, columns)))
        elif columns:
            raise DataError(
                f"{name} of {top.name}/ is in no folder {columns[0]}=…, from whose name the contract reads "
                f"{columns[0]!r} (folderColumns). Deliver it there."
            )
        else:
            try:
                refuse_other_than_file(path)
            except UsageError as error:
                raise DataError(f"{top.name}/: {error.message}") from None
            yield _file(path, name, values)


def _folder_value(top: Path, folder: Path, columns: Sequence[str]) -> str | None:
    name = folder.relative_to(top).as_posix()
    key, sign, value = folder.name.partition("=")
    if not columns:
        remedy = f"name it in folderColumns ([{key}])" if sign else "ingest each folder as a drop of its own"
        raise DataError(
            f"{top.name}/ has a folder {name}, of which the contract says nothing. Move its files up, or {remedy}."
        )
    if not sign or unquote(key) != columns[0]:
        raise DataError(
            f"{top.name}/ has a folder {name} where one named {columns[0]}=… belongs (folderColumns of the contract)."
        )
    return None if value == _NULL_FOLDER else unquote(value)
