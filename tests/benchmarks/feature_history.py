"""The data of the retrieval benchmark: a history of daily rows for every user, and spines of random users and times.

Deterministic: every value is a hash of user, day and column. Twenty features a row, ten floats with two decimals and
ten integers, one of each with nulls in five rows of a hundred; a row happens at its user's own second of the day.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from harness import DATA, say

if TYPE_CHECKING:
    import pyarrow as pa

DAYS = 30
START = datetime(2024, 1, 1, tzinfo=UTC)
FLOATS = tuple(f"f{number}" for number in range(10))
INTEGERS = tuple(f"i{number}" for number in range(10))
FEATURES = (*FLOATS, *INTEGERS)
MICROS_A_DAY = 86_400_000_000

_SIZES = (2, 7, 24, 100, 365, 1_000, 1_000, 5_000, 10_000, 100_000)  # how many values an integer feature takes
_BUCKETS = 16


@dataclass(frozen=True)
class History:
    """A history of so many users, each with a row a day."""

    users: int

    @property
    def rows(self) -> int:
        """All its rows."""
        return self.users * DAYS

    @property
    def plain(self) -> Path:
        """One Parquet file as another system leaves it: day after day, DuckDB's defaults."""
        return DATA / "retrieval" / f"{self.users}-users" / "plain.parquet"

    @property
    def ours(self) -> Path:
        """The same rows in a folder of files as the engine lays them out."""
        return DATA / "retrieval" / f"{self.users}-users" / "ours"


def spine(rows: int, users: int, seed: int = 7) -> pa.Table:
    """Random users at random times of the history's days; some users are unknown, some times precede all rows."""
    import numpy as np
    import pyarrow as pa

    random = np.random.default_rng(seed)
    start = int(START.timestamp()) * 1_000_000
    moments = start + random.integers(0, DAYS * MICROS_A_DAY, rows)
    return pa.table(
        {
            "user_id": pa.array(random.integers(0, users, rows)),
            "event_timestamp": pa.array(moments, pa.timestamp("us", tz="UTC")),
        }
    )


def prepare(history: History) -> None:
    """Write what is not there yet."""
    if not history.plain.exists():
        say(f"data: {history.rows:,} rows of {history.users:,} users")
        _write_plain(history)
    if not history.ours.exists():
        _write_ours(history)


def _write_plain(history: History) -> None:
    from transformations.engine.base.duck import literal, session

    draft = history.plain.with_name("draft.parquet")
    draft.parent.mkdir(parents=True, exist_ok=True)
    with session() as connection:
        connection.execute(f"COPY ({_rows(history.users)}) TO {literal(str(draft))} (FORMAT parquet)")
    draft.rename(history.plain)


def _write_ours(history: History) -> None:
    import duckdb  # noqa: F401

    from transformations.engine.base.duck import literal, session
    from transformations.engine.tables.layout import write_rows

    draft = history.ours.with_name("draft")
    shutil.rmtree(draft, ignore_errors=True)
    with session() as connection:
        for bucket in range(_BUCKETS):
            rows: pa.Table = connection.sql(
                f"SELECT * FROM read_parquet({literal(str(history.plain))}) "
                f"WHERE hash(user_id) % {_BUCKETS} = {bucket} ORDER BY user_id, event_timestamp"
            ).to_arrow_table()
            write_rows(rows, draft / f"bucket-{bucket:02d}.parquet")
    draft.rename(history.ours)


def _rows(users: int) -> str:
    floats = [f"(hash(user_id, day, {number}) % 10000) / 100" for number, _ in enumerate(FLOATS)]
    integers = [f"(hash(user_id, day, {100 + number}) % {size})::BIGINT" for number, size in enumerate(_SIZES)]
    values = dict(zip(FEATURES, [*floats, *integers], strict=True))
    for number, name in enumerate(("f9", "i9")):
        values[name] = f"CASE WHEN hash(user_id, day, {200 + number}) % 20 > 0 THEN {values[name]} END"
    happened = (
        f"{int(START.timestamp()) * 1_000_000} + day * {MICROS_A_DAY} + (hash(user_id) % 86400)::BIGINT * 1000000"
    )
    columns = ",\n    ".join(f"{value} AS {name}" for name, value in values.items())
    return f"""
SELECT user_id, make_timestamptz({happened}) AS event_timestamp,
    {columns}
FROM (SELECT day, unnest(range({users})) AS user_id FROM (SELECT unnest(range({DAYS})) AS day))"""
