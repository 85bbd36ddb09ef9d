"""What Spark's tasks do, in Python processes: cut spine and histories into packets, and join those of one partition.

The join is the local engine's (`stores/training/retrieval.py`): each partition is a small world of its own, whose
histories stand in files of the task's folder, each with the rows in the order of the original files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from transformations.engine.base import errors, storage
from transformations.engine.base.files.scratch import scratch_folder
from transformations.engine.launch.task_errors import told
from transformations.stores.base.values import canonical_key, moments_of
from transformations.stores.computed.wiring import look_for_code_in
from transformations.stores.history import point_in_time_sql as sql
from transformations.stores.history.history import History
from transformations.stores.history.session_sql import session
from transformations.stores.history.stored import Stored, sql_type_of_key
from transformations.stores.spark import packets_sql
from transformations.stores.spark.histories import Cutting, Sources, Unit, columns_of
from transformations.stores.spark.packets import SPINE, Buckets, Packet, batch_of, packets_of, split
from transformations.stores.spark.stages import Stage
from transformations.stores.training.retrieval import Plan, result_columns, stored_values
from transformations.stores.training.spine import Spine

Batches: TypeAlias = Iterable[pa.RecordBatch]
Task: TypeAlias = Callable[[Batches], Iterator[pa.RecordBatch]]

ROWS_AT_ONCE = 1_000_000
"""Spine rows that a task holds at once."""
ROWS_A_PACKET = 250_000
"""Spine rows that are cut into packets together: fewer make many small packets, more take memory."""
ROWS_A_GROUP = ROWS_AT_ONCE // 8
_PLAIN: Mapping[str, Any] = {"compression": "none", "use_dictionary": False}
"""How tasks write rows that are read once, and soon."""
_FILE = "\x00file"
"""The column of a packet that names a file in place of its rows."""
_VALUE = "\x00value "
"""Before the reference of a feature that an earlier stage has matched: no column of a caller's begins so."""
_NO_MOMENT = 0


def spine_task(cutting: Cutting) -> Task:
    """Cuts rows of the spine into packets."""

    def task(batches: Batches) -> Iterator[pa.RecordBatch]:
        with told():
            yield from batch_of(_spine_packets(_in_portions(batches, ROWS_A_PACKET), cutting))

    return task


def dealing_task(buckets: Buckets) -> Task:
    """Gives each packet of the spine its partition; those of a large bucket are dealt out in turn."""

    def task(batches: Batches) -> Iterator[pa.RecordBatch]:
        turns = count()
        for batch in batches:
            parts = [buckets.parts[bucket] for bucket in batch.column(0).to_pylist()]
            chosen = [each[next(turns) % len(each)] for each in parts]
            yield batch.set_column(0, "bucket", pa.array(chosen, pa.int32()))

    return task


def history_task(units: Sequence[Unit], sources: Sources, exchange: Path | None) -> Task:
    """Reads the units that it is given the numbers of, and cuts their rows into packets.

    exchange: a folder that every task can read. The rows then lie in files there, and packets say no more than where,
    so that they do not pass through Spark. None: packets hold the rows.
    """

    def task(batches: Batches) -> Iterator[pa.RecordBatch]:
        with told():
            numbers = [number for batch in batches for number in batch.column(0).to_pylist()]
            packets = (packet for number in numbers for packet in _history_packets(units[number], sources, exchange))
            yield from batch_of(packets)

    return task


def matching_task(stage: Stage, plan: Plan, timestamp: str, onward: Cutting | None, repository: Path | None) -> Task:
    """Joins the packets of a partition. onward: how the rows are cut again, for the next stage; after the last, tasks
    give the columns of the result. repository: where users' code is.
    """

    def task(batches: Batches) -> Iterator[pa.RecordBatch]:
        with told():
            look_for_code_in(repository)
            joined = _join(batches, stage, plan, timestamp)
            if onward is not None:
                yield from batch_of(_spine_packets(joined, onward))
                return
            for table in joined:
                yield from _result(table, plan, timestamp).combine_chunks().to_batches(max_chunksize=100_000)

    return task


def _spine_packets(tables: Iterable[pa.Table], cutting: Cutting) -> Iterator[Packet]:
    for number, table in enumerate(tables):
        if not table.num_rows:
            continue
        spine = _spine_of(table, cutting.timestamp)
        micros = spine.moments.cast(pa.int64()).to_numpy()
        rows = table.append_column(_VALUE, pa.array(micros))
        for bucket, part in split(rows, _buckets_of(spine, cutting)):
            bounds = pc.min_max(part[_VALUE]).as_py()
            yield Packet(
                bucket, SPINE, number, part.num_rows, bounds["min"], bounds["max"], part.drop_columns([_VALUE])
            )


def _buckets_of(spine: Spine, cutting: Cutting) -> NDArray[np.int64]:
    """The bucket of each row of a spine; without keys, rows are dealt out as they come."""
    stage, hashes = cutting.stage, cutting.hashes
    if not stage.keys:
        return np.arange(len(spine), dtype=np.int64) * hashes // max(len(spine), 1)
    dtypes = {each.spine_column(key): dtype for each in stage.stored for key, dtype in each.keys.items()}
    keys = {name: spine.key(name, canonical_key(dtypes[name])) for name, _ in stage.keys}
    with session(cutting.resources) as connection:
        connection.register(packets_sql.SPINE_KEYS, pa.table(keys))
        query = packets_sql.spine_buckets(list(keys), hashes)
        found: NDArray[np.int64] = connection.sql(query).to_arrow_table()[packets_sql.BUCKET].to_numpy()
        return found


def _history_packets(unit: Unit, sources: Sources, exchange: Path | None) -> Iterator[Packet]:
    stored, scan = sources.stage.stored[unit.view], sources.scans[unit.view]
    if scan is None:
        return
    columns = columns_of(stored)
    history = stored.history
    there = [(history.column(name), here) for name, here in columns.items()]
    file = scan.files[unit.file]
    relation = scan.of_file(file, sources.there[unit.view][unit.file], dict.fromkeys(name for name, _ in there))
    join = replace(
        stored.join(
            scan, dict.fromkeys(stored.keys, ""), first=stored.earliest(sources.bounds[0]), last=sources.bounds[1]
        ),
        relation=relation,
    )
    by_column = {stored.spine_column(key): key for key in stored.keys}
    hashed = [
        sql.Key(history.column(by_column[name]), "", sql_type)
        for name, sql_type in sources.stage.keys
        if name in by_column and sql_type_of_key(stored.keys[by_column[name]]) == sql_type
    ]
    is_everywhere = len(hashed) < len(sources.stage.keys) or not hashed
    query = packets_sql.history_rows(join, there, sources.hashes, [] if is_everywhere else hashed, unit.rows)
    with session(sources.resources) as connection:
        for batch in connection.sql(query).to_arrow_reader(ROWS_AT_ONCE):
            table = pa.Table.from_batches([batch])
            place = (unit.file << sql.PLACE_BITS) + (int(table.column(1)[0].as_py()) if table.num_rows else 0)
            rows = table.select(list(columns.values()))
            if is_everywhere:
                parts: Iterable[tuple[Sequence[int], pa.Table]] = [(range(sources.buckets.total), rows)]
            else:
                by_bucket = split(rows, table.column(0).to_numpy())
                parts = ((sources.buckets.parts.get(bucket, ()), part) for bucket, part in by_bucket)
            for targets, part in parts:
                sent = part if exchange is None or not targets else _put_down(part, exchange)
                for target in targets:
                    yield Packet(target, unit.view, place, sent.num_rows, _NO_MOMENT, _NO_MOMENT, sent)


def _put_down(rows: pa.Table, exchange: Path) -> pa.Table:
    """Write rows into a file of the exchange; what is sent in their place."""
    file = storage.make_file(exchange / f"{uuid4().hex}.parquet")
    pq.write_table(rows, file, row_group_size=ROWS_A_GROUP, **_PLAIN)
    return pa.table({_FILE: [str(file)]})


def _join(batches: Batches, stage: Stage, plan: Plan, timestamp: str) -> Iterator[pa.Table]:
    """The spine's rows of a partition with the values of a stage's views as further columns."""
    with scratch_folder("features-partition-", plan.resources.spill) as folder:
        files = _Files(folder, stage)
        for table in _in_portions(_spine_tables(batches, files), ROWS_AT_ONCE):
            spine = _spine_of(table, timestamp)
            values = stored_values(spine, replace(plan, stored=stage.stored if stage.is_read_whole else files.stored))
            names = [*table.column_names, *(_VALUE + reference for reference in values)]
            yield pa.table([*table.columns, *values.values()], names)


def _spine_tables(batches: Batches, files: _Files) -> Iterator[pa.Table]:
    """The spine's packets; the histories', which come before them, are written to the task's files."""
    for packet in packets_of(batches):
        if packet.kind == SPINE:
            files.close()
            yield packet.table
        else:
            files.write(packet.kind, packet.table)


class _Files:
    """The histories of one partition, in files. stored: the views as they are read from these files."""

    def __init__(self, folder: Path, stage: Stage) -> None:
        self._folder, self._stage = folder, stage
        self._writers: dict[int, pq.ParquetWriter] = {}
        self._files: dict[int, list[str]] = {}

    def write(self, view: int, rows: pa.Table) -> None:
        """Add rows behind those that are there, or the file that they lie in."""
        files = self._files.setdefault(view, [])
        if rows.column_names == [_FILE]:
            files += rows[_FILE].to_pylist()
            return
        if view not in self._writers:
            files.append(str(self._folder / f"{view}.parquet"))
            self._writers[view] = pq.ParquetWriter(files[-1], rows.schema, **_PLAIN)
        self._writers[view].write_table(rows, row_group_size=ROWS_A_GROUP)

    def close(self) -> None:
        """End the files, so that they can be read."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    @property
    def stored(self) -> tuple[Stored, ...]:
        """The views as they are read from these files."""
        return tuple(replace(each, history=self._history(number)) for number, each in enumerate(self._stage.stored))

    def _history(self, view: int) -> History:
        stored = self._stage.stored[view]
        return History(
            name=stored.history.name,
            files=tuple(self._files.get(view, ())),
            timestamp=stored.history.timestamp,
            created=stored.history.created,
            renamed=columns_of(stored),
            is_built=True,
        )


def _result(table: pa.Table, plan: Plan, timestamp: str) -> pa.Table:
    """The spine's rows with the columns of the result."""
    given = [name for name in table.column_names if not name.startswith(_VALUE)]
    values = {
        name.removeprefix(_VALUE): table[name].combine_chunks()
        for name in table.column_names
        if name.startswith(_VALUE)
    }
    rows = table.select(given)
    for name, column in result_columns(_spine_of(rows, timestamp), plan, values).items():
        rows = rows.append_column(name, column)
    return rows


def _spine_of(table: pa.Table, timestamp: str) -> Spine:
    place = f"spine column {timestamp!r}"
    moments = moments_of(table[timestamp], place)
    if moments.null_count:
        raise errors.DataError(f"{place} is null in {moments.null_count:,} rows. Every row needs its moment.")
    return Spine(table, timestamp, moments)


def _in_portions(tables: Iterable[pa.RecordBatch | pa.Table], rows: int) -> Iterator[pa.Table]:
    """Tables of at least so many rows, but for the last."""
    waiting: list[pa.Table] = []
    for each in tables:
        waiting.append(each if isinstance(each, pa.Table) else pa.Table.from_batches([each]))
        if sum(table.num_rows for table in waiting) >= rows:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)
