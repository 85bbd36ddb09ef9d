"""What tasks read of a stage's histories: stretches of files, whose rows go to the partitions of their buckets."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from transformations.engine.base.disk_faults import note_reads
from transformations.engine.base.file_rows_sql import Scan
from transformations.engine.base.files.scratch import scratch_folder
from transformations.engine.base.files.without_copies import footer_of
from transformations.engine.base.moments import micros_to_instant
from transformations.engine.base.settings import get_settings
from transformations.engine.launch.elsewhere import are_elsewhere, require_here
from transformations.stores.history.session_sql import Resources, session
from transformations.stores.history.stored import Stored
from transformations.stores.spark.packets import Buckets
from transformations.stores.spark.stages import Stage

_FEWEST_ROWS_A_UNIT, _MOST_ROWS_A_UNIT = 250_000, 4_000_000
_LARGE = 1.5
"""A bucket with so many times the mean of rows is dealt out over several partitions, each with all of its history."""
FEWEST_LARGE_ROWS = 50_000  # below, a further copy of the history costs more than the wait


class Counted(NamedTuple):
    """The spine's rows of a bucket, and their first and last moment in microseconds."""

    rows: int
    first: int
    last: int


@dataclass(frozen=True)
class Unit:
    """A stretch of one file. view: its history's number in the stage. rows: the first, and the one after the last."""

    view: int
    file: int
    rows: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The histories of a stage as tasks read them. scans: of each view, described once. there: the columns that each
    file of each view has. bounds: the spine's first and last moment.
    """

    stage: Stage
    scans: tuple[Scan | None, ...]
    there: tuple[tuple[tuple[str, ...], ...], ...]
    bounds: tuple[datetime, datetime]
    buckets: Buckets
    hashes: int
    resources: Resources


@dataclass(frozen=True)
class Cutting:
    """How the spine is cut: by the keys of a stage, into so many buckets. timestamp: the column of its moments."""

    stage: Stage
    hashes: int
    timestamp: str
    resources: Resources


def columns_of(stored: Stored) -> dict[str, str]:
    """What a task's file calls the columns that are read of a history, by the view's names for them."""
    history = stored.history
    stamps = [history.timestamp, *([history.created] if history.created else [])]
    names = dict.fromkeys([*stored.keys, *stamps, *stored.features])
    return {name: f"c{number}" for number, name in enumerate(names)}


def rows_of(stored: Sequence[Stored]) -> int:
    """The rows of histories, by the footers of their files."""
    files = {file for each in stored for file in each.history.files}
    with ThreadPoolExecutor(8) as pool:
        return sum(footer.num_rows for footer in pool.map(_footer, files))


def sources_of(cutting: Cutting, counted: Mapping[int, Counted], parallelism: int) -> tuple[Sources, list[Unit]]:
    """What the tasks of a stage's histories read. counted: the spine's buckets. parallelism: tasks that run at once."""
    first = min((each.first for each in counted.values()), default=0)
    last = max((each.last for each in counted.values()), default=0)
    scans: list[Scan | None] = []
    there: list[tuple[tuple[str, ...], ...]] = []
    units: list[Unit] = []
    for number, stored in enumerate(cutting.stage.stored):
        files = stored.history.files if counted else ()
        scans.append(None)
        there.append(())
        if files:
            with ThreadPoolExecutor(8) as pool:
                footers = list(pool.map(_footer, files))
            scans[number] = _scan(stored, footers, cutting.resources)
            there[number] = tuple(tuple(footer.schema.to_arrow_schema().names) for footer in footers)
            units += _units_of(number, [footer.num_rows for footer in footers], parallelism)
    sources = Sources(
        stage=cutting.stage,
        scans=tuple(scans),
        there=tuple(there),
        bounds=(micros_to_instant(first), micros_to_instant(last)),
        buckets=_dealt({bucket: each.rows for bucket, each in counted.items()}, cutting.hashes),
        hashes=cutting.hashes,
        resources=cutting.resources,
    )
    return sources, units


def _dealt(rows: Mapping[int, int], hashes: int) -> Buckets:
    """The partitions of each bucket: one, or for a large one as many as bring it to the mean."""
    parts: dict[int, list[int]] = {}
    total = 0
    mean = sum(rows.values()) / max(hashes, 1)
    for bucket, count in sorted(rows.items()):
        copies = math.ceil(count / mean) if count > max(_LARGE * mean, FEWEST_LARGE_ROWS) else 1
        parts[bucket] = list(range(total, total + copies))
        total += copies
    return Buckets(parts, max(total, 1))


def _units_of(view: int, rows: Sequence[int], parallelism: int) -> Iterator[Unit]:
    """The files of a view in stretches: several for each processor, none too small to be worth a task."""
    step = min(max(math.ceil(sum(rows) / (2 * parallelism)), _FEWEST_ROWS_A_UNIT), _MOST_ROWS_A_UNIT)
    for file, count in enumerate(rows):
        for start in range(0, count, step):
            yield Unit(view, file, (start, min(start + step, count)))


def _footer(file: str) -> pq.FileMetaData:
    if not are_elsewhere():
        note_reads([file])
    return footer_of(file)


def _scan(stored: Stored, footers: Sequence[pq.FileMetaData], resources: Resources) -> Scan:
    """The history's files, described. Those that are not here are described by empty files of the same columns."""
    with session(resources) as connection:
        if not are_elsewhere():
            return stored.scan(connection)
        with scratch_folder("features-columns-") as folder:
            schemas = {footer.schema.to_arrow_schema().remove_metadata() for footer in footers}
            files = [f"{folder}/{number}.parquet" for number in range(len(schemas))]
            for file, schema in zip(files, schemas, strict=True):
                pq.write_table(schema.empty_table(), file)
            empty = replace(stored, history=replace(stored.history, files=tuple(files)))
            return replace(empty.scan(connection, is_verified=True), files=stored.history.files)


def refuse_unfetched(stored: Sequence[Stored]) -> None:
    """UsageError for a history in the data folder that tasks elsewhere cannot fetch: no commit of a table names it."""
    data = get_settings().data
    for each in stored if are_elsewhere() else ():
        if not each.history.is_built and any(Path(file).is_relative_to(data) for file in each.history.files):
            require_here(get_settings(), f"{each.reference}, whose source no build has written, is read")
