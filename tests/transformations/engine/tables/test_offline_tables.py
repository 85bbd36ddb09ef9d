"""Offline tables: whole versions or none, one winner, and a log that tells every run."""

import shutil
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from tests.worlds.literal_table import RUN
from transformations.engine.base import storage
from transformations.engine.base.commit_log import entry_of
from transformations.engine.base.errors import ConflictError, DamagedError, DataError
from transformations.engine.base.storage import NewFile
from transformations.engine.merging.replacing import replace_files
from transformations.engine.tables import offline_tables
from transformations.engine.tables.offline_tables import RECORD, OfflineTable, Run, time_bounds

SCHEMA = pa.schema([("user_id", pa.int64()), ("event_timestamp", pa.timestamp("us", tz="UTC"))])


@pytest.fixture
def table(tmp_path: Path) -> OfflineTable:
    return OfflineTable(tmp_path / "user_clicks")


def written(table: OfflineTable, name: str, user_id: int) -> NewFile:
    moment = datetime(2020, 1, 1, tzinfo=UTC)
    path = table.path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist([{"user_id": user_id, "event_timestamp": moment}], SCHEMA), path)
    micros = int(moment.timestamp()) * 1_000_000
    return NewFile(name, path.stat().st_size, 1, time_bounds(micros, micros))


def users(table: OfflineTable, version: int | None = None) -> list[int]:
    wanted = table.latest() if version is None else table.at(version)
    assert wanted is not None
    return sorted(row["user_id"] for file in wanted.files for row in pq.read_table(file).to_pylist())


def test_a_table_of_which_nothing_was_published_has_no_version(table: OfflineTable) -> None:
    written(table, "run=a/1.parquet", 1)
    assert table.latest() is None
    assert table.runs() == []
    with pytest.raises(DataError, match="no version yet"):
        table.at(0)


def test_files_become_visible_with_their_run(table: OfflineTable) -> None:
    published = table.publish([written(table, "run=a/1.parquet", 1)], SCHEMA, RUN, after=None, replace_all=False)
    assert users(table) == [1]
    assert table.runs() == [published] == [replace(RUN, version=0)]


def test_what_a_run_of_an_older_version_carried_over_is_not_gone_on_from(
    table: OfflineTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = offline_tables.record_of

    def as_before(run: Run) -> dict[str, Any]:
        return {**recorded(run), "carried_before": "2019-12-26"}

    monkeypatch.setattr(offline_tables, "record_of", as_before)
    carrying = replace(RUN, carry="carry=a")
    table.publish([written(table, "run=a/1.parquet", 1)], SCHEMA, carrying, after=None, replace_all=False)
    assert table.runs() == [replace(carrying, version=0, carry=None)]


def test_a_run_adds_to_what_is_there_and_older_versions_stay(table: OfflineTable) -> None:
    table.publish([written(table, "run=a/1.parquet", 1)], SCHEMA, RUN, after=None, replace_all=False)
    table.publish([written(table, "run=b/1.parquet", 2)], SCHEMA, RUN, after=0, replace_all=False)
    assert (users(table), users(table, 0)) == ([1, 2], [1])


def test_a_run_without_rows_still_tells_how_far_the_table_is_complete(table: OfflineTable) -> None:
    table.publish([written(table, "run=a/1.parquet", 1)], SCHEMA, RUN, after=None, replace_all=False)
    later = replace(RUN, complete_through=date(2020, 1, 5))
    table.publish([], SCHEMA, later, after=0, replace_all=False)
    latest = table.latest()
    assert latest is not None
    assert (latest.version, latest.run.complete_through, users(table)) == (1, date(2020, 1, 5), [1])


def test_a_rebuild_replaces_everything_with_another_schema_at_once(table: OfflineTable) -> None:
    table.publish([written(table, "run=a/1.parquet", 1)], SCHEMA, RUN, after=None, replace_all=False)
    wider = SCHEMA.append(pa.field("clicks", pa.int64()))
    table.publish([written(table, "run=b/1.parquet", 2)], wider, RUN, after=0, replace_all=True)
    assert (users(table), users(table, 0)) == ([2], [1])


@pytest.mark.parametrize("after", [None, 0])
def test_of_two_runs_from_one_version_the_second_publishes_nothing(table: OfflineTable, after: int | None) -> None:
    if after is not None:
        table.publish([written(table, "run=a/1.parquet", 1)], SCHEMA, RUN, after=None, replace_all=False)
    table.publish([written(table, "run=b/1.parquet", 2)], SCHEMA, RUN, after=after, replace_all=False)
    before = users(table)
    with pytest.raises(ConflictError, match="another writer published first"):
        table.publish([written(table, "run=c/1.parquet", 3)], SCHEMA, RUN, after=after, replace_all=False)
    assert users(table) == before


def test_the_right_to_write_has_one_holder(table: OfflineTable) -> None:
    with table.writing(), pytest.raises(ConflictError, match="user_clicks"), OfflineTable(table.path).writing():
        raise AssertionError("two writers at once")


def test_an_unknown_version_is_told_with_those_there_are(table: OfflineTable) -> None:
    table.publish([written(table, "run=a/1.parquet", 1)], SCHEMA, RUN, after=None, replace_all=False)
    with pytest.raises(DataError, match="no version 7; it has versions 0 to 0"):
        table.at(7)


def test_time_bounds_in_milliseconds_never_exclude_a_row() -> None:
    assert time_bounds(1_500, 1_500) == {"event_timestamp": ("1970-01-01T00:00:00.001Z", "1970-01-01T00:00:00.002Z")}


@pytest.mark.parametrize("damage", ["gone", "short"])
def test_a_table_with_a_damaged_current_file_is_never_taken_for_up_to_date(literal_table: Any, damage: str) -> None:
    literal_table.run("a", 1)
    literal_table.run("b", 2)
    file = literal_table.path / "run=b" / "1.parquet"
    file.unlink() if damage == "gone" else file.write_bytes(file.read_bytes()[:-1])

    with pytest.raises(DataError, match=f"{file} is (missing|damaged: it has)"):
        literal_table.latest()
    assert literal_table.users(0) == [1]  # an older version does not need it


@pytest.fixture
def opens(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders of the tables that delta-rs opens meanwhile: each time it lists the whole log."""
    folders: list[Path] = []
    opened = storage.open_table

    def noting(folder: Path, version: int | None = None) -> DeltaTable:
        folders.append(folder)
        return opened(folder, version)

    monkeypatch.setattr(storage, "open_table", noting)
    return folders


def test_a_table_that_is_asked_again_is_not_opened_again(table: OfflineTable, opens: list[Path]) -> None:
    table.publish([written(table, "run=a/1.parquet", 1)], SCHEMA, RUN, after=None, replace_all=False)
    assert (users(table), users(table)) == ([1], [1])
    table.publish([written(table, "run=b/1.parquet", 2)], SCHEMA, RUN, after=0, replace_all=False)
    assert (users(table), users(table)) == ([1, 2], [1, 2])
    assert opens == [table.path]


def test_an_open_table_sees_what_others_publish_and_what_takes_its_place(table: OfflineTable) -> None:
    table.publish([written(table, "run=a/1.parquet", 1)], SCHEMA, RUN, after=None, replace_all=False)
    assert users(table) == [1]
    other = OfflineTable(table.path)
    other.publish([written(table, "run=b/1.parquet", 2)], SCHEMA, RUN, after=0, replace_all=False)
    assert users(table) == [1, 2]
    other.publish([written(table, "run=c/1.parquet", 3)], SCHEMA, RUN, after=1, replace_all=False)
    with pytest.raises(ConflictError, match="another writer published first"):
        table.publish([written(table, "run=d/1.parquet", 4)], SCHEMA, RUN, after=1, replace_all=False)
    shutil.rmtree(table.path)
    assert table.latest() is None
    table.publish([written(table, "run=e/1.parquet", 5)], SCHEMA, RUN, after=None, replace_all=False)
    assert users(table) == [5]


def test_the_newest_commit_that_is_emptied_while_the_table_is_open_is_told(table: OfflineTable) -> None:
    table.publish([written(table, "run=a/1.parquet", 1)], SCHEMA, RUN, after=None, replace_all=False)
    assert users(table) == [1]
    entry_of(table.path, 1).write_bytes(b"")
    with pytest.raises(DamagedError, match="it is empty"):
        table.latest()


def test_a_version_tells_its_bytes_and_its_newest_event(table: OfflineTable) -> None:
    files = [written(table, f"run={name}/1.parquet", user) for name, user in (("a", 1), ("b", 2))]
    table.publish(files, SCHEMA, RUN, after=None, replace_all=False)
    newest = table.newest()
    assert (newest.size_bytes, newest.newest_event) == (
        sum(file.size for file in files),
        datetime(2020, 1, 1, tzinfo=UTC),
    )


@pytest.mark.parametrize("is_merge", [False, True])
def test_who_publishes_onto_an_open_table_loses_to_whoever_was_first(
    table: OfflineTable, monkeypatch: pytest.MonkeyPatch, is_merge: bool
) -> None:
    table.publish([written(table, "run=a/1.parquet", 1)], SCHEMA, RUN, after=None, replace_all=False)
    assert users(table) == [1]
    if is_merge:
        replace_files(table.path, ["run=a/1.parquet"], [written(table, "compacted=b/1.parquet", 1)], {}, refuses=RECORD)
    else:
        other = OfflineTable(table.path)
        other.publish([written(table, "run=b/1.parquet", 2)], SCHEMA, RUN, after=0, replace_all=False)
    before = users(OfflineTable(table.path))
    monkeypatch.setattr(storage, "is_newest", lambda *_: True)  # as it was a moment ago
    with pytest.raises(ConflictError, match="another writer published first"):
        table.publish([written(table, "run=c/1.parquet", 3)], SCHEMA, RUN, after=0, replace_all=False)
    assert users(OfflineTable(table.path)) == before
