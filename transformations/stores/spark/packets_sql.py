"""The SQL of packets: the bucket of each row, and the rows of a stretch of a history's file with theirs.

Buckets of histories and of spines are computed by the same expression over the same types, so equal keys meet.
"""

from __future__ import annotations

from collections.abc import Sequence

from transformations.engine.base.duck import identifier
from transformations.engine.base.file_rows_sql import ROW, quoted
from transformations.stores.history import point_in_time_sql as sql

BUCKET = "bucket"
SPINE_KEYS = "spine_keys"


def history_rows(
    join: sql.Join, columns: Sequence[tuple[str, str]], buckets: int, hashed: Sequence[sql.Key], rows: tuple[int, int]
) -> str:
    """The rows of a stretch of one file, in order: bucket, number in the file, columns. columns: names there and here.

    join: its relation is of one file. hashed: the keys that decide the bucket; none where all rows are of bucket 0.
    rows: the first, and the one after the last.
    """
    named = "".join(f", {quoted(there)} AS {identifier(here)}" for there, here in columns)
    bucket = _bucket([sql.key_of(key) for key in hashed], buckets)
    return f"""
SELECT {bucket} AS {BUCKET}, {ROW}{named}
FROM {join.relation}
WHERE {ROW} >= {rows[0]} AND {ROW} < {rows[1]} AND {sql.between(join.timestamp, join.first, join.last)}"""


def spine_buckets(columns: Sequence[str], buckets: int) -> str:
    """The bucket of each row of the relation `SPINE_KEYS`, in order."""
    return f"SELECT {_bucket([identifier(name) for name in columns], buckets)} AS {BUCKET} FROM {SPINE_KEYS}"


def _bucket(keys: Sequence[str], buckets: int) -> str:
    if not keys:
        return "0::BIGINT"
    return f"CAST(hash({', '.join(keys)}) % {buckets} AS BIGINT)"
