"""Finds the files behind a source's path, and the columns that their folders' names hold.

A path is literal as far as it exists. What follows is a pattern if it has a wildcard (`*`, `?`, `[…]`; `**` for folders
at any depth). So a file called `part-[0-9].parquet` is itself and nothing else. A folder means all Parquet files below
it, but those that a writer hides by `_` or `.`.

A folder called `day=2024-05-01` holds a column `day` where it lies below the source's own place, as do the folders of
all its files, and no file has a column of that name.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from urllib.parse import quote, unquote

from feast.types import Bool, FeastType, Float32, Float64, String

from transformations.engine.base.disk_faults import files_below
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.file_rows_sql import FolderColumn

_WILDCARDS = "*?["
_NULL = "__HIVE_DEFAULT_PARTITION__"
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True)
class FoundFiles:
    """A source's root folder, and its files, absolute and in order."""

    root: Path
    files: tuple[str, ...]

    @property
    def folders(self) -> dict[str, dict[str, str | None]]:
        """Per file, the columns in its folders' names, with their texts."""
        return {file: folder_values(self.root, file) for file in self.files}


def locate(name: str, path: Path) -> FoundFiles:
    """Find the files of a path. DataError if they belong to a table whose log or metadata decides which ones count."""
    if path.is_file():
        found = FoundFiles(path.parent, (str(path),))
    else:
        root, pattern = _literal_part(path)
        if root == path:
            paths: Iterable[Path] = (path for path in files_below(root) if path.suffix == ".parquet")
            is_hidden_named = False
        else:
            matches = glob.glob(f"{glob.escape(str(root))}/{pattern}", recursive=True) if pattern else []  # noqa: PTH207
            paths = (Path(match) for match in matches if Path(match).is_file())
            is_hidden_named = any(_is_hidden(part) for part in Path(pattern).parts)
        files = (each for each in paths if is_hidden_named or not any(map(_is_hidden, each.relative_to(root).parts)))
        found = FoundFiles(root, tuple(sorted(map(str, files))))
    for folder in _folders_of(found):
        _refuse_other_formats(name, path, folder)
    return found


def folder_values(root: Path, file: Path | str) -> dict[str, str | None]:
    """The columns in the names of the folders between a source's root and one of its files, with their texts."""
    parts = [part.partition("=") for part in Path(file).relative_to(root).parts[:-1] if "=" in part]
    return {unquote(key): None if text == _NULL else unquote(text) for key, _, text in parts}


def folder_name(key: str, value: object) -> str:
    """The folder name for rows with this value."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"{quote(key, safe=' ')}={_NULL if value is None else quote(text, safe=' :+,@')}"


def folder_columns(found: FoundFiles, dtypes: Mapping[str, FeastType]) -> dict[str, FolderColumn]:
    """The columns that the folder names of all files hold. dtypes: those that a view declares.

    Without a dtype, texts become whole numbers or days only if these give back the same texts.
    """
    folders = found.folders
    keys = dict.fromkeys(key for values in folders.values() for key in values)
    told = [key for key in keys if all(key in values for values in folders.values())]
    return {key: _folder_column({file: folders[file][key] for file in found.files}, dtypes.get(key)) for key in told}


def _folder_column(texts: Mapping[str, str | None], dtype: FeastType | None) -> FolderColumn:
    known = [text for text in texts.values() if text is not None]
    if dtype == String:
        return FolderColumn("VARCHAR", texts)
    if dtype == Bool and all(text in _BOOLEANS for text in known):
        return FolderColumn("BOOLEAN", {file: text and _BOOLEANS[text] for file, text in texts.items()})
    if dtype in (Float64, Float32) and all(_NUMBER.fullmatch(text) for text in known):
        return FolderColumn("DOUBLE", {file: text and float(text) for file, text in texts.items()})
    if all(_INTEGER.fullmatch(text) for text in known):
        return FolderColumn("BIGINT", {file: text and int(text) for file, text in texts.items()})
    if all(_is_day(text) for text in known):
        return FolderColumn("DATE", texts)
    return FolderColumn("VARCHAR", texts)


def _is_day(text: str) -> bool:
    try:
        return bool(_DAY.fullmatch(text) and date.fromisoformat(text))
    except ValueError:
        return False


def _literal_part(path: Path) -> tuple[Path, str]:
    """The existing folder at the start of a path, and the pattern after it; empty if no wildcard follows."""
    root = next(part for part in (path, *path.parents) if part.is_dir())
    rest = str(path.relative_to(root)) if root != path else ""
    return root, rest if any(mark in rest for mark in _WILDCARDS) else ""


def _is_hidden(part: str) -> bool:
    return part.startswith(".") or (part.startswith("_") and "=" not in part)


def _folders_of(found: FoundFiles) -> dict[Path, None]:
    """The folders of the files up to the source's root, and all folders above it."""
    below = (folder for file in found.files for folder in Path(file).parents if folder.is_relative_to(found.root))
    return dict.fromkeys([*below, found.root, *found.root.parents])


def _refuse_other_formats(name: str, path: Path, folder: Path) -> None:
    log, iceberg, hudi = folder / "_delta_log", folder / "metadata", folder / ".hoodie"
    if log.is_dir():
        raise DataError(
            f"{name}: {path} means files of the Delta table {folder}, whose log tells which of them count. "
            f"Give the table's own folder as the path."
        )
    if hudi.is_dir() or any(iceberg.glob("*.metadata.json")):
        kind = "Hudi" if hudi.is_dir() else "Iceberg"
        raise UsageError(
            f"{name}: {path} means files of the {kind} table {folder}, whose metadata tell which of them count; this "
            f"store cannot read those. Write its rows as Parquet files or as a Delta table."
        )
