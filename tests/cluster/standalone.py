"""A Spark standalone cluster of processes on loopback: a master and some workers, gone when the block ends."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyspark

from transformations.engine.launch.java import ensure_java

_HOST = "127.0.0.1"
_PATIENCE_SECONDS = 90.0


@dataclass(frozen=True)
class Cluster:
    """A cluster that runs: the master's URL, and the processes of the workers."""

    master: str
    workers: tuple[subprocess.Popen[bytes], ...]

    def executors(self) -> list[int]:
        """The processes that the workers have started for applications."""
        found = []
        for worker in self.workers:
            for children in Path(f"/proc/{worker.pid}/task").glob("*/children"):
                found += [int(child) for child in children.read_text().split()]
        return found


@contextmanager
def standalone_cluster(folder: Path, workers: int, cores: int, memory: str) -> Iterator[Cluster]:
    """A cluster. Logs and work files lie below `folder`; ports are free ones that the system chose."""
    home = Path(pyspark.__file__).parent
    with ExitStack() as running:
        master = running.enter_context(
            _process(home, folder / "master", "master.Master", "--host", _HOST, "--port", "0", "--webui-port", "0")
        )
        url = _said(master, folder / "master", rf"Starting Spark master at (spark://{re.escape(_HOST)}:\d+)")
        daemons = []
        for number in range(1, workers + 1):
            place = folder / f"worker-{number}"
            size = ("--cores", str(cores), "--memory", memory, "--work-dir", str(place / "work"))
            worker = running.enter_context(
                _process(home, place, "worker.Worker", "--host", _HOST, "--port", "0", "--webui-port", "0", *size, url)
            )
            _said(worker, place, r"(Successfully registered with master)")
            daemons.append(worker)
        yield Cluster(url, tuple(daemons))


@contextmanager
def _process(home: Path, folder: Path, role: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """One daemon, in the foreground of a process that we stop by its id; it sees nothing of this checkout."""
    folder.mkdir(parents=True)
    command = [str(home / "bin" / "spark-class"), f"org.apache.spark.deploy.{role}", *arguments]
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen(command, cwd=folder, env=_environment(home, folder), stdout=log, stderr=log)
    try:
        yield daemon
    finally:
        daemon.terminate()  # a worker stops its executors as it goes
        try:
            daemon.wait(30)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


def _environment(home: Path, folder: Path) -> Mapping[str, str]:
    ours = ("PYTHON", "FEATURES_", "SPARK_", "AWS_", "VIRTUAL_ENV")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return inherited | {
        "JAVA_HOME": str(ensure_java()),
        "SPARK_HOME": str(home),
        "SPARK_LOCAL_IP": _HOST,
        "SPARK_LOCAL_DIRS": str(folder / "scratch"),
        "SPARK_DAEMON_MEMORY": "256m",
        "SPARK_MASTER_OPTS": "-Dspark.master.rest.enabled=false",
    }


def _said(daemon: subprocess.Popen[bytes], folder: Path, pattern: str) -> str:
    """What a daemon's log says in the pattern's group, once it says it."""
    log = folder / "log"
    end = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < end and daemon.poll() is None:
        if found := re.search(pattern, log.read_text(errors="replace")):
            return found.group(1)
        time.sleep(0.2)
    raise RuntimeError(f"{folder.name} did not start within {_PATIENCE_SECONDS:.0f} s; its log is {log}")
