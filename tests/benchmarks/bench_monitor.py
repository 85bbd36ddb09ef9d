"""`make bench-monitor`: a day of 2,000,000 predictions with 50 features, read and counted on the artifact's bins.

The rival is DuckDB's own histograms of 100 bins of the same columns of the same file, with as many threads. The
same weekday before is there, too, so that frozen features are looked for. Then a day of 2,000 predictions is judged
whole, after 10, 70 and 1,000 days that were served and judged: it reads its own record, that of a week before and the
counts of at most 10 days, whichever day it is. After 10 days only one earlier week is there to compare with; after 70
there are as many as after 1,000.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from harness import Bar, Figures, Finding, Stopwatch, in_fresh_process, in_turns, options, report

if TYPE_CHECKING:
    from transformations.monitoring.judging.watched import Watched
    from transformations.monitoring.reading.records import Baseline

ROWS, FEATURES, DAYS = 2_000_000, 50, 1_000
DAY = date(2024, 5, 20)
HISTORY_ROWS, WEEKLY_DAY = 2_000, date(2024, 5, 21)
"""Of a day of the history, and where its rows are written before they become those of every day."""
MODEL, SHA = "bench", "a" * 64


def main() -> None:
    """Measure both sides in turn, and report."""
    parser = options(__doc__ or "")
    for name, default in (("rows", ROWS), ("features", FEATURES), ("days", DAYS)):
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"default {default:,}")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-monitor-"))
    os.environ["FEATURES_DATA"] = str(folder)
    os.environ["FEATURES_OFFLINE_THREADS"] = "2"
    try:
        for day in (DAY, DAY - timedelta(days=7)):
            in_fresh_process(write_day, given.rows, given.features, day)
        sides = {
            "monitor": lambda: in_fresh_process(monitor, given.features),
            "DuckDB": lambda: in_fresh_process(histograms, given.features),
        }
        measured = in_turns(sides, given.repeat)
        histories = in_turns(
            {str(days): partial(in_fresh_process, judge, days) for days in (10, 70, given.days)}, given.repeat
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    case = f"{given.rows:,} rows, {given.features} features"
    ours, theirs = measured["monitor"], measured["DuckDB"]
    findings = [
        Finding(case, "seconds", ours["seconds"], "s", theirs["seconds"], Bar(2, of="ratio")),
        Finding(case, "peak memory", ours["peak MB"], "MB", theirs["peak MB"], Bar(2_048)),
        *(
            Finding(
                f"day {given.days:,} of the history against day {earlier}", "seconds",
                histories[str(given.days)]["seconds"], "s", histories[str(earlier)]["seconds"], Bar(1.1, of="ratio"),
            )
            for earlier in (10, 70)
        ),
    ]  # fmt: skip
    report("monitor", findings, ["rival: DuckDB's histogram(value, 100 bins) of the same columns, two threads each"])


def write_day(rows: int, features: int, day: date) -> Figures:
    """A day of the collected record, in row groups as the collector writes them."""
    from transformations.engine.base.settings import get_settings
    from transformations.models.records.prediction_table import FeatureColumn, Said, prediction_table

    file = get_settings().predictions_dir / MODEL / "served" / f"day={day}" / "v1.parquet"
    file.parent.mkdir(parents=True)
    chance = np.random.default_rng(day.toordinal())
    moment = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    said = Said(model=MODEL, version=1, artifact=SHA, role="production", as_of=None, views={})
    portion, writer = 100_000, None
    for first in range(0, rows, portion):
        count = min(portion, rows - first)
        nothing = pa.nulls(count, pa.timestamp("us", "UTC"))
        table = prediction_table(
            said,
            ids=pa.array([f"{row}" for row in range(first, first + count)]),
            moments=pa.repeat(pa.scalar(moment, pa.timestamp("us", "UTC")), count),
            keys={"user_id": pa.array(range(first, first + count))},
            request={},
            features={
                f"f{place}": FeatureColumn(
                    values=pa.array(chance.normal(size=count), mask=chance.random(count) < 0.05),
                    statuses=pa.repeat("PRESENT", count),
                    row_timestamps=nothing,
                )
                for place in range(features)
            },
            scores=pa.array(chance.random(count)),
            decisions=None,
        )
        writer = writer or pq.ParquetWriter(file, table.schema, compression="zstd")
        writer.write_table(table)
    if writer is not None:
        writer.close()
    return {"bytes": float(file.stat().st_size)}


def monitor(features: int) -> Figures:
    """A day read and counted, compared with the reference, and frozen features looked for."""
    from transformations.engine.base.settings import get_settings
    from transformations.monitoring.reading.served import changed_since, read_day

    known, settings = baseline(features), get_settings()
    with Stopwatch() as watch:
        served = read_day(known, DAY, settings)
        if served is None:
            raise RuntimeError("nothing was read")
        known.layout.effects(known.reference, served.counts)
        changed_since(known, DAY, [DAY - timedelta(days=7)], settings)
    return {"seconds": watch.seconds, "peak MB": peak_megabytes()}


def histograms(features: int) -> Figures:
    """DuckDB's histograms of 100 bins, and the nulls."""
    import duckdb

    edges = np.linspace(-4, 4, 100).tolist()
    parts = [
        f"histogram(features.f{place}.value, {edges}), count(features.f{place}.value)" for place in range(features)
    ]
    file = Path(os.environ["FEATURES_DATA"]) / "predictions" / MODEL / "served" / f"day={DAY}" / "v1.parquet"
    with duckdb.connect(config={"threads": 2}) as connection, Stopwatch() as watch:
        connection.execute(f"SELECT {', '.join(parts)}, histogram(score, {edges}) FROM '{file}'").fetchall()
    return {"seconds": watch.seconds, "peak MB": peak_megabytes()}


def judge(days: int) -> Figures:
    """The judgement of a day, as `features monitor` makes it, after so many days that were served and judged."""
    from transformations.engine.base.settings import get_settings
    from transformations.monitoring.judging.day import judge_day
    from transformations.monitoring.reading import history

    settings, known = get_settings(), baseline(FEATURES)
    name = f"history_{days}"
    written = settings.predictions_dir / MODEL / "served" / f"day={WEEKLY_DAY}" / "v1.parquet"
    if not written.is_file():
        write_day(HISTORY_ROWS, FEATURES, WEEKLY_DAY)
    watched = alone(name, known.model_copy(update={"model": name}))
    found = None
    for back in range(days, -1, -1):
        day = DAY - timedelta(days=back)
        file = settings.predictions_dir / name / "served" / f"day={day}" / "v1.parquet"
        file.parent.mkdir(parents=True)
        file.hardlink_to(written)
        if found is None:  # every day is alike, so its findings are those of the first
            judge_day(watched, day)
            found = history.read_findings(name, day, settings)
        else:
            history.write_findings(name, day, found, settings)
    judge_day(watched, DAY)
    seconds = []
    for _ in range(15):
        with Stopwatch() as watch:
            judge_day(watched)
        seconds.append(watch.seconds)
    shutil.rmtree(settings.monitoring_dir / name)
    shutil.rmtree(settings.predictions_dir / name)
    return {"seconds": min(seconds)}  # whatever else this machine does makes one longer, and none shorter


def alone(name: str, known: Baseline) -> Watched:
    """A model of which nothing but its baseline and its predictions is there."""
    from transformations.engine.base.settings import get_settings
    from transformations.models.declaration.monitoring import ModelMonitoring
    from transformations.models.log.event_log import EventLog
    from transformations.monitoring.judging.watched import Watched
    from transformations.monitoring.reading.config import Monitoring

    class Alone(Watched):
        config, declared, owner = Monitoring(), ModelMonitoring(), "bench"

        def baseline(self, version: int) -> Baseline:
            return known

        def importance(self, version: int) -> dict[str, float]:
            return {}

        def owner_of(self, version: int, view: str | None) -> str:
            return "bench"

    return Alone(name, Path(), EventLog("bench"), get_settings())


def baseline(features: int) -> Baseline:
    """A baseline of numbers on 20 bins each."""
    from transformations.models.fitting.reference import histogram
    from transformations.monitoring.reading.records import Baseline, Compared, Limits

    values = np.random.default_rng(1).normal(size=50_000)
    bins = histogram(values)
    names = [f"f{place}" for place in range(features)]
    far = dict.fromkeys(names, 1.0)
    limits = (Limits(rows=100, values=far, nulls=far, unseen=far),)
    return Baseline(
        model=MODEL, version=1, artifact=SHA, dataset_hash=SHA, made_at=datetime(2024, 5, 1, tzinfo=UTC), rows=50_000,
        days=50, inputs={name: Compared(way="as is", bins=bins) for name in names},
        scores=histogram(np.random.default_rng(2).random(50_000)), limits={"day": limits, "earlier": limits},
        score_limits={},
        changed=dict.fromkeys(names, 0.5), setting="",
    )  # fmt: skip


def peak_megabytes() -> float:
    """The most memory that this process has held."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
