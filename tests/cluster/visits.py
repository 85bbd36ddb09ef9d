"""What is built on the cluster and locally: views over generated visits, a first load and then a run with late data.

As a script: deliver the data into the raw zone that the environment names, build there with the Spark that the
environment names, and print as JSON where that ran.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from transformations import (
    LIFETIME,
    Count,
    CountDistinct,
    Float64,
    Last,
    Lookup,
    Max,
    Mean,
    Sum,
    TopK,
    WindowedFeatures,
    at_least,
    column,
    days,
    derived,
    hours,
)
from transformations.contracts import Column, Contract
from transformations.engine.base.settings import Settings, get_settings
from transformations.engine.compute.build import build
from transformations.engine.compute.spark import spark_session
from transformations.engine.raw.files import source_schema
from transformations.engine.raw.zone import Origin, RawTable
from transformations.engine.vocabulary.resolution import resolve

FIRST_DAY, DAYS = date(2025, 1, 1), 30
_DAY_MICROS = 86_400_000_000
_KINDS = ("read", "skimmed", "shared")

VISITS = Contract(
    name="visits",
    version="1.0.0",
    description="What a user looked at",
    owner="tests@example.com",
    columns=(
        Column("visit_id", "Int64", False, "Identity"),
        Column("user_id", "Int64", False, "User"),
        Column("page", "String", False, "Page"),
        Column("kind", "String", False, "Kind", allowed=_KINDS),
        Column("seconds", "Float64", True, "How long"),
        Column("visited_at", "UnixTimestamp", False, "When"),
    ),
    key=("visit_id",),
    event_time="visited_at",
    timestamp_zone="UTC",
    business_day_zone="America/New_York",
    valid_from=None,
    delivery="append",
)
PAGES = Contract(
    name="pages",
    version="1.0.0",
    description="What a page is about",
    owner="tests@example.com",
    columns=(Column("page", "String", False, "Page"), Column("topic", "String", True, "Topic")),
    key=("page",),
    event_time=None,
    timestamp_zone="UTC",
    business_day_zone="America/New_York",
    valid_from=datetime(2024, 12, 1, tzinfo=UTC),
    delivery="snapshot",
)


@derived(unit="minutes")
def minutes(seconds: Float64) -> Float64:
    """How long a visit took."""
    import pyarrow.compute as pc

    return pc.divide(seconds, 60.0)


USER_VISITS = WindowedFeatures(
    name="user_visits",
    join_key="user_id",
    source="visits",
    windows=[days(1), days(7), LIFETIME],
    available_after=hours(2),
    description="What a user does",
    derived=[minutes],
    features=[
        Count(name="visits", per=column("kind").each(*_KINDS), description="Visits", unit="visits", expect=at_least(0)),
        Sum("seconds", name="attention", description="Attention", unit="seconds", expect=at_least(0)),
        Mean("minutes", name="visit_minutes", description="Length of a visit", unit="minutes", expect=at_least(0)),
        CountDistinct("page", name="pages", description="Pages", unit="pages", expect=at_least(0)),
        Last("page", name="page", windows=[LIFETIME], description="Last page", unit="page"),
    ],
)
TOPIC_VISITS = WindowedFeatures(
    name="topic_visits",
    join_key=["user_id", "topic"],
    source="visits",
    windows=[days(7), LIFETIME],
    description="What a user reads about",
    lookups=[Lookup("topic", source="pages", on="page")],
    features=[
        Count(name="visits", description="Visits", unit="visits", expect=at_least(0)),
        Max("seconds", name="visit_seconds", description="Longest visit", unit="seconds", expect=at_least(0)),
        TopK("page", k=2, name="pages", description="Favourite pages", unit="pages"),
    ],
)
VIEWS = (USER_VISITS, TOPIC_VISITS)
CONTRACTS = {contract.name: contract for contract in (VISITS, PAGES)}


def main(visits: int, users: int) -> None:
    """Deliver and build twice: all days but the last, then the last day with late visits and a corrected page."""
    settings = get_settings()
    runs = []
    for delivery in (_deliver_history, _deliver_the_rest):
        delivery(settings, visits, users)
        for view in VIEWS:
            run = build(resolve(view, CONTRACTS.__getitem__), settings, report=lambda stage: _say(f"    {stage}"))
            assert run is not None, f"{view.name}: nothing was built"
            runs.append(f"{run.view}: {run.kind}, {run.rows:,} rows, {run.late_entities:,} late, {run.seconds:.1f} s")
            _say(f"  {runs[-1]}")
    json.dump(_places(settings), sys.stdout)


def _deliver_history(settings: Settings, visits: int, users: int) -> None:
    _append(settings, PAGES, _pages(corrected=False), "pages", valid_from=PAGES.valid_from)
    rows = _visits(visits, users)
    history = rows.filter(pa.array(_days(rows) < DAYS - 1))
    _append(settings, VISITS, _without_late(history), "history", FIRST_DAY + timedelta(days=DAYS - 2))


def _deliver_the_rest(settings: Settings, visits: int, users: int) -> None:
    _append(settings, PAGES, _pages(corrected=True), "corrected pages", valid_from=PAGES.valid_from)
    rows = _visits(visits, users)
    late, last = ~_is_on_time(rows) & (_days(rows) < DAYS - 1), _days(rows) == DAYS - 1
    _append(settings, VISITS, rows.filter(pa.array(late | last)), "the rest", FIRST_DAY + timedelta(days=DAYS - 1))


def _append(
    settings: Settings,
    contract: Contract,
    rows: pa.Table,
    name: str,
    through: date | None = None,
    valid_from: datetime | None = None,
) -> None:
    origin = Origin(file_name=name, content_hash=name, ingested_at=settings.now())
    RawTable(contract, settings.raw_dir).append(rows, origin, complete_through=through, valid_from=valid_from)


def _visits(visits: int, users: int) -> pa.Table:
    chance = np.random.default_rng(11)
    pages = np.array([f"/{number}" for number in range(500)], dtype=object)
    first = int(datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, 12, tzinfo=UTC).timestamp()) * 1_000_000
    seconds = chance.gamma(2.0, 40.0, visits)
    columns = [
        pa.array(np.arange(visits)),
        pa.array(chance.integers(0, users, visits)),
        pa.array(pages[chance.integers(0, len(pages), visits)]),
        pa.array(np.array(_KINDS, dtype=object)[chance.choice(len(_KINDS), visits, p=[0.5, 0.45, 0.05])]),
        pa.array(seconds, mask=chance.random(visits) < 0.1),
        pa.array(first + np.sort(chance.integers(0, DAYS * _DAY_MICROS - _DAY_MICROS // 2, visits))),
    ]
    schema = source_schema(VISITS)
    return pa.table([each.cast(field.type) for each, field in zip(columns, schema, strict=True)], schema=schema)


def _days(rows: pa.Table) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The day of each visit, counted from the first; by UTC, which is near enough to split a delivery."""
    micros = rows["visited_at"].cast(pa.int64()).to_numpy()
    return (micros - micros.min()) // _DAY_MICROS


def _is_on_time(rows: pa.Table) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return rows["visit_id"].to_numpy() % 1_000 != 7


def _without_late(rows: pa.Table) -> pa.Table:
    return rows.filter(pa.array(_is_on_time(rows)))


def _pages(corrected: bool) -> pa.Table:
    """Topics of most pages, some of none; corrected: page 3 was about something else."""
    rows = [{"page": f"/{number}", "topic": f"topic {number % 20}"} for number in range(480)]
    if corrected:
        rows[3]["topic"] = "topic 4"
    return pa.Table.from_pylist(rows, source_schema(PAGES))


def _places(settings: Settings) -> dict[str, object]:
    """How many executors there are beside the driver, and what their Python sees of us."""
    spark = spark_session(settings)

    def look(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import transformations
        import validation

        for _ in batches:
            files = [str(Path(str(package.__file__)).absolute()) for package in (transformations, validation)]
            yield pa.RecordBatch.from_pylist([{"packages": files, "path": list(sys.path)}])

    seen = spark.range(0, 4, 1, 4).mapInArrow(look, "packages array<string>, path array<string>")
    executors = spark.sparkContext._jsc.sc().statusTracker().getExecutorInfos()
    return {"executors": len(executors) - 1, "seen": [row.asDict() for row in seen.collect()]}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
