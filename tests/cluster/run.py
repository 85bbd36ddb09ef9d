"""`make cluster-test`: the same build on a Spark cluster and locally, by configuration alone, gives the same tables.

Starts a standalone master and two workers on loopback, whose Python has the libraries but neither this checkout nor an
installation of it; builds a first load and a run with late data on them; builds the same locally; compares every
version of every table row for row and bit for bit, and the training rows that each then gives. Exits with 1 where
anything differs.

With `--bucket` the cluster's data are in object storage, a real S3 server on loopback: executors have no folder in
common with the driver, slow tasks are tried twice at a time, and one executor is killed while it writes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Thread

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from standalone import Cluster, standalone_cluster
from visits import VIEWS

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.worlds import buckets
from transformations.engine.base.disk_faults import note_reads
from transformations.engine.base.moments import CREATED_TIMESTAMP, EVENT_TIMESTAMP
from transformations.engine.base.settings import get_settings
from transformations.engine.tables.offline_tables import OfflineTable

_CHECKOUT = Path(__file__).resolve().parents[2]
_FOLDER = _CHECKOUT / "build" / "cluster-test"
_WORKERS = 2
_SPECULATION = {
    "spark.speculation": "true",
    "spark.speculation.interval": "50ms",
    "spark.speculation.multiplier": "1.0",
    "spark.speculation.quantile": "0.1",
    "spark.speculation.minTaskRuntime": "10ms",
}


def main() -> int:
    """Build twice, compare, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visits", type=int, default=200_000)
    parser.add_argument("--users", type=int, default=5_000)
    parser.add_argument("--bucket", action="store_true", help="the cluster's data are in object storage")
    given = parser.parse_args()
    shutil.rmtree(_FOLDER, ignore_errors=True)
    _FOLDER.mkdir(parents=True)

    size = (str(given.visits), str(given.users))
    with _place(given.bucket) as place:
        _say(f"a master and {_WORKERS} workers start on 127.0.0.1")
        with standalone_cluster(_FOLDER / "processes", _WORKERS, cores=1, memory="1g") as cluster:
            conf = {
                "spark.driver.host": "127.0.0.1",
                "spark.driver.bindAddress": "127.0.0.1",
                "spark.executor.memory": "1g",
                "spark.pyspark.python": str(_python_without_us(_FOLDER / "python")),
                **(_SPECULATION if given.bucket else {}),
            }
            there = place | {"FEATURES_SPARK_MASTER": cluster.master, "FEATURES_SPARK_CONF": json.dumps(conf)}
            _say(f"building on {cluster.master}")
            killed: list[int] = []
            with _killing_one_executor(cluster, killed) if given.bucket else nullcontext():
                places = json.loads(_done("visits.py", size, there))
            _done("retrieval.py", ("spark", str(_FOLDER / "cluster.parquet")), there)
        _say("building on local[2]")
        here = {"FEATURES_DATA": str(_FOLDER / "local"), "FEATURES_SPARK_MASTER": "local[2]"}
        _done("visits.py", size, here)
        _done("retrieval.py", ("local", str(_FOLDER / "local.parquet")), here)

        os.environ |= place | ({"FEATURES_LOCAL": str(_FOLDER / "reader")} if given.bucket else {})
        faults = [
            *_where_it_ran(places),
            *(fault for view in VIEWS for fault in _differences(view.name, view.join_keys)),
        ]
        faults += _differences_of_retrievals()
        faults += [*_shared_folders(), *([] if killed else ["no executor was killed"])] if given.bucket else []
    for fault in faults:
        print(f"DIFFERENT: {fault}")
    if not faults:
        print("The cluster's tables and the local ones are the same, row for row and bit for bit.")
    return 1 if faults else 0


@contextmanager
def _place(is_bucket: bool) -> Iterator[dict[str, str]]:
    """Where the cluster's data are, as the environment says it."""
    if not is_bucket:
        yield {"FEATURES_DATA": str(_FOLDER / "cluster")}
        return
    with buckets.served(_FOLDER / "s3") as environment:
        url = f"s3://{buckets.BUCKET}/cluster"
        yield {**environment, "FEATURES_DATA": url, "FEATURES_LOCAL": str(_FOLDER / "driver")}


@contextmanager
def _killing_one_executor(cluster: Cluster, killed: list[int]) -> Iterator[None]:
    """Kill an executor as soon as the first build has put a file, while its other tasks run; noted in `killed`."""
    stored, is_over = _FOLDER / "s3" / buckets.BUCKET / "cluster" / "offline", False

    def kill() -> None:
        while not is_over:
            if any(stored.glob("*/*=*/*.parquet")):
                (executor, *_) = cluster.executors()
                os.kill(executor, signal.SIGKILL)
                killed.append(executor)
                _say(f"  killed executor {executor}")
                return
            time.sleep(0.01)

    killer = Thread(target=kill)
    killer.start()
    try:
        yield
    finally:
        is_over = True
        killer.join()


def _done(script: str, arguments: Sequence[str], configuration: Mapping[str, str]) -> str:
    """What a script prints that runs as a process of its own; only the configuration tells one run from another."""
    began = time.monotonic()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("FEATURES_", "SPARK_"))}
    settings = {
        "FEATURES_SPARK_DRIVER_MEMORY": "1g",
        "FEATURES_CLOCK": "2025-06-01T12:00:00",  # the same moment, so that created timestamps are the same too
    }
    command = [sys.executable, str(Path(__file__).with_name(script)), *arguments]
    environment = inherited | settings | dict(configuration)
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=False, text=True)
    if done.returncode:
        sys.exit(f"{script} on {environment['FEATURES_SPARK_MASTER']} failed; logs are below {_FOLDER}")
    _say(f"  {script} done in {time.monotonic() - began:.0f} s")
    return done.stdout


def _python_without_us(path: Path) -> Path:
    """This Python with its installed libraries, but without the `.pth` files that would show it the checkout."""
    libraries = sysconfig.get_path("purelib")
    path.write_text(f'#!/bin/sh\nPYTHONPATH="$PYTHONPATH:{libraries}" exec "{sys.executable}" -S -P "$@"\n')
    path.chmod(0o755)
    return path


def _where_it_ran(places: Mapping[str, object]) -> list[str]:
    """What speaks against a build by the workers, with the code that the driver sent."""
    executors, seen = places["executors"], places["seen"]
    assert isinstance(seen, list)
    files = sorted({file for each in seen for file in each["packages"]})
    for file in files:
        print(f"executors import {Path(file).relative_to(_FOLDER)}")
    faults = [] if executors == _WORKERS else [f"{executors} executors took part, {_WORKERS} should have"]
    faults += [f"executors imported {file}, not what was sent" for file in files if ".zip/" not in file]
    if any(Path(entry) == _CHECKOUT for each in seen for entry in each["path"]):
        faults.append("executors had the checkout on their path, so that nothing is proven")
    return faults


def _shared_folders() -> list[str]:
    """What speaks against executors that share no folder with the driver, and what they left."""
    copies = list((_FOLDER / "processes").glob("*/work/*/*/features-copies"))
    fetched = [file for folder in copies for file in folder.rglob("*.parquet")]
    written = [file for file in (_FOLDER / "driver").rglob("*.parquet") if "=" in file.parent.name]
    named = {Path(file).name for view in VIEWS for file in _every_file(get_settings().offline_dir / view.name)}
    stored = [file for file in (_FOLDER / "s3").rglob("*.parquet") if file.parent.name.startswith("run=")]
    left = [file for file in stored if file.name not in named]
    print(f"{len(copies)} executors fetched {len(fetched)} files and left {len(left)} of attempts that did not count")
    faults = [f"the driver has {written[0]}, which executors wrote or read"] if written else []
    faults += [] if fetched else ["executors fetched nothing, so they read what the driver has"]
    return faults


def _every_file(folder: Path) -> Iterator[str]:
    table = OfflineTable(folder)
    for run in table.runs():
        yield from table.at(run.version).files


def _differences(view: str, keys: tuple[str, ...]) -> list[str]:
    tables = [OfflineTable(folder / view) for folder in (get_settings().offline_dir, _FOLDER / "local" / "offline")]
    versions = [[run.version for run in table.runs()] for table in tables]
    if versions[0] != versions[1]:
        return [f"{view}: versions {versions[0]} on the cluster, {versions[1]} locally"]
    faults = []
    for version in versions[0]:
        there, here = (_rows(table, version, keys) for table in tables)
        if fault := _first_difference(there, here):
            faults.append(f"{view}, version {version}: {fault}")
        else:
            print(f"{view}, version {version}: {here.num_rows:,} rows × {here.num_columns} columns alike")
    return faults


def _rows(table: OfflineTable, version: int, keys: tuple[str, ...]) -> pa.Table:
    files = table.at(version).files
    note_reads(files)
    rows = pa.concat_tables([pq.read_table(file) for file in files])
    order = [(name, "ascending") for name in (*keys, EVENT_TIMESTAMP, CREATED_TIMESTAMP)]
    return rows.sort_by(order).combine_chunks()


def _differences_of_retrievals() -> list[str]:
    there, here = (pq.read_table(_FOLDER / f"{name}.parquet").combine_chunks() for name in ("cluster", "local"))
    if fault := _first_difference(there, here):
        return [f"training rows: {fault}"]
    print(f"training rows: {here.num_rows:,} rows × {here.num_columns} columns alike")
    return []


def _first_difference(there: pa.Table, here: pa.Table) -> str | None:
    if there.schema != here.schema or there.num_rows != here.num_rows:
        return f"{there.num_rows:,} rows of {there.schema} on the cluster, {here.num_rows:,} of {here.schema} locally"
    if not here.num_rows:
        return "no rows at all"
    for name in here.column_names:
        left, right = (_bits(table[name]) for table in (there, here))
        if not left.equals(right):
            row = next(row for row in range(len(left)) if left[row] != right[row])
            return f"{name} is {there[name][row]} on the cluster and {here[name][row]} locally, at {here.slice(row, 1)}"
    return None


def _bits(column: pa.ChunkedArray) -> pa.Array:
    """Floats as their bits, so that 0.0 and -0.0 differ."""
    values = column.combine_chunks()
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks)
    if pa.types.is_floating(values.type):
        return pc.if_else(values.is_valid(), values.view(pa.int64()), pa.scalar(None, pa.int64()))
    return values


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
