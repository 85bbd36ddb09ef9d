"""The Parquet files of a drop: several, sorted by event time, so that readers can prune by day and share the work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np
import pyarrow as pa

from transformations.contracts import Contract
from transformations.engine.base.business_days import days_of_instants
from transformations.engine.base.storage import NewFile, discard, make_file, make_folder
from transformations.engine.vocabulary.columns import tables_of
from transformations.engine.vocabulary.dtypes import UNIX_TIMESTAMP, dtype_named

RAW_TIMESTAMP = "_event_timestamp"
BUSINESS_DAY = "_business_day"
DROP = "_drop"
RETRACTED = "_retracted"
SYSTEM_COLUMNS = (RAW_TIMESTAMP, BUSINESS_DAY, DROP, RETRACTED)

MERGED_FOLDER = "merged-"
"""What the name of a folder of merged files begins with."""
ROWS_A_GROUP = 131_072
ROWS_A_FILE = 4 * ROWS_A_GROUP
_BYTES_A_FILE = 64 * 2**20  # in memory; of wide rows a file has fewer


def source_schema(contract: Contract) -> pa.Schema:
    """The contract's columns as the raw zone stores them, all nullable; a date-only event time is an instant."""
    return pa.schema([pa.field(column.name, _arrow_type(contract, column.name)) for column in contract.columns])


def raw_schema(contract: Contract) -> pa.Schema:
    """The columns of a raw table: the contract's, then the system's own."""
    system = [
        pa.field(RAW_TIMESTAMP, UNIX_TIMESTAMP.arrow, nullable=False),
        pa.field(BUSINESS_DAY, pa.int32(), nullable=False),
        pa.field(DROP, pa.int32(), nullable=False),
        pa.field(RETRACTED, pa.bool_(), nullable=False),
    ]
    return pa.schema([*source_schema(contract), *system])


@dataclass(frozen=True)
class Findings:
    """What the checks found about a drop, as files by name. version: the raw table's, that it was compared with.

    quarantined: how many delivered rows are in these files alone, set aside.
    """

    files: Mapping[str, bytes]
    version: int | None = None
    quarantined: int = 0


@dataclass(frozen=True)
class WrittenRows:
    """What one drop wrote: finished files (paths relative to the table), the number of rows, their days (ascending)."""

    files: tuple[NewFile, ...]
    rows: int
    days: tuple[int, ...]


def write_files(batches: Iterable[pa.RecordBatch], contract: Contract, table: Path, drop: int) -> WrittenRows:
    """Write sorted batches of contract columns, `_event_timestamp` and `_retracted` into a new folder of the table.

    If that fails, as on a full disk, it leaves nothing behind.
    """
    folder = _new_folder(drop)
    files: list[NewFile] = []
    days: set[int] = set()
    try:
        complete = (_with_system_columns(batch, contract, drop) for batch in batches if batch.num_rows)
        for rows in tables_of(complete, ROWS_A_FILE, _BYTES_A_FILE):
            days.update(np.unique(rows.column(BUSINESS_DAY).to_numpy()).tolist())
            files.append(write_file(rows, table, f"{folder}/part-{len(files):05d}.parquet"))
    except BaseException:
        discard(table / folder)
        raise
    return WrittenRows(tuple(files), sum(file.rows for file in files), tuple(sorted(days)))


def write_findings(findings: Findings, written: WrittenRows, table: Path, drop: int) -> str | None:
    """Write what the checks found about a drop beside its rows; returns the folder, relative to the table, if any."""
    if not findings.files:
        return None
    folder = Path(written.files[0].path).parent.as_posix() if written.files else _new_folder(drop)
    try:
        (table / folder).mkdir(parents=True, exist_ok=True)
        for name, content in findings.files.items():
            (table / folder / name).write_bytes(content)
    except BaseException:
        discard(table / folder)
        raise
    return folder


def days_of_batches(batches: Iterable[pa.RecordBatch], contract: Contract) -> tuple[int, ...]:
    """The business days, ascending, of the rows that `write_files` would write."""
    days: set[int] = set()
    for batch in batches:
        days.update(np.unique(_with_system_columns(batch, contract, 0).column(BUSINESS_DAY).to_numpy()).tolist())
    return tuple(sorted(days))


def _new_folder(drop: int) -> str:
    return f"drop-{drop:06d}-{uuid4().hex[:8]}"


def _with_system_columns(batch: pa.RecordBatch, contract: Contract, drop: int) -> pa.RecordBatch:
    schema = raw_schema(contract)
    micros = batch.column(RAW_TIMESTAMP).cast(UNIX_TIMESTAMP.arrow).cast(pa.int64()).to_numpy(zero_copy_only=False)
    columns = {name: batch.column(name) for name in batch.schema.names}
    columns[BUSINESS_DAY] = pa.array(days_of_instants(micros, contract.business_day_zone))
    columns[DROP] = pa.array(np.full(batch.num_rows, drop, dtype=np.int32))
    return pa.record_batch([columns[field.name].cast(field.type) for field in schema], schema=schema)


def write_file(rows: pa.Table, table: Path, path: str) -> NewFile:
    """Write rows in the raw zone's columns as a file of a table, at a path relative to it."""
    import pyarrow.parquet as pq

    target = table / path
    make_folder(target.parent)
    pq.write_table(rows, make_file(target), compression="zstd", row_group_size=ROWS_A_GROUP, write_page_index=True)
    return NewFile(
        path=path,
        size=target.stat().st_size,
        rows=rows.num_rows,
        bounds={name: _bounds_of(rows.column(name)) for name in (BUSINESS_DAY, DROP)},
    )


def _bounds_of(column: pa.ChunkedArray) -> tuple[int, int]:
    import pyarrow.compute as pc

    bounds = pc.min_max(column).as_py()
    return bounds["min"], bounds["max"]


def _arrow_type(contract: Contract, name: str) -> pa.DataType:
    if name == contract.event_time:
        return UNIX_TIMESTAMP.arrow
    return dtype_named(contract.column(name).dtype).arrow
