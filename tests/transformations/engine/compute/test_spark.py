"""What Spark reads is what it was given, and its settings are shown to nobody."""

import os
import stat
import subprocess
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from py4j.java_gateway import GatewayParameters, JavaGateway
from py4j.protocol import Py4JError
from pyspark import SparkContext
from pyspark.sql import SparkSession

from transformations.engine.base.disk_faults import known_fault
from transformations.engine.base.errors import LowMemoryError, ServiceUnavailableError
from transformations.engine.base.settings import Settings
from transformations.engine.compute import spark
from transformations.engine.compute.spark import parquet_rows, spark_session


@pytest.mark.parametrize("name", ["a[1]", "x{1,2}", "st*r", "q?", "page=home", "we ird%20y"])
def test_a_file_is_read_literally_whatever_its_folder_is_called(
    spark_settings: Settings, tmp_path: Path, name: str
) -> None:
    for folder in (name, "a1", "x1", "x2", "star", "qq", "we ird y"):
        (tmp_path / folder).mkdir()
        pq.write_table(pa.table({"page": [folder]}), tmp_path / folder / "part.parquet")
    rows = parquet_rows(spark_session(spark_settings), "`page` string", [str(tmp_path / name / "part.parquet")])
    assert [row.page for row in rows.collect()] == [name]


def test_workers_are_forked_from_a_process_that_has_imported_what_tasks_need(spark_settings: Settings) -> None:
    parent = spark_session(spark_settings).sparkContext.parallelize([0], 1).map(lambda _: os.getppid()).first()
    assert b"transformations.engine.launch.spark_workers" in Path(f"/proc/{parent}/cmdline").read_bytes()


def test_java_has_all_settings_and_its_arguments_show_none(spark_settings: Settings) -> None:
    context = spark_session(spark_settings).sparkContext
    java = context._jvm.java.lang.System
    assert context._jsc.hadoopConfiguration().get("fs.azure.account.key.shop") == " hunter2=ü"
    assert java.getProperty("tests.secret") == 'hunter2 \\"x'
    shown = Path(f"/proc/{context._gateway.proc.pid}/cmdline").read_bytes()
    assert b"--properties-file" in shown
    assert b"hunter2" not in shown
    assert b"--conf" not in shown


def test_the_files_that_hand_over_settings_are_gone_or_private(spark_settings: Settings) -> None:
    folder = Path(spark_session(spark_settings).conf.get("spark.local.dir"))
    files = [file for file in folder.iterdir() if file.is_file() and ".so" not in file.suffixes]
    left = {file.suffix: stat.S_IMODE(file.stat().st_mode) for file in files if file.stat().st_size}
    assert left == {".options": 0o600, ".log": 0o600}


def test_spark_shows_those_settings_that_are_known_to_be_harmless(spark_settings: Settings) -> None:
    """Its UI and its event log are redacted by the same rule."""
    shown = {row.key: row.value for row in spark_session(spark_settings).sql("SET").collect()}
    assert shown["spark.sql.shuffle.partitions"] == "2"
    assert "hunter2" not in str(shown)
    assert "redacted" in shown["spark.hadoop.fs.azure.account.key.shop"]


def test_java_s_words_are_not_repeated_where_spark_does_not_start(
    spark_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "what is hunter" + "2?"  # a trace shows lines of code

    def fail(*_: object, **__: object) -> None:
        raise ValueError(said)

    monkeypatch.setattr(SparkSession, "getActiveSession", lambda: None)
    monkeypatch.setattr("pyspark.SparkContext._ensure_initialized", fail)
    with pytest.raises(ServiceUnavailableError, match=r"Spark did not start \(ValueError\).*spark\.log") as raised:
        spark_session(spark_settings)
    assert "hunter2" not in "".join(traceback.format_exception(raised.value))


def test_a_java_that_no_longer_answers_is_told_of() -> None:
    with pytest.raises((OSError, Py4JError)) as raised:  # py4j lets out what the system says, or says it itself
        JavaGateway(gateway_parameters=GatewayParameters(port=1)).jvm.System.currentTimeMillis()
    fault = known_fault(raised.value)
    assert isinstance(fault, LowMemoryError)
    assert "Spark's Java has ended in the middle of its work" in str(fault)
    assert known_fault(ConnectionRefusedError(111, "Connection refused")) is None  # of somebody else


def test_a_session_of_a_java_that_has_ended_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {SparkContext: ("_gateway", "_jvm", "_active_spark_context"), SparkSession: ("_instantiatedSession",)}
    for owner, names in kept.items():
        for name in names:
            monkeypatch.setattr(owner, name, "of the Java that has ended")
    for code, expected in ((None, "of the Java that has ended"), (-9, None)):
        java = SimpleNamespace(poll=lambda code=code: code)
        monkeypatch.setattr(SparkContext, "_gateway", SimpleNamespace(proc=java))
        spark.forget_lost_java()
        assert [getattr(owner, names[-1]) for owner, names in kept.items()] == [expected, expected]


_LOST = """
from pyspark import SparkContext

from transformations.engine.base.disk_faults import faults_in_words
from transformations.engine.base.errors import LowMemoryError
from transformations.engine.base.settings import get_settings
from transformations.engine.compute.spark import spark_session

session = spark_session(get_settings())
java = SparkContext._gateway.proc
java.kill()
java.wait()
try:
    with faults_in_words():
        session.range(5).count()
except LowMemoryError as error:
    print(error)
print(spark_session(get_settings()).range(5).count(), "rows")
"""


@pytest.mark.proof
def test_work_goes_on_in_the_process_whose_java_was_killed() -> None:
    ran = subprocess.run([sys.executable, "-c", _LOST], capture_output=True, text=True, check=False, timeout=120)
    assert "Spark's Java has ended in the middle of its work" in ran.stdout, ran.stderr
    assert ran.stdout.endswith("5 rows\n"), ran.stderr
