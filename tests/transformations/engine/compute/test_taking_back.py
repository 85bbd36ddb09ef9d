"""Days that are complete no longer: what a table said of them is taken back, and never read as days without events."""

import random
from datetime import date, timedelta
from typing import Any

import pytest

SALE = "sale_id  user_id  amount  sold_at\n"


def test_days_that_nobody_delivered_read_as_the_last_complete_one(world: Any) -> None:
    world.set_clock("2017-03-15 12:00")
    world.deliver(SALE + "1  1  10.00  2017-03-09 12:00", through="2017-03-14")
    world.build()
    assert world.spend(10, 11, 12, 15) == [10.0, 10.0, 0.0, 0.0]
    world.set_clock("2017-03-15 13:00")
    world.deliver("", through="2017-03-10")
    run = world.build()

    assert (run.kind, run.complete_through, run.rows) == ("taken back", date(2017, 3, 10), 1)
    assert world.spend(10, 11, 12, 15) == [10.0, 10.0, 10.0, 10.0]
    assert world.spend(10, 11, 12, 15, known_at="2017-03-15 12:59") == [10.0, 10.0, 0.0, 0.0]
    assert world.build() is None


def test_days_delivered_after_all_are_computed_and_what_lies_beyond_follows(world: Any) -> None:
    world.deliver(SALE + "1  1  10.00  2017-03-09 12:00", through="2017-03-14")
    world.build()
    world.deliver("", through="2017-03-10")
    world.build()
    world.deliver(SALE + "2  1  5.00  2017-03-11 12:00", through="2017-03-11")
    run = world.build()
    assert run.complete_through == date(2017, 3, 11)
    assert world.spend(10, 11, 12, 13, 15) == [10.0, 10.0, 5.0, 5.0, 5.0]
    world.deliver("", through="2017-03-16")
    world.build()
    assert world.spend(10, 11, 12, 13, 14, 15) == [10.0, 10.0, 5.0, 5.0, 0.0, 0.0]
    world.assert_equals_definition()


@pytest.mark.proof
def test_retracted_rows_of_later_days_take_back_what_they_completed(world: Any) -> None:
    world.deliver(SALE + "1  1  10.00  2017-03-09 12:00", through="2017-03-10")
    world.deliver(SALE + "2  1  7.00  2017-03-16 12:00")
    world.build()
    assert world.spend(12, 16) == [0.0, 0.0]
    world.retract(2)
    world.build()
    assert world.spend(11, 12, 16, 18) == [10.0, 10.0, 10.0, 10.0]


def test_where_no_day_is_complete_any_more_nothing_is_known(world: Any) -> None:
    world.deliver(SALE + "1  1  10.00  2017-03-09 12:00\n2  1  7.00  2017-03-12 12:00")
    world.build()
    world.retract(1)
    world.retract(2)
    assert world.raw.snapshot().complete_through is None
    world.build()
    assert world.spend(10, 12, 13) == [None, None, None]
    assert world.build() is None


def test_a_build_that_dies_before_it_holds_later_days_is_completed_by_the_next(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.deliver(SALE + "1  1  10.00  2017-03-09 12:00", through="2017-03-14")
    world.build()
    world.deliver("", through="2017-03-10")
    world.build()
    world.deliver(SALE + "2  1  5.00  2017-03-11 12:00", through="2017-03-11")

    def die(*_arguments: object, **_named: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("transformations.engine.compute.taking_back.write_taken_back", die)
        with pytest.raises(KeyboardInterrupt):
            world.build()
    assert world.latest().run.complete_through == date(2017, 3, 11)
    world.build()
    assert world.spend(12, 13, 15) == [5.0, 5.0, 5.0]


@pytest.mark.proof
@pytest.mark.parametrize("seed", range(2))
def test_any_sequence_of_days_delivered_and_taken_back_equals_the_definition(world: Any, seed: int) -> None:
    """Beyond the last complete day, everything reads as on the day after it."""
    chance = random.Random(seed)
    first = date(2017, 3, 9)
    world.set_clock("2017-04-01 12:00")
    world.deliver(SALE + "0  1  1.00  2017-03-09 12:00", through="2017-03-09")
    for sales in range(1, 7):
        through = first + timedelta(days=chance.randint(0, 8))
        day = first + timedelta(days=chance.randint(0, (through - first).days))
        sale = f"{SALE}{sales}  {chance.randint(1, 2)}  {2**sales}.00  {day} 15:00"
        world.deliver(chance.choice([sale, sale, ""]), through=str(through))
        if chance.random() < 0.3:
            world.retract(chance.randint(1, sales))
        if chance.random() < 0.7:
            world.build()
    world.build()
    assert world.build() is None

    world.assert_equals_definition()
    complete = world.latest().run.complete_through
    assert complete == world.raw.snapshot().complete_through
    rows = world.rows()
    for user in {row["user_id"] for row in rows}:
        held = world.served(rows, complete + timedelta(days=1), {"user_id": user})
        for offset in range(2, 11):
            later = world.served(rows, complete + timedelta(days=offset), {"user_id": user})
            names = [feature.name for feature in world.view.features]
            unseen = {feature.name: feature.declared.aggregation.unseen for feature in world.view.features}
            expected = unseen if held is None else {name: held[name] for name in names}
            assert (unseen if later is None else {name: later[name] for name in names}) == expected
