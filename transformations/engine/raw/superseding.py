"""What a drop of an append source may replace: rows of their own day, and few of them, unless it is a correction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from transformations.contracts import Contract
from transformations.engine.base.business_days import day_of_number, days_of_instants
from transformations.engine.base.errors import DataError
from transformations.engine.raw import sql as raw_sql
from transformations.engine.raw.files import BUSINESS_DAY, RAW_TIMESTAMP
from transformations.engine.vocabulary.dtypes import UNIX_TIMESTAMP

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_EXAMPLES = 3


def refuse_superseding(connection: DuckDBPyConnection, contract: Contract, changes: raw_sql.Changes, file: str) -> None:
    """DataError where a drop that is no correction replaces rows of another business day, or too many.

    Too many: more than the contract's `supersedesAllowed`, as a share of the rows delivered. What snapshots replace,
    and records without an event time, is not in question: a later one holds beside the earlier.
    """
    if not changes.supersedes or contract.event_time is None or contract.delivery != "append":
        return
    replaced = connection.sql(raw_sql.replaced(contract)).to_arrow_table()
    if not replaced.num_rows:
        return
    before = replaced[BUSINESS_DAY].to_numpy()
    micros = replaced[RAW_TIMESTAMP].cast(UNIX_TIMESTAMP.arrow).cast(pa.int64()).to_numpy()
    after = days_of_instants(micros, contract.business_day_zone)
    moved = np.flatnonzero(before != after)
    share = replaced.num_rows / changes.delivered
    if not moved.size and share <= contract.supersedes_allowed:
        return
    rows = moved if moved.size else np.arange(replaced.num_rows)
    examples = ", ".join(
        f"{_key(contract, replaced, row)} of {day_of_number(int(before[row]))}"
        + (f" by one of {day_of_number(int(after[row]))}" if moved.size else "")
        for row in rows[:_EXAMPLES].tolist()
    )
    days = f"{day_of_number(int(before.min()))} to {day_of_number(int(before.max()))}"
    raise DataError(
        f"{contract.file_name}: drop {file} would replace {replaced.num_rows:,} stored rows, of the days {days}, by "
        f"their key: {moved.size:,} of them by rows of another business day (allowed without a word: 0), and "
        f"{share:.2%} of the {changes.delivered:,} rows delivered (allowed: {contract.supersedes_allowed:.2%}), such "
        f"as {examples}. If it corrects these rows, say --correction. If they are new rows, the key does not identify "
        f"a row: mend primaryKey, or raise supersedesAllowed. Nothing was written."
    )


def _key(contract: Contract, rows: pa.Table, row: int) -> str:
    return ", ".join(f"{name} {rows[name][row].as_py()}" for name in contract.key)
