"""The Spark job: gather the events of each bucket of entities, compute the bucket's rows, write one Parquet file.

Packets are shuffled by entity. If there are few rows, every task reads all of them instead and keeps its bucket's. Only
descriptions of written files return to the driver, never data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc

from transformations.engine.base import checksums
from transformations.engine.base.files.without_copies import hand_over
from transformations.engine.base.moments import CREATED_TIMESTAMP, EVENT_TIMESTAMP
from transformations.engine.base.storage import NewFile, make_folder
from transformations.engine.compute.folds import carry_schema
from transformations.engine.compute.packets import unpack
from transformations.engine.compute.readings import Files
from transformations.engine.compute.replay import Replay, Replayed, in_order, replay
from transformations.engine.compute.sources import event_schema
from transformations.engine.compute.sweep import FROM_DAY
from transformations.engine.launch.elsewhere import are_elsewhere, sent
from transformations.engine.launch.task_errors import errors_of_tasks
from transformations.engine.tables.layout import write_rows
from transformations.engine.tables.offline_tables import table_schema, time_bounds

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True)
class Computed:
    """What a bucket gives: the rows to write, the number of late entities, and the state to carry over, if any."""

    rows: pa.Table
    late_entities: int = 0
    carry: pa.Table | None = None


BucketWork = Callable[[Mapping[str, pa.Table]], Computed]
"""Maps a bucket's tables, by kind, to what it gives."""

_FACTS = ("size", "rows", "late", "late_entities", "first_micros", "last_micros", "created_micros")
_WRITTEN = ", ".join(
    ["path string", *(f"{name} bigint" for name in _FACTS), "counts array<bigint>", "handed_over map<string, string>"]
)
_WRITTEN_SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        *((name, pa.int64()) for name in _FACTS),
        ("counts", pa.list_(pa.int64())),
        ("handed_over", pa.map_(pa.string(), pa.string())),
    ]
)
_EVENTS_A_BUCKET = 1_000_000


@dataclass(frozen=True)
class Folders:
    """Where a run writes: rows in `rows`, with paths relative to `table`, and carried-over state in `carry`.

    are_elsewhere: whether the driver has no such folders, so that tasks put their files into object storage.
    """

    table: Path
    rows: Path
    carry: Path | None
    are_elsewhere: bool = field(default_factory=are_elsewhere)


@dataclass(frozen=True, kw_only=True)
class Written:
    """The files that a job wrote, which belong to the table once they are published.

    late_rows: see `run_job`. late_entities: entities whose past was checked again. created: the newest created
    timestamp, microseconds UTC; None without rows. counts: of all events, if the job read them itself.
    """

    files: list[NewFile]
    late_rows: int
    late_entities: int = 0
    created: int | None = None
    counts: Sequence[int] = ()


def run_job(
    replays: Sequence[Replay], packets: DataFrame, buckets: int, folders: Folders, late_until: int | None
) -> Written:
    """Replay every bucket of entities and write its rows.

    packets: of events and carried-over state; after late events, also of marks and stored rows. late_until: rows up to
    this event timestamp (inclusive, microseconds UTC) are counted as late; None: none are.
    """
    work = _replay_buckets(replays, carries=folders.carry is not None)
    return write_buckets(work, packets, buckets, folders, late_until)


def write_buckets(
    work: BucketWork, packets: DataFrame, buckets: int, folders: Folders, late_until: int | None = None
) -> Written:
    """Write the rows that `work` returns for each bucket."""

    def task(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for bucket, received in unpack(batches):
            yield _write(bucket, work(received), folders, late_until, ())

    dealt = packets.repartitionById(buckets, "bucket")
    with errors_of_tasks():
        return summarize(dealt.mapInArrow(sent(task, packets.sparkSession), _WRITTEN).collect(), folders)


def run_small_job(
    replays: Sequence[Replay],
    files: Files,
    spark: SparkSession,
    buckets: int,
    folders: Folders,
    late_until: int | None,
) -> Written:
    """`run_job` for few rows, without a shuffle: each task reads all files and keeps the rows of its bucket."""

    def task(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for bucket in (number for batch in batches for number in batch.column(0).to_pylist()):
            yield write_bucket(replays, files, bucket, buckets, folders, late_until)

    numbers = spark.range(0, buckets, 1, buckets)
    with errors_of_tasks():
        return summarize(numbers.mapInArrow(sent(task, spark), _WRITTEN).collect(), folders)


def run_in_process(
    replays: Sequence[Replay], files: Files, folders: Folders, late_until: int | None, buckets: int = 1
) -> Written:
    """`run_small_job` in this process, for runs that finish before Spark would have started a task."""
    written = [write_bucket(replays, files, bucket, buckets, folders, late_until) for bucket in range(buckets)]
    return summarize([row for batch in written for row in batch.to_pylist()], folders)


def write_bucket(
    replays: Sequence[Replay], files: Files, bucket: int, buckets: int, folders: Folders, late_until: int | None
) -> pa.RecordBatch:
    """Replay one bucket of few rows, write its file, and describe it."""
    received, counts = files.bucket(bucket, buckets)
    computed = _replay_buckets(replays, carries=folders.carry is not None)(received)
    return _write(bucket, computed, folders, late_until, () if bucket else counts)


def summarize(rows: Sequence[Any], folders: Folders) -> Written:
    """Combine what the tasks wrote, and note the checksums of what they handed over; rows: of `_WRITTEN_SCHEMA`."""
    handed_over = {name: checksum for row in rows for name, checksum in dict(row["handed_over"] or ()).items()}
    if handed_over:
        make_folder(folders.table)
        checksums.append(folders.table, handed_over)
    files = [
        NewFile(row["path"], row["size"], row["rows"], time_bounds(row["first_micros"], row["last_micros"]))
        for row in rows
        if row["path"] is not None
    ]
    counts = next((row["counts"] for row in rows if row["counts"]), ())
    created = max((row["created_micros"] for row in rows if row["path"] is not None), default=None)
    late_rows, late_entities = (sum(row[name] for row in rows) for name in ("late", "late_entities"))
    return Written(files=files, late_rows=late_rows, late_entities=late_entities, created=created, counts=counts)


def buckets_for(events: int, parallelism: int) -> int:
    """Enough buckets for a million events in each, and at least one a core."""
    return max(parallelism, -(-events // _EVENTS_A_BUCKET))


def _replay_buckets(replays: Sequence[Replay], *, carries: bool) -> BucketWork:
    empty = _empty_tables(replays[-1])
    keys = list(replays[-1].plan.resolved.join_keys)

    def work(received: Mapping[str, pa.Table]) -> Computed:
        tables = {kind: received.get(kind, table) for kind, table in empty.items()}
        done: list[Replayed] = []
        for each in replays:
            stored = pa.concat_tables([tables["stored"], *(made.rows.cast(tables["stored"].schema) for made in done)])
            done.append(replay(each, tables["events"], tables["marks"], stored, tables["carried"]))
        rows = in_order([each.rows for each in done], keys)
        return Computed(rows, done[-1].late_entities, done[-1].carry if carries else None)

    return work


def _empty_tables(work: Replay) -> Mapping[str, pa.Table]:
    resolved = work.plan.resolved
    keys = [(key, dtype.arrow) for key, dtype in resolved.join_keys.items()]
    marks = pa.schema([*keys, (FROM_DAY, pa.int64())])
    schemas = {"events": event_schema(resolved), "marks": marks, "stored": table_schema(resolved)}
    schemas["carried"] = carry_schema(resolved)
    return {kind: schema.empty_table() for kind, schema in schemas.items()}


def _write(
    bucket: int, computed: Computed, folders: Folders, late_until: int | None, counts: Sequence[int]
) -> pa.RecordBatch:
    """Write what a bucket carries over and its rows, if there are any, and describe the files."""
    rows = computed.rows
    facts: dict[str, object] = dict.fromkeys(("path", *_FACTS))
    facts |= {"rows": rows.num_rows, "late": 0, "late_entities": computed.late_entities, "counts": list(counts)}
    handed_over: dict[str, str] = {}
    if computed.carry is not None and folders.carry is not None:
        path = write_rows(computed.carry, folders.carry / f"bucket-{bucket:05d}.parquet")
        if folders.are_elsewhere:
            handed_over[path.relative_to(folders.table).as_posix()] = hand_over(path, once=True)
    if rows.num_rows:
        path = write_rows(rows, folders.rows / f"{uuid4().hex}.parquet")  # a new name: a task may be tried again
        moments = rows[EVENT_TIMESTAMP].cast(pa.int64())
        times = pc.min_max(moments).as_py()
        facts |= {
            "path": path.relative_to(folders.table).as_posix(),
            "size": path.stat().st_size,
            "late": 0 if late_until is None else pc.sum(pc.less_equal(moments, late_until)).as_py(),
            "first_micros": times["min"],
            "last_micros": times["max"],
            "created_micros": pc.max(rows[CREATED_TIMESTAMP].cast(pa.int64())).as_py(),
        }
        if folders.are_elsewhere:
            handed_over[str(facts["path"])] = hand_over(path)
    return pa.RecordBatch.from_pylist([facts | {"handed_over": list(handed_over.items())}], _WRITTEN_SCHEMA)
