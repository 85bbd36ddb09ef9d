"""Days that are sent again, and upserts: what is built in steps equals one backfill, and the definition."""

import random
import shutil
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from tests.worlds.sales import ITEMS, SALES, USER_SALES, SalesWorld, sale
from tests.worlds.samples import some_quick
from transformations.engine.base.settings import Settings
from transformations.engine.raw.files import source_schema
from transformations.engine.raw.zone import Origin, RawTable
from transformations.engine.vocabulary.resolution import resolve

FIRST, DAYS = date(2017, 3, 9), 5  # the clocks change on the 12th
USERS = (1, 2, 3)


class DeliveredWorld(SalesWorld):
    """Sales whose contract says what a drop is; drops are no corrections."""

    def __init__(self, settings: Settings, delivery: str) -> None:
        super().__init__(settings)
        self.set_clock("2017-04-01 12:00")
        contract = replace(SALES, delivery=delivery)
        self.raw = RawTable(contract, settings.raw_dir)
        self.view = resolve(USER_SALES, {"sales": contract, "items": ITEMS}.__getitem__)

    def send(self, sales: list[dict[str, Any]], name: str) -> Any:
        table = pa.Table.from_pylist(sales, source_schema(SALES))
        through = FIRST + timedelta(days=DAYS)
        return self.raw.append(
            table, Origin(file_name=name, content_hash=name, ingested_at=self.settings.now()), complete_through=through
        )


def moment(day: int, hour: int) -> datetime:
    return datetime(2017, 3, 9 + day, 12 + hour)  # of one business day in New York


def some_sales(chance: random.Random, day: int) -> list[dict[str, Any]]:
    """A day's sales: up to four of the day's own six numbers, of any user; never the same set for long."""
    numbers = chance.sample(range(6), chance.randint(1, 4))
    return [
        sale(10 * day + number, moment(day, chance.randint(0, 9)), float(chance.randint(1, 99)), chance.choice(USERS))
        for number in numbers
    ]


@pytest.mark.parametrize(
    ("delivery", "seed"), some_quick([("replace-partition", 0), ("replace-partition", 1), ("upsert", 0)], 0)
)
def test_builds_between_re_sent_days_equal_one_backfill(spark_settings: Settings, delivery: str, seed: int) -> None:
    chance = random.Random(seed)
    world = DeliveredWorld(spark_settings, delivery)
    world.send([each for day in range(DAYS) for each in some_sales(chance, day)], "all days")
    world.build()
    retracted = 0
    for step in range(8):
        days = chance.sample(range(DAYS), chance.randint(1, 2))
        drop = world.send([each for day in days for each in some_sales(chance, day)], f"step {step}")
        retracted += drop.retracted
        if chance.random() < 0.6:
            world.build()
    world.build()
    assert world.build() is None
    assert (retracted > 0) == (delivery == "replace-partition")

    world.assert_equals_definition()
    backfilled = DeliveredWorld(world.settings.model_copy(update={"data": world.settings.data / "again"}), delivery)
    shutil.copytree(world.settings.raw_dir, backfilled.settings.raw_dir)
    backfilled.build()
    assert len(backfilled.table.runs()) == 1
    assert served_of(world) == served_of(backfilled)


def served_of(world: SalesWorld) -> dict[tuple[int, date], dict[str, Any] | None]:
    """What every user is served as-of every day; a user who was never seen reads as one whose sales were all zero."""
    rows, names = world.rows(), [feature.name for feature in world.view.features]
    unseen = {feature.name: feature.declared.aggregation.unseen for feature in world.view.features}
    found = {}
    for user in USERS:
        for offset in range(1, DAYS + 3):
            row = world.served(rows, FIRST + timedelta(days=offset), {"user_id": user})
            found[user, FIRST + timedelta(days=offset)] = unseen if row is None else {name: row[name] for name in names}
    return found


def test_a_sale_that_a_re_sent_day_lacks_is_taken_back_from_every_window(spark_settings: Settings) -> None:
    world = DeliveredWorld(spark_settings, "replace-partition")
    world.send([sale(1, moment(0, 0), 10.0), sale(2, moment(0, 1), 5.0), sale(3, moment(1, 0), 1.0)], "all")
    world.build()
    assert world.spend(10, 11, 12) == [15.0, 16.0, 1.0]
    drop = world.send([sale(1, moment(0, 0), 10.0)], "the ninth again")
    assert (drop.rows, drop.unchanged, drop.retracted) == (1, 1, 1)
    world.build()
    assert world.spend(10, 11, 12) == [10.0, 11.0, 1.0]
