"""Tasks of a cluster while the data are in object storage: its machines share no disk, each has copies of its own.

A task names files by their paths on the driver's machine. On its way, each path below the data folder is a name, and
where the task runs, a path below that machine's folder of copies:

    /home/ana/copies/offline/user_clicks/run=1/a.parquet
    → offline/user_clicks/run=1/a.parquet
    → /var/spark/work/app-7/0/features-copies/offline/user_clicks/run=1/a.parquet

With it go the checksums of the files that it names, so that what is fetched there is verified as it is here, and, in
the environment of Python's processes, where the data are and what opens them. Nothing of it is a setting of Spark's,
which its pages and logs would list.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from transformations.engine.base import checksums
from transformations.engine.base.errors import UsageError
from transformations.engine.base.files.bucket import bucket_of
from transformations.engine.base.settings import Settings, get_settings
from transformations.engine.base.storage import make_folder
from transformations.engine.launch.task_errors import told

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

    Task: TypeAlias = Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]

_COPIES = "features-copies"
"""The folder of an executor's copies in its own working folder, which the cluster gives it and takes away."""
_FORWARDED: Mapping[str, tuple[str, ...]] = {
    "s3": (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_ENDPOINT",
    ),
    "gs": ("GOOGLE_SERVICE_ACCOUNT_KEY",),
    "az": (
        "AZURE_STORAGE_ACCOUNT_NAME",
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_STORAGE_SAS_KEY",
        "AZURE_STORAGE_CLIENT_ID",
        "AZURE_STORAGE_CLIENT_SECRET",
        "AZURE_STORAGE_TENANT_ID",
        "AZURE_STORAGE_ENDPOINT",
    ),
}
"""What opens object storage, of the driver's environment. What is a file or an address of this machine alone, such as a
profile or a role's token, stays: there an executor has its own, or what is asked for is missing.
"""
_MEANT_ALIKE = ("FEATURES_KEYS",)
"""Settings that decide what a task computes, not where or how fast."""


def are_elsewhere(settings: Settings | None = None) -> bool:
    """Whether Spark's tasks run on machines that have neither this one's data folder nor its copies."""
    settings = settings or get_settings()
    return settings.bucket is not None and not settings.spark_master.startswith("local")


def require_here(settings: Settings, what: str) -> None:
    """UsageError where Spark's tasks would have to share files with this machine. what: the beginning of a sentence."""
    if are_elsewhere(settings):
        raise UsageError(
            f"{what} by tasks of Spark that share a disk with this machine, and FEATURES_DATA={settings.bucket} with "
            f"FEATURES_SPARK_MASTER={settings.spark_master} says that none do. Unset FEATURES_SPARK_MASTER for it."
        )


def sent(task: Task, spark: SparkSession) -> Task:
    """The task as it is given to Spark, whichever machine runs it; errors of ours come back by `errors_of_tasks`."""
    settings = get_settings()
    if not are_elsewhere(settings):
        return task
    _let_in(spark, settings)
    return _packed(task, settings.data)


@dataclass(frozen=True)
class SentTask:
    """A task on its way. pickled: with names in place of paths; known: by table, the checksums of files it names."""

    pickled: bytes
    known: Mapping[str, Mapping[str, str]]

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Perform it on this machine."""
        with told():
            yield from self.unpacked(get_settings().data)(batches)

    def unpacked(self, root: Path) -> Task:
        """The task with this machine's paths. root: of its copies, which then are known to need these checksums."""
        bucket_of(root)  # which says whose copies they are before there are any
        for table, hashes in self.known.items():
            make_folder(root / table)
            there = checksums.recorded(root / table)
            checksums.append(root / table, {name: each for name, each in hashes.items() if there.get(name) != each})
        task: Task = _Unpickler(BytesIO(self.pickled), root).load()
        return task


def _packed(task: Task, root: Path) -> SentTask:
    from pyspark import cloudpickle

    known: dict[str, dict[str, str]] = {}
    content = BytesIO()

    class Pickler(cloudpickle.CloudPickler):
        """Takes a path below the data folder for the name of what is there."""

        def persistent_id(self, each: object) -> tuple[bool, str] | None:
            name = _name_of(each, root)
            if name is None:
                return None
            _note_checksum(name, root, known)
            return isinstance(each, Path), name

    Pickler(content).dump(task)  # type: ignore[no-untyped-call]
    return SentTask(content.getvalue(), known)


class _Unpickler(pickle.Unpickler):
    """Takes names for paths below a folder of copies."""

    def __init__(self, content: BytesIO, root: Path) -> None:
        super().__init__(content)
        self._root = root

    def persistent_load(self, name: Any) -> Path | str:
        is_path, place = name
        path = self._root / place
        return path if is_path else str(path)


def _name_of(each: object, root: Path) -> str | None:
    """The name of what is below the data folder at this path, as text or as a path; None for anything else."""
    if not isinstance(each, str | Path):
        return None
    text = str(each)
    return text[len(str(root)) + 1 :] if text.startswith(f"{root}/") else None


def _note_checksum(name: str, root: Path, known: dict[str, dict[str, str]]) -> None:
    zone, _, rest = name.partition("/")
    table, _, file = rest.partition("/")
    if file.endswith(".parquet"):
        checksum = checksums.recorded(root / zone / table).get(file)
        if checksum is not None:
            known.setdefault(f"{zone}/{table}", {})[file] = checksum


def _let_in(spark: SparkSession, settings: Settings) -> None:
    """Tell Python's processes on the executors where the data are and what opens them.

    What somebody has set for executors (`spark.executorEnv.…`) stays.
    """
    url = str(settings.bucket)
    conf = spark.sparkContext.getConf()
    names = (*_FORWARDED.get(url.partition("://")[0], ()), *_MEANT_ALIKE)
    given = {"FEATURES_DATA": url} | {name: value for name in names if (value := os.environ.get(name))}
    environment = spark.sparkContext.environment
    environment |= {name: value for name, value in given.items() if not conf.contains(f"spark.executorEnv.{name}")}
    environment.setdefault("FEATURES_LOCAL", _COPIES)
