"""What a log says of rows that changed, and of rows that were only laid elsewhere; by Delta's own writer, too."""

from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from transformations.engine.base import storage
from transformations.engine.base.settings import Settings
from transformations.engine.merging import data_changes
from transformations.engine.merging.data_changes import DataChanges, original_files
from transformations.engine.tables.compaction import compact_table


def changes_since(folder: Path, version: int, until: int) -> DataChanges | None:
    """What changed, and of which files, against the table as Delta's reader has it."""
    files = storage.file_paths(storage.open_table(folder, until))
    found = data_changes.changes_since(folder, version, until, files)
    assert found is None or [*found.before] == sorted(storage.file_paths(storage.open_table(folder, version)))
    return found


def test_merged_files_are_new_to_nobody(literal_table: Any, settings: Settings) -> None:
    literal_table.run("a", 1)
    literal_table.run("b", 2)
    done = compact_table(literal_table, settings)
    assert done is not None
    literal_table.run("c", 3)
    a, b, c = (f"run={name}/1.parquet" for name in "abc")
    (merged,) = (Path(file).relative_to(literal_table.path).as_posix() for file in literal_table.at(2).files)
    assert changes_since(literal_table.path, 0, 3) == DataChanges((a,), (b, c), keeps_rows=True)
    assert changes_since(literal_table.path, 1, 2) == DataChanges((a, b), (), keeps_rows=True)
    assert changes_since(literal_table.path, 2, 3) == DataChanges((merged,), (c,), keeps_rows=True)
    assert original_files(literal_table.path, 3) == [a, b, c]


def test_a_rebuild_after_a_merge_keeps_no_row(literal_table: Any, settings: Settings) -> None:
    literal_table.run("a", 1)
    literal_table.run("b", 2)
    compact_table(literal_table, settings)
    literal_table.run("c", 3, kind="rebuild")
    found = changes_since(literal_table.path, 1, 3)
    assert found is not None
    assert (found.added, found.keeps_rows) == (("run=c/1.parquet",), False)
    assert original_files(literal_table.path, 3) == ["run=c/1.parquet"]


def test_a_log_that_lacks_a_commit_says_nothing(literal_table: Any) -> None:
    for name in "abc":
        literal_table.run(name, 1)
    files = [f"run={name}/1.parquet" for name in "abc"]
    (literal_table.path / "_delta_log" / f"{1:020}.json").unlink()
    assert data_changes.changes_since(literal_table.path, 0, 2, files) is None
    assert data_changes.changes_since(literal_table.path, 3, 2, files) is None


def test_what_another_writer_optimizes_and_deletes_is_told_apart(tmp_path: Path) -> None:
    place = tmp_path / "elsewhere"
    for number in (1, 2, 3):
        write_deltalake(place, pa.table({"a": [number, number + 10]}), mode="append")
    DeltaTable(place).optimize.compact()
    optimized = changes_since(place, 2, 3)
    assert optimized is not None
    assert optimized.brings_nothing
    DeltaTable(place).delete("a = 11")
    deleted = changes_since(place, 3, 4)
    assert deleted is not None
    assert not deleted.keeps_rows
