"""Which files are merged, and that their rows are the same, in order."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformations.engine.base.errors import DamagedError
from transformations.engine.base.settings import Settings
from transformations.engine.merging.merged_files import (
    MANY,
    ROWS_A_FILE,
    files_to_merge,
    merged_tables,
    refuse_other_content,
)

SCHEMA = pa.schema([("key", pa.string()), ("value", pa.float64()), ("note", pa.list_(pa.int64()))])


def write(path: Path, rows: list[tuple[str | None, float | None, list[int] | None]], columns: int = 3) -> str:
    table = pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], SCHEMA)
    pq.write_table(table.select(SCHEMA.names[:columns]), path)
    return str(path)


def test_only_small_files_are_merged_and_unasked_only_many() -> None:
    full, half = {"full": ROWS_A_FILE}, {"half": ROWS_A_FILE // 2}
    few = {f"few {number}": 1_500 for number in range(MANY - 1)}
    assert files_to_merge(full | few, only_many=True) == []
    assert files_to_merge(full | half | few | {"last": 1}, only_many=True) == ["last", *few]
    assert files_to_merge(full | few | {"much larger": 31 * 3_001}, only_many=True) == [*few]
    assert files_to_merge(full | few | {"larger": 31 * 3_000}, only_many=True) == [*few, "larger"]
    assert files_to_merge(full | half | {"one": 1}, only_many=False) == []
    assert files_to_merge(full | {"one": 1, "two": 1}, only_many=False) == ["one", "two"]


def test_files_that_would_not_become_fewer_stay() -> None:
    nearly = dict.fromkeys(range(2), ROWS_A_FILE // 2 - 1)
    assert files_to_merge(nearly, only_many=False) == [0, 1]
    assert files_to_merge({0: 0, 1: ROWS_A_FILE // 2 - 1}, only_many=False) == [0, 1]
    assert files_to_merge({}, only_many=False) == files_to_merge({0: 1}, only_many=False) == []


def test_years_of_small_runs_become_few_files_and_each_row_is_rewritten_seldom() -> None:
    files: dict[int, int] = {}
    rewritten = 0
    for day in range(5_000):
        files[day] = 1_500
        if chosen := files_to_merge(files, only_many=True):
            rows = sum(files.pop(file) for file in chosen)
            rewritten += rows
            files[-day] = rows
        assert len(files) < MANY + 8
    assert rewritten < 6 * 5_000 * 1_500


def test_rows_come_in_order_and_equal_ones_in_the_order_of_the_files(tmp_path: Path, settings: Settings) -> None:
    first = write(tmp_path / "1.parquet", [("b", 1.0, [1]), (None, 2.0, None), ("a", 3.0, [])], 3)
    second = write(tmp_path / "2.parquet", [("a", 4.0, None), ("b", 5.0, None)], 2)
    (found,) = merged_tables([first, second], SCHEMA, ["key"], settings)
    assert found.schema == SCHEMA
    assert found["value"].to_pylist() == [2.0, 3.0, 4.0, 1.0, 5.0]
    assert found["note"].to_pylist() == [None, [], None, [1], None]


def test_other_rows_are_never_published(tmp_path: Path, settings: Settings) -> None:
    before = [write(tmp_path / "1.parquet", [("a", 1.0, None), ("b", 2.0, [3])])]
    again = [write(tmp_path / "2.parquet", [("b", 2.0, [3]), ("a", 1.0, None)])]
    refuse_other_content(before, again, SCHEMA, settings)
    for rows in ([("b", 2.0, [3])], [("b", 2.0, [4]), ("a", 1.0, None)]):
        with pytest.raises(DamagedError, match="do not hold their rows"):
            refuse_other_content(before, [write(tmp_path / "3.parquet", rows)], SCHEMA, settings)
