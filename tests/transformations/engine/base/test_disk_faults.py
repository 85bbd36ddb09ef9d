"""A full, read-only or failing disk and a damaged file are told by path and remedy, in whatever library's words."""

import errno
import os
import random
import re
import resource
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import create_engine

from tests.worlds.literal_table import LiteralTable
from transformations.cli import main
from transformations.engine.base import duck, storage
from transformations.engine.base.disk_faults import faults_in_words, folders_in, known_fault, note_reads, paths_in
from transformations.engine.base.errors import ConflictError, DataError, DiskError, FeaturesError
from transformations.engine.base.settings import get_settings


def told(attempt: Callable[[], object]) -> FeaturesError:
    """What we say of the error that this raises; an error of ours is what it says itself."""
    with pytest.raises(Exception) as caught:
        attempt()
    fault = caught.value if isinstance(caught.value, FeaturesError) else known_fault(caught.value)
    assert fault is not None, caught.value
    return fault


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """Within, writing beyond fails, as on a full disk; root, too, is bound by it."""
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (errno.ENOSPC, 4, "the disk is full. Free some space"),
        (errno.EDQUOT, 4, "the disk is full. Free some space"),
        (errno.EROFS, 4, "the disk is mounted read-only. Commands that only read work on"),
        (errno.EACCES, 4, "permission denied. Give this user the right"),
        (errno.EIO, 4, "the disk fails to read or write"),
    ],
)
@pytest.mark.parametrize("library", ["python", "arrow", "delta-rs", "duckdb", "sqlite"])
def test_an_error_of_the_disk_is_one_message_with_its_path(number: int, code: int, said: str, library: str) -> None:
    words = os.strerror(number)
    error: Exception = {
        "python": OSError(number, words, "/data/raw/sales"),
        "arrow": OSError(number, f"Error writing bytes to file '/data/raw/sales'. Detail: [errno {number}] {words}"),
        "delta-rs": OSError(
            f"Generic LocalFileSystem error\n ↳ Unable to open file /data/raw/sales\n (os error {number})"
        ),
        "duckdb": duckdb.IOException(f'IO Error: Could not write file "/data/raw/sales": {words}'),
        "sqlite": sqlite3.OperationalError(f"{words} '/data/raw/sales'"),
    }[library]
    fault = known_fault(error)

    assert isinstance(fault, DiskError)
    assert fault.exit_code == code
    assert fault.message.startswith(f"/data/raw/sales: {said}")


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ("disk I/O error (Background on this error at: https://sqlalche.me/e/20/e3q8)", "the temporary folder"),
        ("Input/output error", "the temporary folder"),
        ("Input/output error: file:/data/a.parquet", "/data/a.parquet"),
        ("Input/output error: /data/a.parquet", "/data/a.parquet"),
    ],
)
def test_words_with_a_slash_are_no_path(words: str, place: str) -> None:
    error = sqlite3.OperationalError(words) if words.startswith("disk") else pa.ArrowException(words)
    assert f"{place}: the disk fails" in str(known_fault(error))


def test_the_command_line_ends_with_the_code_and_without_a_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FEATURES_DEBUG", raising=False)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/data/raw/sales")

    monkeypatch.setattr(main.cli, "main", full)
    assert main.run(["build"]) == 4
    said = capsys.readouterr().err
    assert said.startswith("Error: /data/raw/sales: the disk is full.")
    assert "fault of the platform" not in said


@pytest.mark.parametrize(
    "error",
    [
        KeyError("permission denied"),
        ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "java"),
        ValueError("no space left on device"),
        DataError("the disk is full of errors"),
    ],
)
def test_any_other_error_stays_what_it_is(error: Exception) -> None:
    assert known_fault(error) is None


def test_what_an_error_came_from_counts_too() -> None:
    try:
        try:
            raise OSError(errno.ENOSPC, "No space left on device", "/data/x")
        except OSError as error:
            raise RuntimeError("the job failed") from error
    except RuntimeError as error:
        fault = known_fault(error)
    assert fault is not None
    assert fault.message.startswith("/data/x: the disk is full")


def duckdb_out_of_memory() -> None:
    with duck.private_session(memory_limit="1MB") as connection:
        connection.execute("SET max_temp_directory_size = '0KB'")
        connection.execute("CREATE TABLE many AS SELECT random() AS x FROM range(1_000_000)")


@pytest.mark.parametrize(
    ("attempt", "said"),
    [
        (duckdb_out_of_memory, r"this needs more memory than there is: .*\. Free memory"),
        (lambda: pa.allocate_buffer(2**62), "this needs more memory than there is: malloc of size"),
        (lambda: np.empty(2**55, dtype=np.int64), "this needs more memory than there is: Unable to allocate"),
    ],
)
def test_a_lack_of_memory_is_one_message_with_what_to_do(attempt: Callable[[], object], said: str) -> None:
    fault = told(attempt)
    assert fault.exit_code == 4
    assert re.match(said, fault.message)
    assert "in smaller parts" in fault.message


class PythonException(Exception):  # noqa: N818  # as pyspark names it
    __module__ = "pyspark.errors.exceptions.captured"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("An error occurred. java.lang.OutOfMemoryError: Java heap space\n\tat x", "Raise that"),
        ("java.lang.OutOfMemoryError: GC overhead limit exceeded", "FEATURES_SPARK_DRIVER_MEMORY=4g"),
        ("Job aborted: SparkException: Python worker exited unexpectedly (crashed)", "FEATURES_SPARK_MASTER"),
        (
            "x\n_duckdb.OutOfMemoryException: Out of Memory Error: failed to pin\n",
            "than there is: failed to pin.",
        ),
        (
            "x\npyarrow.lib.ArrowMemoryError: malloc of size 64 failed\n",
            "than there is: malloc of size 64 failed",
        ),
        ("  File x\nMemoryError\n", "than there is"),
    ],
)
def test_a_lack_of_memory_in_spark_says_which_setting_gives_more(words: str, said: str) -> None:
    fault = known_fault(PythonException(words))
    assert fault is not None
    assert (fault.exit_code, said in fault.message) == (4, True)


def test_a_function_that_tells_faults_in_words_leaves_other_errors_as_they_are() -> None:
    @faults_in_words()
    def fail(error: Exception) -> None:
        raise error

    with pytest.raises(DiskError, match=r"^/data/x: the disk is full"):
        fail(OSError(errno.ENOSPC, "No space left on device", "/data/x"))
    with pytest.raises(ValueError, match=r"^other$"):
        fail(ValueError("other"))
    with pytest.raises(ConflictError):
        fail(ConflictError("mine"))


@pytest.mark.parametrize("kept", [0, 3, 400, -1])
@pytest.mark.parametrize("reader", ["duckdb", "arrow"])
def test_a_parquet_file_that_was_cut_short_is_named(tmp_path: Path, kept: int, reader: str) -> None:
    file = tmp_path / "part.parquet"
    pq.write_table(pa.table({"x": list(range(100))}), file)
    file.write_bytes(file.read_bytes()[:kept])

    def read() -> Any:
        if reader == "arrow":
            return pq.read_table(file)
        with duck.session() as connection:
            return connection.sql(f"SELECT * FROM {duck.parquet([file])}").fetchall()

    fault = told(read)
    assert fault.exit_code == 3
    assert fault.message.startswith(f"{file} is damaged: it cannot be read as Parquet. Bring the file back from a copy")


@pytest.mark.parametrize("reader", ["duckdb", "arrow"])
def test_a_flipped_bit_that_a_reader_stumbles_over_is_named_by_its_file(reader: str) -> None:
    """Whatever the reader says, which for half of such bits is no word of a path."""
    table = LiteralTable(get_settings().offline_dir / "user_clicks")
    table.run("a", 1, 2)
    (name,) = table.newest().files
    file, chosen = Path(name), random.Random(7)
    told: list[FeaturesError | None] = []
    whole = file.read_bytes()

    def read() -> object:
        if reader == "arrow":
            note_reads([file])
            return pq.read_table(file, partitioning=None).to_pylist()
        with duck.session() as connection:
            return connection.sql(f"SELECT * FROM {duck.parquet([file])}").fetchall()

    for _ in range(60):
        flipped = bytearray(whole)
        flipped[chosen.randrange(len(whole))] ^= 1 << chosen.randrange(8)
        file.write_bytes(flipped)
        try:
            read()
        except Exception as error:
            told.append(known_fault(error))
    assert len(told) > 10
    start = f"{file} is damaged: it does not hold the bytes that were written"
    assert [fault for fault in told if fault is None or not fault.message.startswith(start)] == []


def test_a_parquet_file_of_ours_that_is_gone_is_named() -> None:
    file = get_settings().data / "offline" / "user_clicks" / "run=a" / "1.parquet"

    def read() -> Any:
        with duck.session() as connection:
            return connection.sql(f"SELECT * FROM {duck.parquet([file])}").fetchall()

    assert told(read).message.startswith(f"{file} is missing, yet a published version refers to it.")
    assert told(lambda: pq.read_table(file)).exit_code == 3


def test_a_registry_that_is_no_database_is_named() -> None:
    file = get_settings().registry_path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"junk" * 1_000)

    def read() -> None:
        with create_engine(f"sqlite:///{file}").connect() as connection:
            connection.exec_driver_sql("SELECT * FROM feature_views")

    fault = told(read)
    assert fault.exit_code == 3
    assert fault.message.startswith(f"{file} is damaged: it is no SQLite database any more.")
    assert "move it away, run `feast apply` and load again (`feast materialize START END`)." in fault.message


def test_a_registry_that_another_process_holds_is_worth_another_try(tmp_path: Path) -> None:
    database = tmp_path / "registry.db"
    with sqlite3.connect(database, isolation_level=None) as holder, sqlite3.connect(database, timeout=0) as other:
        holder.execute("CREATE TABLE feature_views (name TEXT)")
        holder.execute("BEGIN EXCLUSIVE")
        fault = told(lambda: other.execute("INSERT INTO feature_views VALUES ('x')"))
        holder.execute("ROLLBACK")

    assert fault.exit_code == 4
    assert "another process holds the registry" in fault.message


def test_a_disk_that_fills_while_files_are_written_publishes_nothing(literal_table: Any) -> None:
    literal_table.run("a", 1, 2)
    before = [path.name for path in (literal_table.path / "_delta_log").iterdir()]
    with no_file_longer_than(500):
        fault = told(lambda: literal_table.run("b", 3))

    assert fault.exit_code == 4
    assert "the disk is full" in fault.message
    assert literal_table.users(0) == [1, 2]
    assert literal_table.latest().version == 0
    assert [path.name for path in (literal_table.path / "_delta_log").iterdir()] == before


def test_a_disk_that_fills_at_the_commit_publishes_nothing(literal_table: Any) -> None:
    literal_table.run("a", 1, 2)
    file = literal_table.write("b", 3)
    with no_file_longer_than(900):
        fault = told(
            lambda: storage.publish(
                literal_table.path,
                literal_table.schema,
                [file],
                record_key="features.run",
                record={"long": "x" * 2_000},
                sequence=2,
            )
        )

    assert not isinstance(fault, ConflictError)
    assert fault.exit_code == 4
    assert literal_table.latest().version == 0
    literal_table.run("c", 4)
    assert literal_table.users(1) == [1, 2, 4]


def test_a_small_file_is_whole_or_not_there_where_the_disk_is_full(tmp_path: Path) -> None:
    storage.replace_text(tmp_path / "pins.json", "{}")
    with no_file_longer_than(10):
        fault = told(lambda: storage.replace_text(tmp_path / "pins.json", "x" * 1_000))

    assert fault.exit_code == 4
    assert [path.name for path in tmp_path.iterdir()] == ["pins.json"]
    assert (tmp_path / "pins.json").read_text() == "{}"


def test_what_a_folder_holds_is_listed_and_one_that_cannot_be_read_is_not_empty(tmp_path: Path) -> None:
    folder = tmp_path / "zone"
    assert paths_in(folder) == folders_in(folder) == []
    folder.mkdir()
    for name in ("b", "a", ".hidden"):
        (folder / name).mkdir()
    (folder / "c.yaml").touch()
    assert [path.name for path in paths_in(folder)] == [".hidden", "a", "b", "c.yaml"]
    assert [path.name for path in paths_in(folder, "[!.]*.yaml")] == ["c.yaml"]
    assert [path.name for path in folders_in(folder)] == ["a", "b"]
    assert paths_in(folder / "c.yaml" / "deeper") == []

    (folder / "d").touch()
    with pytest.raises(DiskError, match=f"^{folder}/d is a file where a folder is needed"):
        folders_in(folder)
    with pytest.raises(DiskError, match=f"^{folder}/d is a file where a folder is needed"):
        paths_in(folder / "d")
    if os.geteuid():
        folder.chmod(0)
        with pytest.raises(PermissionError):
            paths_in(folder)


def test_a_file_in_place_of_the_data_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("FEATURES_DATA", str(tmp_path / "file"))

    fault = told(get_settings)
    assert fault.exit_code == 4
    assert fault.message.startswith(f"{tmp_path}/file is a file where a folder is needed.")


def test_a_file_in_place_of_a_folder_of_ours_is_named(tmp_path: Path) -> None:
    (tmp_path / "offline").write_text("not a folder")

    fault = told(lambda: (tmp_path / "offline" / "user_clicks").mkdir(parents=True, exist_ok=True))
    assert fault.exit_code == 4
    assert fault.message.startswith(f"{tmp_path}/offline is a file where a folder is needed.")
