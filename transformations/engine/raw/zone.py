"""The raw zone: one append-only Delta table a source, a commit a drop, so that a reader sees whole drops or none.

Current content is, per identity, the row of the highest drop, minus retracted ones. Identity is the contract's key,
with the event timestamp where the source has no event time; without a key every row stands for itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from transformations.contracts import Contract
from transformations.engine.base import duck, storage
from transformations.engine.base.business_days import day_of_number
from transformations.engine.base.errors import ConflictError, DataError, UsageError
from transformations.engine.base.moments import as_utc
from transformations.engine.raw import sql as raw_sql
from transformations.engine.raw.completeness import declared_through, derived_through, remaining_through
from transformations.engine.raw.drops import Drop, Origin, RawFile, RawSnapshot
from transformations.engine.raw.files import (
    BUSINESS_DAY,
    DROP,
    RAW_TIMESTAMP,
    ROWS_A_GROUP,
    SYSTEM_COLUMNS,
    WrittenRows,
    raw_schema,
    source_schema,
    write_files,
)
from transformations.engine.raw.superseding import refuse_superseding

__all__ = ["SYSTEM_COLUMNS", "Drop", "Origin", "RawFile", "RawSnapshot", "RawTable", "raw_schema", "read_current"]

_RECORD = "features.drop"


class RawTable:
    """The raw table of one source, in a folder of the raw zone."""

    def __init__(self, contract: Contract, root: Path) -> None:
        self.contract = contract
        self.folder = root / contract.name

    def exists(self) -> bool:
        """Whether anything has been ingested."""
        return storage.is_table(self.folder)

    def snapshot(self, version: int | None = None) -> RawSnapshot:
        """The newest version, or the given one; DataError where there is none, or where a file of it is damaged."""
        name = self.contract.name
        if not self.exists():
            raise DataError.not_ingested(name)
        newest = storage.open_table(self.folder).version()
        if version is not None and not 0 <= version <= newest:
            raise DataError(f"{name}: the raw table has no version {version}; it has versions 0 to {newest}.")
        table = storage.open_table(self.folder, version)
        storage.check_files(table, self.folder)
        drops = tuple(_drop(commit) for commit in storage.commits(table, _RECORD))
        if not drops:
            raise DataError(f"{self.folder} is a Delta table without a drop of ours. Give the raw zone its own folder.")
        return RawSnapshot(name, table.version(), _parts(table, self.folder), drops, drops[-1].complete_through)

    def append(
        self,
        rows: pa.Table | pa.RecordBatchReader,
        origin: Origin,
        complete_through: date | None = None,
        valid_from: datetime | None = None,
        correction: bool = False,
    ) -> Drop | None:
        """Publish a drop of rows in the columns and types of `source_schema`; None where it changes nothing.

        A row that is current already is not written again. In a source that delivers snapshots, a key that the drop
        lacks gets a row of nulls at the drop's moment. complete_through: the last business day, inclusive, of which all
        events are there; by default the day before the newest event's (see `completeness`). correction: it may replace
        rows as it likes, and take completeness back; else DataError and UsageError.
        Raises ConflictError when another writer holds the table, UsageError for an argument that cannot apply.
        """
        self._require_columns(rows.schema)
        with self.writing(), duck.session() as connection:
            before = self.snapshot() if self.exists() else None
            self._refuse_other_identity()
            moment = self._moment(valid_from, before, origin.ingested_at)
            known = not self.contract.key and before is not None and _has_content(before, origin.content_hash)
            connection.register(raw_sql.DELIVERED, source_schema(self.contract).empty_table() if known else rows)
            changes = raw_sql.appended(connection, self.contract, before.files if before else None, moment)
            drop = replace(_draft(before, origin), valid_from=moment, is_declared=complete_through is not None)
            previous = before.complete_through if before else None
            if complete_through is not None:
                asked = declared_through(self.contract, complete_through, previous, origin.ingested_at, correction)
                drop = replace(drop, complete_through=asked)
            if not correction:
                refuse_superseding(connection, self.contract, changes, origin.file_name)
            written = self._write(connection, changes, drop.number)
            if complete_through is None and self.contract.event_time is not None:
                drop = replace(drop, complete_through=self._derived(connection, before, changes, written, origin))
            return self._publish(written, changes, drop, before)

    def retract(self, keys: pa.Table | pa.RecordBatchReader, origin: Origin) -> Drop | None:
        """Publish a drop that takes back every current row of these keys; None where there is no such row."""
        if not self.contract.key:
            raise UsageError(
                f"{self.contract.file_name}: no column is part of the key, so no row can be named to retract."
            )
        with self.writing(), duck.session() as connection:
            before = self.snapshot()
            self._refuse_other_identity()
            connection.register(raw_sql.DELIVERED, keys)
            changes = raw_sql.retracted(connection, self.contract, before.files)
            through = self._remaining(connection, before, changes)
            drop = replace(_draft(before, origin), retracts=True, complete_through=through, is_declared=False)
            return self._publish(self._write(connection, changes, drop.number), changes, drop, before)

    def writing(self) -> AbstractContextManager[None]:
        """The right to write this table; ConflictError when another process of this machine holds it for a minute."""
        return storage.exclusive(self.folder / ".lock", self.contract.name)

    def leftovers(self) -> tuple[Path, ...]:
        """Folders of files that no version refers to, as a killed ingestion leaves them."""
        known = {Path(path).parent for path in self.snapshot().files} if self.exists() else set()
        return tuple(sorted(folder for folder in self.folder.glob("drop-*") if folder not in known))

    def _write(self, connection: Any, changes: raw_sql.Changes, number: int) -> WrittenRows:
        batches = connection.sql(raw_sql.in_order(self.contract, changes)).to_arrow_reader(ROWS_A_GROUP)
        return write_files(batches, self.contract, self.folder, number)

    def _publish(
        self, written: WrittenRows, changes: raw_sql.Changes, drop: Drop, before: RawSnapshot | None
    ) -> Drop | None:
        if before and not written.rows and drop.complete_through == before.complete_through:
            return None
        drop = replace(drop, rows=written.rows, unchanged=changes.unchanged, supersedes=changes.supersedes)
        self._add_new_columns()
        record = _to_json(drop) | {"contract": _identity(self.contract) | {"version": self.contract.version}}
        try:
            schema = raw_schema(self.contract)
            version = storage.publish(self.folder, schema, written.files, _RECORD, record, sequence=drop.number)
        except ConflictError:
            self._discard(written)
            raise
        return replace(drop, version=version)

    def _moment(self, asked: datetime | None, before: RawSnapshot | None, now: datetime) -> datetime | None:
        """From when the rows of a drop without event time hold; never before what is recorded already."""
        name = self.contract.name
        if self.contract.event_time is not None:
            if asked is not None:
                raise UsageError(
                    f"{self.contract.file_name}: rows of {name} happen at their own {self.contract.event_time!r}; "
                    f"a valid-from moment does not apply. Leave it out."
                )
            return None
        first = self.contract.valid_from if before is None else now
        moment = as_utc(asked or first or now)
        if moment > as_utc(now) + self.contract.future_allowed:
            raise DataError(
                f"{name}: content that holds from {moment.isoformat()} lies after the clock ({as_utc(now).isoformat()})"
                f", and nothing of before then could follow it. Mend --valid-from or the contract's validFrom, or "
                f"state in the contract by how much it may lie ahead: futureAllowed."
            )
        newest = max((drop.valid_from for drop in before.drops if drop.valid_from), default=None) if before else None
        if newest is not None and moment < newest:
            raise DataError(
                f"{name}: the newest content holds from {newest.isoformat()}, after {moment.isoformat()}. "
                f"Give a moment not before it (`--valid-from`); at the very same moment a drop corrects that content."
            )
        return moment

    def _remaining(self, connection: Any, before: RawSnapshot, changes: raw_sql.Changes) -> date | None:
        """Through which day the source stays complete without the rows that are replaced or retracted."""
        through = before.complete_through
        if through is None or not changes.supersedes:
            return through
        replaced, others = raw_sql.newest_days(connection, self.contract, before.files)
        if replaced is None or day_of_number(replaced) <= through:
            return through
        return remaining_through(before.drops, None if others is None else day_of_number(others))

    def _derived(
        self,
        connection: Any,
        before: RawSnapshot | None,
        changes: raw_sql.Changes,
        written: WrittenRows,
        origin: Origin,
    ) -> date | None:
        """What a drop that says nothing of it completes; its files are discarded where that is in doubt."""
        files = before.files if before else ()
        previous = self._remaining(connection, before, changes) if before else None
        try:
            return derived_through(
                self.contract, written.days, previous, origin.ingested_at, lambda: raw_sql.days(connection, files)
            )
        except DataError:
            self._discard(written)
            raise

    def _discard(self, written: WrittenRows) -> None:
        for folder in {(self.folder / file.path).parent for file in written.files}:
            storage.discard(folder)

    def _require_columns(self, schema: pa.Schema) -> None:
        wanted = source_schema(self.contract)
        for field in wanted:
            found = schema.field(field.name).type if field.name in schema.names else None
            if found != field.type:
                raise DataError(
                    f"{self.contract.file_name}: column {field.name!r} is {found or 'missing'}, the raw zone stores "
                    f"{field.type}. Convert the rows first; `features ingest` does."
                )

    def _refuse_other_identity(self) -> None:
        """What makes a row's identity and day cannot change: rows already stored were placed by it."""
        if not self.exists():
            return
        table = storage.open_table(self.folder)
        stored = storage.commits(table, _RECORD)[-1].record["contract"]
        for name, value in _identity(self.contract).items():
            if stored[name] != value:
                raise DataError(
                    f"{self.contract.file_name}: {name} is {value!r}, yet {self.contract.name} was ingested with "
                    f"{stored[name]!r}. Stored rows cannot be placed anew: give the changed source a new name."
                )
        types = {field.name: field.type for field in pa.schema(table.schema().to_arrow())}
        for field in source_schema(self.contract):
            if types.get(field.name, field.type) != field.type:
                raise DataError(
                    f"{self.contract.file_name}: column {field.name!r} is {field.type}, yet {self.contract.name} "
                    f"stores {types[field.name]}. Give the column, or the source, a new name."
                )

    def _add_new_columns(self) -> None:
        if not self.exists():
            return
        present = {field.name for field in storage.open_table(self.folder).schema().fields}
        if missing := [field for field in source_schema(self.contract) if field.name not in present]:
            storage.add_columns(self.folder, missing)


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
        query = raw_sql.current(connection, contract, snapshot.files, names, where or {}, snapshot.supersedes)
        rows: pa.Table = connection.sql(query).to_arrow_table()
    return rows.cast(pa.schema([raw_schema(contract).field(name) for name in names]))


def _draft(before: RawSnapshot | None, origin: Origin) -> Drop:
    number = max((drop.number for drop in before.drops), default=0) + 1 if before else 1
    return Drop(number, -1, origin.file_name, origin.content_hash, 0, as_utc(origin.ingested_at), None, 0)


def _has_content(before: RawSnapshot, content_hash: str) -> bool:
    return any(drop.content_hash == content_hash for drop in before.drops)


def _identity(contract: Contract) -> dict[str, Any]:
    return {
        "key": list(contract.key),
        "event time": contract.event_time,
        "timestamp zone": contract.timestamp_zone,
        "business day zone": contract.business_day_zone,
        "delivery": contract.delivery,
    }


def _parts(table: Any, folder: Path) -> tuple[RawFile, ...]:
    actions = pa.table(table.get_add_actions(flatten=True)).to_pylist()
    parts = (
        RawFile(
            path=str(folder / action["path"]),
            drop=action[f"min.{DROP}"],
            rows=action["num_records"],
            first_day=action[f"min.{BUSINESS_DAY}"],
            last_day=action[f"max.{BUSINESS_DAY}"],
        )
        for action in actions
    )
    return tuple(sorted(parts, key=lambda part: part.path))


def _to_json(drop: Drop) -> dict[str, Any]:
    facts = {name: value for name, value in vars(drop).items() if name != "version"}
    return {name: value.isoformat() if isinstance(value, date) else value for name, value in facts.items()}


def _drop(commit: storage.Commit) -> Drop:
    facts = {name: value for name, value in commit.record.items() if name != "contract"}
    for name, kind in (("ingested_at", datetime), ("valid_from", datetime), ("complete_through", date)):
        facts[name] = kind.fromisoformat(facts[name]) if facts[name] else None
    return Drop(version=commit.version, **facts)
