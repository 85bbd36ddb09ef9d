"""Tasks of a cluster whose machines share no disk, while the data are in object storage, over a real S3 server."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.worlds.literal_table import RUN, LiteralTable
from tests.worlds.sales import KIND_SALES, SalesWorld, sale
from transformations.engine.base import checksums
from transformations.engine.base.disk_faults import note_reads
from transformations.engine.base.errors import DamagedError, ServiceUnavailableError, UsageError
from transformations.engine.base.files.without_copies import footer_of, hand_over
from transformations.engine.base.settings import Settings, get_settings
from transformations.engine.compute import run as runs
from transformations.engine.compute.spark import spark_session
from transformations.engine.launch.elsewhere import SentTask, are_elsewhere, require_here, sent
from transformations.engine.launch.task_errors import original_error

At = Callable[[str], Settings]
NUMBER = pa.schema([("number", pa.int64())])


@pytest.fixture
def at(at_machine: At, monkeypatch: pytest.MonkeyPatch) -> At:
    """The machines of a cluster: each has the folder of its name, and nothing in common but the bucket."""
    monkeypatch.setenv("FEATURES_SPARK_MASTER", "spark://master:7077")
    return at_machine


class Context:
    """What `sent` needs of a session: where the environment of Python's processes is kept."""

    def __init__(self, **conf: str) -> None:
        self.sparkContext, self.environment, self._conf = self, {"PYTHONHASHSEED": "0"}, conf

    def getConf(self) -> "Context":  # noqa: N802  # Spark's name
        return self

    def contains(self, name: str) -> bool:
        return name.replace(".", "_") in self._conf


def packed(task: object) -> SentTask:
    made = sent(task, Context())  # type: ignore[arg-type]
    assert isinstance(made, SentTask)
    return made


def users(files: Iterable[str]) -> list[int]:
    return sorted(user for file in files for user in pq.read_table(file)["user_id"].to_pylist())


def reading(files: tuple[str, ...]) -> SentTask:
    """A task that reads files of a table, sent from this machine."""

    def task(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        note_reads(files)
        yield pa.RecordBatch.from_pylist([{"number": user} for user in users(files)], NUMBER)

    return packed(task)


def test_a_task_reads_copies_of_its_own_machine(at: At, tmp_path: Path) -> None:
    table = LiteralTable(at("driver").offline_dir / "user_clicks")
    table.run("one", 3, 1)
    task = reading(table.newest().files)

    at("executor")
    (found,) = task([])
    assert found["number"].to_pylist() == [1, 3]
    assert (tmp_path / "executor" / "offline" / "user_clicks" / "run=one" / "1.parquet").is_file()
    assert str(tmp_path / "driver").encode() not in task.pickled


def test_what_is_not_below_the_data_folder_stays_as_it_is(at: At, tmp_path: Path) -> None:
    root = at("driver").data
    said = [f"{root}/raw/a", root / "raw", str(root), f"{root}-other/a", tmp_path / "elsewhere", "a word", b"bytes"]
    task = packed(lambda _: iter(said))
    executor = at("executor").data
    moved = [f"{executor}/raw/a", executor / "raw"]
    assert list(task([])) == [*moved, *said[2:]]


def test_a_task_refuses_bytes_that_were_not_written(at: At, place: Path) -> None:
    table = LiteralTable(at("driver").offline_dir / "user_clicks")
    table.run("one", 1)
    task = reading(table.newest().files)
    (stored,) = (place / "offline" / "user_clicks" / "run=one").iterdir()
    content = bytearray(stored.read_bytes())
    content[len(content) // 2] ^= 1
    stored.write_bytes(content)

    at("executor")
    with pytest.raises(RuntimeError) as raised:
        list(task([]))
    error = original_error(str(raised.value))
    assert isinstance(error, DamagedError)
    assert "run=one/1.parquet is damaged" in error.message


def test_what_a_task_has_put_is_published_by_the_driver_and_read_by_all(at: At, tmp_path: Path) -> None:
    driver = LiteralTable(at("driver").offline_dir / "user_clicks")
    driver.run("one", 1)
    executor = LiteralTable(at("executor").offline_dir / "user_clicks")
    new = executor.write("two", 2)
    carried = executor.path / "carry=two" / "bucket-00000.parquet"
    put = {new.path: hand_over(executor.path / new.path), "carry=two/bucket-00000.parquet": hand_over(carried)}
    assert not carried.exists()

    at("driver")
    checksums.append(driver.path, put)
    run = replace(RUN, run_id="two", kind="incremental", carry="carry=two")
    driver.publish([new], driver.schema, run, after=0, replace_all=False)
    assert not (tmp_path / "driver" / "offline" / "user_clicks" / "run=two").exists()
    assert LiteralTable(at("reader").offline_dir / "user_clicks").users(1) == [1, 2]


def test_nothing_is_published_that_no_task_has_put(at: At) -> None:
    driver = LiteralTable(at("driver").offline_dir / "user_clicks")
    driver.run("one", 1)
    new = LiteralTable(at("executor").offline_dir / "user_clicks").write("two", 2)

    at("driver")
    checksums.append(driver.path, {new.path: "0" * 64})
    with pytest.raises(DamagedError, match=r"run=two/1\.parquet is missing"):
        driver.publish([new], driver.schema, replace(RUN, run_id="two"), after=0, replace_all=False)
    assert [run.run_id for run in driver.runs()] == ["one"]


def test_of_several_attempts_the_first_one_s_file_stays(at: At, place: Path) -> None:
    name = "offline/user_clicks/carry=a/bucket-00000.parquet"
    told = []
    for attempt in (b"first", b"second"):
        file = at(attempt.decode()).data / name
        file.parent.mkdir(parents=True)
        file.write_bytes(attempt)
        told.append(hand_over(file, once=True))
        assert not file.exists()
    assert (place / name).read_bytes() == b"first"
    assert len(set(told)) == 1


def test_a_footer_is_read_without_the_file(at: At, tmp_path: Path) -> None:
    table = LiteralTable(at("driver").offline_dir / "user_clicks")
    table.run("one", 1, 2, 3)
    (file,) = LiteralTable(at("reader").offline_dir / "user_clicks").newest().files
    assert (footer_of(file).num_rows, Path(file).exists()) == (3, False)
    with pytest.raises(DamagedError, match=r"gone\.parquet is missing"):
        footer_of(Path(file).with_name("gone.parquet"))


def test_executors_are_told_where_the_data_are_and_what_opens_them_but_for_what_is_set_for_them(
    at: At, monkeypatch: pytest.MonkeyPatch
) -> None:
    at("driver")
    monkeypatch.setenv("AWS_PROFILE", "a file of this machine")
    monkeypatch.setenv("FEATURES_KEYS", "declared")
    context = Context(spark_executorEnv_AWS_REGION="theirs")
    context.environment |= {"AWS_REGION": "eu-north-1"}
    sent(lambda batches: iter(()), context)  # type: ignore[arg-type]
    told = context.environment
    assert {name for name in told if name.startswith("AWS_")} == {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_ENDPOINT_URL",
        "AWS_REGION",
    }
    assert (told["AWS_REGION"], told["FEATURES_KEYS"], told["FEATURES_DATA"]) == (
        "eu-north-1",
        "declared",
        get_settings().bucket,
    )
    assert told["FEATURES_LOCAL"] == "features-copies"


def test_tasks_of_this_machine_are_given_to_spark_as_they_are(at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    def task(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield from batches

    at("driver")
    monkeypatch.setenv("FEATURES_SPARK_MASTER", "local[*]")
    assert sent(task, Context()) is task  # type: ignore[arg-type]
    assert not are_elsewhere()
    require_here(get_settings(), "nothing is refused")
    monkeypatch.setenv("FEATURES_SPARK_MASTER", "spark://master:7077")
    with pytest.raises(UsageError, match="A table is written by tasks of Spark that share a disk"):
        require_here(get_settings(), "A table is written")


def test_a_storage_that_does_not_answer_is_named(at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    table = LiteralTable(at("driver").offline_dir / "user_clicks")
    table.run("one", 1)
    task = reading(table.newest().files)

    at("executor")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(RuntimeError) as raised:
        list(task([]))
    assert isinstance(original_error(str(raised.value)), ServiceUnavailableError)


@pytest.mark.proof
@pytest.mark.parametrize("few_rows", [runs.FEW_ROWS, -1], ids=["each task reads all", "shuffled"])
def test_tables_built_by_tasks_elsewhere_are_those_of_a_local_build(
    at: At, spark_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few_rows: int
) -> None:
    """By Spark's own processes, which have another folder of copies than this one."""
    monkeypatch.setattr(runs, "FEW_ROWS", few_rows)
    monkeypatch.setenv("FEATURES_CLOCK", "2017-04-01T12:00:00")
    context = spark_session(spark_settings).sparkContext
    monkeypatch.setattr(context, "environment", {**context.environment, "FEATURES_LOCAL": str(tmp_path / "executors")})
    with monkeypatch.context() as on_this_machine:
        on_this_machine.setenv("FEATURES_DATA", str(tmp_path / "here"))
        on_this_machine.setenv("FEATURES_SPARK_MASTER", "local[2]")
        here = SalesWorld(get_settings(), KIND_SALES)
        _build_and_correct(here)
    there = SalesWorld(at("driver"), KIND_SALES)
    _build_and_correct(there)
    assert [run.kind for run in there.table.runs()] == [run.kind for run in here.table.runs()]
    assert not [file for file in (tmp_path / "driver").rglob("*.parquet") if "=" in file.parent.name]
    assert [file for file in (tmp_path / "executors").rglob("*.parquet") if file.parent.name.startswith("drop-")]
    assert all(_sorted(there.rows(run.version)) == _sorted(here.rows(run.version)) for run in here.table.runs())
    assert there.latest().version == 3


def _build_and_correct(world: SalesWorld) -> None:
    """A first load, a day with a late sale, an item that was of another kind, and the return to the first version."""
    world.deliver_items({5: "tea", 6: "milk", 7: None})
    rows = [sale(each, f"2017-03-{1 + each % 9:02} 12:00", each / 3, each % 4, 5 + each % 3) for each in range(40)]
    world.deliver_rows(rows, date(2017, 3, 9))
    world.build()
    world.deliver_rows([sale(50, "2017-03-10 12:00"), sale(51, "2017-03-04 12:00", 0.1)], date(2017, 3, 10))
    world.build()
    world.deliver_items({5: "tea", 6: "tea", 7: None})
    world.build()
    world.restore(0)


def _sorted(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(map(str, rows))
