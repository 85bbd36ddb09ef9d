"""Sales and what is sold: their contracts, views over them, and a world in which both are delivered and built."""

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.worlds.contracts import NEW_YORK, attribute_source, event_source
from transformations import LIFETIME, Count, CountDistinct, Last, Lookup, Sum, WindowedFeatures, days, hours
from transformations.contracts import Column
from transformations.engine.base.disk_faults import note_reads
from transformations.engine.base.settings import Settings
from transformations.engine.compute.build import build
from transformations.engine.raw.files import source_schema
from transformations.engine.raw.zone import Origin, RawTable, read_current
from transformations.engine.tables.offline_tables import OfflineTable, Run, TableVersion
from transformations.engine.testing.literal_tables import parse_events
from transformations.engine.testing.reference import reference_row
from transformations.engine.upkeep.restore import restore
from transformations.engine.vocabulary.resolution import Resolved, resolve

ZONE = NEW_YORK

SALES = event_source(
    "sales",
    [
        Column("sale_id", "Int64", False, "Identity"),
        Column("user_id", "Int64", False, "User"),
        Column("item_id", "Int64", True, "Item"),
        Column("amount", "Float64", True, "Amount"),
        Column("sold_at", "UnixTimestamp", False, "When"),
    ],
    key=["sale_id"],
    at="sold_at",
)
ITEMS = attribute_source(
    "items", [Column("item_id", "Int64", False, "Item"), Column("kind", "String", True, "Kind")], key=["item_id"]
)
CONTRACTS = {"sales": SALES, "items": ITEMS}

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
        CountDistinct("item_id", name="items", description="Items", unit="items"),
        Last("sold_at", name="sold_at", windows=[LIFETIME], description="Last sale", unit="UTC time"),
    ],
)
KIND_SALES = replace(
    USER_SALES,
    name="kind_sales",
    join_key=["user_id", "kind"],
    lookups=[Lookup("kind", source="items", on="item_id")],
)


def resolved(definition: WindowedFeatures = USER_SALES) -> Resolved:
    return resolve(definition, CONTRACTS.__getitem__)


def sale(
    sale_id: int, at: str | datetime, amount: float | None = 10.0, user_id: int = 1, item_id: int = 5
) -> dict[str, Any]:
    sold_at = (datetime.fromisoformat(at) if isinstance(at, str) else at).replace(tzinfo=UTC)
    return {"sale_id": sale_id, "user_id": user_id, "item_id": item_id, "amount": amount, "sold_at": sold_at}


class SalesWorld:
    """Deliver sales and items, build, restore, and read what is served as-of a day."""

    def __init__(self, settings: Settings, definition: WindowedFeatures = USER_SALES) -> None:
        self.settings = settings
        self.raw = RawTable(SALES, settings.raw_dir)
        self.items = RawTable(ITEMS, settings.raw_dir)
        self.redefine(definition)

    @property
    def table(self) -> OfflineTable:
        return OfflineTable(self.settings.offline_dir / self.view.name)

    def deliver(self, sales: str, through: str | None = None) -> None:
        """A literal table of sales; through: the last day of which all are there."""
        rows = parse_events(self.view, sales) if sales else []
        self.deliver_rows(rows, through and date.fromisoformat(through))

    def deliver_rows(self, rows: Sequence[Mapping[str, Any]], through: date | None = None) -> None:
        table = pa.Table.from_pylist(list(rows), source_schema(SALES))
        origin = Origin(file_name="sales", content_hash=f"{rows} {through}", ingested_at=self.settings.now())
        self.raw.append(table, origin, complete_through=through, correction=True)

    def deliver_items(self, kinds: Mapping[int, str | None]) -> None:
        """All items, each with its kind, as they have always been."""
        rows = [{"item_id": item, "kind": kind} for item, kind in kinds.items()]
        table = pa.Table.from_pylist(rows, source_schema(ITEMS))
        origin = Origin(file_name="items", content_hash=f"{kinds}", ingested_at=self.settings.now())
        self.items.append(table, origin, valid_from=ITEMS.valid_from, correction=True)

    def retract(self, sale_id: int) -> None:
        keys = pa.table({"sale_id": [sale_id]})
        self.raw.retract(
            keys, Origin(file_name="literal", content_hash=f"retract {sale_id}", ingested_at=self.settings.now())
        )

    def redefine(self, definition: WindowedFeatures) -> None:
        self.view = resolved(definition)

    def set_clock(self, now: str) -> None:
        self.settings = self.settings.model_copy(update={"clock": datetime.fromisoformat(now).replace(tzinfo=UTC)})

    def build(self, first: str | date | None = None, last: str | date | None = None) -> Run | None:
        begin, end = (date.fromisoformat(day) if isinstance(day, str) else day for day in (first, last))
        return build(self.view, self.settings, first=begin, last=end)

    def build_accepted(self) -> Run:
        """A build whose values need not be as expected."""
        run = build(self.view, self.settings, accept=True)
        assert run is not None
        return run

    def restore(self, version: int) -> Run | None:
        return restore(self.view, self.settings, version)

    def latest(self) -> TableVersion:
        latest = self.table.latest()
        assert latest is not None
        return latest

    def rows(self, version: int | None = None) -> list[dict[str, Any]]:
        files = (self.latest() if version is None else self.table.at(version)).files
        note_reads(files)
        return pa.concat_tables([pq.read_table(file) for file in files]).to_pylist() if files else []

    def spend(self, *days_of_march: int, known_at: str | None = None, **key: Any) -> list[float | None]:
        """The spend of two days as served as-of these days of March 2017; known_at: by rows created by then.

        key: whose it is, user 1 by default.
        """
        rows = self.rows()
        if known_at is not None:
            moment = datetime.fromisoformat(known_at).replace(tzinfo=UTC)
            rows = [row for row in rows if row["created_timestamp"] <= moment]
        served = [self.served(rows, date(2017, 3, day), {"user_id": 1, **key}) for day in days_of_march]
        return [row and row["spend_sum_2d"] for row in served]

    def served(
        self, rows: Sequence[Mapping[str, Any]], as_of: date, key: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        """Newest wins: the latest event not after the moment of availability, and of equals the latest created."""
        until = self.view.available_from(as_of)
        own = [row for row in rows if all(row[name] == value for name, value in key.items())]
        known = [row for row in own if row["event_timestamp"] <= until]
        return max(known, key=lambda row: (row["event_timestamp"], row["created_timestamp"]), default=None)

    def assert_equals_definition(self) -> None:
        """What is served equals the definition on today's raw zone, for every entity as-of every day covered."""
        events, rows, run = self._events(), self.rows(), self.latest().run
        names = [feature.name for feature in self.view.features]
        unseen = {f.name: f.declared.aggregation.unseen for f in self.view.features}
        keys = {tuple(row[name] for name in self.view.join_keys) for row in [*rows, *events]}
        keys = {key for key in keys if None not in key}
        assert keys
        for values in keys:
            key = dict(zip(self.view.join_keys, values, strict=True))
            own = [event for event in events if all(event[name] == value for name, value in key.items())]
            for offset in range((run.complete_through - run.first_as_of).days + 2):
                as_of = run.first_as_of + timedelta(days=offset)
                row = self.served(rows, as_of, key)
                actual = unseen if row is None else {name: row[name] for name in names}
                assert actual == (reference_row(self.view, own, as_of) or unseen), (key, as_of)

    def _events(self) -> list[dict[str, Any]]:
        """Today's sales, each with the kind of its item where the view looks that up."""
        events = read_current(self.raw.snapshot(), SALES).to_pylist()
        if not self.view.definition.lookups:
            return events
        kinds = {row["item_id"]: row["kind"] for row in read_current(self.items.snapshot(), ITEMS).to_pylist()}
        return [event | {"kind": kinds.get(event["item_id"])} for event in events]

    def saved_view(self, folder: Path) -> Path:
        """The view as a file, for another process."""
        path = folder / "view.pickle"
        path.write_bytes(pickle.dumps(self.view))
        return path
