"""Fetches the wide columns of matched history rows by place, file by file; the match never carries them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from transformations.engine.base.file_rows_sql import Scan
from transformations.stores.history import point_in_time_sql as sql
from transformations.stores.history.matching import Codes, Integers
from transformations.stores.history.spilling import Spill

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def fetch(
    connection: DuckDBPyConnection,
    scan: Scan,
    columns: Sequence[str],
    *,
    places: Integers,
    threads: int,
    spill: Spill,
    advance: Callable[[float], None],
) -> tuple[pa.Table, Codes]:
    """Fetch the columns of these rows in any order; returns the table and, for each place, its row in the table.

    columns: by the files' names, each in its common type over all files; null where a file lacks it. Each file is a
    query of its own: DuckDB skips row groups by row number only within a single file.
    """
    files = places >> sql.PLACE_BITS
    order = np.argsort(files, kind="stable")
    numbers, starts = np.unique(files[order], return_index=True)
    parts = np.split(order, starts[1:])

    def read_file(part: Integers, number: int) -> pa.Table:
        wanted, file = {"_row": places[part] & ((1 << sql.PLACE_BITS) - 1), sql.NUMBER: part}, scan.files[number]
        query = sql.rows_of_file(scan, file, pq.read_schema(file).names, columns)
        with connection.cursor() as cursor:
            cursor.execute("SET TimeZone = 'UTC'")
            cursor.register(sql.WANTED, pa.table(wanted))
            rows = spill.keep(cursor.sql(query).to_arrow_table())
        advance(len(part) / len(places))
        return rows

    with ThreadPoolExecutor(threads) as pool:
        tables = list(pool.map(read_file, parts, numbers.tolist()))
    table = pa.concat_tables(tables)
    row_of = np.empty(len(places), np.int32)
    row_of[table.column(0).to_numpy()] = np.arange(len(places), dtype=np.int32)
    return pa.table(table.columns[1:], names=list(columns)), row_of  # by position: a feature may have any name
