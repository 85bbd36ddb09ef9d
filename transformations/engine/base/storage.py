"""The tables: Delta commits of Parquet files, in local folders or in object storage with local copies.

Nobody else commits, and what is local or not is decided in `files/`. In object storage a commit is a conditional put of
the next version's name: of two writers one wins, whichever machines they are on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote
from uuid import uuid4

from transformations.engine.base import checksums, commit_log
from transformations.engine.base.checksums import content_hash
from transformations.engine.base.commit_log import (
    actions,
    check_log,
    check_log_bytes,
    checkpoints,
    entry_of,
    has_table,
    is_table,
    log_entries,
    logged_commits,
    sum_up,
)
from transformations.engine.base.disk_faults import damaged, known_fault, missing, paths_in
from transformations.engine.base.errors import ConflictError
from transformations.engine.base.files.bucket import Bucket, bucket_of, unanswered
from transformations.engine.base.files.copies import CHECKSUMS, fetch_folder, lacking_files, pull_log, push
from transformations.engine.base.files.local import (
    FILE_MODE,
    FOLDER_MODE,
    LOCK_WAIT_SECONDS,
    UNFINISHED,
    StoredFile,
    close_to_others,
    discard,
    exclusive,
    files_below,
    folders_below,
    make_file,
    make_folder,
    remove,
    replace_text,
    stored_file,
    try_lock,
)
from transformations.engine.base.logs.newest import (
    FileStamp,
    commit_stamp,
    folder_of,
    is_newest,
    move_on,
    refuse_empty,
)

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

__all__ = [
    "FILE_MODE",
    "FOLDER_MODE",
    "LOCK_WAIT_SECONDS",
    "UNFINISHED",
    "FileStamp",
    "StoredFile",
    "check_log",
    "close_to_others",
    "commit_stamp",
    "content_hash",
    "discard",
    "exclusive",
    "fetch_folder",
    "files_below",
    "folders_below",
    "has_table",
    "is_newest",
    "is_table",
    "lacking_files",
    "make_file",
    "make_folder",
    "move_on",
    "pull_log",
    "remove",
    "replace_text",
    "stored_file",
    "try_lock",
]

_WRITER = "writer"
"""The key in a commit's info of what no other writer has, in object storage."""
# Versions are pins: the log is never cleaned up, whatever its age. Delta reads the statistics of a table's first 32
# columns only, where nothing else is said, and those that we need are the last ones.
_PROPERTIES: Mapping[str, str | None] = {
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.enableExpiredLogCleanup": "false",
    "delta.dataSkippingNumIndexedCols": "-1",
}


@dataclass(frozen=True)
class NewFile:
    """A finished Parquet file that no version refers to yet: path relative to its table, `bounds` as (min, max).

    Bounds are statistics in Delta's own forms: numbers, or ISO 8601 UTC instants of milliseconds.
    """

    path: str
    size: int
    rows: int
    bounds: Mapping[str, tuple[int | str, int | str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Commit:
    """One published version with what its writer recorded, under which key."""

    version: int
    record: Mapping[str, Any]
    key: str


@dataclass(frozen=True)
class Contents:
    """The files of one published version, relative to the table, with their bytes.

    published: seconds since the epoch, by the writer's clock.
    """

    version: int
    files: Mapping[str, int]
    published: float


def open_table(folder: Path, version: int | None = None) -> DeltaTable:
    """The Delta table in a folder, at its newest version or a given one. DataError where its log is damaged."""
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    pull_log(folder)
    try:
        table = DeltaTable(str(folder), version=version)
    except (DeltaError, OSError) as error:
        with suppress(OSError):  # their message names the damaged file
            check_log(folder)
            check_log_bytes(folder)
        if fault := known_fault(error):
            raise fault from error
        raise
    refuse_empty(table)
    return table


def file_paths(table: DeltaTable) -> list[str]:
    """The files of the table's version, relative to its folder.

    `DeltaTable.file_uris()` (delta-rs 1.6) leaves the folder's own part percent-encoded, so that a file below a folder
    with a blank in its name is not found.
    """
    import pyarrow as pa

    return [unquote(path) for path in pa.table(table.get_add_actions(flatten=True))["path"].to_pylist()]


def check_files(table: DeltaTable, folder: Path) -> None:
    """DataError for a file of the table's version that is missing, or not as long as it was written.

    Where the commit that says so is itself damaged, the error names that.
    """
    import pyarrow as pa

    commit_log.newest_record(folder, "", table.version())
    actions = pa.table(table.get_add_actions(flatten=True)).select(["path", "size_bytes"])
    for path, size in zip(*(actions[name].to_pylist() for name in ("path", "size_bytes")), strict=True):
        file = folder / unquote(path)
        try:
            found = file.stat().st_size
        except FileNotFoundError:
            if bucket_of(file) is not None:  # which is checked when it is fetched
                continue
            raise missing(file) from None
        if found != size:
            raise damaged(file, f"it has {found:,} bytes and was written with {size:,}")


def contents(folder: Path) -> Iterator[Contents]:
    """The files of every published version, oldest first. DataError where a commit is missing or damaged."""
    pull_log(folder)
    logged_commits(folder, from_summary=False)
    files: dict[str, int] = {}
    for entry in log_entries(folder):
        published = 0.0
        for action in actions(entry):
            match action:
                case {"add": {"path": path, "size": size}}:
                    files[unquote(path)] = size
                case {"remove": {"path": path}}:
                    files.pop(unquote(path), None)
                case {"commitInfo": {"timestamp": millis}}:
                    published = millis / 1000
        yield Contents(int(entry.stem), dict(files), published)


def commits(table: DeltaTable, *record_keys: str) -> tuple[Commit, ...]:
    """The commits up to the table's version that carry a record under one of these keys, oldest first."""
    return commits_of(folder_of(table), table.version(), *record_keys)


def commits_of(folder: Path, version: int, *record_keys: str) -> tuple[Commit, ...]:
    """The same of the table in a folder, up to a version.

    Read from the log itself: `DeltaTable.history()` (delta-rs 1.6) numbers the newest commit there is with the version
    that the table was opened at, which is wrong for an older version and while another writer commits.
    """
    logged = logged_commits(folder, version)
    found = ((version, key, each.record(key)) for version, each in enumerate(logged) for key in record_keys)
    return tuple(Commit(version, record, key) for version, key, record in found if record is not None)


def newest_commits(folder: Path, record_key: str, until: int) -> tuple[Commit, ...]:
    """The newest commits up to a version that carry a record under a key, oldest first: none was left out among them,
    and they are few, however long the log is. Empty where there is none.
    """
    found = commit_log.newest_records(folder, record_key, until)
    return tuple(Commit(version, record, record_key) for version, record in found.items())


def newest_record(folder: Path, record_key: str, until: int | None = None) -> Mapping[str, Any]:
    """The newest record under a key in a table's log, up to a version; empty where there is none."""
    pull_log(folder)
    return commit_log.newest_record(folder, record_key, len(log_entries(folder)) - 1 if until is None else until) or {}


def publish(
    folder: Path,
    schema: pa.Schema,
    files: Sequence[NewFile],
    *,
    record_key: str,
    record: Mapping[str, Any],
    sequence: int,
    replace_all: bool = False,
    beside: Sequence[str] = (),
    onto: DeltaTable | None = None,
) -> int:
    """Append finished files to the table in a folder, which is created if need be, as one commit; returns its version.

    replace_all: the files become the table's whole content, under a new schema; earlier versions stay readable.
    beside: further files that the record refers to, relative to the table. A checksum of every file is recorded.
    onto: the table as the caller has opened and numbered it, which spares opening it again; it stays at its version.
    `sequence` numbers the commits of this record key: of two writers with the same number one wins, and the other
    raises ConflictError and has published nothing.
    """
    from deltalake import CommitProperties, Schema, Transaction
    from deltalake.exceptions import CommitFailedError, DeltaError
    from deltalake.transaction import AddAction, create_table_with_add_actions

    moment = int(time.time() * 1000)
    actions = [AddAction(file.path, file.size, {}, moment, True, statistics_text(file)) for file in files]
    before = -1
    named = [*(file.path for file in files), *beside]
    pushed = finish_files(folder, named)
    note = {record_key: json.dumps(record), **pushed.note}
    properties = CommitProperties(custom_metadata=note, app_transactions=[Transaction(record_key, sequence)])
    existed = onto is not None or is_table(folder)
    delta_schema = Schema.from_arrow(schema)
    try:
        if existed:
            table = _table_to_write(folder, onto)
            before = table.version()
            if onto is None and (table.transaction_version(record_key) or 0) >= sequence:
                raise CommitFailedError("the number is taken")
            mode = "overwrite" if replace_all else "append"
            table.create_write_transaction([*actions], mode, delta_schema, commit_properties=properties)
        else:
            create_table_with_add_actions(
                pushed.bucket.url_of(folder) if pushed.bucket else str(folder),
                delta_schema,
                actions,
                configuration=_PROPERTIES,
                storage_options=dict(pushed.bucket.delta_options) if pushed.bucket else None,
                commit_properties=properties,
            )
    except (DeltaError, OSError) as error:
        if fault := known_fault(error):
            raise fault from error
        is_published = pushed.bucket is not None and _has_note(folder, pushed.note)  # its answer was lost
        if not is_published and (isinstance(error, CommitFailedError) or (not existed and is_table(folder))):
            raise ConflictError(
                f"{folder.name}: another writer published first. Nothing was published by this one; repeat the command."
            ) from error
        if not is_published:
            raise error if pushed.bucket is None else unanswered(pushed.bucket.url, error) from error
    pull_log(folder)
    version = _version_that_recorded(folder, record_key, record, before)
    record_log(folder, version)
    return version


@dataclass(frozen=True)
class Finished:
    """Files that a commit may name now. bucket: where they were put; note: what the commit says about them there."""

    bucket: Bucket | None
    note: Mapping[str, str]


def finish_files(folder: Path, named: Sequence[str]) -> Finished:
    """Record the checksums of a table's new files, close them to others, and put them into object storage, if any."""
    make_folder(folder)
    bucket = bucket_of(folder)
    here = [name for name in named if bucket is None or (folder / name).exists()]
    checksums.record(folder, here)
    for path in (*here, *{str(parent) for name in here for parent in PurePath(name).parents}):
        close_to_others(folder / path)
    if bucket is None:
        return Finished(None, {})
    return Finished(bucket, {CHECKSUMS: json.dumps(push(folder, named)), _WRITER: uuid4().hex})


def _table_to_write(folder: Path, opened: DeltaTable | None) -> DeltaTable:
    """The table as delta-rs commits to it: as the caller has opened it, or where it is in object storage."""
    bucket = bucket_of(folder)
    return (opened or open_table(folder)) if bucket is None else table_in_bucket(bucket, folder)


def table_in_bucket(bucket: Bucket, folder: Path) -> DeltaTable:
    """The table in object storage of which a folder has the copies."""
    from deltalake import DeltaTable

    return DeltaTable(bucket.url_of(folder), storage_options=dict(bucket.delta_options))


def _has_note(folder: Path, note: Mapping[str, str]) -> bool:
    """Whether a commit of this very writer is there."""
    pull_log(folder)
    return any(each.info.get(_WRITER) == note[_WRITER] for each in reversed(logged_commits(folder)))


def log_files(folder: Path) -> list[Path]:
    """The commits of a table and the checkpoints that sum them up."""
    return [*log_entries(folder), *checkpoints(folder)]


def add_columns(table: DeltaTable, columns: Sequence[pa.Field]) -> None:
    """Give an open table further columns, null in every row it has; the table's content stays."""
    from deltalake import Field

    folder = folder_of(table)
    _table_to_write(folder, table).alter.add_columns([Field.from_arrow(column) for column in columns])
    pull_log(folder)
    table.update_incremental()
    record_log(folder, table.version())


def unfinished_commits(folder: Path) -> list[StoredFile]:
    """Temporary files that a killed writer left: commits that were never published, and small files beside the log."""
    log, beside = folder / "_delta_log", [path for path in paths_in(folder, f".*{UNFINISHED}") if path.is_file()]
    return [stored_file(path) for path in sorted([*paths_in(log, "*.tmp"), *paths_in(log, "*.json#*"), *beside])]


def _version_that_recorded(folder: Path, record_key: str, record: Mapping[str, Any], before: int) -> int:
    """The version after `before` whose commit carries this record."""
    later = ((version, commit_log.read_entry(entry_of(folder, version))) for version in count(before + 1))
    return next(version for version, each in later if not isinstance(each, str) and each.record(record_key) == record)


def record_log(folder: Path, version: int) -> None:
    """Record the checksums of a commit and, where it made one, of the checkpoint that sums up the log."""
    if bucket_of(folder) is not None:  # whose commits are recorded as they come
        return sum_up(folder, version)
    log = folder / "_delta_log"
    files = (entry_of(folder, version), log / f"{version:020}.checkpoint.parquet")
    written = [file for file in files if file.exists()]
    with suppress(OSError):  # it is published: without checksums, that is what `features doctor --deep` will say
        checksums.record(folder, [f"_delta_log/{file.name}" for file in written])
    for path in (log, *written, *log.glob("_last_checkpoint")):
        with suppress(OSError):
            close_to_others(path)
    return sum_up(folder, version)


def statistics_text(file: NewFile) -> str:
    lows, highs = ({name: bound[end] for name, bound in file.bounds.items()} for end in (0, 1))
    return json.dumps({"numRecords": file.rows, "minValues": lows, "maxValues": highs})
