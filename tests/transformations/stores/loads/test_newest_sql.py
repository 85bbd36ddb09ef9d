"""The newest row of each key against a look at all rows, whether or not what decides fits one number."""

from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import TypeAlias
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from transformations.engine import duck
from transformations.stores.history import History
from transformations.stores.loads import newest_sql as sql
from transformations.stores.training.point_in_time_sql import Join, Key

Row: TypeAlias = tuple[str | None, datetime, datetime | None]
"""Key, event timestamp, created timestamp."""

END = datetime(2024, 5, 6, tzinfo=UTC)
TIMESTAMP = pa.timestamp("us", tz="UTC")
# Few moments, so that rows tie: the ends of what a timestamp can be, the last one that counts, and its neighbours.
EVENT = st.sampled_from([datetime(1, 1, 1, tzinfo=UTC), END - timedelta(days=1), END, END + timedelta(microseconds=1)])
CREATED = st.sampled_from([None, datetime(1, 1, 1, tzinfo=UTC), END, datetime(9999, 12, 31, tzinfo=UTC)])
ROW = st.tuples(st.sampled_from(["north", "south", None]), EVENT, CREATED)
FILES = st.lists(st.lists(ROW, min_size=2, max_size=12), min_size=1, max_size=3)
folders = count()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=FILES, is_keyed=st.booleans(), has_created=st.booleans(), fits=st.booleans())
@example(files=[[], [("north", END, None)]], is_keyed=True, has_created=True, fits=True)
@example(files=[[("north", END, END)], [("north", END, None)]], is_keyed=True, has_created=True, fits=True)
@example(files=[[("north", END, END)], [("north", END, None)]], is_keyed=True, has_created=True, fits=False)
def test_the_newest_row_of_each_key_is_found(
    tmp_path: Path, files: list[list[Row]], is_keyed: bool, has_created: bool, fits: bool
) -> None:
    folder = tmp_path / str(next(folders))
    folder.mkdir()
    for number, rows in enumerate(files):
        write(folder / f"{number}.parquet", rows)
    paths = tuple(str(path) for path in sorted(folder.iterdir()))
    join = Join(
        relation=History("visits", paths, "event_timestamp", None, {}).relation,
        keys=(Key("region", "key_0", "VARCHAR"),) if is_keyed else (),
        timestamp="event_timestamp",
        created="created_timestamp" if has_created else None,
    )
    with patch.object(sql, "HUGEINT_BITS", sql.HUGEINT_BITS if fits else 0):
        assert found(join) == newest(files, is_keyed, has_created)


def newest(files: list[list[Row]], is_keyed: bool, has_created: bool) -> set[tuple[int, int]]:
    """Each key's newest row by the definition: file and row number."""
    best: dict[str | None, tuple[datetime, bool, datetime, int, int]] = {}
    for file, rows in enumerate(files):
        for row, (region, happened, created) in enumerate(rows):
            if happened > END or (is_keyed and region is None):
                continue
            key = region if is_keyed else None
            known = created if has_created else None
            rank = (happened, known is not None, known or END, file, row)
            best[key] = max(best.get(key, rank), rank)
    return {rank[-2:] for rank in best.values()}


def found(join: Join) -> set[tuple[int, int]]:
    with duck.session() as connection:
        extent = sql.extent(connection, join, END)
        if extent is None:
            return set()
        connection.execute(sql.newest_places(join, END, extent, only_touched=False))
        rows = connection.execute(sql.rows_at(join, ["file", "row"])).fetchall()
    return {(file, row) for file, row in rows}


def write(path: Path, rows: list[Row]) -> None:
    columns = {
        "region": pa.array([row[0] for row in rows], pa.string()),
        "event_timestamp": pa.array([row[1] for row in rows], TIMESTAMP),
        "created_timestamp": pa.array([row[2] for row in rows], TIMESTAMP),
        "file": pa.array([int(path.stem)] * len(rows), pa.int64()),
        "row": pa.array(range(len(rows)), pa.int64()),
    }
    pq.write_table(pa.table(columns), path)
