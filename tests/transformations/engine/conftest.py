"""What tests of whole tables share: a source of sales with one view over it, and tables of literal files."""

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformations import LIFETIME, Count, Last, Sum, WindowedFeatures, days, hours
from transformations.contracts import Column, Contract
from transformations.engine.base.settings import Settings
from transformations.engine.base.storage import NewFile
from transformations.engine.compute.build import build
from transformations.engine.raw.files import source_schema
from transformations.engine.raw.zone import Origin, RawTable, read_current
from transformations.engine.tables.offline_tables import OfflineTable, Run, TableVersion, time_bounds
from transformations.engine.testing.literal_tables import parse_events
from transformations.engine.testing.reference import reference_row
from transformations.engine.upkeep.restore import restore
from transformations.engine.vocabulary.resolution import Resolved, resolve

ZONE = "America/New_York"

SALES = Contract(
    name="sales",
    version="1.0.0",
    description="Sales",
    owner="tests@example.com",
    columns=(
        Column("sale_id", "Int64", False, "Identity"),
        Column("user_id", "Int64", False, "User"),
        Column("amount", "Float64", True, "Amount"),
        Column("sold_at", "UnixTimestamp", False, "When"),
    ),
    key=("sale_id",),
    event_time="sold_at",
    timestamp_zone="UTC",
    business_day_zone=ZONE,
    valid_from=None,
    delivery="append",
)

USER_SALES = WindowedFeatures(
    name="user_sales",
    join_key="user_id",
    source="sales",
    windows=[days(2), LIFETIME],
    available_after=hours(2),
    description="What a user bought",
    features=[
        Count(name="sales", description="Sales", unit="sales", unseen=0),
        Sum("amount", name="spend", description="Spend", unit="USD"),
        Last("sold_at", name="sold_at", windows=[LIFETIME], description="Last sale", unit="UTC time"),
    ],
)


class SalesWorld:
    """Deliver sales, build, restore, and read what is served as-of a day."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.view = resolved(USER_SALES)
        self.raw = RawTable(SALES, settings.raw_dir)
        self.table = OfflineTable(settings.offline_dir / "user_sales")

    def deliver(self, sales: str, through: str | None = None) -> None:
        """A literal table of sales; through: the last day of which all are there."""
        rows = pa.Table.from_pylist(parse_events(self.view, sales) if sales else [], source_schema(SALES))
        origin = Origin("literal", f"{sales}{through}", self.settings.now())
        self.raw.append(rows, origin, complete_through=through and date.fromisoformat(through), correction=True)

    def retract(self, sale_id: int) -> None:
        keys = pa.table({"sale_id": [sale_id]})
        self.raw.retract(keys, Origin("literal", f"retract {sale_id}", self.settings.now()))

    def redefine(self, definition: WindowedFeatures) -> None:
        self.view = resolved(definition)

    def set_clock(self, now: str) -> None:
        self.settings = self.settings.model_copy(update={"clock": datetime.fromisoformat(now).replace(tzinfo=UTC)})

    def build(self, first: str | None = None, last: str | None = None) -> Run | None:
        begin, end = (date.fromisoformat(day) if day else None for day in (first, last))
        return build(self.view, self.settings, first=begin, last=end)

    def restore(self, version: int) -> Run | None:
        return restore(self.view, self.settings, version)

    def latest(self) -> TableVersion:
        latest = self.table.latest()
        assert latest is not None
        return latest

    def rows(self, version: int | None = None) -> list[dict[str, Any]]:
        files = (self.latest() if version is None else self.table.at(version)).files
        return pa.concat_tables([pq.read_table(file) for file in files]).to_pylist() if files else []

    def spend(self, *days_of_march: int, user_id: int = 1, known_at: str | None = None) -> list[float | None]:
        """The spend of two days as served as-of these days of March 2017; known_at: by rows created by then."""
        rows = self.rows()
        if known_at is not None:
            moment = datetime.fromisoformat(known_at).replace(tzinfo=UTC)
            rows = [row for row in rows if row["created_timestamp"] <= moment]
        served = [self.served(rows, user_id, date(2017, 3, day)) for day in days_of_march]
        return [row and row["spend_sum_2d"] for row in served]

    def served(self, rows: Sequence[Mapping[str, Any]], user_id: int, as_of: date) -> Mapping[str, Any] | None:
        """Newest wins: the latest event not after the moment of availability, and of equals the latest created."""
        until = self.view.available_from(as_of)
        known = [row for row in rows if row["user_id"] == user_id and row["event_timestamp"] <= until]
        return max(known, key=lambda row: (row["event_timestamp"], row["created_timestamp"]), default=None)

    def assert_equals_definition(self) -> None:
        """What is served equals the definition on today's raw zone, for every user as-of every day covered."""
        events = read_current(self.raw.snapshot(), SALES).to_pylist()
        rows, run = self.rows(), self.latest().run
        unseen = {f.name: f.declared.aggregation.unseen for f in self.view.features}
        users = {row["user_id"] for row in rows} | {event["user_id"] for event in events}
        assert users
        for user in users:
            own = [event for event in events if event["user_id"] == user]
            for offset in range((run.complete_through - run.first_as_of).days + 2):
                as_of = run.first_as_of + timedelta(days=offset)
                row = self.served(rows, user, as_of)
                actual = unseen if row is None else {name: row[name] for name in unseen}
                assert actual == (reference_row(self.view, own, as_of) or unseen), (user, as_of)

    def saved_view(self, folder: Path) -> Path:
        """The view as a file, for another process."""
        path = folder / "view.pickle"
        path.write_bytes(pickle.dumps(self.view))
        return path


class LiteralTable(OfflineTable):
    """A table whose runs are written by hand: one file a run, with one row a number."""

    schema = pa.schema([("user_id", pa.int64()), ("event_timestamp", pa.timestamp("us", tz="UTC"))])
    moment = datetime(2020, 1, 1, tzinfo=UTC)

    def write(self, run_id: str, *users: int) -> NewFile:
        """A run's file that no version refers to yet, and what it would carry over."""
        path = self.path / f"run={run_id}" / "1.parquet"
        carry = self.path / f"carry={run_id}" / "bucket-00000.parquet"
        rows = pa.Table.from_pylist([{"user_id": user, "event_timestamp": self.moment} for user in users], self.schema)
        for each in (path, carry):
            each.parent.mkdir(parents=True)
            pq.write_table(rows, each)
        micros = int(self.moment.timestamp()) * 1_000_000
        name = path.relative_to(self.path).as_posix()
        return NewFile(name, path.stat().st_size, len(users), time_bounds(micros, micros))

    def run(self, run_id: str, *users: int, kind: str = "incremental") -> int:
        """Publish one run; its version."""
        latest = self.latest()
        run = replace(RUN, run_id=run_id, kind=kind, rows=len(users), carry=f"carry={run_id}")
        after = None if latest is None else latest.version
        file = self.write(run_id, *users)
        return self.publish([file], self.schema, run, after=after, replace_all=kind == "rebuild").version

    def users(self, version: int) -> list[int]:
        return sorted(user for file in self.at(version).files for user in pq.read_table(file)["user_id"].to_pylist())


RUN = Run(
    view="user_clicks",
    version=-1,
    run_id="a",
    kind="first load",
    started_at=datetime(2020, 1, 3, tzinfo=UTC),
    seconds=1.5,
    rows=1,
    definition_hash="0123456789abcdef",
    code_revision="0123456789ab",
    first_as_of=date(2020, 1, 1),
    complete_through=date(2020, 1, 2),
    sources={"clicks": 0},
    last_created=datetime(2020, 1, 3, tzinfo=UTC),
    late_entities=0,
    counts={"events": 1},
    carry=None,
)


def resolved(definition: WindowedFeatures) -> Resolved:
    return resolve(definition, {"sales": SALES}.__getitem__)


@pytest.fixture
def world(spark_settings: Settings) -> SalesWorld:
    """Sales and their view; builds run on the shared Spark session."""
    return SalesWorld(spark_settings)


@pytest.fixture
def literal_table(tmp_path: Path) -> LiteralTable:
    """A table of nothing yet, to which runs are added by hand."""
    return LiteralTable(tmp_path / "user_clicks")
