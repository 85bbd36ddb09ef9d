"""The Spark job: shuffle packets of events by entity, sweep each bucket, write one Parquet file a bucket.

Only the description of each written file comes back to the driver, never data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc

from transformations.engine.offline_tables import EVENT_TIMESTAMP, table_schema, time_bounds
from transformations.engine.packets import unpack
from transformations.engine.sources import event_schema
from transformations.engine.storage import NewFile
from transformations.engine.sweep import FROM_DAY, SweepPlan, sweep

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_WRITTEN = "path string, size bigint, rows bigint, first_micros bigint, last_micros bigint"
_ROW_GROUP = 131_072
_EVENTS_A_BUCKET = 1_000_000


def run_job(plan: SweepPlan, packets: DataFrame, buckets: int, folder: Path, root: Path) -> list[NewFile]:
    """Sweep every bucket of entities and write its rows below `folder`; the files' paths are relative to `root`.

    packets: of events, and of marks and stored rows where late events came (see `transformations.engine.packets`).
    """
    written = packets.repartitionById(buckets, "bucket").mapInArrow(_task(plan, folder, root), _WRITTEN).collect()
    return [
        NewFile(row["path"], row["size"], row["rows"], time_bounds(row["first_micros"], row["last_micros"]))
        for row in written
    ]


def buckets_for(events: int, parallelism: int) -> int:
    """So many buckets that each holds about a million events, and every core has one."""
    return max(parallelism, -(-events // _EVENTS_A_BUCKET))


def _task(plan: SweepPlan, folder: Path, root: Path) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    empty = _empty_tables(plan)

    def work(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _, received in unpack(batches):
            tables = {kind: received.get(kind, table) for kind, table in empty.items()}
            rows = sweep(plan, tables["events"], tables["marks"], tables["stored"])
            if rows.num_rows:
                yield _described(_write(rows, folder), rows, root)

    return work


def _empty_tables(plan: SweepPlan) -> Mapping[str, pa.Table]:
    keys = [(key, dtype.arrow) for key, dtype in plan.resolved.join_keys.items()]
    marks = pa.schema([*keys, (FROM_DAY, pa.int64())])
    schemas = {"events": event_schema(plan.resolved), "marks": marks, "stored": table_schema(plan.resolved)}
    return {kind: schema.empty_table() for kind, schema in schemas.items()}


def _write(rows: pa.Table, folder: Path) -> Path:
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{uuid4().hex}.parquet"  # a name of its own: a task may be tried again
    pq.write_table(
        rows, path, compression="zstd", compression_level=1, row_group_size=_ROW_GROUP, coerce_timestamps="us"
    )
    return path


def _described(path: Path, rows: pa.Table, root: Path) -> pa.RecordBatch:
    times = pc.min_max(rows[EVENT_TIMESTAMP].cast(pa.int64())).as_py()
    return pa.RecordBatch.from_pylist(
        [
            {
                "path": path.relative_to(root).as_posix(),
                "size": path.stat().st_size,
                "rows": rows.num_rows,
                "first_micros": times["min"],
                "last_micros": times["max"],
            }
        ]
    )
