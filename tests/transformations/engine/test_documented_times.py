"""The worked example of docs/time-and-corrections.md: what its second table says is what the engine does."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.worlds.sales import SALES as NEW_YORK_SALES
from transformations import LIFETIME, Sum, WindowedFeatures, hours
from transformations.engine.base.settings import Settings
from transformations.engine.compute.build import build
from transformations.engine.raw.files import source_schema
from transformations.engine.raw.zone import Origin, RawTable
from transformations.engine.tables.offline_tables import OfflineTable
from transformations.engine.testing.literal_tables import parse_events
from transformations.engine.vocabulary.resolution import resolve

PAGE = Path(__file__).parents[3] / "docs/time-and-corrections.md"
ASKED = re.compile(r"^\| (\d+) May, (\d\d):00 \| (\S+) \| (\S+) \|$", re.MULTILINE)
SALES = replace(NEW_YORK_SALES, business_day_zone="UTC")
VIEW = resolve(
    WindowedFeatures(
        name="user_sales",
        join_key="user_id",
        source="sales",
        windows=[LIFETIME],
        available_after=hours(0),
        description="What a user bought",
        features=[Sum("amount", name="amount", description="Amount", unit="USD")],
    ),
    {"sales": SALES}.__getitem__,
)
# Day of May on which each drop is ingested, at 01:00, and its rows; it completes the day before.
DROPS = {
    2: "sale_id  user_id  amount  sold_at\n1  1  10  2024-05-01 10:00",
    3: "sale_id  user_id  amount  sold_at\n2  1  5  2024-05-01 11:00",
    4: "sale_id  user_id  amount  sold_at\n1  1  7  2024-05-01 10:00",
}


@pytest.mark.parametrize("often", [True, False], ids=["a-build-a-day", "one-build-of-all"])
def test_the_worked_table_is_what_a_table_of_the_engine_holds(spark_settings: Settings, often: bool) -> None:
    for day, rows in DROPS.items():
        ingested = datetime(2024, 5, day, 1, tzinfo=UTC)
        table = pa.Table.from_pylist(parse_events(VIEW, rows), source_schema(SALES))
        raw = RawTable(SALES, spark_settings.raw_dir)
        raw.append(
            table,
            Origin(file_name="drop", content_hash=str(day), ingested_at=ingested),
            complete_through=date(2024, 5, day - 1),
            correction=True,
        )
        if often:
            build(VIEW, spark_settings)
    build(VIEW, spark_settings)

    asked = list(shown())
    assert len(asked) == 3
    for moment, as_served, as_corrected in asked:
        assert (read(spark_settings, moment, moment), read(spark_settings, moment, None)) == (as_served, as_corrected)


def shown() -> Iterator[tuple[datetime, float, float]]:
    """The rows of the page's table: a moment, and its value as served and as corrected."""
    for day, hour, as_served, as_corrected in ASKED.findall(PAGE.read_text()):
        yield datetime(2024, 5, int(day), int(hour), tzinfo=UTC), float(as_served), float(as_corrected)


def read(settings: Settings, moment: datetime, known_at: datetime | None) -> float:
    """The newest row not later than a moment, among those created by `known_at`."""
    latest = OfflineTable(settings.offline_dir / "user_sales").latest()
    assert latest is not None
    rows = [row for file in latest.files for row in pq.read_table(file).to_pylist()]
    known = [
        row
        for row in rows
        if row["event_timestamp"] <= moment and (known_at is None or row["created_timestamp"] <= known_at)
    ]
    newest = max(known, key=lambda row: (row["event_timestamp"], row["created_timestamp"]))
    amount: float = newest["amount_sum_lifetime"]
    return amount
