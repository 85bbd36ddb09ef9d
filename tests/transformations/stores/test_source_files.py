"""Which files a source's path means, and which of the folders' names are columns: literally what was said."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from feast.types import Bool, FeastType, Float64, Int64, String, UnixTimestamp
from redis import Redis

from transformations.engine.base.errors import DataError, UsageError

from .paths import LATER, entity, everywhere, pulled, rows, trained, visits
from .training_rows import Store


def put(path: Path, **columns: list[Any] | pa.Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows(**columns), path)


@pytest.mark.parametrize(
    "name", ["part-[0-9].parquet", "what?.parquet", "all*.parquet", "a\\b.parquet", "x{1,2}.parquet"]
)
def test_a_file_that_is_there_is_itself_whatever_its_name(
    store_of: Store, redis: Redis, tmp_path: Path, name: str
) -> None:
    put(tmp_path / name, n=[1, 2])
    for other in ("part-5.parquet", "what1.parquet", "all.parquet", "allthat.parquet", "x1.parquet", "x2.parquet"):
        put(tmp_path / other, n=[50, 60])
    store = store_of(entity(), view := visits(tmp_path / name, {"n": Int64}))
    assert everywhere(store, view, [1, 2]) == {"n": [1, 2]}
    assert pulled(store, view, [1, 2]) == {"n": [1, 2]}


def test_so_is_a_folder_and_a_pattern_begins_behind_what_is_there(
    store_of: Store, redis: Redis, tmp_path: Path
) -> None:
    put(tmp_path / "lake[1]" / "[a].parquet", n=[1, 2])
    put(tmp_path / "lake1" / "a.parquet", n=[50, 60])
    put(tmp_path / "lake1" / "[a].parquet", n=[70, 80])
    whole = visits(tmp_path / "lake[1]", {"n": Int64}, name="whole")
    pattern = visits(tmp_path / "lake[1]" / "*.parquet", {"n": Int64}, name="pattern")
    store = store_of(entity(), whole, pattern)
    assert everywhere(store, whole, [1, 2]) == everywhere(store, pattern, [1, 2]) == {"n": [1, 2]}


def test_what_is_not_there_may_be_a_pattern(store_of: Store, tmp_path: Path) -> None:
    put(tmp_path / "part-5.parquet", n=[1, 2])
    put(tmp_path / "part-x.parquet", n=[50, 60])
    store = store_of(entity(), view := visits(tmp_path / "part-[0-9].parquet", {"n": Int64}))
    assert trained(store, view, [1, 2]) == {"n": [1, 2]}


def test_a_folder_name_never_overwrites_a_column(store_of: Store, redis: Redis, tmp_path: Path) -> None:
    put(tmp_path / "page=above" / "lake" / "page=home" / "a.parquet", page=["x", "y"])
    store = store_of(entity(), view := visits(tmp_path / "page=above" / "lake", {"page": String}))
    assert everywhere(store, view, [1, 2]) == {"page": ["x", "y"]}


def test_folders_above_a_source_s_own_add_no_column(store_of: Store, tmp_path: Path) -> None:
    put(tmp_path / "region=north" / "lake" / "a.parquet", n=[1])
    store = store_of(entity(), view := visits(tmp_path / "region=north" / "lake", {"region": String}))
    with pytest.raises(DataError, match="visits: its files have no column 'region'"):
        trained(store, view, [1])


def test_a_folder_of_some_files_only_is_no_column(store_of: Store, tmp_path: Path) -> None:
    put(tmp_path / "lake" / "region=north" / "a.parquet", n=[1])
    put(tmp_path / "lake" / "b.parquet", n=[1])
    store = store_of(entity(), view := visits(tmp_path / "lake", {"region": String}))
    with pytest.raises(DataError, match="visits: its files have no column 'region'"):
        trained(store, view, [1])


@pytest.mark.parametrize(
    ("folder", "dtype", "value"),
    [
        ("007", String, "007"),
        ("7", String, "7"),
        ("2024-05-01", String, "2024-05-01"),
        ("true", String, "true"),
        ("7", Int64, 7),
        ("true", Bool, True),
        ("0.1", Float64, 0.1),
        ("2024-05-01", UnixTimestamp, datetime(2024, 5, 1, tzinfo=UTC)),
        ("__HIVE_DEFAULT_PARTITION__", Int64, None),
        ("a%2Fb", String, "a/b"),
    ],
)
def test_what_a_folder_is_called_is_read_as_declared(
    store_of: Store, redis: Redis, tmp_path: Path, folder: str, dtype: FeastType, value: object
) -> None:
    put(tmp_path / "lake" / f"part={folder}" / "a.parquet", n=[1])
    store = store_of(entity(), view := visits(tmp_path / "lake", {"part": dtype}))
    assert everywhere(store, view, [1]) == {"part": [value]}


def test_a_folder_whose_number_is_not_written_as_numbers_are_is_no_number(store_of: Store, tmp_path: Path) -> None:
    put(tmp_path / "lake" / "part=007" / "a.parquet", n=[1])
    store = store_of(entity(), view := visits(tmp_path / "lake", {"part": Int64}))
    with pytest.raises(DataError, match="'part' is declared Int64, but holds string such as '007'"):
        trained(store, view, [1])


def test_what_a_writer_hides_is_no_part_of_a_folder(store_of: Store, tmp_path: Path) -> None:
    put(tmp_path / "lake" / "a.parquet", n=[1, 2])
    for hidden in ("_temporary/0/part.parquet", ".a.parquet", "_b.parquet", ".staging/c.parquet"):
        put(tmp_path / "lake" / hidden, n=[50, 60, 70])
    views = [visits(tmp_path / "lake", {"n": Int64}), visits(tmp_path / "lake/**/*.parquet", {"n": Int64}, name="all")]
    store = store_of(entity(), *views)
    for view in views:
        assert trained(store, view, [1, 2, 3]) == {"n": [1, 2, None]}


@pytest.mark.parametrize("path", [".", "table/*.parquet", "table/day=1", "*/*/*.parquet", "table/day=1/x.parquet"])
def test_files_of_a_delta_table_are_not_read_past_its_log(store_of: Store, tmp_path: Path, path: str) -> None:
    table = rows(n=[1, 2]).append_column("day", pa.array([1, 1]))
    write_deltalake(tmp_path / "lake" / "table", table, partition_by=["day"])
    put(tmp_path / "lake" / "table" / "day=1" / "x.parquet", n=[50, 60])
    store = store_of(entity(), view := visits(tmp_path / "lake" / path, {"n": Int64}))
    with pytest.raises(
        DataError, match=r"visits: .* means files of the Delta table .*lake/table, .*table's own folder"
    ):
        trained(store, view, [1, 2])


@pytest.mark.parametrize(
    ("mark", "kind"), [("metadata/v1.metadata.json", "Iceberg"), (".hoodie/hoodie.properties", "Hudi")]
)
def test_tables_of_other_kinds_are_refused(store_of: Store, tmp_path: Path, mark: str, kind: str) -> None:
    put(tmp_path / "lake" / "data" / "a.parquet", n=[1, 2])
    (tmp_path / "lake" / mark).parent.mkdir()
    (tmp_path / "lake" / mark).touch()
    store = store_of(entity(), view := visits(tmp_path / "lake", {"n": Int64}))
    with pytest.raises(UsageError, match=f"visits: .* means files of the {kind} table"):
        trained(store, view, [1, 2])


def test_rows_are_appended_to_the_folder_that_their_value_is_read_from(store_of: Store, tmp_path: Path) -> None:
    put(tmp_path / "lake" / "region=a" / "a.parquet", n=[1])
    store = store_of(entity(), view := visits(tmp_path / "lake", {"n": Int64, "region": String}))
    later = pa.array([LATER] * 3, pa.timestamp("us", tz="UTC"))
    new = pa.table({"user_id": [1, 2, 3], "event_timestamp": later, "n": [10, 20, 30], "region": ["a/b", None, "c"]})
    store.write_to_offline_store("visits", new.to_pandas())
    assert trained(store, view, [1, 2, 3]) == {"n": [10, 20, 30], "region": ["a/b", None, "c"]}
