"""A whole day of the demo from an empty data folder: killed on its way, served, monitored, and done once.

By `features run-day`, which is killed at random moments with the command that it runs, and goes on where it is started
again; by Dagster alone (`dagster_day.py`), which goes on by itself; or by both, Dagster going on where `features
run-day` was killed. The day ends with predictions, in batch and by the model server, and with their monitoring. Then it
is done again, and nothing in the data folder changes. The demo's second model is stopped by its gate, which is what
gates are for; a monitored day may alert. Run it as a script.

    python tests/demo/whole_day.py                 by `features run-day`, then by Dagster, each from an empty folder
    python tests/demo/whole_day.py --by both       once, by both
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import pyarrow.parquet as pq
import redis

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

Way: TypeAlias = "list[Callable[[Mapping[str, str]], AbstractContextManager[Performer]]]"
BIN = Path(sys.executable).parent
DAY, MORNING = "2017-12-31", "2018-01-01"
CLOCK = f"{MORNING}T18:00:00Z"
MODEL, STOPPED = "household_lapse_2017", "model:coupon_response"
MAY_ALERT = f"monitor:{MODEL}"
BATCH, SERVED = "batch/*/day=*/*.parquet", "served/day=*/*.parquet"
MAY_DIFFER = (
    "*.lock",  # who holds it
    "redis/*",  # how Redis keeps and logs what it holds, which is compared row by row
    "orchestration/dagster/*",  # Dagster's own record of its runs
    "spark/*",  # scratch space and Java's log
)
"""What a run that has nothing to do may change."""


class Performer(Protocol):
    """What performs a day, as often as it is asked to."""

    def strike(self, chance: random.Random, number: int) -> str:
        """Kill it at its work, for the first, second, … time; what was hit."""

    def perform(self) -> list[str]:
        """Perform the day to its end; what did not end as it should."""

    def serve_again(self) -> list[str]:
        """As much of the day as there is to do after the model server has answered."""


def main() -> int:
    """Print what was found; 1 where it is not what is promised."""
    from tests.demo.dagster_day import dagster

    ways: dict[str, Way] = {"run-day": [run_day], "dagster": [dagster], "both": [run_day, dagster]}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--by", choices=ways, help="alone; default `features run-day`, then Dagster")
    parser.add_argument("--kills", type=int, default=3, metavar="N", help="of each, default 3")
    parser.add_argument("--seed", type=int, default=25, metavar="N", help="of the moments of the kills")
    given = parser.parse_args()
    by = [given.by] if given.by else ["run-day", "dagster"]
    return max(prove(each, ways[each], given.kills, random.Random(given.seed)) for each in by)


def prove(name: str, way: Way, kills: int, chance: random.Random) -> int:
    """One day by one or several performers, the last of which ends it; 1 where it is not what is promised."""
    with empty_place() as (folder, environment), ExitStack() as stack:
        began, killed = time.monotonic(), list[str]()
        for make in way:
            performer = stack.enter_context(make(environment))
            killed += [performer.strike(chance, number) for number in range(kills)]
        faults = performer.perform()
        whole = time.monotonic() - began
        served = serve(environment)
        faults += performer.serve_again()
        before = content(folder, environment)
        faults += [*performer.perform(), *changed(before, content(folder, environment)), *unserved(folder, served)]
        faults += [f"{name} was still to be done: {each['commands']}" for name, each in undone(environment).items()]
        batch = rows(folder, BATCH)
    for fault in faults:
        print(f"FAULT: {fault}")
    if faults:
        print(f"{len(faults)} faults, by {name}")
        return 1
    print(
        f"day proof: by {name}, {len(killed)} kills ({', '.join(killed)}), {batch:,} predictions in batch, {served} "
        f"served, both monitored; run twice changes nothing; {whole:.0f} s from empty"
    )
    return 0


@contextmanager
def empty_place() -> Iterator[tuple[Path, dict[str, str]]]:
    """An empty data folder, and the environment of commands over it: the demo's files come in, a day is over."""
    with tempfile.TemporaryDirectory(prefix="features-day-") as folder:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("FEATURES_")}
        environment |= {
            "FEATURES_DATA": folder,
            "FEATURES_CLOCK": CLOCK,
            "FEATURES_RUN_DAY_COMPLETE": "true",
            "FEATURES_RUN_DAY_PROMOTE": "true",
            "FEATURES_REDIS_READ_TIMEOUT_MS": "10000",  # the machine may have more to do than this
        }
        environment["FEATURES_CONTRACTS"] = ran(environment, "demo", "deliver").strip()
        try:
            yield Path(folder), environment
        finally:
            ran(environment, "redis", "stop")


@contextmanager
def run_day(environment: Mapping[str, str]) -> Iterator[RunDay]:
    """By `features run-day`."""
    yield RunDay(environment)


@dataclass(frozen=True)
class RunDay:
    """`features run-day`, started as often as is needed."""

    environment: Mapping[str, str]

    def strike(self, chance: random.Random, number: int) -> str:
        """Start it, and kill it with the command that it runs."""
        seconds = chance.uniform(5 + 10 * number, 15 + 10 * number)  # later ones get further
        process = subprocess.Popen(
            [BIN / "features", "run-day", "--day", DAY],
            cwd=ROOT,
            env=dict(self.environment),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return f"run-day after {seconds:.0f} s"
        return "run-day at its end"

    def perform(self) -> list[str]:
        return [f"{name} is {each['outcome']}: {each['said']}" for name, each in bad(tasks(self.environment)).items()]

    serve_again = perform


def unserved(folder: Path, served: int) -> Iterator[str]:
    """What is missing, or there twice, of predictions and of their monitoring."""
    batch, collected = rows(folder, BATCH), rows(folder, SERVED)
    if not batch or households(folder, BATCH) != batch:
        yield f"{batch} predictions in batch, of {households(folder, BATCH)} households"
    if not served or collected != served:
        yield f"{served} predictions were served, {collected} are recorded"
    if not (folder / "monitoring" / MODEL / "report.html").is_file():
        yield "there is no report of what was served"


def undone(environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """What `features run-day` finds to do: nothing, but for what ended badly, which is always tried again."""
    expected = (STOPPED, MAY_ALERT)
    return {
        name: each
        for name, each in tasks(environment).items()
        if each["commands"] and not (name in expected and each["code"] == 3)
    }


def bad(tasks: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The tasks that did not end as the demo's do."""
    expected = (STOPPED, MAY_ALERT)
    return {
        name: each
        for name, each in tasks.items()
        if each["outcome"] not in ("finished", "nothing to do") and (name not in expected or each["code"] != 3)
    }


def tasks(environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Perform the day to its end; its tasks by name."""
    ended = subprocess.run(
        [BIN / "features", "run-day", "--day", DAY, "--json"],
        cwd=ROOT,
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    (day,) = json.loads(ended.stdout)
    return {task["task"]: task for task in day["tasks"]}


def serve(environment: Mapping[str, str]) -> int:
    """Ask the model server for a few households; how many it answered."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [BIN / "features", "model", "serve", MODEL, "--port", str(port)]
    server = subprocess.Popen(command, cwd=ROOT, env=dict(environment), stdout=subprocess.DEVNULL)
    try:
        from transformations.models.serving.client import Client

        client = Client(f"http://127.0.0.1:{port}", seconds=60)
        return len(client.predict(MODEL, [{"household_id": household} for household in range(1, 51)]))
    finally:
        server.terminate()
        server.wait(120)


def rows(folder: Path, files: str) -> int:
    """The rows of published batches, or of collected records."""
    return sum(pq.read_metadata(file).num_rows for file in (folder / "predictions" / MODEL).glob(files))


def households(folder: Path, files: str) -> int:
    """How many households these are of."""
    tables = [pq.read_table(file, columns=["keys"]) for file in (folder / "predictions" / MODEL).glob(files)]
    return len({str(keys) for table in tables for keys in table["keys"].to_pylist()})


def content(folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """The hash of every file of the data folder and of every row in Redis, by name, but for MAY_DIFFER.

    Of a day's record, what was tried again says when, and "trained" no more of what was there; that is left out.
    """
    files = [file for file in folder.rglob("*") if file.is_file() and not file.is_symlink()]
    names = {str(file.relative_to(folder)): file for file in files}
    hashes = {
        name: sha256(_without_tries(file) if name.startswith("orchestration/days/") else file.read_bytes()).hexdigest()
        for name, file in names.items()
        if not any(fnmatch(name, each) for each in MAY_DIFFER)
    }
    with redis.Redis.from_url(ran(environment, "redis", "url").strip()) as online:
        keys = list(online.scan_iter(count=10_000))
        dumps = online.pipeline(transaction=False)
        for key in keys:
            dumps.dump(key)
        values = dumps.execute()
    return hashes | {
        f"Redis {key!r}": sha256(value or b"").hexdigest() for key, value in zip(keys, values, strict=True)
    }


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    """What a run changed that had nothing to do."""
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            what = "made" if name not in before else "removed" if name not in after else "changed"
            yield f"the run that had nothing to do {what} {name}"


def _without_tries(file: Path) -> bytes:
    record = json.loads(file.read_text())
    for name in (STOPPED, MAY_ALERT):
        for each in ("finished_at", "seconds", "said"):
            record["tasks"].get(name, {}).pop(each, None)
    return json.dumps(record, sort_keys=True).encode()


def ran(environment: Mapping[str, str], *arguments: str) -> str:
    ended = subprocess.run(
        [BIN / "features", *arguments], cwd=ROOT, env=dict(environment), stdout=subprocess.PIPE, text=True, check=False
    )
    return ended.stdout


if __name__ == "__main__":
    sys.exit(main())
