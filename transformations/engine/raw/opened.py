"""A raw table, opened and read once, and the check that a contract may still write to it."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pyarrow as pa

from transformations.contracts import Contract
from transformations.engine.base import storage
from transformations.engine.base.errors import DataError
from transformations.engine.base.files.without_copies import footer_of
from transformations.engine.merging.replacing import RECORD as MERGED
from transformations.engine.raw.contract_terms import (
    TermChange,
    changes_between,
    identity_of,
    needs_version,
    terms_of,
    with_returned_columns,
)
from transformations.engine.raw.deferred import Deferred
from transformations.engine.raw.drops import Drop, MergedParts, RawFile, RawSnapshot
from transformations.engine.raw.files import BUSINESS_DAY, DROP, source_schema

if TYPE_CHECKING:
    from deltalake import DeltaTable

RECORD = "features.drop"
SO_FAR = "so_far"
"""What a drop's record says of all drops up to it, beside itself, so that nobody goes through them for it."""


@dataclass(frozen=True, kw_only=True)
class OpenedTable:
    """One version of a source's raw table, opened and read once.

    placed_by: what the contract said when its newest rows were stored. stamp: of the version's own commit.
    """

    folder: Path
    delta: DeltaTable
    snapshot: RawSnapshot
    placed_by: Mapping[str, Any]
    stamp: storage.FileStamp

    def is_newest(self) -> bool:
        """Whether nobody has published to the table, or replaced it, since it was opened."""
        return storage.is_newest(self.delta, self.stamp)

    def check_files(self) -> None:
        """DataError for a file of the table that is missing, or has another size than when it was written."""
        storage.check_files(self.delta, self.folder)

    def columns_missing(self, contract: Contract) -> list[pa.Field]:
        """The contract's columns that the table does not have yet."""
        present = {field.name for field in self.delta.schema().fields}
        return [field for field in source_schema(contract) if field.name not in present]

    def contract_changes(self, contract: Contract) -> tuple[list[TermChange], str | None]:
        """How the contract differs from that of the newest rows, and what is wrong with its version; tables written
        before contracts were recorded show no difference.
        """
        terms = self.placed_by.get("terms")
        changes = changes_between(contract.name, terms, terms_of(contract)) if terms else []
        changes = with_returned_columns(changes, {field.name for field in self.delta.schema().fields})
        return changes, needs_version(changes, str(self.placed_by["version"]), contract.version)

    def refuse_unannounced_changes(self, contract: Contract) -> None:
        """DataError for a change that stored rows or readers would not survive, under a version that hides it."""
        changes, fault = self.contract_changes(contract)
        incompatible = [str(change) for change in changes if not change.is_compatible]
        if fault is not None and incompatible:
            raise DataError(
                f"{contract.file_name}: {fault}, yet rows stored under it, or their readers, would break: "
                f"{'; '.join(incompatible)}. Raise the major version, or take the change back."
            )

    def refuse_other_identity(self, contract: Contract) -> None:
        """DataError if the contract would assign rows another key, time or type than the stored rows were given."""
        for name, value in identity_of(contract).items():
            if self.placed_by[name] != value:
                raise DataError(
                    f"{contract.file_name}: {name} is {value!r}, yet {contract.name} was ingested with "
                    f"{self.placed_by[name]!r}. Stored rows cannot be placed anew: give the changed source a new name."
                )
        types = {field.name: field.type for field in pa.schema(self.delta.schema().to_arrow())}
        for field in source_schema(contract):
            if types.get(field.name, field.type) != field.type:
                raise DataError(
                    f"{contract.file_name}: column {field.name!r} is {field.type}, yet {contract.name} "
                    f"stores {types[field.name]}. Give the column, or the source, a new name."
                )

    def advance(self, drop: Drop, files: Sequence[storage.NewFile], contract: Contract) -> OpenedTable | None:
        """The table once this drop is published; None where another writer has published since."""
        self.delta.update_incremental()
        if self.delta.version() != drop.version:
            return None
        parts = parts_of(drop, files, self.folder)
        return replace(
            self,
            snapshot=self.snapshot.with_drop(drop, parts),
            placed_by=_placement_of(contract),
            stamp=storage.commit_stamp(self.delta),
        )


def parts_of(drop: Drop, files: Sequence[storage.NewFile], folder: Path) -> list[RawFile]:
    """The files that a drop brings to the table in a folder."""
    return [
        RawFile(
            path=str(folder / file.path),
            drop=drop.number,
            rows=file.rows,
            first_day=int(file.bounds[BUSINESS_DAY][0]),
            last_day=int(file.bounds[BUSINESS_DAY][1]),
        )
        for file in files
    ]


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """While tens of thousands of records are made that all stay, Python would look again and again for garbage among
    them: a third of the time.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def open_raw_table(folder: Path, source: str, version: int | None = None) -> OpenedTable:
    """The newest version, or a given existing one. DataError for damaged files, or a table that is not ours."""
    delta = storage.open_table(folder, version)
    stamp = storage.commit_stamp(delta)
    storage.check_files(delta, folder)
    recent = storage.newest_commits(folder, RECORD, delta.version())
    if not recent:
        raise DataError(f"{folder} is a Delta table without a drop of ours. Give the raw zone its own folder.")
    drops = tuple(drop_of(commit) for commit in recent)
    stored = tuple(sorted(_files_of(delta, folder), key=attrgetter("path")))
    log = _Log(folder, delta.version(), drops[0].version, stored)
    snapshot = RawSnapshot(
        source=source,
        version=drops[-1].version,
        parts=Deferred(lambda: log.parts, by=attrgetter("path")),
        drops=Deferred(lambda: log.older_drops, drops),
        complete_through=drops[-1].complete_through,
        merged=Deferred(lambda: tuple(log.merged)),
    ).knowing(stored=stored)
    newest = recent[-1].record
    if SO_FAR in newest:  # else it is an old one
        through = newest[SO_FAR]["declared_through"]
        snapshot.knowing(
            supersedes=newest[SO_FAR]["supersedes"],
            comes_in_order=newest[SO_FAR]["comes_in_order"],
            declared_through=None if through is None else date.fromisoformat(through),
        )
    return OpenedTable(folder=folder, delta=delta, snapshot=snapshot, placed_by=newest["contract"], stamp=stamp)


class _Log:
    """What a table's log says of its older drops and of its merges, read when somebody asks for it.

    first: the version of the oldest drop that is known already; stored: the files of the table's version.
    """

    def __init__(self, folder: Path, version: int, first: int, stored: Sequence[RawFile]) -> None:
        self._folder, self._version, self._first, self._stored = folder, version, first, stored

    @cached_property
    @_nothing_collected()
    def older_drops(self) -> Sequence[Drop]:
        """The drops before the first one that is known already."""
        drops = (commit for commit in self._commits if commit.key == RECORD and commit.version < self._first)
        return [drop_of(commit) for commit in drops]

    @cached_property
    def parts(self) -> Sequence[RawFile]:
        """The files that came with drops, those that were merged since included."""
        merged = {file.path for each in self.merged for file in each.files}
        parts = [file for file in self._stored if file.path not in merged]
        return [*parts, *(part for parts in self.merged.values() for part in parts)]

    @cached_property
    @_nothing_collected()
    def merged(self) -> Mapping[MergedParts, tuple[RawFile, ...]]:
        """The merged files, with the files of drops that they hold the rows of."""
        records = [commit.record for commit in self._commits if commit.key == MERGED]
        return _merged_parts(self._folder, {file.path for file in self._stored}, records)

    @cached_property
    def _commits(self) -> Sequence[storage.Commit]:
        return storage.commits_of(self._folder, self._version, RECORD, MERGED)


def record_of(
    drop: Drop, contract: Contract, before: RawSnapshot | None, first_day: int | None = None
) -> dict[str, Any]:
    """The record of a drop in its commit, as JSON. before: the table as the drop finds it; first_day: of its rows."""
    facts = {name: value for name, value in vars(drop).items() if name != "version"}
    said = {name: value.isoformat() if isinstance(value, date) else value for name, value in facts.items()}
    declared = drop.complete_through if drop.is_declared else before.declared_through if before else None
    so_far = {
        "supersedes": bool(drop.supersedes) or (before is not None and before.supersedes),
        "comes_in_order": (before is None or before.comes_in_order)
        and drop.follows(before.complete_through if before else None, first_day),
        "declared_through": None if declared is None else declared.isoformat(),
    }
    return said | {"contract": _placement_of(contract), SO_FAR: so_far}


def _placement_of(contract: Contract) -> dict[str, Any]:
    """What a drop records of the contract that it was checked by."""
    return identity_of(contract) | {"version": contract.version, "terms": terms_of(contract)}


def drop_of(commit: storage.Commit) -> Drop:
    """The drop that a commit of the raw table records."""
    facts = {name: value for name, value in commit.record.items() if name not in ("contract", SO_FAR)}
    for name, kind in (("ingested_at", datetime), ("valid_from", datetime), ("complete_through", date)):
        facts[name] = kind.fromisoformat(facts[name]) if facts[name] else None
    return Drop(version=commit.version, **facts)


def _merged_parts(
    folder: Path, live: Set[str], records: Sequence[Mapping[str, Any]]
) -> dict[MergedParts, tuple[RawFile, ...]]:
    """The merged files of a version, with the files of the drops that they hold the rows of. live: the version's files;
    records: of all merges.
    """
    found = {}
    for record in records:
        if record["files"] and f"{folder}/{record['files'][0][0]}" in live:  # else merged again since, or the whole is
            parts = tuple(_file_of(folder, facts) for facts in record["parts"])
            files = tuple(_file_of(folder, facts) for facts in record["files"])
            last = max(part.drop for part in parts)
            found[MergedParts(files=files, parts=frozenset(part.path for part in parts), last_drop=last)] = parts
    return found


def facts_of(file: RawFile, folder: Path) -> list[str | int]:
    """A file as the record of a merge lists it."""
    return [Path(file.path).relative_to(folder).as_posix(), file.drop, file.rows, file.first_day, file.last_day]


def _file_of(folder: Path, facts: Sequence[Any]) -> RawFile:
    path, drop, rows, first_day, last_day = facts
    return RawFile(path=f"{folder}/{path}", drop=drop, rows=rows, first_day=first_day, last_day=last_day)


def _files_of(delta: DeltaTable, folder: Path) -> Iterator[RawFile]:
    """The files of an open table's version. Of a merged one, the drop is the newest that it has rows of."""
    for action in pa.table(delta.get_add_actions(flatten=True)).to_pylist():
        path = f"{folder}/{unquote(action['path'])}"
        bounds = [action.get(name) for name in (f"max.{DROP}", f"min.{BUSINESS_DAY}", f"max.{BUSINESS_DAY}")]
        # Of a table that an older release made, delta-rs reads the statistics of the first 32 columns only.
        drop, first_day, last_day = _bounds_in(path) if None in bounds else bounds
        yield RawFile(path=path, drop=drop, rows=action["num_records"], first_day=first_day, last_day=last_day)


def _bounds_in(file: str) -> tuple[int, int, int]:
    """The newest drop, and the first and last business day, of a file's rows, by its own statistics."""
    facts = footer_of(file)
    places = {facts.schema.column(place).name: place for place in range(facts.num_columns)}
    groups = [facts.row_group(number) for number in range(facts.num_row_groups)]
    drops, days = ([group.column(places[name]).statistics for group in groups] for name in (DROP, BUSINESS_DAY))
    return max(each.max for each in drops), min(each.min for each in days), max(each.max for each in days)
