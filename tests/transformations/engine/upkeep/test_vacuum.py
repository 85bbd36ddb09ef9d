"""Vacuum removes what nothing refers to, nothing young, and never what a pinned version needs."""

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.worlds.contracts import event_source
from transformations.contracts import Column
from transformations.engine.base.errors import ConflictError, DataError
from transformations.engine.base.settings import Settings
from transformations.engine.raw.files import source_schema
from transformations.engine.raw.zone import Origin, RawTable
from transformations.engine.tables.pins import pin, unpin
from transformations.engine.upkeep.vacuum import Held, vacuum_source, vacuum_table

NOW = timedelta(0)
DAY = timedelta(hours=24)


def files(folder: Path) -> set[str]:
    """All files of a table but its log, locks and pins."""
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {name for name in found if "=" in name.split("/")[0] or name.startswith("drop-")}


def grow_old(folder: Path) -> None:
    """Date all files back by two days."""
    for path in folder.rglob("*"):
        os.utime(path, (time.time() - 172_800,) * 2)


def test_what_a_killed_run_left_is_removed_and_every_version_stays(literal_table: Any) -> None:
    literal_table.run("a", 1, kind="first load")
    literal_table.run("b", 2)
    kept = files(literal_table.path)
    literal_table.write("killed", 3)
    (literal_table.path / "run=b" / ".5f.unfinished").write_bytes(b"half")
    left = sum((literal_table.path / name).stat().st_size for name in files(literal_table.path) - kept)

    done = vacuum_table(literal_table, NOW)

    assert (done.files, done.size_bytes, done.given_up, done.held) == (3, left, (), ())
    assert files(literal_table.path) == kept
    assert not (literal_table.path / "run=killed").exists()
    assert (literal_table.users(0), literal_table.users(1)) == ([1], [1, 2])
    assert vacuum_table(literal_table, NOW).files == 0


def test_a_dry_run_tells_the_same_and_removes_nothing(literal_table: Any) -> None:
    literal_table.run("a", 1, kind="first load")
    literal_table.write("killed", 3)
    before = files(literal_table.path)
    told = vacuum_table(literal_table, NOW, dry_run=True)
    assert files(literal_table.path) == before
    assert told == vacuum_table(literal_table, NOW)


def test_what_is_young_may_belong_to_a_run_that_still_goes_on(literal_table: Any) -> None:
    literal_table.run("a", 1, kind="first load")
    literal_table.write("running", 3)
    grow_old(literal_table.path)
    (literal_table.path / "run=running" / "2.parquet").write_bytes(b"just written")
    (literal_table.path / "carry=running" / "bucket-00001.parquet").write_bytes(b"just written")
    assert vacuum_table(literal_table, DAY).files == 0
    grow_old(literal_table.path)
    assert vacuum_table(literal_table, DAY).files == 4


def test_what_was_left_before_the_first_version_is_removed(literal_table: Any) -> None:
    literal_table.write("killed", 1)
    assert vacuum_table(literal_table, NOW).files == 2
    assert not literal_table.exists()


def test_older_versions_are_given_up_only_when_asked_and_then_say_so(literal_table: Any) -> None:
    literal_table.run("a", 1, kind="first load")
    literal_table.run("b", 2)
    literal_table.run("c", 3, kind="rebuild")
    assert vacuum_table(literal_table, NOW).files == 0

    done = vacuum_table(literal_table, NOW, keep_versions=1)

    assert done.given_up == (0, 1)
    assert files(literal_table.path) == {"run=c/1.parquet", "carry=c/bucket-00000.parquet"}
    assert literal_table.users(2) == [3]
    with pytest.raises(DataError, match="of version 1, 2 of 2 files are gone"):
        literal_table.at(1)


def test_a_pinned_version_keeps_its_files_and_what_it_holds_back_is_told(literal_table: Any) -> None:
    literal_table.run("a", 1, kind="first load")
    literal_table.run("b", 2)
    literal_table.run("c", 3, kind="rebuild")
    pin(literal_table, 0, "dataset churn")
    size = (literal_table.path / "run=a" / "1.parquet").stat().st_size

    done = vacuum_table(literal_table, NOW, keep_versions=1)

    assert done.given_up == (1,)
    assert done.held == (Held(0, ("dataset churn",), 1, size),)
    assert (literal_table.users(0), literal_table.users(2)) == ([1], [3])
    unpin(literal_table, 0, "dataset churn")
    assert vacuum_table(literal_table, NOW, keep_versions=1).given_up == (0, 1)


def test_files_that_newer_versions_share_stay_with_them(literal_table: Any) -> None:
    literal_table.run("a", 1, kind="first load")
    literal_table.run("b", 2)
    done = vacuum_table(literal_table, NOW, keep_versions=1)
    assert (done.files, done.given_up) == (1, ())
    assert files(literal_table.path) == {"run=a/1.parquet", "run=b/1.parquet", "carry=b/bucket-00000.parquet"}
    assert (literal_table.users(0), literal_table.users(1)) == ([1], [1, 2])


def test_a_version_replaced_a_moment_ago_may_still_be_read(literal_table: Any) -> None:
    literal_table.run("a", 1, kind="first load")
    literal_table.run("b", 2, kind="rebuild")
    grow_old(literal_table.path)
    assert vacuum_table(literal_table, DAY, keep_versions=1).files == 0
    assert literal_table.users(0) == [1]


def test_a_table_that_is_being_written_is_left_alone(literal_table: Any) -> None:
    literal_table.run("a", 1, kind="first load")
    with literal_table.writing(), pytest.raises(ConflictError, match="user_clicks"):
        vacuum_table(literal_table, NOW)


def test_what_killed_ingestions_left_is_removed_and_every_drop_stays(settings: Settings) -> None:
    columns = (Column("user_id", "Int64", False, "User"), Column("at", "UnixTimestamp", False, "When"))
    contract = event_source("clicks", columns, at="at")
    raw = RawTable(contract, settings.raw_dir)
    rows = pa.Table.from_pylist([{"user_id": 1, "at": settings.now()}], source_schema(contract))
    raw.append(rows, Origin(file_name="literal", content_hash="1", ingested_at=settings.now()))
    kept = files(raw.folder)
    killed = raw.folder / "drop-000002-0a0a0a0a"
    killed.mkdir()
    (killed / "part-00000.parquet").write_bytes(b"half")
    (raw.folder / "_delta_log" / "_commit_0a.json.tmp").write_bytes(b"half")

    assert vacuum_source(raw, DAY).files == 0
    done = vacuum_source(raw, NOW)

    assert (done.zone, done.table, done.files, done.size_bytes) == ("raw", "clicks", 2, 8)
    assert files(raw.folder) == kept
    assert not killed.exists()
    assert raw.snapshot().rows == 1
