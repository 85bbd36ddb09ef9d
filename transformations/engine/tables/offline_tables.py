"""Offline tables: Parquet files with a Delta log, one table per view, append-only except for a rebuild.

A run writes its files into a folder of its own and then commits them together with the record of the run; readers see
the last published version or the next. No version refers to files of a killed run, so these are harmless. Two runs of
one view never both publish: the second finds that the version it started from is no longer the latest.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from transformations.engine.base import storage
from transformations.engine.base.errors import DataError
from transformations.engine.base.moments import CREATED_TIMESTAMP, EVENT_TIMESTAMP, as_utc, micros_to_instant
from transformations.engine.base.words import plural
from transformations.engine.vocabulary.resolution import Resolved

if TYPE_CHECKING:
    from deltalake import DeltaTable

TIMESTAMP = pa.timestamp("us", tz="UTC")

RECORD = "features.run"
WRITTEN_THROUGH = "written_through"
"""What a record says beside its run: the last business day that any run of the table so far has covered."""
_REPLACING = ("first load", "rebuild")
_NEWEST_EVENT = f"max.{EVENT_TIMESTAMP}"


@dataclass(frozen=True, kw_only=True)
class Run:
    """The record of one commit, kept in the log.

    kind: first load, rebuild, incremental, backfill, restore or taken back. first_as_of: the first as-of day that the
    table covers; complete_through: the last complete business day, so the newest as-of day is the one after;
    complete_until: the event timestamp that rows as-of that day have, in UTC. sources: the raw table
    versions that were read. last_created: the newest created_timestamp in the table, in UTC. late_entities: entities
    whose rows before the table's previous end were checked again; late_rows: rows among those that were missing or no
    longer true, and were written anew. counts: what the run saw, such as events or lookup misses. carry: the folder of
    the state as-of the newest day, from which the next run goes on. restores: the version that a restore brought back.
    feature_hashes: `Resolved.feature_hashes` of the definition; empty in old records. warned: what of the values is not
    as expected, and only warned; accepted: what would have stopped the run, had it not been accepted. lineage: by
    feature, the source columns that its values were computed from, as `source.column`; empty in old records.
    """

    view: str
    version: int
    run_id: str
    kind: str
    started_at: datetime
    seconds: float
    rows: int
    definition_hash: str
    code_revision: str
    first_as_of: date
    complete_through: date
    sources: Mapping[str, int]
    last_created: datetime
    late_entities: int
    counts: Mapping[str, int]
    carry: str | None
    restores: int | None = None
    late_rows: int = 0
    complete_until: datetime | None = None
    feature_hashes: Mapping[str, str] = field(default_factory=dict)
    warned: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    lineage: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def replaces_all(self) -> bool:
        """Whether the table holds no row from before this run."""
        return self.kind in _REPLACING


@dataclass(frozen=True, kw_only=True)
class TableVersion:
    """One published version: its files, absolute, and the newest run up to it.

    rows, size_bytes: in all files. newest_event: an upper bound of the event timestamps by the files' statistics, in
    whole milliseconds UTC; None without any. written_through: the last business day that any of its runs has covered;
    after a restore, or when days were taken back, that is later than the newest run's `complete_through`.
    """

    version: int
    files: tuple[str, ...]
    run: Run
    rows: int
    written_through: date
    size_bytes: int = 0
    newest_event: datetime | None = None


@dataclass(frozen=True)
class _Opened:
    """The newest version as it was opened and read. stamp: of the version's own commit."""

    delta: DeltaTable
    stamp: storage.FileStamp
    version: TableVersion

    def is_newest(self) -> bool:
        return storage.is_newest(self.delta, self.stamp)


class OfflineTable:
    """The table of one view, in a folder of the offline zone.

    It is opened and its log read once, and after that only what was published since: a build of one day asks for the
    newest version several times, and delta-rs lists the whole log whenever it opens a table.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: _Opened | None = None

    @property
    def name(self) -> str:
        """The view's name."""
        return self.path.name

    def exists(self) -> bool:
        """Whether any version has been published."""
        return storage.has_table(self.path)

    def latest(self) -> TableVersion | None:
        """The newest published version; None before the first. DataError where a file of it is missing or damaged."""
        if not self.exists():
            return None
        known = self._opened
        if known is None or not known.is_newest():
            self._opened = None
            return self._open(known).version
        storage.check_files(known.delta, self.path)
        return known.version

    def newest(self) -> TableVersion:
        """The newest published version of a table that has one; DataError before the first."""
        latest = self.latest()
        if latest is None:
            raise DataError(f"offline table {self.name} has no version yet. Run `features build {self.name}` first.")
        return latest

    def at(self, version: int) -> TableVersion:
        """A published version; DataError when there is none of that number, or its files were given up."""
        newest = storage.open_table(self.path).version() if self.exists() else -1
        if not 0 <= version <= newest:
            storage.check_log(self.path)  # which names a version that was lost
            published = "no version yet" if newest < 0 else f"versions 0 to {newest}"
            raise DataError(
                f"offline table {self.name} has no version {version}; it has {published}. `features runs {self.name}` "
                f"lists them. If one was lost, bring {self.path} back from a copy."
            )
        table = storage.open_table(self.path, version)
        if version == newest:  # which nothing gives up
            storage.check_files(table, self.path)
        found = self._version_of(table)
        if missing := len(storage.lacking_files(self.path, map(Path, found.files))):
            raise DataError(
                f"offline table {self.name}: of version {version}, {missing} of {plural(len(found.files), 'file')} "
                f"{'is' if missing == 1 else 'are'} gone, as `features vacuum --keep-versions` leaves a version that "
                f"is not pinned. `features status {self.name}` lists the versions that are whole."
            )
        return found

    def runs(self) -> list[Run]:
        """The record of every published version, oldest first."""
        return _run_records(storage.open_table(self.path)) if self.exists() else []

    def publish(
        self, files: list[storage.NewFile], schema: pa.Schema, run: Run, *, after: int | None, replace_all: bool
    ) -> Run:
        """Commit files and their run atomically as the version after `after` (None: as the first version).

        Raises ConflictError when another run published in between; nothing is then visible of this one.
        """
        published = replace(run, version=0 if after is None else after + 1)
        known = self._opened
        is_onto = known is not None and known.version.version == after and known.is_newest()
        version = storage.publish(
            self.path,
            schema,
            files,
            record_key=RECORD,
            record=record_of(published) | {WRITTEN_THROUGH: self._written_through(run, after).isoformat()},
            sequence=published.version + 1,
            replace_all=replace_all,
            beside=self._carried_by(published),
            onto=known.delta if known is not None and is_onto else None,
        )
        if version != published.version:
            raise AssertionError(f"{self.path}: version {version} was published as {published.version}")
        return published

    def writing(self, wait_seconds: float = 1.0) -> AbstractContextManager[None]:
        """The right to write this table; ConflictError when another process of this machine holds it for that long.

        A build takes longer, so there is no waiting for one by default; a compaction publishes in a moment.
        """
        return storage.exclusive(self.path / ".lock", f"offline table {self.name}", wait_seconds)

    def _carried_by(self, run: Run) -> list[str]:
        """The files of what a run itself carries over, relative to the table."""
        if run.carry is None or not run.carry.endswith(run.run_id):  # written by an earlier run
            return []
        files = storage.files_below(self.path / run.carry)
        return [file.path.relative_to(self.path).as_posix() for file in files]

    def _open(self, known: _Opened | None) -> _Opened:
        """The newest version, moved on to from the one that is known where that still stands in the log."""
        moved = known is not None and storage.move_on(known.delta, known.stamp)
        table = known.delta if known is not None and moved else storage.open_table(self.path)
        stamp = storage.commit_stamp(table)
        storage.check_files(table, self.path)
        self._opened = _Opened(table, stamp, self._version_of(table))
        return self._opened

    def _version_of(self, table: DeltaTable) -> TableVersion:
        record = storage.newest_record(self.path, RECORD, table.version())
        if not record:
            raise DataError(
                f"{self.path} is a Delta table without a run of ours. Point FEATURES_DATA at a folder of its own."
            )
        files = pa.table(table.get_add_actions(flatten=True))
        newest = pc.max(files[_NEWEST_EVENT]).as_py() if _NEWEST_EVENT in files.column_names else None
        return TableVersion(
            version=table.version(),
            files=tuple(sorted(str(self.path.absolute() / unquote(path)) for path in files["path"].to_pylist())),
            run=_from_record(record),
            rows=sum(files["num_records"].to_pylist()),
            written_through=self._known_through(record, table.version()),
            size_bytes=sum(files["size_bytes"].to_pylist()),
            newest_event=None if newest is None else as_utc(newest),
        )

    def _written_through(self, run: Run, after: int | None) -> date:
        """The last business day that the table's runs have covered once this one is published after that version."""
        if after is None or run.replaces_all:
            return run.complete_through
        before = storage.newest_record(self.path, RECORD, after)
        return max(run.complete_through, self._known_through(before, after))

    def _known_through(self, record: Mapping[str, Any], version: int) -> date:
        """The same as of a version, by its run's record, which says it; of an old one, all records up to it do."""
        if WRITTEN_THROUGH in record:
            return date.fromisoformat(record[WRITTEN_THROUGH])
        runs = [
            _from_record(commit.record) for commit in storage.commits(storage.open_table(self.path, version), RECORD)
        ]
        last_replacing = max((number for number, run in enumerate(runs) if run.replaces_all), default=0)
        return max(run.complete_through for run in runs[last_replacing:])


def table_schema(resolved: Resolved) -> pa.Schema:
    """The columns of a view's table: join keys, both timestamps, features in declared order."""
    return pa.schema(
        [pa.field(key, dtype.arrow, nullable=False) for key, dtype in resolved.join_keys.items()]
        + [pa.field(EVENT_TIMESTAMP, TIMESTAMP, nullable=False), pa.field(CREATED_TIMESTAMP, TIMESTAMP, nullable=False)]
        + [pa.field(feature.name, feature.dtype.arrow) for feature in resolved.features]
    )


def time_bounds(first_micros: int, last_micros: int) -> dict[str, tuple[str, str]]:
    """Statistics of event timestamps, which Delta keeps in milliseconds: the lower bound rounded down, the upper one
    up.
    """
    return {EVENT_TIMESTAMP: (_iso_millis(first_micros // 1000), _iso_millis(-(-last_micros // 1000)))}


def _iso_millis(millis: int) -> str:
    return micros_to_instant(millis * 1000).strftime("%Y-%m-%dT%H:%M:%S.") + f"{millis % 1000:03d}Z"


def _run_records(table: DeltaTable) -> list[Run]:
    return [_from_record(commit.record) for commit in storage.commits(table, RECORD)]


def record_of(run: Run) -> dict[str, Any]:
    """As the log gives it back: JSON has lists alone."""
    facts = {name: value.isoformat() if isinstance(value, date) else value for name, value in asdict(run).items()}
    facts |= {"warned": list(run.warned), "accepted": list(run.accepted)}
    return facts | {"lineage": {name: list(columns) for name, columns in run.lineage.items()}}


def _from_record(record: Mapping[str, Any]) -> Run:
    facts = {name: value for name, value in record.items() if name != WRITTEN_THROUGH}
    if "carried_before" in facts:  # from a version that carried over other days: the next run reads all events instead
        del facts["carried_before"]
        facts["carry"] = None
    for name in ("started_at", "last_created", "complete_until"):
        facts[name] = datetime.fromisoformat(facts[name]) if facts.get(name) else None
    for name in ("first_as_of", "complete_through"):
        facts[name] = date.fromisoformat(facts[name])
    facts |= {name: tuple(facts.get(name, ())) for name in ("warned", "accepted")}
    facts["lineage"] = {name: tuple(columns) for name, columns in facts.get("lineage", {}).items()}
    return Run(**facts)
