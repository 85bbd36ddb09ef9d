"""Reads the rows that a materialization considers: from files by our own SQL, or by another offline store's pull."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureView, RepoConfig
from feast.infra.offline_stores.offline_store import OfflineStore

from transformations.engine.base.disk_faults import verify_files
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.moments import EPOCH, MICROSECOND
from transformations.engine.merging.data_changes import DataChanges, changes_since
from transformations.stores.base.join_keys import key_names
from transformations.stores.base.source_paths import event_source, stored_names
from transformations.stores.history.history import History, history_of
from transformations.stores.history.point_in_time_sql import Join
from transformations.stores.history.session_sql import resources_of, session
from transformations.stores.history.stored import Stored
from transformations.stores.loads import newest_sql as sql
from transformations.stores.loads.newest import find_newest, note_touched
from transformations.stores.loads.scope import Scope, Since, plain_files
from transformations.stores.redis.loaded import Loaded

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Batches: TypeAlias = tuple[int, Iterable[pa.RecordBatch]]
"""The number of rows, and the rows in batches."""

_ROWS_A_BATCH = 16_384


@dataclass(frozen=True)
class FileRows:
    """The rows of a view over files, at the version published now."""

    view: FeatureView
    config: RepoConfig

    @cached_property
    def history(self) -> History:
        """The view's history; DataError if there is none, or it has another definition."""
        return history_of(self.view, self.config.repo_path)

    @cached_property
    def _changes(self) -> dict[int, DataChanges | None]:
        """What changed since versions that were asked about."""
        return {}

    @contextmanager
    def batches(self, scope: Scope, start: datetime, end: datetime, columns: Sequence[str]) -> Iterator[Batches]:
        """The newest row, not later than `end`, of each key in scope."""
        if not self.history.files:
            yield 0, ()
            return
        verify_files(self.history.files if scope.all else scope.new_files)
        stored = Stored(self.view, self.history, tuple(feature.name for feature in self.view.features))
        with session(resources_of(self.config), keeps_order=False) as connection:
            scan = stored.scan(connection, is_verified=True)  # older files were, by the loads that first read them
            join = stored.join(scan, {key: f"key_{number}" for number, key in enumerate(stored.keys)})
            only_touched = not scope.all and _has_earlier(connection, join, start)
            if only_touched:
                before_start = max(start, EPOCH) - MICROSECOND
                after = before_start if scope.after is None else min(before_start, scope.after)
                join = note_touched(connection, scan, join, scope.new_files, after, end)
            total = find_newest(connection, scan, join, end, only_touched)
            yield total, connection.sql(sql.rows_at(join, columns)).to_arrow_reader(_ROWS_A_BATCH) if total else ()

    def since(self, cursor: Loaded) -> Since | None:
        """What happened to the source since a load; None where plain files have changed or the log does not tell."""
        history = self.history
        if history.version is None or history.folder is None:
            now = plain_files(history)
            if cursor.version is not None or any(now.get(path) != facts for path, facts in cursor.files.items()):
                return None
            return Since(tuple(cursor.files), _without(history.files, cursor.files), keeps_rows=True)
        if cursor.version is None or cursor.version > history.version:
            return None
        if cursor.version == history.version:
            return Since(history.files, (), keeps_rows=True)
        if cursor.version not in self._changes:
            files = (Path(file).relative_to(history.folder).as_posix() for file in history.files)
            self._changes[cursor.version] = changes_since(history.folder, cursor.version, history.version, files)
        changes = self._changes[cursor.version]
        if changes is None:  # another writer cleaned its log up
            return self._since_files_of(cursor)
        before, added = (
            tuple(str(history.folder / path) for path in paths) for paths in (changes.before, changes.added)
        )
        if history.folder_columns and not set(added) <= set(history.files):  # merged: their folders' values are gone
            return Since(before, history.files, changes.keeps_rows)
        return Since(before, added, changes.keeps_rows)

    def _since_files_of(self, cursor: Loaded) -> Since | None:
        try:
            before = history_of(self.view, self.config.repo_path, cursor.version).files
        except (DataError, UsageError):
            return None
        return Since(before, _without(self.history.files, before), set(before) <= set(self.history.files))


@dataclass(frozen=True)
class PulledRows:
    """The rows of a view from another offline store: the latest between two dates, as it sees them.

    It does not say what is new, so a run considers the rows from START to END, or all rows if the online store was
    never loaded or a feature was added.
    """

    view: FeatureView
    config: RepoConfig
    offline_store: OfflineStore

    @cached_property
    def history(self) -> History:
        """The names of the source's columns; no files."""
        source = event_source(self.view)
        return History(
            name=self.view.name,
            files=(),
            timestamp=source.timestamp_field or "",
            created=source.created_timestamp_column or None,
            renamed=stored_names(source),
        )

    def since(self, _: Loaded) -> Since:
        """No files are known."""
        return Since((), (), keeps_rows=True)

    @contextmanager
    def batches(self, scope: Scope, start: datetime, end: datetime, columns: Sequence[str]) -> Iterator[Batches]:
        """The latest rows that the offline store pulls."""
        history, source = self.history, event_source(self.view)
        keys, stamps = key_names(self.view), (history.timestamp, history.created)
        job = self.offline_store.pull_latest_from_table_or_query(
            config=self.config,
            data_source=source,
            join_key_columns=[history.column(key) for key in keys],
            feature_name_columns=[
                history.column(feature.name) for feature in self.view.features if feature.name not in (*keys, *stamps)
            ],
            timestamp_field=history.column(history.timestamp),
            created_timestamp_column=history.column(history.created) if history.created else None,
            start_date=EPOCH if scope.all else start,
            end_date=end,
        )
        table = job.to_arrow()
        for key in keys:
            table = table.filter(pc.is_valid(table[history.column(key)]))
        yield table.num_rows, table.select(list(columns)).combine_chunks().to_batches(_ROWS_A_BATCH)


def _without(files: Iterable[str], others: Iterable[str]) -> tuple[str, ...]:
    known = set(others)
    return tuple(file for file in files if file not in known)


def _has_earlier(connection: DuckDBPyConnection, join: Join, start: datetime) -> bool:
    """Whether the range from `start` on leaves any row out."""
    ((there_are,),) = connection.execute(sql.has_earlier(join, start)).fetchall()
    return bool(there_are)
