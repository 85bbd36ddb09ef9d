"""`make cluster-test`: the same build on a Spark cluster and locally, by configuration alone, gives the same tables.

Starts a standalone master and two workers on loopback, whose Python has the libraries but neither this checkout nor an
installation of it; builds a first load and a run with late data on them; builds the same locally; compares every
version of every table row for row and bit for bit. Exits with 1 where anything differs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from standalone import standalone_cluster
from visits import VIEWS

from transformations.engine.base.moments import CREATED_TIMESTAMP, EVENT_TIMESTAMP
from transformations.engine.tables.offline_tables import OfflineTable

_CHECKOUT = Path(__file__).resolve().parents[2]
_FOLDER = _CHECKOUT / "build" / "cluster-test"
_WORKERS = 2


def main() -> int:
    """Build twice, compare, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visits", type=int, default=200_000)
    parser.add_argument("--users", type=int, default=5_000)
    size = parser.parse_args()
    shutil.rmtree(_FOLDER, ignore_errors=True)
    _FOLDER.mkdir(parents=True)

    _say(f"a master and {_WORKERS} workers start on 127.0.0.1")
    with standalone_cluster(_FOLDER / "processes", _WORKERS, cores=1, memory="1g") as master:
        _say(f"building on {master}")
        conf = {
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.executor.memory": "1g",
            "spark.pyspark.python": str(_python_without_us(_FOLDER / "python")),
        }
        places = _built("cluster", size, {"FEATURES_SPARK_MASTER": master, "FEATURES_SPARK_CONF": json.dumps(conf)})
    _say("building on local[2]")
    _built("local", size, {"FEATURES_SPARK_MASTER": "local[2]"})

    faults = [*_where_it_ran(places), *(fault for view in VIEWS for fault in _differences(view.name, view.join_keys))]
    for fault in faults:
        print(f"DIFFERENT: {fault}")
    if not faults:
        print("The cluster's tables and the local ones are the same, row for row and bit for bit.")
    return 1 if faults else 0


def _built(name: str, size: argparse.Namespace, configuration: Mapping[str, str]) -> Mapping[str, object]:
    """Run one build as a process of its own; only the configuration tells the one from the other."""
    began = time.monotonic()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("FEATURES_", "SPARK_"))}
    settings = {
        "FEATURES_DATA": str(_FOLDER / name),
        "FEATURES_SPARK_DRIVER_MEMORY": "1g",
        "FEATURES_CLOCK": "2025-06-01T12:00:00",  # the same moment, so that created timestamps are the same too
    }
    command = [sys.executable, str(Path(__file__).with_name("visits.py")), str(size.visits), str(size.users)]
    environment = inherited | settings | dict(configuration)
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=False, text=True)
    if done.returncode:
        sys.exit(f"the build on {environment['FEATURES_SPARK_MASTER']} failed; logs are below {_FOLDER}")
    _say(f"  done in {time.monotonic() - began:.0f} s")
    places: Mapping[str, object] = json.loads(done.stdout)
    return places


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


def _differences(view: str, keys: tuple[str, ...]) -> list[str]:
    tables = [OfflineTable(_FOLDER / name / "offline" / view) for name in ("cluster", "local")]
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
    rows = pa.concat_tables([pq.read_table(file) for file in table.at(version).files])
    order = [(name, "ascending") for name in (*keys, EVENT_TIMESTAMP, CREATED_TIMESTAMP)]
    return rows.sort_by(order).combine_chunks()


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
