"""`make bench-batch`: the batch engine on ten million user events of 90 days, 20 values a row, on two cores.

The full backfill against DuckDB SQL that gives the same rows and against a rescan for each as-of day, one incremental
day in a running session and as a whole `features build`, and the memory of all processes together; a correction of a
few rows against the first load before it; with --large the backfill of ten times as many events and users as well.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from batch_rivals import differing_rows, duckdb_backfill, spark_rescan
from correction import correction_findings
from harness import (
    CHECKOUT,
    DATA,
    Bar,
    Figures,
    Finding,
    Stopwatch,
    in_fresh_process,
    in_turns,
    options,
    peak_memory,
    report,
    say,
)
from user_events import FIRST_DAY, USER_ACTIVITY, USER_EVENTS, ingest_events

if TYPE_CHECKING:
    from transformations.engine.base.settings import Settings

DAYS = 90
THREADS = 2
RESCANNED_DAYS = (9, 27, 45, 63, 81)  # as-of days in the middle of five equal stretches, so that their mean is fair
LARGER = 10

CONTRACT = """
apiVersion: v3.1.0
kind: DataContract
id: user-events
name: User events
version: 1.0.0
status: active
team: {name: benchmarks}
schema:
  - name: user_events
    logicalType: object
    description: What users did
    customProperties:
      - {property: eventTime, value: happened_at}
      - {property: timestampZone, value: UTC}
      - {property: businessDayZone, value: UTC}
      - {property: delivery, value: append}
    properties:
      - {name: event_id, logicalType: integer, required: true, primaryKey: true, description: Identity}
      - {name: user_id, logicalType: integer, required: true, description: User}
      - {name: event_type, logicalType: string, required: true, description: What happened}
      - {name: amount, logicalType: number, required: true, description: Amount}
      - {name: happened_at, logicalType: timestamp, required: true, description: When}
"""
VIEWS = '''
"""The one view of the benchmark."""

from pathlib import Path

import transformations
from feast import Entity, ValueType

transformations.__path__.append(str(Path(__file__).parents[1] / "domains"))

from transformations.activity import USER_ACTIVITY
from transformations.stores.views import feature_view

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64, description="A user")
user_activity = feature_view(USER_ACTIVITY, entity=user, owner="benchmarks@example.com")
'''


@dataclass(frozen=True)
class Size:
    """How many events and users, and where their data lies: generated once, worked on anew by every run."""

    events: int
    users: int

    @property
    def folder(self) -> Path:
        """Everything of this size."""
        return DATA / f"{self.events}-events-{self.users}-users"

    @property
    def work(self) -> Path:
        """What a run of the benchmark makes."""
        return self.folder / "work"

    @property
    def all_days(self) -> Path:
        """The raw zone of 90 days in one drop."""
        return self.folder / "raw"

    @property
    def without_last_day(self) -> Path:
        """The raw zone of 89 days."""
        return self.folder / f"raw-{DAYS - 1}"

    @property
    def with_last_day(self) -> Path:
        """The raw zone of 89 days and then of the last one, a drop of its own."""
        return self.folder / f"raw-{DAYS - 1}-and-1"


WARM_UP = Size(1_200_000, 12_000)  # enough rows to be shuffled, as those that are measured are


def main() -> None:
    """Measure all sides in turn, and report."""
    parser = options(__doc__ or "")
    parser.add_argument("--events", type=int, default=10_000_000, metavar="N", help="default 10,000,000")
    parser.add_argument("--large", action="store_true", help=f"{LARGER} times as many events and users as well, once")
    parser.add_argument("--only-corrections", action="store_true", help="corrections against their first loads, alone")
    given = parser.parse_args()
    if given.only_corrections:
        report("corrections", correction_findings(THREADS))
        return
    size = Size(given.events, given.events // 100)
    in_fresh_process(ingest_events, WARM_UP.all_days, WARM_UP.events, WARM_UP.users, DAYS)
    in_fresh_process(prepare, size, True)
    different: list[Figures] = []

    def duckdb() -> Figures:
        files = _raw_files(size.all_days)
        return _figures(in_fresh_process(duckdb_backfill, files, _last_as_of(), THREADS, size.work / "duckdb.parquet"))

    def engine() -> Figures:
        figures = _figures(in_fresh_process(run_engine, size))
        if not different:
            say("    comparing with DuckDB's rows")
            ours = _offline_files(size.work / "backfill")
            different.append(_figures(in_fresh_process(differing_rows, ours, size.work / "duckdb.parquet")))
        return figures

    def rescan() -> Figures:
        days = [_last_as_of() - DAYS + day for day in RESCANNED_DAYS]
        files = _raw_files(size.all_days)
        seconds = in_fresh_process(spark_rescan, files, days, THREADS, size.work / "rescan")
        return {"seconds": sum(seconds) / len(seconds) * DAYS}

    def command() -> Figures:
        return {"seconds": run_command(size)}

    sides = {"DuckDB": duckdb, "engine": engine, "features build": command, "rescan": rescan}
    measured = in_turns(sides, given.repeat)
    findings = _findings(measured, different[0])
    findings += correction_findings(THREADS)
    if given.large:
        findings += _large(Size(size.events * LARGER, size.users * LARGER), measured["engine"]["first build"])
    report("batch", findings, _notes(size, different[0]))
    shutil.rmtree(size.work)


def prepare(size: Size, with_a_day: bool) -> None:
    """Generate what is not there yet. with_a_day: for a build of the last day, too."""
    if size.work.exists():
        shutil.rmtree(size.work)
    say(f"data: {size.events:,} events of {size.users:,} users below {size.folder.relative_to(CHECKOUT)}")
    counts = (size.events, size.users, DAYS)
    ingest_events(size.all_days, *counts)
    if with_a_day:
        ingest_events(size.without_last_day, *counts, DAYS - 1)
    if with_a_day and not size.with_last_day.exists():
        draft = size.with_last_day.with_name("draft")
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(size.without_last_day, draft)
        ingest_events(draft, *counts)
        draft.rename(size.with_last_day)
    _write_repository(size)


def run_engine(size: Size) -> dict[str, float]:
    """In one session: the first build, the same again, and one day more on a table that is complete but for it.

    A session's first shuffle loads the most of Spark, whatever it computes, so that a small build belongs to the start.
    """
    with Stopwatch() as session:
        _start_session(size)
        _build(WARM_UP.all_days, size.work / "warm-up", "first load")
    shutil.rmtree(size.work / "backfill", ignore_errors=True)
    with peak_memory() as memory_of_backfill, Stopwatch() as first:
        _build(size.all_days, size.work / "backfill", "first load")
    shutil.rmtree(size.work / "backfill")  # what the next removes is not to be timed
    with Stopwatch() as again:
        _build(size.all_days, size.work / "backfill", "first load")
    _build(size.without_last_day, size.work / "day", "first load")
    shutil.rmtree(size.work / "command", ignore_errors=True)
    shutil.copytree(size.work / "day", size.work / "command", symlinks=True)
    with peak_memory() as memory_of_day, Stopwatch() as day:
        _build(size.with_last_day, size.work / "day", "incremental")
    return {
        "session start": session.seconds,
        "first build": first.seconds,
        "first build, processor": first.processor_seconds,
        "build again": again.seconds,
        "build again, processor": again.processor_seconds,
        "day": day.seconds,
        "memory, backfill": memory_of_backfill(),
        "memory, day": memory_of_day(),
    }


def run_backfill(size: Size) -> dict[str, float]:
    """The first build of a session, alone."""
    _start_session(size)
    _build(WARM_UP.all_days, size.work / "warm-up", "first load")
    with peak_memory() as memory, Stopwatch() as watch:
        _build(size.all_days, size.work / "backfill", "first load")
    return {"first build": watch.seconds, "memory, backfill": memory()}


def run_command(size: Size) -> float:
    """Seconds of a whole `features build` that adds the last day."""
    data = size.work / "command"
    _link(size.with_last_day, data)
    features = {
        "FEATURES_DATA": str(data),
        "FEATURES_CONTRACTS": str(size.work / "contracts"),
        "FEATURES_SPARK_MASTER": f"local[{THREADS}]",
        "FEATURE_REPO_DIR_ENV_VAR": str(size.work / "feature_repo"),
        "PYTHONPATH": str(Path(__file__).parent),
    }
    command = [str(Path(sys.executable).with_name("features")), "build", USER_ACTIVITY.name, "--json"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FEATURES_")} | features
    with Stopwatch() as watch:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    kind = json.loads(done.stdout)[0]["run"]["kind"]
    assert kind == "incremental", f"the day's build was a {kind}"
    return watch.seconds


def _start_session(size: Size) -> None:
    from transformations.engine.compute.spark import spark_session

    spark_session(_settings(size.work / "session"))


def _build(raw: Path, data: Path, kind: str) -> None:
    """One build; a first load begins with an empty folder."""
    from transformations.engine.compute.build import build
    from transformations.engine.vocabulary.resolution import resolve

    if kind == "first load":
        shutil.rmtree(data, ignore_errors=True)
    _link(raw, data)
    run = build(resolve(USER_ACTIVITY, {USER_EVENTS.name: USER_EVENTS}.__getitem__), _settings(data))
    assert run is not None, f"{data}: nothing was built"
    assert run.kind == kind, f"{data}: a {run.kind} in place of a {kind}"


def _settings(data: Path) -> Settings:
    from transformations.engine.base.settings import Settings

    return Settings(data=data, spark_master=f"local[{THREADS}]")


def _link(raw: Path, data: Path) -> None:
    """Let a data folder have this raw zone."""
    data.mkdir(parents=True, exist_ok=True)
    (data / "raw").unlink(missing_ok=True)
    (data / "raw").symlink_to(raw)


def _write_repository(size: Size) -> None:
    (size.work / "contracts").mkdir(parents=True)
    (size.work / "contracts" / "user_events.yaml").write_text(CONTRACT)
    (size.work / "feature_repo").mkdir()
    (size.work / "feature_repo" / "views.py").write_text(VIEWS)
    (size.work / "domains").mkdir()
    (size.work / "domains" / "activity.py").write_text("from user_events import USER_ACTIVITY\n")
    shutil.copy(CHECKOUT / "feature_repo" / "feature_store.yaml", size.work / "feature_repo")


def _raw_files(raw: Path) -> list[str]:
    return sorted(str(path) for path in (raw / USER_EVENTS.name).glob("*/*.parquet"))


def _offline_files(data: Path) -> Sequence[str]:
    return sorted(str(path) for path in (data / "offline" / USER_ACTIVITY.name).glob("run=*/*.parquet"))


def _last_as_of() -> int:
    return FIRST_DAY.toordinal() - 719_163 + DAYS  # days since 1970-01-01


def _figures(result: object) -> dict[str, float]:
    assert isinstance(result, dict)
    return result


def _findings(measured: dict[str, dict[str, list[float]]], same: Figures) -> list[Finding]:
    ours, duckdb = measured["engine"], measured["DuckDB"]
    rescan, command = measured["rescan"]["seconds"], measured["features build"]["seconds"]
    first, again, day = ours["first build"], ours["build again"], ours["day"]
    processors = ours["build again, processor"], duckdb["processor seconds"]
    as_fast, tenfold = Bar(1.2, "ratio"), Bar(0.1, "ratio")
    return [
        Finding("backfill vs DuckDB: first in a session", "time", first, "s", duckdb["seconds"], as_fast),
        Finding("backfill vs DuckDB: in a running session", "time", again, "s", duckdb["seconds"], as_fast),
        Finding("backfill vs DuckDB: in a running session", "processor time", processors[0], "s", processors[1]),
        Finding("backfill vs DuckDB", "rows that differ", [same["different"]], "rows", bar=Bar(0)),
        Finding("backfill vs rescan a day in PySpark", "time", first, "s", rescan, tenfold),
        Finding("one day: in a running session", "time", day, "s", bar=Bar(6)),
        Finding("one day vs backfill: in a running session", "time", day, "s", again, Bar(0.15, "ratio")),
        Finding("one day: whole `features build`", "time", command, "s", bar=Bar(40)),
        Finding("backfill: all processes", "peak memory", ours["memory, backfill"], "GiB", bar=Bar(6)),
        Finding("one day: all processes", "peak memory", ours["memory, day"], "GiB", bar=Bar(6)),
        Finding(f"session start and a first build of {WARM_UP.events:,} events", "time", ours["session start"], "s"),
    ]


def _large(size: Size, smaller: Sequence[float]) -> list[Finding]:
    in_fresh_process(prepare, size, False)
    measured = in_turns({"engine": lambda: _figures(in_fresh_process(run_backfill, size))}, 1)["engine"]
    shutil.rmtree(size.work)
    linear = [LARGER * seconds for seconds in smaller]
    case = f"{size.events:,} events"
    return [
        Finding(f"{case} vs {LARGER} × the time above", "time", measured["first build"], "s", linear, Bar(1, "ratio")),
        Finding(f"{case}: all processes", "peak memory", measured["memory, backfill"], "GiB", bar=Bar(12)),
    ]


def _notes(size: Size, same: Figures) -> list[str]:
    table = f"{same['rows']:,.0f} rows × {len(USER_ACTIVITY.declared)} values"
    return [
        f"{size.events:,} events of {size.users:,} users in {DAYS} days give {table}; {THREADS} threads on every side.",
        "DuckDB's sums of amounts drift in the last digits; they were compared to the cent, all else exactly.",
        f"The rescan was measured as of days {', '.join(map(str, RESCANNED_DAYS))}; its time is their mean × {DAYS}.",
    ]


if __name__ == "__main__":
    main()
