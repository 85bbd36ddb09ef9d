"""Storage: commits are numbered once, older versions keep their own records, a lock ends with its process."""

import hashlib
import os
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformations.engine.base import storage
from transformations.engine.base.errors import ConflictError, DataError

SCHEMA = pa.schema([pa.field("id", pa.int64())])


def new_file(folder, name: str, *ids: int) -> storage.NewFile:
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table({"id": pa.array(ids, pa.int64())}), folder / name)
    return storage.NewFile(name, (folder / name).stat().st_size, len(ids), {"id": (min(ids), max(ids))})


def publish(folder, name: str, sequence: int, *ids: int) -> int:
    return storage.publish(
        folder, SCHEMA, [new_file(folder, name, *ids)], record_key="run", record={"name": name}, sequence=sequence
    )


def test_a_content_hash_is_the_sha256_of_the_bytes(tmp_path):
    (tmp_path / "file").write_bytes(b"some bytes")
    assert storage.content_hash(tmp_path / "file") == hashlib.sha256(b"some bytes").hexdigest()


def test_each_commit_is_a_version_with_its_record(tmp_path):
    table = tmp_path / "a table"
    assert not storage.is_table(table)
    assert [publish(table, "a.parquet", 1, 1), publish(table, "b.parquet", 2, 2)] == [0, 1]
    found = storage.commits(storage.open_table(table), "run")
    assert [(commit.version, commit.record["name"]) for commit in found] == [(0, "a.parquet"), (1, "b.parquet")]


def test_an_older_version_knows_only_its_own_commits(tmp_path):
    for sequence, name in enumerate(("a.parquet", "b.parquet", "c.parquet"), start=1):
        publish(tmp_path, name, sequence, sequence)
    found = storage.commits(storage.open_table(tmp_path, version=1), "run")
    assert [(commit.version, commit.record["name"]) for commit in found] == [(0, "a.parquet"), (1, "b.parquet")]


@pytest.mark.parametrize("sequence", [1, 2])
def test_a_number_that_is_taken_is_a_conflict(tmp_path, sequence):
    publish(tmp_path, "a.parquet", 1, 1)
    publish(tmp_path, "b.parquet", 2, 2)
    with pytest.raises(ConflictError, match="another writer published first"):
        publish(tmp_path, "c.parquet", sequence, 3)
    assert storage.open_table(tmp_path).version() == 1


def test_the_log_is_never_cleaned_up(tmp_path):
    publish(tmp_path, "a.parquet", 1, 1)
    assert storage.open_table(tmp_path).metadata().configuration["delta.enableExpiredLogCleanup"] == "false"


def test_a_lock_ends_with_its_process_however_that_ends(tmp_path):
    lock = tmp_path / "folder" / ".lock"
    program = (
        "import sys, time; from pathlib import Path; from transformations.engine.base.storage import exclusive\n"
        "with exclusive(Path(sys.argv[1]), 'table'): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", program, str(lock)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        impatient = storage.exclusive(lock, "table", wait_seconds=0)
        with pytest.raises(ConflictError, match=f"table: process {holder.pid} is writing it"), impatient:
            pass
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    started = time.monotonic()
    with storage.exclusive(lock, "table", wait_seconds=5):
        assert time.monotonic() - started < 1


def by_half(entry: bytes) -> bytes:
    return entry[: len(entry) // 2]


def by_its_last_line(entry: bytes) -> bytes:
    return entry[: entry.rindex(b"\n")]


@pytest.mark.parametrize("how", [lambda entry: b"", by_half, by_its_last_line, lambda entry: bytes(len(entry))])
def test_a_half_written_newest_commit_is_named_with_what_to_do_and_that_helps(tmp_path, how):
    for sequence, name in enumerate(("a.parquet", "b.parquet"), start=1):
        storage.publish(
            tmp_path,
            SCHEMA,
            [new_file(tmp_path, name, sequence)],
            record_key="features.run",
            record={},
            sequence=sequence,
        )
    entry = tmp_path / "_delta_log" / f"{1:020}.json"
    entry.write_bytes(how(entry.read_bytes()))

    with pytest.raises(DataError) as caught:  # delta-rs takes an empty commit, and one cut at a line, for whole
        storage.commits(storage.open_table(tmp_path), "features.run")
    assert caught.value.message.startswith(f"{entry} is damaged: ")
    assert f"mv {entry} {entry}.damaged" in caught.value.message

    entry.rename(f"{entry}.damaged")
    assert storage.file_paths(storage.open_table(tmp_path)) == ["a.parquet"]
    assert (
        storage.publish(
            tmp_path,
            SCHEMA,
            [new_file(tmp_path, "c.parquet", 3)],
            record_key="features.run",
            record={"a": 1},
            sequence=2,
        )
        == 1
    )


@pytest.mark.parametrize("damage", ["empty", "gone"])
def test_an_older_commit_that_is_damaged_is_never_passed_over(tmp_path, damage):
    for sequence, name in enumerate(("a.parquet", "b.parquet", "c.parquet"), start=1):
        storage.publish(
            tmp_path,
            SCHEMA,
            [new_file(tmp_path, name, sequence)],
            record_key="features.run",
            record={},
            sequence=sequence,
        )
    entry = tmp_path / "_delta_log" / f"{1:020}.json"
    entry.unlink() if damage == "gone" else entry.write_bytes(b"")

    with pytest.raises(DataError, match=f"{entry} is damaged: .* Bring it back from a copy"):
        storage.commits(storage.open_table(tmp_path), "features.run")
