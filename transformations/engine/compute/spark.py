"""The Spark session: local by default, a cluster by settings, the same job either way.

On a cluster, executors get our packages from the driver. Their Python needs the libraries of the `batch` extra, at the
driver's own path or at the one that `spark.pyspark.python` names. The data folder must be theirs under the same path,
unless the data are in object storage (`launch/elsewhere`).
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from transformations.engine.base.disk_faults import note_reads
from transformations.engine.base.errors import FeaturesError, ServiceUnavailableError
from transformations.engine.base.files.scratch import use_beside_others
from transformations.engine.base.settings import Settings
from transformations.engine.base.storage import make_file, make_folder
from transformations.engine.base.words import ALL_BUT_KNOWN_SPARK_SETTINGS
from transformations.engine.launch.handover import handed_over
from transformations.engine.launch.java import ensure_java
from transformations.engine.launch.shipping import zipped_packages

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# The C allocator gives large arrays back to the system at once, and the next one pays for its pages again: sweeps of a
# million events spend a third of their time on that. Workers keep what they have, as a bucket follows a bucket.
_KEEP_MEMORY = {
    "spark.executorEnv.MALLOC_MMAP_MAX_": "0",
    "spark.executorEnv.MALLOC_TRIM_THRESHOLD_": str(16 * 2**30),
    "spark.executorEnv.MALLOC_TOP_PAD_": str(64 * 2**20),
    "spark.executorEnv.ARROW_DEFAULT_MEMORY_POOL": "system",
}
# A worker forked from a process that has imported what tasks need saves a second of each. On a cluster our packages
# arrive after the first process has started.
_WORKERS = {
    "spark.python.daemon.module": "transformations.engine.launch.spark_workers",
    "spark.executorEnv.SPARK_WORKERS_IMPORT": "transformations.engine.compute.job",
}
_LEAVINGS = ("blockmgr-*", "spark-*", "artifacts-*", "*.so", "*.so.lck")
"""What Spark keeps on disk for as long as it runs: shuffled rows, what does not fit into memory, libraries."""
_GLOB_CHARACTERS = re.compile(r"[{}\[\]*?\\]")
_PARTITIONS = "spark.sql.shuffle.partitions"
_QUIET = Path(__file__).with_name("log4j2.properties")


def spark_session(settings: Settings, report: Callable[[str], None] = lambda _: None) -> SparkSession:
    """The running session, or a new one: UTC, Arrow, this interpreter for the workers; a local one on loopback only.

    `FEATURES_SPARK_MASTER` and `FEATURES_SPARK_CONF` (JSON of `spark.*` settings) override the defaults.
    Raises ServiceUnavailableError where no Java of version 17 or newer is to be had.
    """
    from pyspark.sql import SparkSession

    forget_lost_java()
    running = SparkSession.getActiveSession()
    if running is not None:
        return running
    report("starting Spark")
    # What starts Java, and Java's workers, take these from the environment (pyspark/java_gateway.py, core/context.py).
    launched_with = {
        "JAVA_HOME": str(ensure_java(settings)),
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "PYSPARK_PYTHON": settings.spark_conf.get("spark.pyspark.python", sys.executable),
    }
    given = {"spark.app.name": "features", "spark.master": settings.spark_master, **_defaults(settings)}
    given |= settings.spark_conf
    make_folder(settings.spark_dir)
    if is_local(settings):
        use_beside_others(settings.spark_dir, _LEAVINGS)
    log = settings.spark_dir / "spark.log"
    try:
        with _environment(launched_with), _stderr_into(log):
            _launch_java(given, settings.spark_dir)
            builder = SparkSession.builder
            for name, value in given.items():
                builder = builder.config(name, value)
            session = builder.getOrCreate()
    except FeaturesError:
        raise
    except Exception as error:
        reason = _reason(error)
        raise ServiceUnavailableError(f"Spark did not start ({reason}). What Java said is in {log}.") from RuntimeError(
            reason
        ).with_traceback(error.__traceback__)
    session.sparkContext.setLogLevel("ERROR")
    if _PARTITIONS not in settings.spark_conf:
        # Spark's own default of 200 makes a run with a handful of late events ten times as long on a small machine.
        session.conf.set(_PARTITIONS, str(session.sparkContext.defaultParallelism))
    if not is_local(settings):
        session.sparkContext.addPyFile(str(zipped_packages(settings.spark_dir)))
    return session


def forget_lost_java() -> None:
    """Let a session begin anew where the Java of an earlier one has ended, which pyspark (4.3) does not look at."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    java = getattr(SparkContext._gateway, "proc", None)
    if java is not None and java.poll() is not None:
        SparkContext._gateway = SparkContext._jvm = SparkContext._active_spark_context = None
        SparkSession._instantiatedSession = SparkSession._activeSession = None


def _launch_java(given: Mapping[str, str], folder: Path) -> None:
    """Start Java unless an earlier session of this process has; it then has the settings that it needs to start."""
    from pyspark import SparkContext

    with handed_over(given, folder) as variables, _environment(variables):
        SparkContext._ensure_initialized()


def _reason(error: Exception) -> str:
    """The kind of an error of Spark or Java. Their words may repeat the value of a setting."""
    condition = getattr(error, "getCondition", lambda: None)()
    java = getattr(error, "java_exception", None)
    return str(condition or (java and java.getClass().getName()) or type(error).__name__)


def parquet_rows(spark: SparkSession, schema: str, files: Sequence[str]) -> DataFrame:
    """The rows of these files, by Spark's DDL of their columns."""
    note_reads(files)
    return spark.read.schema(schema).parquet(*map(literal_path, files))


def literal_path(path: str) -> str:
    """A path as Spark is told it, which takes it for a pattern: of a folder called `data[1]` it would read `data1`."""
    return _GLOB_CHARACTERS.sub(r"\\\g<0>", path)


def is_local(settings: Settings) -> bool:
    """Whether driver and workers are processes of one machine and one installation."""
    return settings.spark_master.startswith("local")


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Let processes started meanwhile have these environment variables, and nobody afterwards."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _stderr_into(log: Path) -> Iterator[None]:
    """Let a process started meanwhile write its standard error to a file: Java greets with lines nobody asked for."""
    sys.stderr.flush()
    kept = os.dup(2)
    make_file(log).chmod(0o600)  # Java may repeat what it was given
    with log.open("ab") as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _temporary(folder: Path) -> list[str]:
    """Java's option for the folder of its temporary files; what Java reads it from is in ASCII."""
    return [f"-Djava.io.tmpdir={folder}"] if str(folder).isascii() else []


def _defaults(settings: Settings) -> dict[str, str]:
    quiet = f"-Dlog4j2.configurationFile={_QUIET.as_uri()}"
    defaults = _KEEP_MEMORY | {
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "100000",
        "spark.sql.adaptive.enabled": "false",  # the engine sets the number of partitions from the number of events
        "spark.redaction.regex": ALL_BUT_KNOWN_SPARK_SETTINGS,
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.memory": settings.spark_driver_memory,
        "spark.driver.extraJavaOptions": quiet,
    }
    if is_local(settings):
        defaults |= _WORKERS | {
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
            "spark.local.dir": str(settings.spark_dir),
            "spark.sql.warehouse.dir": str(settings.spark_dir / "warehouse"),
            "spark.driver.extraJavaOptions": shlex.join([quiet, *_temporary(settings.spark_dir)]),
        }
    return defaults
