"""Builds on real Spark and real tables: incremental equals backfill, late data is re-asserted, nothing new commits
nothing.
"""

import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformations import LIFETIME, Count, CountDistinct, Last, Lookup, Sum, WindowedFeatures, days, hours
from transformations.contracts import Column, Contract
from transformations.engine.base import storage
from transformations.engine.base.business_days import start_of_day
from transformations.engine.base.errors import ConflictError, DataError, UsageError
from transformations.engine.base.settings import Settings
from transformations.engine.compute.build import build
from transformations.engine.raw.files import source_schema
from transformations.engine.raw.zone import Origin, RawTable, read_current
from transformations.engine.tables.offline_tables import OfflineTable
from transformations.engine.testing.reference import reference_row
from transformations.engine.upkeep.restore import restore
from transformations.engine.vocabulary.resolution import Resolved, resolve

ZONE = "America/New_York"
DAY = date(2017, 3, 9)  # the clocks change on the 12th

SALES = Contract(
    name="sales",
    version="1.0.0",
    description="Sales",
    owner="tests@example.com",
    columns=(
        Column("sale_id", "Int64", False, "Identity"),
        Column("user_id", "Int64", False, "User"),
        Column("item_id", "Int64", False, "Item"),
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
ITEMS = Contract(
    name="items",
    version="1.0.0",
    description="Items",
    owner="tests@example.com",
    columns=(Column("item_id", "Int64", False, "Item"), Column("kind", "String", True, "Kind")),
    key=("item_id",),
    event_time=None,
    timestamp_zone="UTC",
    business_day_zone=ZONE,
    valid_from=datetime(2017, 1, 1, tzinfo=UTC),
    delivery="snapshot",
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
        Count(name="sales", description="Sales", unit="sales"),
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


def sale(sale_id: int, at: str, amount: float | None = 10.0, user_id: int = 1, item_id: int = 5) -> dict[str, Any]:
    sold_at = datetime.fromisoformat(at).replace(tzinfo=UTC)
    return {"sale_id": sale_id, "user_id": user_id, "item_id": item_id, "amount": amount, "sold_at": sold_at}


def ingest(
    settings: Settings, contract: Contract, rows: Sequence[Mapping[str, Any]], through: date | None = None
) -> None:
    table = pa.Table.from_pylist(list(rows), source_schema(contract))
    origin = Origin("literal", repr(rows), settings.now())
    RawTable(contract, settings.raw_dir).append(table, origin, complete_through=through, correction=True)


def retract(settings: Settings, contract: Contract, keys: Sequence[Mapping[str, Any]]) -> None:
    schema = pa.schema([source_schema(contract).field(name) for name in contract.key])
    RawTable(contract, settings.raw_dir).retract(
        pa.Table.from_pylist(list(keys), schema), Origin("literal", repr(keys), settings.now())
    )


def rows_of(settings: Settings, view: str, version: int | None = None) -> list[dict[str, Any]]:
    table = OfflineTable(settings.offline_dir / view)
    wanted = table.latest() if version is None else table.at(version)
    assert wanted is not None
    return pa.concat_tables([pq.read_table(file) for file in wanted.files]).to_pylist()


def served(rows: Sequence[Mapping[str, Any]], key: Mapping[str, Any], at: datetime) -> Mapping[str, Any] | None:
    """Newest wins: the latest event not after that moment, and of equals the latest created."""
    known = [
        row for row in rows if row["event_timestamp"] <= at and all(row[name] == value for name, value in key.items())
    ]
    return max(known, key=lambda row: (row["event_timestamp"], row["created_timestamp"]), default=None)


def spend(settings: Settings, as_of: date, user_id: int = 1) -> float | None:
    row = served(rows_of(settings, "user_sales"), {"user_id": user_id}, start_of_day(as_of, ZONE) + timedelta(hours=2))
    return None if row is None else row["spend_sum_2d"]


def test_first_load_counts_history_as_known_on_time(spark_settings: Settings) -> None:
    ingest(spark_settings, SALES, [sale(1, "2017-03-09 12:00")], through=date(2017, 3, 14))
    run = build(resolved(), spark_settings)
    rows = rows_of(spark_settings, "user_sales")
    assert run is not None
    assert (run.kind, run.rows, run.first_as_of, run.complete_through) == (
        "first load",
        2,
        date(2017, 3, 10),
        date(2017, 3, 14),
    )
    assert [(row["event_timestamp"], row["spend_sum_2d"]) for row in rows] == [
        (datetime(2017, 3, 10, 7, tzinfo=UTC), 10.0),
        (datetime(2017, 3, 12, 7, tzinfo=UTC), 0.0),
    ]
    assert all(row["created_timestamp"] == row["event_timestamp"] for row in rows)


def test_nothing_new_commits_nothing(spark_settings: Settings) -> None:
    ingest(spark_settings, SALES, [sale(1, "2017-03-09 12:00")], through=date(2017, 3, 14))
    build(resolved(), spark_settings)
    assert build(resolved(), spark_settings) is None
    assert len(OfflineTable(spark_settings.offline_dir / "user_sales").runs()) == 1


def test_a_day_without_events_still_lets_a_window_expire(spark_settings: Settings) -> None:
    ingest(spark_settings, SALES, [sale(1, "2017-03-09 12:00")], through=date(2017, 3, 9))
    build(resolved(), spark_settings)
    assert spend(spark_settings, date(2017, 3, 12)) == 10.0
    ingest(spark_settings, SALES, [], through=date(2017, 3, 11))
    run = build(resolved(), spark_settings)
    assert run is not None
    assert (run.kind, run.rows) == ("incremental", 1)
    assert spend(spark_settings, date(2017, 3, 12)) == 0.0


def test_a_late_sale_rewrites_only_what_it_changed_and_newest_wins(spark_settings: Settings) -> None:
    known = [sale(1, "2017-03-09 12:00"), sale(2, "2017-03-13 12:00", user_id=2)]
    ingest(spark_settings, SALES, known, through=date(2017, 3, 14))
    build(resolved(), spark_settings)
    before = rows_of(spark_settings, "user_sales")
    ingest(spark_settings, SALES, [sale(3, "2017-03-10 12:00", 5.0)])
    run = build(resolved(), spark_settings)
    added = [row for row in rows_of(spark_settings, "user_sales") if row not in before]
    assert run is not None
    assert (run.late_entities, run.late_rows, run.rows) == (1, 3, 3)
    assert {row["user_id"] for row in added} == {1}
    assert [spend(spark_settings, date(2017, 3, day)) for day in (10, 11, 12, 13)] == [10.0, 15.0, 5.0, 0.0]
    assert all(row["created_timestamp"] > max(old["created_timestamp"] for old in before) for row in added)
    assert run.last_created >= max(row["created_timestamp"] for row in added)


def test_a_retracted_history_serves_nulls(spark_settings: Settings) -> None:
    ingest(spark_settings, SALES, [sale(1, "2017-03-09 12:00")], through=date(2017, 3, 14))
    build(resolved(), spark_settings)
    retract(spark_settings, SALES, [{"sale_id": 1}])
    build(resolved(), spark_settings)
    assert [spend(spark_settings, date(2017, 3, day)) for day in (10, 12, 14)] == [None, None, None]


def test_an_unknown_lookup_gives_no_row_and_is_counted(spark_settings: Settings) -> None:
    ingest(spark_settings, ITEMS, [{"item_id": 5, "kind": "food"}])
    ingest(
        spark_settings,
        SALES,
        [sale(1, "2017-03-09 12:00"), sale(2, "2017-03-09 13:00", item_id=6)],
        through=date(2017, 3, 10),
    )
    run = build(resolved(KIND_SALES), spark_settings)
    assert run is not None
    assert dict(run.counts) == {"events": 2, "events without a key": 1, "events without a match in items": 1}
    assert {(row["user_id"], row["kind"]) for row in rows_of(spark_settings, "kind_sales")} == {(1, "food")}


def test_a_corrected_lookup_moves_the_events_to_their_new_key(spark_settings: Settings) -> None:
    ingest(spark_settings, ITEMS, [{"item_id": 5, "kind": "food"}])
    ingest(spark_settings, SALES, [sale(1, "2017-03-09 12:00")], through=date(2017, 3, 12))
    build(resolved(KIND_SALES), spark_settings)
    corrected = pa.Table.from_pylist([{"item_id": 5, "kind": "drink"}], source_schema(ITEMS))
    raw = RawTable(ITEMS, spark_settings.raw_dir)
    raw.append(corrected, Origin("again", "2", spark_settings.now()), valid_from=ITEMS.valid_from)
    build(resolved(KIND_SALES), spark_settings)
    rows = rows_of(spark_settings, "kind_sales")
    at = start_of_day(date(2017, 3, 10), ZONE) + timedelta(hours=2)
    spent = {kind: served(rows, {"user_id": 1, "kind": kind}, at) for kind in ("food", "drink")}
    assert {kind: row and row["spend_sum_lifetime"] for kind, row in spent.items()} == {"food": None, "drink": 10.0}


def test_a_changed_definition_rebuilds_the_table_as_a_new_first_load(spark_settings: Settings) -> None:
    ingest(spark_settings, SALES, [sale(1, "2017-03-09 12:00")], through=date(2017, 3, 14))
    build(resolved(), spark_settings)
    narrower = replace(USER_SALES, windows=[days(1)])
    run = build(resolved(narrower), spark_settings)
    rows = rows_of(spark_settings, "user_sales")
    assert run is not None
    assert (run.kind, run.version) == ("rebuild", 1)
    assert "spend_sum_1d" in rows[0]
    assert "spend_sum_2d" not in rows[0]
    assert all(row["created_timestamp"] == row["event_timestamp"] for row in rows)
    assert "spend_sum_2d" in rows_of(spark_settings, "user_sales", version=0)[0]


def test_a_range_is_computed_again_without_writing_what_is_true_already(spark_settings: Settings) -> None:
    ingest(spark_settings, SALES, [sale(1, "2017-03-09 12:00")], through=date(2017, 3, 14))
    build(resolved(), spark_settings, first=date(2017, 3, 12))
    assert [row["spend_sum_2d"] for row in rows_of(spark_settings, "user_sales")] == [0.0]
    run = build(resolved(), spark_settings, first=date(2017, 3, 10), last=date(2017, 3, 14))
    assert run is not None
    assert (run.kind, run.rows, run.first_as_of) == ("backfill", 1, date(2017, 3, 10))
    assert [spend(spark_settings, date(2017, 3, day)) for day in (10, 12)] == [10.0, 0.0]
    assert build(resolved(), spark_settings, first=date(2017, 3, 10), last=date(2017, 3, 14)) is None


def test_a_range_before_the_table_begins_leaves_no_day_between_unknown(world: Any) -> None:
    sales = """
        sale_id  user_id  amount  sold_at
        1        1        10.00   2017-03-09 12:00
        2        1        20.00   2017-03-10 12:00"""
    world.deliver(sales, through="2017-03-14")
    world.build(first="2017-03-13")
    world.build(first="2017-03-10", last="2017-03-10")
    assert world.spend(10, 11, 12, 13) == [10.0, 30.0, 20.0, 0.0]
    world.assert_equals_definition()


def test_a_range_after_the_sources_end_is_refused(spark_settings: Settings) -> None:
    ingest(spark_settings, SALES, [sale(1, "2017-03-09 12:00")], through=date(2017, 3, 14))
    with pytest.raises(UsageError, match="2017-03-15, the last as-of day"):
        build(resolved(), spark_settings, last=date(2017, 3, 16))


def test_a_source_never_ingested_is_named_with_the_command(spark_settings: Settings) -> None:
    with pytest.raises(DataError, match="features ingest sales FILE"):
        build(resolved(), spark_settings)


def test_of_two_runs_of_one_view_the_second_says_so(spark_settings: Settings) -> None:
    ingest(spark_settings, SALES, [sale(1, "2017-03-09 12:00")], through=date(2017, 3, 14))
    with (
        OfflineTable(spark_settings.offline_dir / "user_sales").writing(),
        pytest.raises(ConflictError, match="user_sales"),
    ):
        build(resolved(), spark_settings)


def test_as_served_a_late_sale_is_known_from_the_run_on_that_saw_it(world: Any) -> None:
    world.set_clock("2017-03-13 06:00")
    world.deliver("sale_id  user_id  amount  sold_at\n1  1  10.00  2017-03-09 12:00", through="2017-03-12")
    world.build()
    world.set_clock("2017-03-15 12:00")
    world.deliver("sale_id  user_id  amount  sold_at\n2  1  5.00  2017-03-10 12:00", through="2017-03-14")
    world.build()

    assert world.spend(10, 11, 12, 13) == [10.0, 15.0, 5.0, 0.0]
    assert world.spend(10, 11, 12, 13, known_at="2017-03-15 12:00") == [10.0, 15.0, 5.0, 0.0]
    assert world.spend(10, 11, 12, 13, known_at="2017-03-15 11:59") == [10.0, 10.0, 0.0, 0.0]
    assert world.spend(10, 11, 12, 13, known_at="2017-03-11 07:00") == [10.0, 10.0, 10.0, 10.0]


def test_a_rebuild_keeps_a_correction_unknown_until_it_was_ingested(world: Any) -> None:
    world.set_clock("2017-03-13 06:00")
    world.deliver("sale_id  user_id  amount  sold_at\n1  1  10.00  2017-03-09 12:00", through="2017-03-12")
    world.build()
    world.set_clock("2017-03-15 12:00")
    world.deliver("sale_id  user_id  amount  sold_at\n2  1  5.00  2017-03-10 12:00", through="2017-03-14")
    world.set_clock("2017-03-20 12:00")
    world.redefine(replace(world.view.definition, windows=[days(1), days(2), LIFETIME]))
    run = world.build()

    assert run.kind == "rebuild"
    assert world.spend(10, 11, 12, 13, known_at="2017-03-15 12:00") == [10.0, 15.0, 5.0, 0.0]
    assert world.spend(10, 11, 12, 13, known_at="2017-03-15 11:59") == [10.0, 10.0, 0.0, 0.0]


@pytest.mark.parametrize("seed", range(3))
def test_any_sequence_of_runs_equals_the_definition_on_todays_raw_zone(spark_settings: Settings, seed: int) -> None:
    """Days, late sales, corrections, retractions, re-classified items, restores, ranges, runs that die before they
    publish and runs with nothing to do, in random order, on a composite key with a lookup.
    """
    chance = random.Random(seed)
    view = resolved(KIND_SALES)
    table = OfflineTable(spark_settings.offline_dir / view.name)
    shop = RandomShop(spark_settings, chance)
    build(view, spark_settings, first=DAY + timedelta(days=3) if seed == 1 else None)
    for step in chance.sample(["deliver", "deliver", "die", "range", "restore", "restore"], 6):
        if step == "range":
            first, last = (DAY + timedelta(days=chance.randint(*between)) for between in ((0, 1), (1, 3)))
            build(view, spark_settings, first=first, last=last)
        elif step == "restore":
            restore(view, spark_settings, chance.choice(table.runs()).version)
        else:
            shop.deliver()
        if step == "die":
            build_that_dies(view, spark_settings)
        elif chance.random() < 0.5:
            build(view, spark_settings)
    build(view, spark_settings)
    assert build(view, spark_settings) is None
    assert_as_corrected(spark_settings, view, shop.through)


def build_that_dies(view: Resolved, settings: Settings) -> None:
    """A build that ends where it would publish, leaving its files behind."""

    def die(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(storage, "publish", die)
        build(view, settings)


class RandomShop:
    """Sales and items that come, change and vanish by chance."""

    def __init__(self, settings: Settings, chance: random.Random) -> None:
        self.settings, self.chance = settings, chance
        self.through, self.sales = DAY + timedelta(days=2), 0
        ingest(settings, ITEMS, [{"item_id": item, "kind": "food"} for item in (5, 6)])
        self.deliver()

    def deliver(self) -> None:
        """Up to three days' drop, with late and corrected sales; now and then one is taken back or an item changes."""
        chance, settings = self.chance, self.settings
        self.through += timedelta(days=chance.randint(0, 3))
        drop = [self._sale() for _ in range(chance.randint(1, 4))]
        ingest(settings, SALES, list({row["sale_id"]: row for row in drop}.values()), through=self.through)
        if chance.random() < 0.4:
            retract(settings, SALES, [{"sale_id": chance.randrange(self.sales)}])
        if chance.random() < 0.4:
            kinds = [{"item_id": item, "kind": chance.choice(["food", "drink", None])} for item in (5, 6, 7)]
            table = pa.Table.from_pylist(kinds, source_schema(ITEMS))
            origin = Origin("items", repr(kinds), settings.now())
            RawTable(ITEMS, settings.raw_dir).append(table, origin, valid_from=ITEMS.valid_from)

    def _sale(self) -> dict[str, Any]:
        chance = self.chance
        at = start_of_day(DAY, ZONE) + timedelta(hours=chance.randint(0, 24 * (self.through - DAY).days + 23))
        identity = chance.randint(0, self.sales)  # now and then a sale that is known already: a correction
        self.sales = max(self.sales, identity + 1)
        amount = chance.choice([None, 0.1, 0.2, 1e16, -3.0])
        return sale(identity, at.isoformat(" ")[:19], amount, chance.randint(1, 2), chance.choice([5, 6, 7]))


def assert_as_corrected(settings: Settings, view: Resolved, through: date) -> None:
    kinds = {
        row["item_id"]: row["kind"]
        for row in read_current(RawTable(ITEMS, settings.raw_dir).snapshot(), ITEMS).to_pylist()
    }
    snapshot = RawTable(SALES, settings.raw_dir).snapshot()
    events = [event | {"kind": kinds.get(event["item_id"])} for event in read_current(snapshot, SALES).to_pylist()]
    rows = rows_of(settings, view.name)
    first = max(DAY, OfflineTable(settings.offline_dir / view.name).runs()[-1].first_as_of)
    names = [feature.name for feature in view.features]
    compared = 0
    for key in {(row["user_id"], row["kind"]) for row in rows} | {
        (event["user_id"], event["kind"]) for event in events if event["kind"]
    }:
        own = [event for event in events if (event["user_id"], event["kind"]) == key]
        for offset in range((through - first).days + 2):
            as_of = first + timedelta(days=offset)
            expected = reference_row(view, own, as_of) or dict.fromkeys(names)
            actual = served(rows, {"user_id": key[0], "kind": key[1]}, start_of_day(as_of, ZONE) + timedelta(hours=2))
            assert {name: actual and actual[name] for name in names} == expected, (key, as_of)
            compared += 1
    assert compared > 0
