"""The Spark job: shuffle events by entity, sweep each task's entities, write one Parquet file a task.

Only the description of each written file comes back to the driver, never data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc

from transformations.engine.offline_tables import EVENT_TIMESTAMP, table_schema, time_bounds
from transformations.engine.sources import event_columns
from transformations.engine.storage import NewFile
from transformations.engine.sweep import FROM_DAY, SweepPlan, sweep

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_WRITTEN = "path string, size bigint, rows bigint, first_micros bigint, last_micros bigint"
_ROW_GROUP = 131_072
_EVENTS_A_TASK = 1_000_000


@dataclass(frozen=True)
class Inputs:
    """The three tables that a sweep takes, as Spark frames; None stands for an empty one."""

    events: DataFrame
    marks: DataFrame | None
    stored: DataFrame | None


def run_job(plan: SweepPlan, inputs: Inputs, folder: Path, root: Path, tasks: int) -> list[NewFile]:
    """Sweep all entities and write their rows below `folder`; the files' paths are relative to `root`."""
    keys = list(plan.resolved.join_keys)
    shuffled = _together(plan, inputs).repartition(tasks, *keys)
    written = shuffled.mapInArrow(_task(plan, folder, root), _WRITTEN).collect()
    return [
        NewFile(row["path"], row["size"], row["rows"], time_bounds(row["first_micros"], row["last_micros"]))
        for row in written
    ]


def tasks_for(events: int, parallelism: int) -> int:
    """So many tasks that each holds about a million events, and every core has one."""
    return max(parallelism, -(-events // _EVENTS_A_TASK))


def _together(plan: SweepPlan, inputs: Inputs) -> DataFrame:
    """One frame to shuffle: keys, and either an event, a mark or a stored row."""
    from pyspark.sql import functions

    keys = list(plan.resolved.join_keys)
    stored_columns = [name for name in table_schema(plan.resolved).names if name not in keys]
    together = inputs.events.select(*keys, functions.struct(*event_columns(plan.resolved)).alias("event"))
    if inputs.marks is not None:
        mark = inputs.marks.select(*keys, functions.col(FROM_DAY).alias("mark"))
        together = together.unionByName(mark, allowMissingColumns=True)
    if inputs.stored is not None:
        stored = inputs.stored.select(*keys, functions.struct(*stored_columns).alias("stored"))
        together = together.unionByName(stored, allowMissingColumns=True)
    return together


def _task(plan: SweepPlan, folder: Path, root: Path) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def work(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        received = list(batches)
        if not received:
            return
        rows = sweep(plan, *_apart(plan, pa.Table.from_batches(received)))
        if rows.num_rows:
            yield _described(_write(rows, folder), rows, root)

    return work


def _apart(plan: SweepPlan, together: pa.Table) -> tuple[pa.Table, pa.Table, pa.Table]:
    """The three tables again."""
    keys = plan.resolved.join_keys
    schema = table_schema(plan.resolved)
    marks = pa.schema([*((key, dtype.arrow) for key, dtype in keys.items()), (FROM_DAY, pa.int64())]).empty_table()
    stored = schema.empty_table()
    if "mark" in together.column_names:
        marked = together.filter(pc.is_valid(together["mark"])).select([*keys, "mark"])
        marks = marked.rename_columns([*keys, FROM_DAY]).cast(marks.schema)
    if "stored" in together.column_names:
        stored = _unnested(together.filter(pc.is_valid(together["stored"])), list(keys), "stored")
        stored = stored.select(schema.names).cast(schema)
    return _unnested(together.filter(pc.is_valid(together["event"])), list(keys), "event"), marks, stored


def _unnested(table: pa.Table, keys: list[str], struct: str) -> pa.Table:
    fields = table.schema.field(struct).type
    nested = table[struct].combine_chunks()
    columns: Mapping[str, pa.ChunkedArray | pa.Array] = {
        **{key: table[key] for key in keys},
        **{field.name: pc.struct_field(nested, field.name) for field in fields},
    }
    return pa.table(columns)


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
