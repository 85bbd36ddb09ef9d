"""The newest row of each key against a look at all rows, in each of the three ways in which it is found."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import TypeAlias
from unittest.mock import patch

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from transformations.engine.base import duck
from transformations.engine.base.file_rows_sql import Scan, scan
from transformations.stores.history.point_in_time_sql import Join, Key
from transformations.stores.loads import newest
from transformations.stores.loads import newest_sql as sql

Region: TypeAlias = str | int | None
Row: TypeAlias = tuple[Region, datetime, datetime | None]
"""Key, event timestamp, created timestamp."""

END = datetime(2024, 5, 6, tzinfo=UTC)
TIMESTAMP = pa.timestamp("us", tz="UTC")
LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)
# Few moments, so that rows tie: the ends of what a timestamp can be, the last one that counts, and its neighbours.
EVENT = st.sampled_from([LONG_AGO, END - timedelta(days=1), END, END + timedelta(microseconds=1)])
CREATED = st.sampled_from([None, LONG_AGO, END, datetime(9999, 12, 31, tzinfo=UTC)])
WORDS = st.sampled_from(["north", "south", None])
NUMBERS = st.sampled_from([-3, -1, 0, 2, 40])
NUMBERS_OR_NONE = st.sampled_from([-(2**63), 0, 2**63 - 1, None])
folders = count()


def files_of(regions: st.SearchStrategy[Region]) -> st.SearchStrategy[list[list[Row]]]:
    rows = st.lists(st.tuples(regions, EVENT, CREATED), min_size=2, max_size=12)
    return st.lists(rows, min_size=1, max_size=3)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.one_of(files_of(WORDS), files_of(NUMBERS), files_of(NUMBERS_OR_NONE)),
    is_keyed=st.booleans(),
    has_created=st.booleans(),
    fits=st.booleans(),
    few=st.sampled_from([1, 8, 1 << 20]),
)
@example(files=[[], [("north", END, None)]], is_keyed=True, has_created=True, fits=True, few=1)
@example(files=[[("north", END, END)], [("north", END, None)]], is_keyed=True, has_created=True, fits=True, few=1)
@example(files=[[("north", END, END)], [("north", END, None)]], is_keyed=True, has_created=True, fits=False, few=1)
@example(files=[[(3, END, END)], [(3, END, None)]], is_keyed=True, has_created=True, fits=True, few=8)
@example(files=[[(3, END, LONG_AGO)], [(3, END, None)]], is_keyed=True, has_created=True, fits=True, few=8)
@example(files=[[(3, END, None)], [(3, END, None)]], is_keyed=True, has_created=False, fits=True, few=8)
def test_the_newest_row_of_each_key_is_found(
    tmp_path: Path, files: list[list[Row]], is_keyed: bool, has_created: bool, fits: bool, few: int
) -> None:
    """fits: whether what decides fits one number; few: how many numbers the keys may span at least."""
    folder = tmp_path / str(next(folders))
    folder.mkdir()
    is_number = any(isinstance(row[0], int) for rows in files for row in rows)
    for number, rows in enumerate(files):
        write(folder / f"{number}.parquet", rows, pa.int64() if is_number else pa.string())
    join = Join(
        relation="",
        keys=(Key("region", "key_0", "BIGINT" if is_number else "VARCHAR"),) if is_keyed else (),
        timestamp="event_timestamp",
        created="created_timestamp" if has_created else None,
    )
    with (
        patch.object(sql, "HUGEINT_BITS", sql.HUGEINT_BITS if fits else 0),
        patch.multiple(newest, _FEW=few, _ROWS_AT_ONCE=3, PORTION=2),
    ):
        assert found(sorted(folder.iterdir()), join) == by_definition(files, is_keyed, has_created)


def test_only_keys_that_are_touched_are_looked_at(tmp_path: Path) -> None:
    files, join = one_file(tmp_path, range(5), pa.int64())
    with duck.session() as connection:
        rows, join = scanned(connection, files, join)
        connection.execute(f"CREATE TEMP TABLE {sql.TOUCHED} AS SELECT unnest([1, 3]) AS key_0")
        assert newest.find_newest(connection, rows, join, END, only_touched=True) == 2
        newest_rows = connection.execute(sql.rows_at(join, ["row"])).fetchall()
    assert sorted(newest_rows) == [(1,), (3,)]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.one_of(files_of(WORDS), files_of(NUMBERS)), new=st.sets(st.integers(0, 2)), after=EVENT)
@example(files=[[("north", END, None), ("south", LONG_AGO, END)], [("north", LONG_AGO, END)]], new={1}, after=END)
def test_of_touched_keys_the_newest_row_is_found_wherever_it_lies(
    tmp_path: Path, files: list[list[Row]], new: set[int], after: datetime
) -> None:
    folder = tmp_path / str(next(folders))
    folder.mkdir()
    is_number = any(isinstance(row[0], int) for rows in files for row in rows)
    for number, rows in enumerate(files):
        write(folder / f"{number}.parquet", rows, pa.int64() if is_number else pa.string())
    paths = sorted(folder.iterdir())
    key = Key("region", "key_0", "BIGINT" if is_number else "VARCHAR")
    touched = {
        row[0]
        for number, rows in enumerate(files)
        for row in rows
        if row[1] <= END and (number in new or row[1] > after)
    }
    with duck.session() as connection:
        rows, join = scanned(
            connection, paths, Join(relation="", keys=(key,), timestamp="event_timestamp", created="created_timestamp")
        )
        new_files = [str(path) for number, path in enumerate(paths) if number in new]
        join = newest.note_touched(connection, rows, join, new_files, after, END)
        count = newest.find_newest(connection, rows, join, END, only_touched=True)
        places = connection.execute(f"SELECT _file, _row FROM {sql.NEWEST}").fetchall() if count else []
    expected = by_definition(files, is_keyed=True, has_created=True)
    assert {*places} == {place for place in expected if files[place[0]][place[1]][0] in touched}


def test_a_key_that_no_join_key_can_be_is_found_too_so_that_its_row_is_refused(tmp_path: Path) -> None:
    files, join = one_file(tmp_path, [7, 2**63 + 1], pa.uint64())
    assert found(files, join) == {(0, 0), (0, 1)}


@pytest.mark.parametrize("keys", [range(-400, 900), range(900, -400, -1), [5, 900, -400, 6, 899, -399]])
def test_a_table_of_numbers_grows_to_both_sides(keys: Sequence[int]) -> None:
    table = newest.NewestOfNumbers(has_created=False)
    given = np.array([*keys, *keys])
    moments = np.random.default_rng(7).integers(0, 3, len(given))
    for first in range(0, len(given), 4):
        part = slice(first, first + 4)
        assert table.add(given[part], moments[part], np.arange(len(given))[part])
    best = {int(key): max(np.flatnonzero(given == key), key=lambda row: (moments[row], row)) for key in keys}
    assert sorted(table.places()) == sorted(best.values())


@pytest.mark.parametrize("step", [-1, 1])
def test_keys_may_lie_no_farther_apart_than_their_rows_are_worth(step: int) -> None:
    def is_taken(key: int) -> bool:
        return table.add(np.array([step * key]), np.array([0]), np.array([0]))

    with patch.multiple(newest, _FEW=10, _MOST=20, _MOST_A_ROW=4):
        table = newest.NewestOfNumbers(has_created=False)
        assert is_taken(0)
        assert is_taken(9)
        assert is_taken(11)  # a span of 12 for three rows
        assert not is_taken(16)
        assert is_taken(19)
        assert not is_taken(20)
        assert not is_taken(2**63 - 1)


def by_definition(files: list[list[Row]], is_keyed: bool, has_created: bool) -> set[tuple[int, int]]:
    """Each key's newest row by the definition: file and row number."""
    best: dict[Region, tuple[datetime, bool, datetime, int, int]] = {}
    for file, rows in enumerate(files):
        for row, (region, happened, created) in enumerate(rows):
            if happened > END or (is_keyed and region is None):
                continue
            key = region if is_keyed else None
            known = created if has_created else None
            rank = (happened, known is not None, known or END, file, row)
            best[key] = max(best.get(key, rank), rank)
    return {rank[-2:] for rank in best.values()}


def found(files: Sequence[Path], join: Join) -> set[tuple[int, int]]:
    with duck.session() as connection:
        rows, join = scanned(connection, files, join)
        if not newest.find_newest(connection, rows, join, END, only_touched=False):
            return set()
        newest_rows = connection.execute(sql.rows_at(join, ["file", "row"])).fetchall()
    return {(file, row) for file, row in newest_rows}


def scanned(connection: duckdb.DuckDBPyConnection, files: Sequence[Path], join: Join) -> tuple[Scan, Join]:
    rows = scan(connection, list(map(str, files)))
    return rows, replace(join, relation=rows.relation)


def one_file(folder: Path, regions: Sequence[int], dtype: pa.DataType) -> tuple[list[Path], Join]:
    path = folder / "0.parquet"
    write(path, [(region, END, None) for region in regions], dtype)
    return [path], Join(
        relation="", keys=(Key("region", "key_0", "BIGINT"),), timestamp="event_timestamp", created=None
    )


def write(path: Path, rows: list[Row], region: pa.DataType) -> None:
    columns = {
        "region": pa.array([row[0] for row in rows], region),
        "event_timestamp": pa.array([row[1] for row in rows], TIMESTAMP),
        "created_timestamp": pa.array([row[2] for row in rows], TIMESTAMP),
        "file": pa.array([int(path.stem)] * len(rows), pa.int64()),
        "row": pa.array(range(len(rows)), pa.int64()),
    }
    pq.write_table(pa.table(columns), path)
