"""Builds on real Spark and real tables: incremental equals backfill, late data is re-asserted, nothing new commits
nothing.
"""

import random
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from tests.worlds.sales import KIND_SALES, USER_SALES, ZONE, SalesWorld, sale
from tests.worlds.samples import some_quick
from transformations import LIFETIME, days
from transformations.engine.base import storage
from transformations.engine.base.business_days import start_of_day
from transformations.engine.base.errors import ConflictError, DataError, UsageError
from transformations.engine.base.settings import Settings

DAY = date(2017, 3, 9)  # the clocks change on the 12th
SALE = "sale_id  user_id  amount  sold_at\n"
ONE_SALE = SALE + "1  1  10.00  2017-03-09 12:00"


@pytest.fixture
def kinds(spark_settings: Settings) -> SalesWorld:
    """The world of sales, with a view of what a user bought of a kind."""
    return SalesWorld(spark_settings, KIND_SALES)


def test_first_load_counts_history_as_known_on_time(world: Any) -> None:
    world.deliver(ONE_SALE, through="2017-03-14")
    run, rows = world.build(), world.rows()
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


def test_nothing_new_commits_nothing(world: Any) -> None:
    world.deliver(ONE_SALE, through="2017-03-14")
    world.build()
    assert world.build() is None
    assert len(world.table.runs()) == 1


def test_a_day_without_events_still_lets_a_window_expire(world: Any) -> None:
    world.deliver(ONE_SALE, through="2017-03-09")
    world.build()
    assert world.spend(12) == [10.0]
    world.deliver("", through="2017-03-11")
    run = world.build()
    assert (run.kind, run.rows) == ("incremental", 1)
    assert world.spend(12) == [0.0]


def test_a_late_sale_rewrites_only_what_it_changed_and_newest_wins(world: Any) -> None:
    world.deliver(ONE_SALE + "\n2  2  10.00  2017-03-13 12:00", through="2017-03-14")
    world.build()
    before = world.rows()
    world.deliver(SALE + "3  1  5.00  2017-03-10 12:00")
    run = world.build()
    added = [row for row in world.rows() if row not in before]
    assert (run.late_entities, run.late_rows, run.rows) == (1, 3, 3)
    assert {row["user_id"] for row in added} == {1}
    assert world.spend(10, 11, 12, 13) == [10.0, 15.0, 5.0, 0.0]
    assert all(row["created_timestamp"] > max(old["created_timestamp"] for old in before) for row in added)
    assert run.last_created >= max(row["created_timestamp"] for row in added)


def test_a_retracted_history_serves_nulls(world: Any) -> None:
    world.deliver(ONE_SALE, through="2017-03-14")
    world.build()
    world.retract(1)
    world.build()
    assert world.spend(10, 12, 14) == [None, None, None]


def test_an_unknown_lookup_gives_no_row_and_is_counted(kinds: Any) -> None:
    kinds.deliver_items({5: "food"})
    sales = [sale(1, "2017-03-09 12:00"), sale(2, "2017-03-09 13:00", item_id=6)]
    kinds.deliver_rows(sales, through=date(2017, 3, 10))
    run = kinds.build()
    assert dict(run.counts) == {"events": 2, "events without a key": 1, "events without a match in items": 1}
    assert {(row["user_id"], row["kind"]) for row in kinds.rows()} == {(1, "food")}


def test_a_corrected_lookup_moves_the_events_to_their_new_key(kinds: Any) -> None:
    kinds.deliver_items({5: "food"})
    kinds.deliver_rows([sale(1, "2017-03-09 12:00")], through=date(2017, 3, 10))
    kinds.build()
    kinds.deliver_items({5: "drink"})
    kinds.build()
    assert {kind: kinds.spend(10, kind=kind) for kind in ("food", "drink")} == {"food": [None], "drink": [10.0]}


def test_a_changed_definition_rebuilds_the_table_as_a_new_first_load(world: Any) -> None:
    world.deliver(ONE_SALE, through="2017-03-14")
    world.build()
    world.redefine(replace(USER_SALES, windows=[days(1)]))
    run, rows = world.build(), world.rows()
    assert (run.kind, run.version) == ("rebuild", 1)
    assert "spend_sum_1d" in rows[0]
    assert "spend_sum_2d" not in rows[0]
    assert all(row["created_timestamp"] == row["event_timestamp"] for row in rows)
    assert "spend_sum_2d" in world.rows(version=0)[0]


def test_a_range_is_computed_again_without_writing_what_is_true_already(world: Any) -> None:
    world.deliver(ONE_SALE, through="2017-03-14")
    world.build(first="2017-03-12")
    assert [row["spend_sum_2d"] for row in world.rows()] == [0.0]
    run = world.build(first="2017-03-10", last="2017-03-14")
    assert (run.kind, run.rows, run.first_as_of) == ("backfill", 1, date(2017, 3, 10))
    assert world.spend(10, 12) == [10.0, 0.0]
    assert world.build(first="2017-03-10", last="2017-03-14") is None


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


def test_a_range_after_the_sources_end_is_refused(world: Any) -> None:
    world.deliver(ONE_SALE, through="2017-03-14")
    with pytest.raises(UsageError, match="2017-03-15, the last as-of day"):
        world.build(last="2017-03-16")


def test_a_source_never_ingested_is_named_with_the_command(world: Any) -> None:
    with pytest.raises(DataError, match="features ingest sales FILE"):
        world.build()


def test_of_two_runs_of_one_view_the_second_says_so(world: Any) -> None:
    world.deliver(ONE_SALE, through="2017-03-14")
    with world.table.writing(), pytest.raises(ConflictError, match="user_sales"):
        world.build()


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


@pytest.mark.parametrize("seed", some_quick(range(3), 0))
def test_any_sequence_of_runs_equals_the_definition_on_todays_raw_zone(kinds: Any, seed: int) -> None:
    """Days, late sales, corrections, retractions, re-classified items, restores, ranges, runs that die before they
    publish and runs with nothing to do, in random order, on a composite key with a lookup.
    """
    chance = random.Random(seed)
    shop = RandomShop(kinds, chance)
    kinds.build(first=DAY + timedelta(days=3) if seed == 1 else None)
    for step in chance.sample(["deliver", "deliver", "die", "range", "restore", "restore"], 6):
        if step == "range":
            kinds.build(*(DAY + timedelta(days=chance.randint(*between)) for between in ((0, 1), (1, 3))))
        elif step == "restore":
            kinds.restore(chance.choice(kinds.table.runs()).version)
        else:
            shop.deliver()
        if step == "die":
            build_that_dies(kinds)
        elif chance.random() < 0.5:
            kinds.build()
    kinds.build()
    assert kinds.build() is None
    assert kinds.latest().run.complete_through == shop.through
    kinds.assert_equals_definition()


def build_that_dies(world: SalesWorld) -> None:
    """A build that ends where it would publish, leaving its files behind."""

    def die(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(storage, "publish", die)
        world.build()


class RandomShop:
    """Sales and items that come, change and vanish by chance."""

    def __init__(self, world: SalesWorld, chance: random.Random) -> None:
        self.world, self.chance = world, chance
        self.through, self.sales = DAY + timedelta(days=2), 0
        world.deliver_items({5: "food", 6: "food"})
        self.deliver()

    def deliver(self) -> None:
        """Up to three days' drop, with late and corrected sales; now and then one is taken back or an item changes."""
        chance = self.chance
        self.through += timedelta(days=chance.randint(0, 3))
        drop = [self._sale() for _ in range(chance.randint(1, 4))]
        self.world.deliver_rows(list({row["sale_id"]: row for row in drop}.values()), self.through)
        if chance.random() < 0.4:
            self.world.retract(chance.randrange(self.sales))
        if chance.random() < 0.4:
            self.world.deliver_items({item: chance.choice(["food", "drink", None]) for item in (5, 6, 7)})

    def _sale(self) -> dict[str, Any]:
        chance = self.chance
        at = start_of_day(DAY, ZONE) + timedelta(hours=chance.randint(0, 24 * (self.through - DAY).days + 23))
        identity = chance.randint(0, self.sales)  # now and then a sale that is known already: a correction
        self.sales = max(self.sales, identity + 1)
        amount = chance.choice([None, 0.1, 0.2, 1e16, -3.0])
        return sale(identity, at, amount, chance.randint(1, 2), chance.choice([5, 6, 7]))
