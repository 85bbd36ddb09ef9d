"""The raw zone: one append-only Delta table a source, a commit a drop, so that a reader sees whole drops or none.

Current content is, per identity, the row of the highest drop, minus retracted ones. Identity is the contract's key,
with the event timestamp where the source has no event time; without a key every row stands for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa

from transformations.contracts import Contract
from transformations.engine.base import duck, storage
from transformations.engine.base.business_days import day_of_number
from transformations.engine.base.errors import ConflictError, DataError, UsageError
from transformations.engine.base.moments import as_utc
from transformations.engine.raw import raw_sql
from transformations.engine.raw.completeness import DayHistory, declared_through, derived_through, remaining_through
from transformations.engine.raw.contract_terms import TermChange
from transformations.engine.raw.drops import Drop, Origin, RawFile, RawSnapshot, first_day_of
from transformations.engine.raw.files import (
    BUSINESS_DAY,
    MERGED_FOLDER,
    RAW_TIMESTAMP,
    ROWS_A_GROUP,
    SYSTEM_COLUMNS,
    Findings,
    WrittenRows,
    days_of_batches,
    raw_schema,
    source_schema,
    write_files,
    write_findings,
)
from transformations.engine.raw.opened import RECORD, OpenedTable, open_raw_table, parts_of, record_of
from transformations.engine.raw.originals import refuse_given_up
from transformations.engine.raw.superseding import refuse_reverting, refuse_superseding
from transformations.engine.raw.validity import valid_from

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["SYSTEM_COLUMNS", "Drop", "Origin", "RawFile", "RawSnapshot", "RawTable", "raw_schema", "read_current"]

Rows: TypeAlias = pa.Table | pa.RecordBatchReader
_NOTHING = Findings({})


@dataclass(frozen=True)
class DropTerms:
    """What a command says about a drop, besides its rows.

    complete_through: the last business day, inclusive, whose events are all there; by default the day before the newest
    event's (see `completeness`). valid_from: the moment from which rows without an event time hold. correction: the
    drop may replace any rows, bring replaced rows back, and take completeness back.
    """

    complete_through: date | None = None
    valid_from: datetime | None = None
    correction: bool = False


class RawTable:
    """The raw table of one source, in a folder of the raw zone.

    It is opened and its log read once, and again only after another writer has published.
    """

    def __init__(self, contract: Contract, root: Path) -> None:
        self.contract = contract
        self.folder = root / contract.name
        self._opened: OpenedTable | None = None

    def exists(self) -> bool:
        """Whether anything has been ingested."""
        return storage.has_table(self.folder)

    def opened(self) -> OpenedTable | None:
        """The table as it is now, opened and read; None before the first drop."""
        if self._opened is None or not self._opened.is_newest():
            self._opened = open_raw_table(self.folder, self.contract.name) if self.exists() else None
        return self._opened

    def snapshot(self, version: int | None = None) -> RawSnapshot:
        """The newest version, or the given one; DataError where there is none, or where a file of it is damaged."""
        name = self.contract.name
        seen, newest = self._opened, self.opened()
        if newest is None:
            raise DataError.not_ingested(name)
        if newest is seen:
            newest.check_files()  # its files may have been damaged since
        if version is None or version == newest.snapshot.version:
            return newest.snapshot
        if not 0 <= version < newest.snapshot.version:
            raise DataError(
                f"{name}: the raw table has no version {version}; it has versions 0 to {newest.snapshot.version}."
            )
        found = newest.snapshot.at(version)
        refuse_given_up(name, found.files, f"version {version}")
        return found

    def contract_changes(self) -> tuple[list[TermChange], str | None]:
        """How the contract differs from that of the newest rows, and what is wrong with its version; ([], None) where
        nothing was ingested.
        """
        newest = self.opened()
        return ([], None) if newest is None else newest.contract_changes(self.contract)

    def append(
        self,
        rows: Rows,
        origin: Origin,
        complete_through: date | None = None,
        *,
        valid_from: datetime | None = None,
        correction: bool = False,
        connection: DuckDBPyConnection | None = None,
        findings: Findings = _NOTHING,
        confirm: Callable[[], None] = lambda: None,
    ) -> Drop | None:
        """Publish a drop of rows in the columns and types of `source_schema`; None where it changes nothing.

        A row that is already current is not written again. In a source that delivers snapshots, a key that the drop
        lacks gets a row of nulls at the drop's moment. The terms are those of `DropTerms`. connection: the DuckDB from
        which the rows are streamed, if any, so that no second one is started. findings: what is stored beside
        the rows. confirm: called when all rows are written and none is published; raises DataError if they must not be.
        Raises ConflictError when another writer holds the table, UsageError for an argument that cannot apply, and
        DataError for what only a correction may do.
        """
        terms = DropTerms(complete_through, valid_from, correction)
        with self.writing(), _computing_session(connection) as session:
            before = self.opened()
            self._refuse_outdated(findings, before)
            draft, changes = self._draft_append(session, rows, origin, terms, before)
            written = self._write_drop(session, changes, draft.number)
            try:
                confirm()
                drop = self._complete_drop(session, draft, changes, written.days, before)
            except DataError:
                self._discard_written(written)
                raise
            return self._publish_drop(written, changes, drop, before, findings)

    def retract(
        self,
        keys: Rows,
        origin: Origin,
        connection: DuckDBPyConnection | None = None,
        confirm: Callable[[], None] = lambda: None,
    ) -> Drop | None:
        """Publish a drop that takes back every current row of these keys; None where there is no such row.

        confirm: as of `append`.
        """
        with self.writing(), _computing_session(connection) as session:
            before = self.opened()
            draft, changes = self._draft_retraction(session, keys, origin, before)
            confirm()  # the keys have all been read
            return self._publish_drop(self._write_drop(session, changes, draft.number), changes, draft, before)

    def rehearse(self, rows: Rows, origin: Origin, terms: DropTerms, connection: DuckDBPyConnection) -> None:
        """Raise what `append` would raise for these rows, without writing anything or waiting for another writer."""
        with _computing_session(connection) as session:
            before = self.opened()
            draft, changes = self._draft_append(session, rows, origin, terms, before)
            days = days_of_batches(_ordered_batches(session, self.contract, changes), self.contract)
            self._complete_drop(session, draft, changes, days, before)

    def writing(self) -> AbstractContextManager[None]:
        """The right to write this table; ConflictError when another process of this machine holds it for a minute."""
        return storage.exclusive(self.folder / ".lock", self.contract.name)

    def leftovers(self) -> tuple[Path, ...]:
        """Folders of files that no version refers to, as a killed ingestion leaves them."""
        stored = self.snapshot() if self.exists() else None
        known = {Path(file.path).parent for file in (*stored.parts, *stored.stored)} if stored else set()
        known |= {self.folder / drop.quality for drop in (stored.drops if stored else ()) if drop.quality}
        kinds = (storage.folders_below(self.folder, kind) for kind in ("drop-*", MERGED_FOLDER + "*"))
        return tuple(folder for folders in kinds for folder in folders if folder not in known)

    def _draft_append(
        self, session: DuckDBPyConnection, rows: Rows, origin: Origin, terms: DropTerms, before: OpenedTable | None
    ) -> tuple[Drop, raw_sql.Changes]:
        """The drop that these rows make, and its changes; raises whatever forbids it."""
        contract, stored = self.contract, before.snapshot if before else None
        self._require_columns(rows.schema)
        if before is not None:
            before.refuse_other_identity(contract)
            before.refuse_unannounced_changes(contract)
        moment = valid_from(contract, terms.valid_from, stored, origin.ingested_at)
        is_known = not contract.key and stored is not None and _has_content(stored, origin.content_hash)
        session.register(raw_sql.DELIVERED, source_schema(contract).empty_table() if is_known else rows)
        changes = raw_sql.changes_of_rows(session, contract, stored.files if stored else None, moment)
        through = terms.complete_through
        if through is not None:
            previous = stored.complete_through if stored else None
            through = declared_through(contract, through, previous, origin.ingested_at, terms.correction)
        draft = _draft_drop(
            stored, origin, valid_from=moment, complete_through=through, is_declared=through is not None
        )
        if stored is not None and not terms.correction:
            refuse_reverting(session, contract, stored.drops, changes, origin, is_dated=terms.valid_from is not None)
            refuse_superseding(session, contract, changes, origin.file_name)
        return draft, changes

    def _draft_retraction(
        self, session: DuckDBPyConnection, keys: Rows, origin: Origin, before: OpenedTable | None
    ) -> tuple[Drop, raw_sql.Changes]:
        """The drop that takes back the rows of these keys, and its changes."""
        contract = self.contract
        if not contract.key:
            raise UsageError(f"{contract.file_name}: no column is part of the key, so no row can be named to retract.")
        if before is None:
            raise DataError.not_ingested(contract.name)
        before.refuse_other_identity(contract)
        session.register(raw_sql.DELIVERED, keys)
        changes = raw_sql.changes_of_retraction(session, contract, before.snapshot.files)
        through = self._remaining_completeness(session, before.snapshot, changes)
        return _draft_drop(before.snapshot, origin, retracts=True, complete_through=through, is_declared=False), changes

    def _complete_drop(
        self,
        session: DuckDBPyConnection,
        draft: Drop,
        changes: raw_sql.Changes,
        days: Sequence[int],
        before: OpenedTable | None,
    ) -> Drop:
        """The drop with the day that its own rows complete, unless a command declares one."""
        if draft.is_declared or self.contract.event_time is None:
            return draft
        stored = before.snapshot if before else None
        history = DayHistory(
            previous=self._remaining_completeness(session, stored, changes) if stored else None,
            declared=stored.declared_through if stored else None,
            days_within=lambda days: _days_with_rows(session, stored, days),
        )
        return replace(draft, complete_through=derived_through(self.contract, days, history, draft.ingested_at))

    def _remaining_completeness(
        self, session: DuckDBPyConnection, before: RawSnapshot, changes: raw_sql.Changes
    ) -> date | None:
        """The day through which the source stays complete without the rows that are replaced or retracted."""
        through = before.complete_through
        if through is None or not changes.supersedes:
            return through
        replaced, others = raw_sql.newest_days(session, self.contract, before.files)
        if replaced is None or day_of_number(replaced) <= through:
            return through
        return remaining_through(before.drops, None if others is None else day_of_number(others))

    def _write_drop(self, session: DuckDBPyConnection, changes: raw_sql.Changes, number: int) -> WrittenRows:
        return write_files(_ordered_batches(session, self.contract, changes), self.contract, self.folder, number)

    def _publish_drop(
        self,
        written: WrittenRows,
        changes: raw_sql.Changes,
        drop: Drop,
        before: OpenedTable | None,
        findings: Findings = _NOTHING,
    ) -> Drop | None:
        is_as_before = before and drop.complete_through == before.snapshot.complete_through
        if is_as_before and not written.rows and not findings.quarantined:
            return None
        drop = replace(
            drop,
            rows=written.rows,
            unchanged=changes.unchanged,
            supersedes=changes.supersedes,
            retracted=changes.retracted,
            quarantined=findings.quarantined,
            quality=write_findings(findings, written, self.folder, drop.number),
        )
        stored = before.snapshot if before else None
        if before and (missing := before.columns_missing(self.contract)):
            storage.add_columns(before.delta, missing)
        try:
            version = storage.publish(
                self.folder,
                raw_schema(self.contract),
                written.files,
                record_key=RECORD,
                record=record_of(drop, self.contract, stored, first_day_of(parts_of(drop, written.files, self.folder))),
                sequence=drop.number,
                beside=[f"{drop.quality}/{name}" for name in findings.files],
                onto=before.delta if before else None,
            )
        except ConflictError:
            self._opened = None
            self._discard_written(written, drop.quality)
            raise
        drop = replace(drop, version=version)
        self._opened = before.advance(drop, written.files, self.contract) if before else None
        return drop

    def _refuse_outdated(self, findings: Findings, before: OpenedTable | None) -> None:
        if findings.files and findings.version != (before.snapshot.version if before else None):
            raise ConflictError(
                f"{self.contract.name}: another drop was published while this one was checked against the stored rows. "
                f"Nothing was written; repeat the command."
            )

    def _discard_written(self, written: WrittenRows, findings: str | None = None) -> None:
        folders = {(self.folder / file.path).parent for file in written.files}
        for folder in folders | ({self.folder / findings} if findings else set()):
            storage.discard(folder)

    def _require_columns(self, schema: pa.Schema) -> None:
        for field in source_schema(self.contract):
            found = schema.field(field.name).type if field.name in schema.names else None
            if found != field.type:
                raise DataError(
                    f"{self.contract.file_name}: column {field.name!r} is {found or 'missing'}, the raw zone stores "
                    f"{field.type}. Convert the rows first; `features ingest` does."
                )


def read_current(
    snapshot: RawSnapshot,
    contract: Contract,
    columns: Sequence[str] | None = None,
    where: Mapping[str, object] | None = None,
) -> pa.Table:
    """The current content, ordered by event timestamp, key and all columns; for small reads.

    columns: by default the contract's, then `_event_timestamp` and `_business_day`. where: column = value, or null.
    """
    names = tuple(columns or (*contract.column_names, RAW_TIMESTAMP, BUSINESS_DAY))
    for name in (*names, *(where or {})):
        if name not in SYSTEM_COLUMNS:
            contract.column(name)
    with duck.session() as connection:
        query = raw_sql.current_query(connection, contract, snapshot.files, names, where or {}, snapshot.supersedes)
        rows: pa.Table = connection.sql(query).to_arrow_table()
    return rows.cast(pa.schema([raw_schema(contract).field(name) for name in names]))


@contextmanager
def _computing_session(connection: DuckDBPyConnection | None) -> Iterator[DuckDBPyConnection]:
    """A DuckDB session for comparing rows: beside the given connection, which may be streaming them, or a new one."""
    with duck.session() if connection is None else duck.beside(connection) as session:
        yield session


def _ordered_batches(session: DuckDBPyConnection, contract: Contract, changes: raw_sql.Changes) -> pa.RecordBatchReader:
    return session.sql(raw_sql.ordered_query(contract, changes)).to_arrow_reader(ROWS_A_GROUP)


def _draft_drop(
    before: RawSnapshot | None,
    origin: Origin,
    *,
    complete_through: date | None,
    is_declared: bool,
    valid_from: datetime | None = None,
    retracts: bool = False,
) -> Drop:
    """The next drop before its rows are counted and its version is known."""
    return Drop(
        number=before.drops[-1].number + 1 if before else 1,
        version=-1,
        file_name=origin.file_name,
        content_hash=origin.content_hash,
        rows=0,
        ingested_at=as_utc(origin.ingested_at),
        complete_through=complete_through,
        supersedes=0,
        retracts=retracts,
        valid_from=valid_from,
        is_declared=is_declared,
        files=dict(origin.files),
        watermark=origin.watermark,
    )


def _has_content(before: RawSnapshot, content_hash: str) -> bool:
    return any(drop.content_hash == content_hash for drop in before.drops)


def _days_with_rows(session: DuckDBPyConnection, before: RawSnapshot | None, days: range) -> set[int]:
    """The business days among these that have rows; of files of one or two days, the bounds say it."""
    if before is None:
        return set()
    near = [part for part in before.parts if part.first_day < days.stop and part.last_day >= days.start]
    retractions = {drop.number for drop in before.drops if drop.retracts}
    parts = [part for part in near if part.drop not in retractions]
    wide = before.there_of([part.path for part in parts if part.last_day - part.first_day > 1])
    found = {day for part in parts for day in (part.first_day, part.last_day)} | set(raw_sql.days(session, wide))
    return found & set(days)
