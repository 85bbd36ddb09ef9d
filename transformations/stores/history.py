"""Where a feature view's history lies: the files of its source, pinned to one published version, and the columns they
hold.
"""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse

import pyarrow as pa
import pyarrow.parquet as pq
from feast import FeatureView, FileSource
from feast.data_source import DataSource

from transformations.engine import storage
from transformations.engine.duck import literal
from transformations.engine.errors import DataError, UsageError, nearest
from transformations.engine.offline_tables import OfflineTable
from transformations.stores.views import DEFINITION_HASH

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from duckdb import DuckDBPyConnection


@dataclass(frozen=True)
class History:
    """The rows of one source as they were published when this was made; `name` is what error messages call it.

    renamed: from the names that the view uses to the names in the files, where they differ. version: of the Delta log,
    None for plain files. is_hive: whether folders such as `day=2020-01-01` hold columns. complete_until: the event
    timestamp up to which a built table is complete; None of other sources, which do not tell.
    """

    name: str
    files: tuple[str, ...]
    timestamp: str
    created: str | None
    renamed: Mapping[str, str]
    version: int | None = None
    is_hive: bool = False
    complete_until: datetime | None = None

    @property
    def relation(self) -> str:
        """A FROM item over the files; a column that one of them lacks is null there."""
        paths = ",\n        ".join(literal(file) for file in self.files)
        return (
            f"read_parquet([\n        {paths}\n    ], union_by_name = true, "
            f"hive_partitioning = {str(self.is_hive).lower()})"
        )

    @cached_property
    def rows(self) -> int:
        """How many rows all files hold, by their footers."""
        return sum(pq.read_metadata(file).num_rows for file in self.files)

    def column(self, name: str) -> str:
        """The column in the files behind a name that the view uses."""
        return self.renamed.get(name, name)

    def columns(self, connection: DuckDBPyConnection, wanted: Sequence[str]) -> dict[str, str]:
        """The SQL types of the wanted columns; DataError, naming the nearest, where the files lack one."""
        rows = connection.execute(f"DESCRIBE SELECT * FROM {self.relation}").fetchall()
        types = {str(row[0]): str(row[1]) for row in rows}
        for name in wanted:
            if name not in types:
                raise DataError(
                    f"{self.name}: its files have no column {name!r}: {nearest(name, types)}. "
                    f"Build the table again (`features build`), or correct the view."
                )
        return {name: types[name] for name in wanted}


def history_of(view: FeatureView, repo_path: Path | str | None, version: int | None = None) -> History:
    """The history of a view, pinned now: later runs do not show in it. version: of its table; by default the newest.

    DataError where nothing has been published yet, where there is no such version, or where it was built from another
    definition than the applied one.
    """
    source = view.batch_source
    if source is None or not source.timestamp_field:
        raise UsageError(
            f"feature view {view.name}: its source names no timestamp_field. Name the column of the event time."
        )
    path = path_of(view.name, source, repo_path)
    if DEFINITION_HASH in view.tags:
        table = OfflineTable(path)
        published = table.latest() if version is None else table.at(version)
        if published is None:
            raise DataError(f"{view.name}: nothing has been built in {path} yet. Run `features build`.")
        built, applied = published.run.definition_hash, view.tags[DEFINITION_HASH]
        if built != applied:
            what = "its table" if version is None else f"version {version} of its table"
            remedy = "Run `features build` and `feast apply`, so that both are of the same."
            if version is not None:
                remedy = "Ask for a version of that definition (`features runs` lists them), or apply the older code."
            raise DataError(
                f"{view.name}: {what} was built from definition {built}, the applied view is of {applied}. {remedy}"
            )
        history = _history(view.name, source, published.files, published.version)
        return replace(history, complete_until=published.run.complete_until)
    return source_history(view.name, source, repo_path, version)


def source_history(name: str, source: DataSource, repo_path: Path | str | None, version: int | None = None) -> History:
    """The history of a source: a Delta table (at its newest version or a given one), a Parquet file, a folder or a
    glob of them.
    """
    path = path_of(name, source, repo_path)
    if storage.is_table(path):
        table = _open_table(name, path, version)
        is_hive = bool(table.metadata().partition_columns)
        return _history(
            name,
            source,
            tuple(sorted(str(path / file) for file in storage.file_paths(table))),
            table.version(),
            is_hive,
        )
    if version is not None:
        raise UsageError(
            f"{name}: version {version} is asked for, but {path} is no Delta table, so it has no versions. "
            f"Leave {name} out of table_versions."
        )
    files = _parquet_files(path)
    if not files:
        raise DataError(
            f"{name}: there is no Parquet file at {path}. Correct the source's path, or write the file first."
        )
    return _history(name, source, files, None, any(hive_columns(path, file) for file in files))


def hive_columns(path: Path, file: Path | str) -> dict[str, str]:
    """The columns that the folders between a source's place and one of its files tell, such as `day=2020-01-01`."""
    folders = Path(file).relative_to(_root(path)).parts[:-1]
    return dict(part.split("=", 1) for part in folders if "=" in part)


def source_schema(name: str, source: DataSource, repo_path: Path | str | None) -> pa.Schema:
    """The columns of a source and their types, as its newest file or its Delta log tells them."""
    path = path_of(name, source, repo_path)
    if storage.is_table(path):
        return pa.schema(storage.open_table(path).schema().to_arrow())
    last = source_history(name, source, repo_path).files[-1]
    schema = pq.read_schema(last).remove_metadata()
    for column, value in hive_columns(path, last).items():
        schema = schema.append(pa.field(column, pa.int64() if value.isdecimal() else pa.string()))
    return schema


def _open_table(name: str, path: Path, version: int | None) -> DeltaTable:
    newest = storage.open_table(path)
    if version is None or version == newest.version():
        return newest
    if not 0 <= version <= newest.version():
        raise DataError(f"{name}: the table {path} has no version {version}; it has versions 0 to {newest.version()}.")
    return storage.open_table(path, version)


def _history(
    name: str, source: DataSource, files: Sequence[str], version: int | None, is_hive: bool = False
) -> History:
    renamed = {new: old for old, new in (source.field_mapping or {}).items()}
    created = source.created_timestamp_column or None
    return History(name, tuple(files), source.timestamp_field or "", created, renamed, version, is_hive)


def path_of(name: str, source: DataSource, repo_path: Path | str | None) -> Path:
    """Where a source's files lie: a file, a folder or a pattern; UsageError where that is no place of local files."""
    if not isinstance(source, FileSource):
        raise UsageError(
            f"{name}: its source is a {type(source).__name__}; this offline store reads files. Use a FileSource."
        )
    uri = FileSource.get_uri_for_file_path(repo_path, source.path)
    parsed = urlparse(uri)
    if parsed.scheme and parsed.netloc:
        raise UsageError(
            f"{name}: {uri} is remote; this offline store reads local files. Copy them, or mount the place."
        )
    return Path(uri)


def _parquet_files(path: Path) -> tuple[str, ...]:
    if path.is_file():
        return (str(path),)
    if path.is_dir():
        return tuple(sorted(str(file) for file in path.rglob("*.parquet")))
    return tuple(sorted(glob.glob(str(path), recursive=True)))  # noqa: PTH207  # Path.glob takes no absolute pattern


def _root(path: Path) -> Path:
    """The longest part of a path without wildcards."""
    fixed = [part for part in (path, *path.parents) if not any(mark in str(part) for mark in "*?[")]
    return fixed[0].parent if fixed[0].is_file() else fixed[0]
