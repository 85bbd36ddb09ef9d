"""Rows on their way through Spark's shuffle: whole Arrow tables as bytes, which it neither takes apart nor converts.

A packet holds rows of one kind for one partition: of a view's history, or of the spine. Values keep every type and bit
that they have in the files, also those that Spark does not know.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from transformations.engine.compute.packets import serialize

SCHEMA = "bucket int, kind int, place bigint, rows bigint, first bigint, last bigint, packet binary"
ARROW_SCHEMA = pa.schema(
    [
        ("bucket", pa.int32()),
        ("kind", pa.int32()),
        ("place", pa.int64()),
        ("rows", pa.int64()),
        ("first", pa.int64()),
        ("last", pa.int64()),
        ("packet", pa.binary()),
    ]
)
SPINE = 1_000_000
"""The kind of the spine's packets, which come after the histories'; the kind of a history is the view's number."""
LARGEST_PACKET = 64 * 2**20


class Packet(NamedTuple):
    """place: what orders the packets of one kind. first, last: the moments of its rows in microseconds."""

    bucket: int
    kind: int
    place: int
    rows: int
    first: int
    last: int
    table: pa.Table


@dataclass(frozen=True)
class Buckets:
    """Where the rows of each bucket go. parts: by bucket, the partitions among which its spine rows are dealt out; each
    of them gets all history rows of the bucket. total: how many partitions there are.
    """

    parts: Mapping[int, Sequence[int]]
    total: int


def split(table: pa.Table, buckets: NDArray[np.int64]) -> Iterator[tuple[int, pa.Table]]:
    """The rows of each bucket, in their order."""
    order = np.argsort(buckets, kind="stable")
    numbers, starts = np.unique(buckets[order], return_index=True)
    sorted_rows = table.take(pa.array(order)).combine_chunks()
    ends = [*starts[1:].tolist(), len(order)]
    for number, start, end in zip(numbers.tolist(), starts.tolist(), ends, strict=True):
        yield number, sorted_rows.slice(start, end - start)


def batch_of(packets: Iterable[Packet]) -> Iterator[pa.RecordBatch]:
    """Packets as Spark takes them, some at a time; a large one is cut, so that no batch passes Arrow's 2 GiB."""
    waiting: list[Packet] = []
    size = 0
    for packet in (part for each in packets for part in _cut(each)):
        waiting.append(packet)
        size += packet.table.nbytes
        if size > LARGEST_PACKET:
            yield _as_batch(waiting)
            waiting, size = [], 0
    if waiting:
        yield _as_batch(waiting)


def packets_of(batches: Iterable[pa.RecordBatch]) -> Iterator[Packet]:
    """The packets that a task has received."""
    for batch in batches:
        columns = (batch.column(name) for name in ARROW_SCHEMA.names)
        for *facts, packet in zip(*columns, strict=True):
            bucket, kind, place, rows, first, last = (int(fact.as_py()) for fact in facts)
            table = pa.ipc.open_stream(packet.as_buffer()).read_all()
            yield Packet(bucket, kind, place, rows, first, last, table)


def _cut(packet: Packet) -> Iterator[Packet]:
    parts = max(1, -(-packet.table.nbytes // LARGEST_PACKET))
    step = -(-packet.rows // parts)
    for start in range(0, packet.rows, step) if parts > 1 else [0]:
        table = packet.table.slice(start, step) if parts > 1 else packet.table
        place = packet.place + start
        yield Packet(packet.bucket, packet.kind, place, table.num_rows, packet.first, packet.last, table)


def _as_batch(packets: Sequence[Packet]) -> pa.RecordBatch:
    columns = [
        pa.array([packet[number] for packet in packets], ARROW_SCHEMA.field(number).type)
        for number in range(len(ARROW_SCHEMA) - 1)
    ]
    return pa.record_batch([*columns, serialize([each.table for each in packets])], schema=ARROW_SCHEMA)
