"""Compaction of a source's raw table: the small files of many drops merged into few, sorted by event time and key.

The files of the drops stay beside them, for ever unless a setting says otherwise: they are what was delivered, and what
earlier versions and new drops are read from. Drops keep their names, content hashes and numbers; every row says with
which one it came.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from transformations.engine.base import storage
from transformations.engine.base.disk_faults import faults_in_words, verify_files
from transformations.engine.base.errors import ConflictError
from transformations.engine.base.settings import Settings
from transformations.engine.merging.merged_files import (
    Merged,
    files_to_merge,
    has_many_small,
    merged_tables,
    refuse_other_content,
)
from transformations.engine.merging.replacing import replace_files
from transformations.engine.raw.drops import RawFile, RawSnapshot
from transformations.engine.raw.files import BUSINESS_DAY, DROP, MERGED_FOLDER, RAW_TIMESTAMP, write_file
from transformations.engine.raw.opened import OpenedTable, facts_of
from transformations.engine.raw.originals import Readers, given_up
from transformations.engine.raw.zone import RawTable


@faults_in_words()
def compact_source(
    raw: RawTable, settings: Settings, *, only_many: bool = False, readers: Callable[[], Readers] = Readers
) -> Merged | None:
    """Merge the small files of a source's raw table; None where that would not make them fewer.

    What was merged before counts as one file with all its rows. only_many: None as well as long as they are few.
    readers: who reads the source, asked where originals were given up: what stands in their place is merged with newer
    drops only once everybody has read these. Ingestions and builds go on meanwhile. Raises ConflictError where another
    process merged the files first.
    """
    opened = raw.opened()
    if opened is None:
        return None
    began = perf_counter()
    snapshot = opened.snapshot
    if only_many and not has_many_small(file.rows for file in snapshot.stored):  # so nobody reads of earlier merges
        return None
    units = _units_of(snapshot)
    rows_of = {unit: sum(file.rows for file in unit) for unit in units}
    chosen = files_to_merge(rows_of, only_many=only_many)
    if bound := _bound(snapshot, raw.folder) & {*chosen}:
        version_of = {drop.number: drop.version for drop in snapshot.drops}
        if not readers().have_read(max(version_of[file.drop] for unit in chosen for file in unit)):
            rows_of = {unit: rows for unit, rows in rows_of.items() if unit not in bound}
            chosen = files_to_merge(rows_of, only_many=only_many)
    if not chosen:
        return None
    files = [file for unit in chosen for file in unit]
    paths = [file.path for file in files]
    verify_files(paths)
    folder = f"{MERGED_FOLDER}{uuid4().hex[:16]}"
    try:
        written = _write_merged(raw, folder, paths, _schema_of(opened, paths), settings)
        covered = {part for each in snapshot.merged if each.files in chosen for part in each.parts} | set(paths)
        record = {
            "files": [facts_of(_as_stored(file, raw.folder), raw.folder) for file in written],
            "parts": [facts_of(part, raw.folder) for part in snapshot.parts if part.path in covered],
        }
        with raw.writing():
            replaced = [Path(path).relative_to(raw.folder).as_posix() for path in paths]
            version = replace_files(raw.folder, replaced, written, record)
    except ConflictError:
        storage.discard(raw.folder / folder)
        raise
    before = len(snapshot.stored)
    return Merged(
        zone="raw",
        table=raw.contract.name,
        version=version,
        files=(before, before - len(files) + len(written)),
        rows=sum(file.rows for file in written),
        size_bytes=(sum(Path(path).stat().st_size for path in paths), sum(file.size for file in written)),
        seconds=round(perf_counter() - began, 3),
    )


def _units_of(snapshot: RawSnapshot) -> list[tuple[RawFile, ...]]:
    """What is merged or left as a whole: the files of one merge, or a single file of a drop."""
    merged = [each.files for each in snapshot.merged]
    known = {file for files in merged for file in files}
    return [*merged, *((file,) for file in snapshot.stored if file not in known)]


def _bound(snapshot: RawSnapshot, folder: Path) -> set[tuple[RawFile, ...]]:
    """The merged files whose originals were given up in part."""
    gone = {str(folder / path) for path in given_up(folder)}
    return {each.files for each in snapshot.merged if gone & each.parts} if gone else set()


def _schema_of(opened: OpenedTable, paths: Sequence[str]) -> pa.Schema:
    """The table's columns that any of these files has."""
    present = {name for path in paths for name in pq.read_schema(path).names}
    return pa.schema([field for field in pa.schema(opened.delta.schema().to_arrow()) if field.name in present])


def _write_merged(
    raw: RawTable, folder: str, paths: Sequence[str], schema: pa.Schema, settings: Settings
) -> list[storage.NewFile]:
    order = list(dict.fromkeys((RAW_TIMESTAMP, *(raw.contract.key or raw.contract.column_names), DROP)))
    order = [name for name in order if name in schema.names]
    written = [
        write_file(rows, raw.folder, f"{folder}/part-{number:05d}.parquet")
        for number, rows in enumerate(merged_tables(paths, schema, order, settings))
    ]
    refuse_other_content(paths, [str(raw.folder / file.path) for file in written], schema, settings)
    return written


def _as_stored(file: storage.NewFile, folder: Path) -> RawFile:
    bounds: Mapping[str, tuple[int, int]] = {name: (int(low), int(high)) for name, (low, high) in file.bounds.items()}
    return RawFile(
        path=str(folder / file.path),
        drop=bounds[DROP][1],
        rows=file.rows,
        first_day=bounds[BUSINESS_DAY][0],
        last_day=bounds[BUSINESS_DAY][1],
    )
