"""Tables in object storage, over a real S3 server: what one machine publishes, others read, verify and cannot undo."""

import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.worlds.buckets import ENDPOINT
from tests.worlds.literal_table import RUN, LiteralTable
from transformations.engine.base import storage
from transformations.engine.base.disk_faults import verify_files
from transformations.engine.base.errors import (
    ConflictError,
    DamagedError,
    DataError,
    ServiceUnavailableError,
    UsageError,
)
from transformations.engine.base.files.local import UNFINISHED
from transformations.engine.base.files.published import pull, put_folder
from transformations.engine.base.settings import Settings, get_settings
from transformations.engine.tables.pins import giving_up, pin, pinned, unpin
from transformations.engine.upkeep.vacuum import vacuum_table

Machine = Callable[[str], LiteralTable]


@pytest.fixture
def on(at_machine: Callable[[str], Settings]) -> Machine:
    """The table as a machine sees it, from now on this process."""
    return lambda name: LiteralTable(at_machine(name).offline_dir / "user_clicks")


def test_what_one_machine_publishes_another_one_reads_and_continues(on: Machine) -> None:
    on("a").run("one", 1, 2)
    on("a").run("two", 3)

    other = on("b")
    assert other.users(1) == [1, 2, 3]
    assert other.users(0) == [1, 2]
    assert other.run("three", 4) == 2
    assert on("a").users(2) == [1, 2, 3, 4]


def test_a_reader_fetches_what_it_reads_and_nothing_else(on: Machine, tmp_path: Path) -> None:
    on("a").run("one", 1)
    on("a").run("two", 2)

    version = on("b").at(0)
    assert [Path(file).exists() for file in version.files] == [False]
    verify_files(version.files)
    assert [path.parent.name for path in sorted((tmp_path / "b").rglob("*.parquet"))] == ["run=one"]


def test_of_two_machines_that_write_the_same_version_one_publishes(on: Machine) -> None:
    on("a").run("one", 1)
    slow = on("a")
    prepared, schema, run = slow.write("slow", 2), slow.schema, slow.newest().run
    assert on("b").run("quick", 3) == 1

    slow = on("a")
    with pytest.raises(ConflictError, match="another writer published first"):
        slow.publish([prepared], schema, run, after=0, replace_all=False)
    assert slow.users(1) == [1, 3]
    assert len(list(storage.contents(slow.path))) == 2


def test_a_first_version_is_published_by_one_machine_alone(on: Machine, place: Path) -> None:
    on("b").run("quick", 3)
    slow = on("a")
    prepared, run = slow.write("slow", 2), replace(RUN, run_id="slow")

    with pytest.raises(ConflictError, match="another writer published first"):
        slow.publish([prepared], slow.schema, run, after=None, replace_all=False)
    assert [entry.name for entry in (place / "offline/user_clicks/_delta_log").glob("*.json")] == [f"{0:020}.json"]


def test_an_object_that_is_damaged_or_gone_is_named_and_never_read(on: Machine, place: Path) -> None:
    on("a").run("one", 1)
    (stored,) = (place / "offline" / "user_clicks" / "run=one").iterdir()
    content = bytearray(stored.read_bytes())
    content[len(content) // 2] ^= 1
    stored.write_bytes(content)
    files = on("b").newest().files
    with pytest.raises(DamagedError, match=r"\w+://.*run=one/1.parquet is damaged"):
        verify_files(files)
    stored.unlink()
    with pytest.raises(DamagedError, match=r"\w+://.*run=one/1.parquet is missing"):
        verify_files(files)
    assert not Path(files[0]).exists()


def test_copies_of_another_table_than_the_one_in_the_bucket_are_refused(on: Machine, place: Path) -> None:
    on("a").run("one", 1)
    entry = place / "offline" / "user_clicks" / "_delta_log" / f"{0:020}.json"
    entry.write_text(entry.read_text() + json.dumps({"commitInfo": {}}) + "\n")

    with pytest.raises(DamagedError, match="has another one, of"):
        on("a").latest()


def test_a_folder_of_copies_serves_one_place_and_is_no_data_folder(
    on: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on("a").run("one", 1)
    place = get_settings().bucket
    monkeypatch.setenv("FEATURES_DATA", f"{place}-other")
    with pytest.raises(UsageError, match=f"this folder has copies of {place}, and"):
        get_settings()
    monkeypatch.setenv("FEATURES_DATA", str(tmp_path / "a"))
    with pytest.raises(UsageError, match=f"this folder has copies of what is in {place}"):
        get_settings()
    (tmp_path / "own" / "raw").mkdir(parents=True)
    monkeypatch.setenv("FEATURES_DATA", str(place))
    monkeypatch.setenv("FEATURES_LOCAL", str(tmp_path / "own"))
    with pytest.raises(UsageError, match="this folder has data of its own, and"):
        get_settings()


def test_a_copy_that_is_damaged_is_named_and_fetched_again_once_it_is_removed(on: Machine) -> None:
    on("a").run("one", 1)
    file = Path(on("a").newest().files[0])
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(DamagedError, match=r"is damaged: .* remove it \(rm .*1.parquet\)"):
        verify_files([file])
    file.unlink()
    assert on("a").users(0) == [1]


def test_pins_of_all_machines_count_and_none_is_added_while_files_are_given_up(on: Machine) -> None:
    on("a").run("one", 1)
    pin(on("a"), 0, "dataset a")
    pin(on("b"), 0, "dataset b")
    assert pinned(on("a")) == {0: ("dataset a", "dataset b")}

    with giving_up(on("a")) as pins:
        assert pins == {0: ("dataset a", "dataset b")}
        pin(on("b"), 0, "dataset b")  # again, which changes nothing
        with pytest.raises(ConflictError, match="files of it are being given up"):
            pin(on("b"), 0, "dataset c")
        on("a")
    assert unpin(on("b"), 0, "dataset b")
    assert not unpin(on("b"), 0, "dataset b")
    assert pinned(on("a")) == {0: ("dataset a",)}
    with pytest.raises(DataError, match="no version 7"):
        pin(on("b"), 7, "dataset d")
    assert pinned(on("a")) == {0: ("dataset a",)}


def test_vacuum_removes_what_no_version_names_from_the_bucket(on: Machine, place: Path) -> None:
    table = on("a")
    table.run("one", 1)
    table.run("two", 2, kind="rebuild")
    dead = place / "offline" / "user_clicks" / "run=dead" / "1.parquet"
    dead.parent.mkdir()
    dead.write_bytes(b"of a killed writer")
    time.sleep(1.1)  # S3 tells the time in whole seconds

    assert vacuum_table(on("b"), timedelta(0)).files == 1
    assert not dead.exists()
    assert vacuum_table(on("b"), timedelta(0), keep_versions=1).given_up == (0,)
    with pytest.raises(DataError, match="of version 0, 1 of 1 file is gone"):
        pin(on("a"), 0, "too late")  # though this machine has a copy
    assert pinned(on("a")) == {}
    assert on("a").users(1) == [2]


def test_copies_beyond_the_limit_are_given_up_once_nobody_uses_them(
    on: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    on("a").run("one", 1)
    on("a").run("two", 2)
    monkeypatch.setenv("FEATURES_LOCAL_GB", "0.0000001")
    table = on("b")
    assert table.newest().rows == 2
    first, second = (table.path / f"run={name}" / "1.parquet" for name in ("one", "two"))
    verify_files([first])
    assert first.exists()  # it was used just now
    os.utime(first, (time.time() - 4_000,) * 2)
    verify_files([second])
    assert (first.exists(), second.exists()) == (False, True)
    verify_files([first])
    assert first.exists()


@pytest.mark.usefixtures("place")
def test_a_folder_that_several_begin_to_read_at_once_is_there_for_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = tmp_path / "finished"
    finished.mkdir()
    for split in range(5):
        (finished / f"{split}.parquet").write_text(f"rows {split}")
    monkeypatch.setenv("FEATURES_LOCAL", str(tmp_path / "a"))
    get_settings().datasets_dir.mkdir(parents=True)
    put_folder(finished, get_settings().datasets_dir / "churn")

    monkeypatch.setenv("FEATURES_LOCAL", str(tmp_path / "b"))
    target = get_settings().datasets_dir / "churn"

    def read(_: int) -> list[str]:
        pull(target)
        return sorted(file.read_text() for file in target.iterdir())

    with ThreadPoolExecutor(8) as readers:
        assert list(readers.map(read, range(8))) == [[f"rows {split}" for split in range(5)]] * 8
    assert not [each.name for each in target.parent.iterdir() if each.name.endswith(UNFINISHED)]


def test_a_storage_that_does_not_answer_is_named_soon(on: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    table = on("a")
    table.run("one", 1)
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:1")

    with pytest.raises(
        ServiceUnavailableError, match=r"\w+://.*not do what is asked: .*(AWS_ENDPOINT_URL|AZURE_STORAGE_ENDPOINT)"
    ):
        table.latest()
