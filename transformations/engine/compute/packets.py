"""Packets: Arrow tables as bytes, so that Spark shuffles a few blobs per task instead of millions of rows.

Spark's shuffle takes Arrow batches apart into rows and rebuilds them on the other side; for ten million small
events that costs more than computing the features. A packet holds all rows of one batch that belong to one bucket of
entities, and passes through the shuffle unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transformations.engine.compute.knowledge import FOREVER, UNTIL
from transformations.engine.vocabulary.columns import order_by, tables_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Kind = Literal["events", "marks", "stored", "carried", "restored"]

SCHEMA = "bucket int, kind string, packet binary, counts array<bigint>"
_ARROW_SCHEMA = pa.schema(
    [("bucket", pa.int32()), ("kind", pa.string()), ("packet", pa.binary()), ("counts", pa.list_(pa.int64()))]
)
_ROWS_AT_ONCE = 1_000_000


def pack(
    batches: Iterable[pa.RecordBatch], keys: Sequence[str], kind: Kind, buckets: int, found: Sequence[str] = ()
) -> Iterator[pa.RecordBatch]:
    """Cut batches into packets by the hash of their keys; rows without a key are left out.

    The first packet of each batch of events carries counts: of its rows, of rows without a key, and for each `found`
    column of rows that are null there.
    """
    for table in tables_of(batches, _ROWS_AT_ONCE):  # so that packets are not tiny
        counts = count_events(table, keys, found) if kind == "events" else []
        yield _packets(with_key(table, keys, found), keys, kind, buckets, counts)


def unpack(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, dict[str, pa.Table]]]:
    """The tables of each bucket that a task has received, by kind."""
    received: dict[int, dict[str, list[pa.Table]]] = {}
    for batch in batches:
        for bucket, kind, packet in zip(*(batch.column(name) for name in ("bucket", "kind", "packet")), strict=True):
            table = pa.ipc.open_stream(packet.as_buffer()).read_all()
            received.setdefault(bucket.as_py(), {}).setdefault(kind.as_py(), []).append(table)
    for bucket in sorted(received):
        yield bucket, {kind: pa.concat_tables(tables) for kind, tables in received.pop(bucket).items()}


def pack_frame(frame: DataFrame, keys: Sequence[str], kind: Kind, buckets: int, found: Sequence[str] = ()) -> DataFrame:
    """A Spark frame as packets."""
    work = _packing_task(list(keys), kind, buckets, list(found))
    return frame.mapInArrow(work, SCHEMA)


def with_key(table: pa.Table, keys: Sequence[str], found: Sequence[str]) -> pa.Table:
    """The rows that have a key, without the `found` columns."""
    complete = _is_complete(table, keys)
    names = [name for name in table.column_names if name not in found]
    rows = pa.table([table[name] for name in names], names=names)  # nullable all: so are those that Spark reads
    return rows if pc.all(complete).as_py() is not False else rows.filter(complete)


def count_events(table: pa.Table, keys: Sequence[str], found: Sequence[str]) -> list[int]:
    """The rows that are current, those of them without a key, and those that are null in each `found` column."""
    current = table.select([*keys, *found])
    if UNTIL in table.column_names:
        current = current.filter(pc.equal(table[UNTIL], FOREVER))
    with_keys = int(pc.sum(_is_complete(current, keys)).as_py() or 0)
    return [current.num_rows, current.num_rows - with_keys, *(current[name].null_count for name in found)]


def bucket_of(table: pa.Table, keys: Sequence[str], buckets: int) -> npt.NDArray[np.int64]:
    """The bucket of each row: a hash of its keys that depends on nothing but their values."""
    code = np.zeros(table.num_rows, dtype=np.uint64)
    for key in keys:
        code = mix64(code ^ _hash_column(table[key]))
    return (code % np.uint64(buckets)).astype(np.int64)


def _packing_task(
    keys: Sequence[str], kind: Kind, buckets: int, found: Sequence[str]
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    return lambda batches: pack(batches, keys, kind, buckets, found)


def _is_complete(table: pa.Table, keys: Sequence[str]) -> pa.ChunkedArray:
    complete = pc.is_valid(table[keys[0]])
    for key in keys[1:]:
        complete = pc.and_(complete, pc.is_valid(table[key]))
    return complete


def _packets(rows: pa.Table, keys: Sequence[str], kind: Kind, buckets: int, counts: list[int]) -> pa.RecordBatch:
    bucket = bucket_of(rows, keys, buckets)
    ordered = rows.take(pa.array(order_by([bucket]))).combine_chunks()
    sizes = np.bincount(bucket, minlength=buckets)
    begins = np.cumsum(sizes) - sizes
    filled = np.flatnonzero(sizes) if rows.num_rows else np.zeros(1, dtype=np.int64)
    described = [counts, *[[0] * len(counts)] * (len(filled) - 1)]
    columns = [
        pa.array(filled.astype(np.int32)),
        pa.array([kind] * len(filled)),
        serialize([ordered.slice(begins[each], sizes[each]) for each in filled]),
        pa.array(described, _ARROW_SCHEMA.field("counts").type),
    ]
    return pa.record_batch(columns, schema=_ARROW_SCHEMA)


def serialize(tables: Sequence[pa.Table]) -> pa.BinaryArray:
    """One binary value per table, each an Arrow stream of its own, written once and not copied again."""
    sink = pa.BufferOutputStream()
    offsets = [0]
    for table in tables:
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        offsets.append(sink.tell())
    return pa.Array.from_buffers(
        pa.binary(), len(tables), [None, pa.py_buffer(np.array(offsets, dtype=np.int32)), sink.getvalue()]
    )


def _hash_column(column: pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    if pa.types.is_integer(column.type):
        return mix64(column.to_numpy().astype(np.int64).view(np.uint64))
    from pandas.util import hash_array

    encoded = column.combine_chunks().dictionary_encode()
    values = np.asarray(encoded.dictionary.to_numpy(zero_copy_only=False), dtype=object)
    hashes: npt.NDArray[np.uint64] = hash_array(values, categorize=False)
    of_row: npt.NDArray[np.uint64] = hashes[encoded.indices.to_numpy(zero_copy_only=False)]
    return of_row


def mix64(code: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finalizer of SplitMix64 (Steele, Lea, Flood 2014): every bit of the input affects every bit of the hash.

    Stored splits and buckets depend on it: other numbers would move rows between them.
    """
    code = (code ^ (code >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    code = (code ^ (code >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return code ^ (code >> np.uint64(31))
