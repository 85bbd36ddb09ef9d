"""`make bench-aging`: what a day costs after years of daily runs, against what it cost in the second week.

One view over a source of 1,500 events a day. Each day is delivered as a file, ingested, built and materialized by the
functions behind the commands, one day after the other in one process, so that Spark starts once for all days. That is
what makes 1,000 days affordable; the files, the logs and Redis are those of 1,000 runs of the commands. At some days a
fresh process, whose imports are not counted, retrieves 10,000 rows and asks for the status, too.

What is compared at the end is measured in turn on the grown project and on a copy of it as it was on day 10, so that
both have the same machine under the same load. Then old versions are given up, and what is left, the drops' own files
apart, is compared with the folder of one ingestion of all days and one build.
"""

from __future__ import annotations

import gc
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from harness import CHECKOUT, Bar, Finding, Stopwatch, in_fresh_process, options, report, say

if TYPE_CHECKING:
    from feast import FeatureStore

EVENTS_A_DAY = 1_500
USERS = 2_000
SPINE = 10_000
FIRST_DAY = datetime(2021, 1, 1, tzinfo=UTC)
FIRST_MARK = 10
MARKS = (FIRST_MARK, 30, 100, 200, 300, 500, 700, 1_000)
LAST_DAYS = 5
DAILY = ("ingest", "build", "materialization")
ASKED = ("retrieval", "status")
BAR, SIZE_BAR = Bar(1.5, "ratio"), Bar(1.6, "ratio")

CONTRACT = """
apiVersion: v3.1.0
kind: DataContract
id: visits
name: Visits
version: 1.0.0
status: active
team: {name: web}
schema:
  - name: visits
    logicalType: object
    description: One visit
    customProperties:
      - {property: eventTime, value: visited_at}
      - {property: timestampZone, value: UTC}
      - {property: businessDayZone, value: UTC}
      - {property: delivery, value: append}
    properties:
      - {name: visit_id, logicalType: integer, required: true, primaryKey: true, description: The visit}
      - {name: user_id, logicalType: integer, required: true, description: The user}
      - {name: seconds, logicalType: number, required: true, description: How long it took}
      - {name: visited_at, logicalType: timestamp, required: true, description: When}
"""
DOMAIN = '''
"""Visits of a user."""

from transformations import LIFETIME, Count, Last, Sum, WindowedFeatures, at_least, days, hours

user_visits = WindowedFeatures(
    name="user_visits",
    join_key="user_id",
    source="visits",
    windows=[days(1), days(7), days(28), LIFETIME],
    available_after=hours(2),
    description="Visits of a user",
    features=[
        Count(name="visits", description="Visits", unit="visits", expect=at_least(0), unseen=0),
        Sum("seconds", name="stay", description="Time spent", unit="seconds", expect=at_least(0)),
        Last("visited_at", name="visit_at", windows=[LIFETIME], description="Time of the last visit", unit="UTC time"),
    ],
)
'''
VIEWS = '''
"""What is offered about users."""

from feast import Entity, ValueType

from transformations import aging
from transformations.stores.views import feature_view

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64, description="A user", owner="web@x.org")
user_visits = feature_view(aging.user_visits, entity=user, owner="web@x.org")
'''


def main() -> None:
    """Grow the project day by day, measure at some days, and report."""
    parser = options(__doc__ or "")
    parser.add_argument("--days", type=int, default=1_000, metavar="N", help="daily runs (default 1,000)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave the grown project here, or go on from it")
    given = parser.parse_args()
    marks = [day for day in MARKS if day < given.days] + [given.days]
    scratch = Path(tempfile.mkdtemp(prefix="features-bench-"))
    grown = given.keep or scratch / "grown"
    try:
        notes = grow(grown, marks, given.repeat)
        measured = measure(grown, given.days, scratch)
    finally:
        shutil.rmtree(scratch)
    first, last = measured[FIRST_MARK], measured[marks[-1]]
    findings = [
        Finding(f"day {marks[-1]:,} vs day {FIRST_MARK}", name, last[name], "s", first[name], BAR)
        for name in (*DAILY, *ASKED)
    ]
    case = f"after {marks[-1]:,} days vs one full load"
    findings.append(Finding(case, "size", last["size"], "MB", last["full size"], SIZE_BAR))
    report("aging", findings, notes)


def grow(folder: Path, marks: list[int], repeat: int) -> list[str]:
    """Run the days up to the last mark that the project has not seen yet; what was seen at the marked ones."""
    from transformations.engine.base.settings import get_settings

    notes: list[str] = []
    reached = folder / "reached"
    seconds: dict[str, list[float]] = {name: [] for name in DAILY}
    begin = int(reached.read_text()) if reached.exists() else 0
    if begin > marks[-1]:
        raise SystemExit(f"{folder} has already run {begin:,} days: say --days {begin} or more, or another folder")
    open_project(folder)
    try:
        for day in range(begin + 1, marks[-1] + 1):
            for name, taken in run_day(folder, day).items():
                seconds[name].append(taken)
            if day == FIRST_MARK:
                copy_project(folder, folder / "early")
            if day in marks:
                asked = in_fresh_process(ask, folder, day, repeat)
                found = {name: taken[-LAST_DAYS:] for name, taken in seconds.items()} | asked
                medians = ", ".join(f"{name} {statistics.median(taken):.2f} s" for name, taken in found.items())
                notes.append(f"day {day:,}: {medians}; {sizes(get_settings().data)}")
                say(f"{notes[-1]} (load average {os.getloadavg()[0]:.1f})")
            reached.write_text(str(day))
        if seconds[DAILY[0]]:
            means = ", ".join(f"{name} {statistics.fmean(taken):.2f} s" for name, taken in seconds.items())
            notes.append(f"mean of days {begin + 1:,} to {marks[-1]:,}: {means}")
    finally:
        stop_redis()
    return notes


def measure(grown: Path, days: int, scratch: Path) -> dict[int, dict[str, list[float]]]:
    """The figures of copies of the project as it was at the first mark, and of the grown one."""
    copies = {FIRST_MARK: scratch / "first", days: scratch / "last"}
    copy_project(grown / "early", copies[FIRST_MARK])
    copy_project(grown, copies[days])
    try:
        measured = compare(copies, LAST_DAYS)
        further = days + LAST_DAYS + 1
        return measured | {
            days: measured[days] | {"size": [size_left()], "full size": [size_of_full_load(scratch, further)]}
        }
    finally:
        for each in copies.values():
            open_project(each)
            stop_redis()


def copy_project(folder: Path, copy: Path) -> None:
    """Copy what a project holds, Redis' files too, which it writes when it stops."""
    stop_redis()
    shutil.copytree(folder / "data", copy / "data")


def stop_redis() -> None:
    """Stop the Redis of the project that is open, where it has one."""
    from transformations.engine.base.settings import get_settings
    from transformations.local import redis as embedded

    if get_settings().redis_dir.is_dir():
        embedded.stop()


def compare(projects: Mapping[int, Path], turns: int) -> dict[int, dict[str, list[float]]]:
    """The figures of further days, in turn in each project, by the day that it had reached."""
    measured: dict[int, dict[str, list[float]]] = {day: {name: [] for name in (*DAILY, *ASKED)} for day in projects}
    for turn in range(turns + 1):
        for day, project in projects.items():
            open_project(project)
            taken = run_day(project, day + turn + 1)
            asked = in_fresh_process(ask, project, day + turn + 1, 1)
            for name, figures in ({name: [seconds] for name, seconds in taken.items()} | asked).items():
                measured[day][name] += figures if turn else []  # in the first turn a Redis has to start
    return measured


def open_project(folder: Path) -> None:
    """Write the project, where it is not there yet, and let this process work in it."""
    repository = folder / "feature_repo"
    for each in ("contracts", "domains", "feature_repo"):
        (folder / each).mkdir(parents=True, exist_ok=True)
    (folder / "contracts" / "visits.yaml").write_text(CONTRACT)
    (folder / "domains" / "aging.py").write_text(DOMAIN)
    (repository / "user_views.py").write_text(VIEWS)
    config = yaml.safe_load((CHECKOUT / "feature_repo" / "feature_store.yaml").read_text())
    config["batch_engine"]["priority"] = "normal"  # an idle one takes as long as what else the machine has to do
    (repository / "feature_store.yaml").write_text(yaml.safe_dump(config))
    os.environ |= {
        "FEATURES_DATA": str(folder / "data"),
        "FEATURES_CONTRACTS": str(folder / "contracts"),
        "FEATURES_EXPECTATIONS": str(folder / "expectations"),
        "FEATURES_LINEAGE": "off",
        "FEATURE_REPO_DIR_ENV_VAR": str(repository),
    }
    import transformations

    if "transformations.aging" not in sys.modules:
        transformations.__path__ = [*transformations.__path__, str(folder / "domains")]


def run_day(folder: Path, day: int) -> dict[str, float]:
    """Deliver, ingest, build and load one day; the seconds of each."""
    set_clock(day)
    from transformations.engine.base.settings import get_settings
    from transformations.insight.repository import open_store, read_contents
    from validation.delivery.ingest import Delivery, ingest_drop

    settings = get_settings()
    file = folder / "visits.parquet"
    pq.write_table(events_of(day), file)
    seconds = {}
    with Stopwatch() as watch:
        ingest_drop(Delivery("visits", file, complete_through=(FIRST_DAY + timedelta(days=day - 1)).date()), settings)
    seconds["ingest"] = watch.seconds
    with Stopwatch() as watch:
        build()
    seconds["build"] = watch.seconds
    store = open_store(settings)
    if day == 1:
        declared = read_contents(settings)
        store.apply([*declared.entities, *declared.feature_views])
    with Stopwatch() as watch:
        store.materialize_incremental(settings.now())
    seconds["materialization"] = watch.seconds
    return seconds


def build() -> None:
    """What `features build` does."""
    from click.testing import CliRunner

    from transformations.cli.commands.data.build import build as command

    result = CliRunner().invoke(command, [], catch_exceptions=False)
    assert result.exit_code == 0, result.output


def ask(folder: Path, day: int, repeat: int) -> dict[str, list[float]]:
    """Retrieve rows and ask for the status, each for the first time in this process, then `repeat` more times.

    What is measured is the first: a command opens its tables once.
    """
    open_project(folder)
    set_clock(day)
    import duckdb  # noqa: F401
    from click.testing import CliRunner

    from transformations.cli.commands.look.status import status
    from transformations.engine.base.settings import get_settings
    from transformations.insight.repository import open_store

    store = open_store(get_settings())
    retrieve(store, day, rows=1)  # what Feast and DuckDB import and compile on their first call
    forget_logs()
    found: dict[str, list[float]] = {name: [] for name in ASKED}
    for _ in range(repeat):
        gc.collect()  # it takes as long as a status, and came into either by chance
        with Stopwatch() as watch:
            retrieve(store, day, SPINE)
        found["retrieval"].append(watch.seconds)
        forget_logs()
        gc.collect()
        with Stopwatch() as watch:
            result = CliRunner().invoke(status, [], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        found["status"].append(watch.seconds)
        forget_logs()
    return found


def forget_logs() -> None:
    """Let the next call read the logs as a new process does."""
    from transformations.engine.base import checksums, commit_log
    from transformations.engine.base.logs import summary

    for module in (checksums, commit_log, summary):
        for each in vars(module).values():
            if hasattr(each, "cache_clear"):
                each.cache_clear()


def retrieve(store: FeatureStore, day: int, rows: int) -> None:
    """Features of random users at random moments of the last week: as much touched data on any day."""
    chance = np.random.default_rng(day)
    end = moment_of(day)
    micros = int(end.timestamp() * 1e6) - chance.integers(0, 7 * 86_400_000_000, rows)
    spine = pa.table(
        {
            "user_id": pa.array(chance.integers(0, USERS, rows)),
            "event_timestamp": pa.array(micros).cast(pa.timestamp("us", tz="UTC")),
        }
    )
    view = store.get_feature_view("user_visits")
    names = [f"user_visits:{feature.name}" for feature in view.features]
    found = store.get_historical_features(spine.to_pandas(), names).to_arrow()
    assert found.num_rows == rows


def events_of(day: int) -> pa.Table:
    """The visits of a day (1 is the first), of random users, in order of time."""
    chance = np.random.default_rng(1_000_000 + day)
    begin = int((FIRST_DAY + timedelta(days=day - 1)).timestamp() * 1e6)
    moments = np.sort(chance.integers(0, 86_400_000_000, EVENTS_A_DAY)) + begin
    return pa.table(
        {
            "visit_id": pa.array(np.arange(EVENTS_A_DAY) + day * EVENTS_A_DAY),
            "user_id": pa.array(chance.integers(0, USERS, EVENTS_A_DAY)),
            "seconds": pa.array(chance.integers(1, 600, EVENTS_A_DAY) / 10),
            "visited_at": pa.array(moments).cast(pa.timestamp("us")),
        }
    )


def moment_of(day: int) -> datetime:
    """When a day's run starts: four in the morning of the next."""
    return FIRST_DAY + timedelta(days=day, hours=4)


def set_clock(day: int) -> None:
    os.environ["FEATURES_CLOCK"] = moment_of(day).isoformat()


def size_left() -> float:
    """Give up all versions but the newest; the MB of what is left, without the files that were delivered."""
    from click.testing import CliRunner

    from transformations.cli.commands.platform.vacuum import vacuum
    from transformations.engine.base.settings import get_settings

    given = ["--keep-versions", "1", "--older-than", "0", "--yes"]
    result = CliRunner().invoke(vacuum, given, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return size_of_tables(get_settings().data)


def size_of_full_load(folder: Path, days: int) -> float:
    """The MB of one ingestion of all days and one build."""
    from transformations.engine.base.settings import get_settings
    from validation.delivery.ingest import Delivery, ingest_drop

    here = os.environ["FEATURES_DATA"]
    os.environ["FEATURES_DATA"] = str(folder / "full")
    try:
        file = folder / "visits.parquet"
        pq.write_table(pa.concat_tables(events_of(day) for day in range(1, days + 1)), file)
        through = (FIRST_DAY + timedelta(days=days - 1)).date()
        ingest_drop(Delivery("visits", file, complete_through=through), get_settings())
        build()
        return size_of_tables(folder / "full", with_drops=True)
    finally:
        os.environ["FEATURES_DATA"] = here


def size_of_tables(data: Path, *, with_drops: bool = False) -> float:
    """The MB of a data folder's tables; with_drops: the files of drops count, too."""
    files = [path for zone in ("raw", "offline") for path in (data / zone).rglob("*") if path.is_file()]
    return sum(file.stat().st_size for file in files if with_drops or "drop-" not in str(file.parent.name)) / 1e6


def sizes(data: Path) -> str:
    """How many files the raw zone and the offline tables have, and their size."""
    found = {}
    for zone in ("raw", "offline"):
        files = [path for path in (data / zone).rglob("*") if path.is_file()]
        found[zone] = f"{zone} {len(files):,} files, {sum(path.stat().st_size for path in files) / 1e6:.1f} MB"
    return "; ".join(found.values())


if __name__ == "__main__":
    started = time.perf_counter()
    main()
    print(f"took {time.perf_counter() - started:.0f} s", file=sys.stderr)
