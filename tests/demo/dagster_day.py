"""A day by Dagster itself, for the proof of a whole day (`whole_day.py`).

`make orchestrate` runs with its sensors switched on: the delivered files start ingestion, and each pipeline follows the
one before. At random moments the process of a run is killed, or all of Dagster with the command that it runs, in turn:
Dagster must notice, free what the run held, and run it again, by itself.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tests.demo.whole_day import DAY, ROOT

Found = TypeVar("Found")
LOCATION = "transformations.orchestration.dagster_graph"
REPOSITORY = {"repositoryName": "__repository__", "repositoryLocationName": LOCATION}
FIRST, LAST, DELIVERED = "ingestion", "serving", "delivered_files"
AT_ONCE = "__ASSET_JOB"
"""What a person starts who materializes all assets of a day."""
GOING_ON = ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING")
FAILING = ("training", AT_ONCE)
"""The runs with the model that its gate stops."""
RUNS = "{ runsOrError { ... on Runs { results { runId jobName status tags { key value } } } } }"
SAID = """query($id: ID!) {
  logsForRun(runId: $id) { ... on EventConnection { events { ... on MessageEvent { message } } } } }"""
SENSORS = """query($one: RepositorySelector!) {
  sensorsOrError(repositorySelector: $one) { ... on Sensors { results { name } } } }"""
SWITCH_ON = """mutation($one: SensorSelector!) {
  startSensor(sensorSelector: $one) { ... on Sensor { name } ... on PythonError { message } } }"""
LAUNCH = """mutation($run: ExecutionParams!) {
  launchRun(executionParams: $run) { ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
ASSETS = "{ assetNodes { assetKey { path } } }"
POOLS = "{ instance { concurrencyLimits { concurrencyKey activeSlotCount } } }"


@contextmanager
def dagster(environment: Mapping[str, str]) -> Iterator[Dagster]:
    """Dagster over the demo, its sensors switched on, at work; killed in the end.

    What has come in starts the day; where somebody has taken some of it already, a person does.
    """
    found = Dagster(environment)
    is_begun = (Path(environment["FEATURES_DATA"]) / "raw").exists()
    try:
        found.start()
        found.switch_on([DELIVERED] if is_begun else [])
        if is_begun:
            found.launch(FIRST)
        yield found
    finally:
        found.kill()


@dataclass(frozen=True)
class Run:
    """A run, as Dagster's own record has it."""

    id: str
    job: str
    status: str
    tags: Mapping[str, str]

    @property
    def is_again(self) -> bool:
        return self.tags.get("dagster/will_retry") == "true"

    @property
    def was_left(self) -> bool:
        """Whether it was killed, and nobody ran it again."""
        return self.is_again and "dagster/auto_retry_run_id" not in self.tags

    @property
    def is_wrong(self) -> bool:
        """Whether it ended as its pipeline should not have."""
        return not self.is_again and self.status != ("FAILURE" if self.job in FAILING else "SUCCESS")


def is_there(process: int) -> bool:
    """Whether a process has not ended yet."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@dataclass
class Dagster:
    """`make orchestrate`, asked over HTTP as its pages ask it."""

    environment: Mapping[str, str]
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    seen: set[str] = field(default_factory=set)

    @property
    def log(self) -> Path:
        """What it prints."""
        return Path(self.environment["FEATURES_DATA"]) / "orchestration" / "dagster" / "printed.log"

    def perform(self) -> list[str]:
        """The whole day: by the files that have come in, a pipeline after the other; once more by a person, at once."""
        if not self.seen:
            return self.ended()
        nodes = self.ask(ASSETS)["assetNodes"]
        self.launch(AT_ONCE, assetSelection=[{"path": node["assetKey"]["path"]} for node in nodes])
        return self.ended(AT_ONCE)

    def serve_again(self) -> list[str]:
        """The last pipeline alone: what the server recorded is collected and watched."""
        self.launch(LAST)
        return self.ended()

    def start(self) -> None:
        """Start it, and wait until it has read the graph."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                ["make", "orchestrate", f"PORT={self.port}"],
                cwd=ROOT,
                env=dict(self.environment),
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.wait(self.sensors, 600, "Dagster did not read the graph")

    def kill(self) -> None:
        """Kill it with all that it started."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def ask(self, question: str, **variables: object) -> dict[str, Any]:
        """The answer to a question in GraphQL; none while it cannot be asked."""
        body = json.dumps({"query": question, "variables": variables}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql", body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                data: dict[str, Any] = json.load(answer)["data"] or {}
                return data
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return {}

    def sensors(self) -> list[str]:
        found = self.ask(SENSORS, one=REPOSITORY).get("sensorsOrError", {})
        return [each["name"] for each in found.get("results", ())]

    def switch_on(self, apart: list[str]) -> None:
        """Switch every sensor on, but for some: files that have come in start a day, pipelines follow each other."""
        for name in set(self.sensors()) - set(apart):
            started = self.ask(SWITCH_ON, one={**REPOSITORY, "sensorName": name})
            assert started["startSensor"] == {"name": name}, started

    def launch(self, job: str, **selected: object) -> None:
        """Start a pipeline of the day by hand."""
        run = {
            "selector": {**REPOSITORY, "jobName": job, **selected},
            "mode": "default",
            "runConfigData": {},
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": DAY}]},
        }
        launched = self.ask(LAUNCH, run=run)
        assert launched["launchRun"].get("run"), launched

    def runs(self) -> list[Run]:
        """All runs, the newest first."""
        found = self.ask(RUNS).get("runsOrError", {}).get("results", ())
        return [
            Run(each["runId"], each["jobName"], each["status"], {tag["key"]: tag["value"] for tag in each["tags"]})
            for each in found
        ]

    def ended(self, last: str = LAST) -> list[str]:
        """Wait until the last pipeline has ended; what is wrong with the runs since the last one was seen to end."""

        def all_ended() -> list[Run]:
            runs = [each for each in self.runs() if each.id not in self.seen]
            is_over = any(each.job == last and each.status not in GOING_ON and not each.is_again for each in runs)
            return runs if is_over and not any(each.status in GOING_ON for each in runs) else []

        runs = self.wait(all_ended, 1_800, "the last pipeline did not end")
        left = {pid for each in runs for pid in self.process_of(each)}
        self.wait(  # it closes its files in the end
            lambda: [] if any(map(is_there, left)) else [True], 120, "the process of a run did not end"
        )
        self.seen |= {each.id for each in runs}
        return [
            *(f"run {each.id} of {each.job} was killed, and not run again" for each in runs if each.was_left),
            *(f"{each.job} ended with {each.status}" for each in runs if each.is_wrong),
            *(f"the pool {name} is held by nobody" for name, held in self.pools().items() if held),
        ]

    def strike(self, chance: random.Random, number: int) -> str:
        """Kill a run at work: its process alone, or all of Dagster, which is then started again."""
        hit = {each.id for each in self.runs() if each.is_again}

        def working() -> list[tuple[Run, int]]:
            started = [each for each in self.runs() if each.status == "STARTED" and each.id not in hit]
            return [(each, pid) for each in started for pid in self.process_of(each)]

        self.wait(working, 600, "no run was started")
        time.sleep(chance.uniform(1.0, 12.0))
        ((run, pid), *_) = self.wait(working, 600, "no run was started")
        if number % 2:
            os.kill(pid, signal.SIGKILL)
        else:
            self.kill()
            self.start()
        self.wait(lambda: [each for each in self.runs() if each.id == run.id and each.is_again], 300, f"{run} goes on")
        return f"{'a run of Dagster' if number % 2 else 'Dagster'} in {run.job}"

    def process_of(self, run: Run) -> list[int]:
        """The process of a run, once it says so."""
        events = self.ask(SAID, id=run.id).get("logsForRun", {}).get("events", ())
        said = " ".join(each.get("message", "") for each in events)
        return [int(pid) for pid in re.findall(r"Started process for run \(pid: (\d+)\)", said)]

    def pools(self) -> dict[str, int]:
        """How many steps hold each pool."""
        limits = self.ask(POOLS)["instance"]["concurrencyLimits"]
        return {each["concurrencyKey"]: each["activeSlotCount"] for each in limits}

    def wait(self, look: Callable[[], list[Found]], seconds: float, failing: str) -> list[Found]:
        """Look until there is something to see."""
        until = time.monotonic() + seconds
        while not (seen := look()):
            if time.monotonic() > until:
                print(*self.log.read_text(errors="replace").splitlines()[-60:], *self.runs(), sep="\n")
                raise TimeoutError(f"{failing} within {seconds:.0f} s")
            time.sleep(0.5)
        return seen
