"""A feature view's history: the files of its source at one published version, and their columns."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from feast import FeatureView
from feast.data_source import DataSource
from feast.types import FeastType

from transformations.engine.base import delta_protocol, storage
from transformations.engine.base.disk_faults import note_reads, verify_reads
from transformations.engine.base.errors import DataError, UsageError, nearest
from transformations.engine.base.file_rows_sql import FolderColumn, Scan, scan
from transformations.engine.base.files.published import bring_all, pull
from transformations.engine.base.settings import get_settings
from transformations.engine.tables.offline_tables import OfflineTable, Run
from transformations.stores.base.errors import MissingKeyColumnError, UnreadFilesError
from transformations.stores.base.source_paths import event_source, path_of, stored_names
from transformations.stores.base.transformed import refuse_transformed
from transformations.stores.base.views import DEFINITION_HASH, feature_hashes_of
from transformations.stores.history.file_types import (
    check_has_column,
    check_moments,
    check_read_as_meant,
    check_together,
    schemas_of,
)
from transformations.stores.history.source_files import FoundFiles, folder_columns, locate

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from duckdb import DuckDBPyConnection


@dataclass(frozen=True, kw_only=True)
class History:
    """A source's files, pinned to what was published when this was made; error messages call it by `name`.

    renamed: the view's column names mapped to the files', where they differ. version: of the Delta table; None for
    plain files. folder_columns: columns that only folder names hold, such as `day` in `day=2020-01-01`, by the files'
    names. complete_until: the event timestamp up to which a built table is complete; None for other sources, which do
    not record it. is_built: whether a build wrote the files, so that all have the same columns and types. changed: the
    newest version that changed a built table's rows; those after it only merged files. folder: of a Delta table.
    """

    name: str
    files: tuple[str, ...]
    timestamp: str
    created: str | None
    renamed: Mapping[str, str]
    version: int | None = None
    folder_columns: Mapping[str, FolderColumn] = field(default_factory=dict)
    complete_until: datetime | None = None
    is_built: bool = False
    changed: int | None = None
    folder: Path | None = None

    def has_rows_of(self, version: int | None) -> bool:
        """Whether its rows are those of that version of its table."""
        if self.version is None or version is None:
            return False
        return (self.version if self.changed is None else self.changed) <= version <= self.version

    def column(self, name: str) -> str:
        """The column in the files behind a name that the view uses."""
        return self.renamed.get(name, name)

    def scan(
        self,
        connection: DuckDBPyConnection,
        wanted: Sequence[str],
        *,
        keys: Collection[str] = (),
        is_verified: bool = False,
    ) -> Scan:
        """The files' rows as a relation. keys: those of the wanted columns that hold join keys.

        is_verified: whether the caller has verified what it reads of them. DamagedError for a file that does not hold
        the bytes that were written. DataError if the files lack a wanted column, or cannot give its values exactly.
        """
        if is_verified:
            note_reads(self.files)  # all at once, where they are fetched
        else:
            verify_reads(self.files)
        if not self.is_built:
            schemas = schemas_of(self.name, self.files)
            check_read_as_meant(self.name, schemas, wanted)
            check_together(self.name, schemas, wanted)
            if self.column(self.timestamp) not in self.folder_columns:
                check_has_column(self.name, schemas, self.column(self.timestamp))
            for moment in filter(None, (self.timestamp, self.created)):
                check_moments(self.name, schemas, self.column(moment))
        rows = scan(connection, self.files, self.folder_columns)
        for name in wanted:
            if name not in rows.types:
                remedy = "Build the table again (`features build`)" if self.is_built else "Write it into the files"
                known = nearest(name, rows.types)
                kind = MissingKeyColumnError if name in keys else DataError
                raise kind(f"{self.name}: its files have no column {name!r}: {known}. {remedy}, or correct the view.")
        self._check_moments(rows.types)
        return rows

    def _check_moments(self, types: Mapping[str, str]) -> None:
        """DataError for text where a row's moment belongs: DuckDB reads `epoch`, and takes `EST` for a zone."""
        for name in (self.timestamp, self.created):
            kind = types.get(self.column(name)) if name else None
            if kind and not kind.startswith(("TIMESTAMP", "DATE")):
                raise DataError(
                    f"{self.name}: its files hold {kind} in {self.column(name or '')!r}, the moment of each row. "
                    f"Write that column as timestamps."
                )


def history_of(
    view: FeatureView,
    repo_path: Path | str | None,
    version: int | None = None,
    features: Collection[str] | None = None,
) -> History:
    """A view's history, pinned now: later runs do not show in it. version: of its table; by default the newest.

    features: those that will be read; by default all. DataError if nothing has been published yet, if there is no such
    version, or if its definition gives one of these features other values than the applied definition does;
    DefinitionError for a view that transforms its source's rows.
    """
    refuse_transformed(view)
    source = event_source(view)
    path = path_of(view.name, source, repo_path)
    if DEFINITION_HASH in view.tags:
        table = OfflineTable(path)
        published = table.latest() if version is None else table.at(version)
        if published is None:
            raise DataError(f"{view.name}: nothing has been built in {path} yet. Run `features build`.")
        if published.run.definition_hash != view.tags[DEFINITION_HASH]:
            _refuse_changed(view, published.run, version, features)
        history = _make_history(view.name, source, published.files, published.version)
        return replace(
            history,
            complete_until=published.run.complete_until,
            is_built=True,
            changed=published.run.version,
            folder=path.absolute(),
        )
    dtypes = {field.name: field.dtype for field in (*view.entity_columns, *view.features)}
    return source_history(view.name, source, repo_path, version, dtypes)


def _refuse_changed(view: FeatureView, run: Run, version: int | None, features: Collection[str] | None) -> None:
    """DataError for a table built from another definition, unless all wanted features have equal hashes in both."""
    applied, built = feature_hashes_of(view), run.feature_hashes
    names = features if features is not None and applied and built else None
    if view.ttl and applied != built:  # a row's age follows from all features: a change of any of them writes one
        names = None
    changed = [name for name in names or () if name not in applied or built.get(name) != applied[name]]
    if names is not None and not changed:
        return
    what = "its table" if version is None else f"version {version} of its table"
    remedy = "Run `features build` and `feast apply`, so that both are of the same."
    if version is not None:
        remedy = "Ask for a version of that definition (`features runs` lists them), or `feast apply` the code of this."
    if changed:
        remedy = f"Not the same in both: {', '.join(changed)}; the other features can be read. {remedy}"
    raise DataError(
        f"{view.name}: {what} was built from definition {run.definition_hash}, the applied view is of "
        f"{view.tags[DEFINITION_HASH]}. {remedy}"
    )


def source_history(
    name: str,
    source: DataSource,
    repo_path: Path | str | None,
    version: int | None = None,
    dtypes: Mapping[str, FeastType] | None = None,
) -> History:
    """A source's history: a Delta table at a version (by default the newest), a Parquet file, or a folder or pattern
    of Parquet files. dtypes: the columns' dtypes as a view declares them.
    """
    path = path_of(name, source, repo_path)
    if storage.is_table(path):
        table = _open_table(name, path, version)
        files = [str(path / file) for file in storage.file_paths(table)]
        columns = delta_protocol.partition_columns(table, files)
        history = _make_history(name, source, sorted(files), table.version(), columns)
        return replace(history, folder=path)
    if version is not None:
        raise UsageError(
            f"{name}: version {version} is asked for, but {path} is no Delta table, so it has no versions. "
            f"Leave {name} out of table_versions."
        )
    found = _locate_files(name, path)
    return _make_history(
        name, source, found.files, None, folder_columns(found, _dtypes_by_column(source, dtypes or {}))
    )


def source_schema(name: str, source: DataSource, repo_path: Path | str | None) -> pa.Schema:
    """A source's columns and their types, read from its last file or its Delta log."""
    path = path_of(name, source, repo_path)
    if storage.is_table(path):
        return pa.schema(_open_table(name, path, None).schema().to_arrow())
    found = _locate_files(name, path)
    schema = pq.read_schema(found.files[-1]).remove_metadata()
    for column, told in folder_columns(found, {}).items():
        if column not in schema.names:
            schema = schema.append(pa.field(column, pa.int64() if told.sql_type == "BIGINT" else pa.string()))
    return schema


def _open_table(name: str, path: Path, version: int | None) -> DeltaTable:
    newest = _open_readable(name, path)
    if version is None or version == newest.version():
        return newest
    if not 0 <= version <= newest.version():
        raise DataError(f"{name}: the table {path} has no version {version}; it has versions 0 to {newest.version()}.")
    return _open_readable(name, path, version)


def _open_readable(name: str, path: Path, version: int | None = None) -> DeltaTable:
    from deltalake.exceptions import DeltaError

    try:
        table = storage.open_table(path, version)
    except DeltaError as error:
        raise UnreadFilesError(delta_protocol.unreadable(name, error).message) from error
    delta_protocol.check_readable(table, name)
    return table


def _locate_files(name: str, path: Path) -> FoundFiles:
    datasets, predictions = get_settings().datasets_dir, get_settings().predictions_dir
    if path.is_relative_to(datasets) and path != datasets:
        pull(datasets / path.relative_to(datasets).parts[0])
    elif path.is_relative_to(predictions):
        bring_all(path)
    found = locate(name, path)
    if not found.files:
        raise UnreadFilesError(
            f"{name}: there is no Parquet file at {path}. Correct the source's path, or write the file first."
        )
    return found


def _dtypes_by_column(source: DataSource, dtypes: Mapping[str, FeastType]) -> dict[str, FeastType]:
    """The declared dtypes, by the files' column names."""
    stored = stored_names(source)
    return {stored.get(name, name): dtype for name, dtype in dtypes.items()}


def _make_history(
    name: str,
    source: DataSource,
    files: Sequence[str],
    version: int | None,
    folder_columns: Mapping[str, FolderColumn] | None = None,
) -> History:
    return History(
        name=name,
        files=tuple(files),
        timestamp=source.timestamp_field or "",
        created=source.created_timestamp_column or None,
        renamed=stored_names(source),
        version=version,
        folder_columns=folder_columns or {},
    )
