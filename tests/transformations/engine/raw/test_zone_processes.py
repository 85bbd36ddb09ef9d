"""Raw tables and processes: a killed one leaves nothing to be seen, and of two writers one waits or gives way."""

import errno
import multiprocessing
import signal
import textwrap
from contextlib import nullcontext
from multiprocessing.synchronize import Event
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.worlds.processes import start
from transformations.engine.base import storage
from transformations.engine.base.errors import ConflictError, DataError
from transformations.engine.raw.zone import RawTable

from .raw_tables import contract, current, events, origin

KILLED = """
    import os, signal
    from pathlib import Path
    import pyarrow.parquet
    from tests.transformations.engine.raw.raw_tables import RawTable, contract, events, origin
    from transformations.engine.base import storage

    def die(*_arguments, **_options):
        os.kill(os.getpid(), signal.SIGKILL)

    def die_afterwards(function):
        return lambda *arguments, **options: die(function(*arguments, **options))

    {sabotage}
    correction = events((1, 9.0, "2020-01-03 12:00"))
    RawTable(contract(), Path({root!r})).append(correction, origin("second.parquet"), correction=True)
"""
BEFORE_COMMIT = "storage.publish = die"
KILLS = ["pyarrow.parquet.write_table = die_afterwards(pyarrow.parquet.write_table)", BEFORE_COMMIT]


def kill_an_append(root: Path, sabotage: str) -> None:
    program = textwrap.dedent(KILLED).format(root=str(root), sabotage=sabotage)
    assert start(program, output=root / "killed").wait() == (-signal.SIGKILL, "")


@pytest.mark.parametrize("sabotage", KILLS)
def test_a_drop_killed_before_its_commit_is_invisible_and_the_rerun_completes(tmp_path, sabotage):
    table = RawTable(contract(), tmp_path)
    table.append(events((1, 1.0, "2020-01-03 12:00")), origin("first.parquet"))
    kill_an_append(tmp_path, sabotage)

    assert current(table, "amount") == [(1.0,)]
    assert len(table.leftovers()) == 1
    table.append(events((1, 9.0, "2020-01-03 12:00")), origin("second.parquet"), correction=True)
    assert current(table, "amount") == [(9.0,)]
    assert [drop.number for drop in table.snapshot().drops] == [1, 2]


def test_a_first_drop_killed_before_its_commit_leaves_no_table(tmp_path):
    table = RawTable(contract(), tmp_path)
    kill_an_append(tmp_path, BEFORE_COMMIT)
    assert not table.exists()
    table.append(events((1, 9.0, "2020-01-03 12:00")), origin("second.parquet"), correction=True)
    assert current(table, "amount") == [(9.0,)]


def test_a_drop_killed_after_its_commit_is_whole_and_the_rerun_has_nothing_to_do(tmp_path):
    table = RawTable(contract(), tmp_path)
    kill_an_append(tmp_path, "storage.publish = die_afterwards(storage.publish)")
    assert current(table, "amount") == [(9.0,)]
    assert table.append(events((1, 9.0, "2020-01-03 12:00")), origin("second.parquet"), correction=True) is None


def _hold(lock: str, ready: Event, done: Event) -> None:
    with storage.exclusive(Path(lock), "events"):
        ready.set()
        done.wait(30)


def test_of_two_writers_one_waits_and_then_says_who_holds_the_table(tmp_path):
    table = RawTable(contract(), tmp_path)
    spawn = multiprocessing.get_context("fork")
    ready, done = spawn.Event(), spawn.Event()
    holder = spawn.Process(target=_hold, args=(str(table.folder / ".lock"), ready, done))
    holder.start()
    try:
        assert ready.wait(30)
        waiting = storage.exclusive(table.folder / ".lock", "events", wait_seconds=0.2)
        with pytest.raises(ConflictError, match=f"events: process {holder.pid} is writing it"), waiting:
            pass
    finally:
        done.set()
        holder.join(30)
    assert table.append(events((1, 1.0, "2020-01-03 12:00")), origin()).number == 1


def test_of_two_writers_past_each_others_lock_one_publishes_and_the_other_leaves_nothing(tmp_path, monkeypatch):
    table, other = RawTable(contract(), tmp_path), RawTable(contract(), tmp_path)
    table.append(events((1, 1.0, "2020-01-03 12:00")), origin("first.parquet"))
    publish = storage.publish

    def overtaken(*arguments, **options):
        monkeypatch.setattr(storage, "publish", publish)
        monkeypatch.setattr(storage, "exclusive", lambda *_: nullcontext())  # as on a file system without locks
        other.append(events((2, 2.0, "2020-01-04 12:00")), origin("theirs.parquet"))
        return publish(*arguments, **options)

    monkeypatch.setattr(storage, "publish", overtaken)
    with pytest.raises(ConflictError, match=r"another writer published first"):
        table.append(events((3, 3.0, "2020-01-05 12:00")), origin("ours.parquet"))
    assert current(table, "id") == [(1,), (2,)]
    assert table.leftovers() == ()


def test_a_disk_that_fills_while_a_drop_is_written_leaves_the_table_and_its_folder_as_they_were(tmp_path, monkeypatch):
    table = RawTable(contract(), tmp_path)
    table.append(events((1, 1.0, "2020-01-03 12:00")), origin("first.parquet"))
    before = sorted(path.name for path in table.folder.iterdir())
    write_table = pq.write_table

    def fill(rows, target, **options):
        write_table(rows, target, **options)
        target.write_bytes(target.read_bytes()[:100])
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    with monkeypatch.context() as disk:
        disk.setattr(pq, "write_table", fill)
        with pytest.raises(OSError, match="No space left"):
            table.append(events((2, 2.0, "2020-01-04 12:00")), origin("second.parquet"))
    assert sorted(path.name for path in table.folder.iterdir()) == before
    assert current(table, "id") == [(1,)]

    table.append(events((2, 2.0, "2020-01-04 12:00")), origin("second.parquet"))
    assert current(table, "id") == [(1,), (2,)]


@pytest.mark.parametrize("damage", ["gone", "short"])
def test_a_file_of_a_drop_that_is_gone_or_cut_short_is_named_before_anything_is_read(tmp_path, damage):
    table = RawTable(contract(), tmp_path)
    table.append(events((1, 1.0, "2020-01-03 12:00")), origin("first.parquet"))
    file = Path(table.snapshot().files[0])
    file.unlink() if damage == "gone" else file.write_bytes(file.read_bytes()[:-1])

    with pytest.raises(DataError, match=f"{file} is (missing|damaged: it has)"):
        table.snapshot()
