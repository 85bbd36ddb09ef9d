"""Restores: old content wins again, in rows of its own, and the next build goes on from it."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from tests.transformations.cli.disks.damages import flip_a_value
from transformations import Sum
from transformations.engine.base.errors import DamagedError, DataError
from transformations.engine.tables.compaction import compact_table

TWO_USERS = """
    sale_id  user_id  amount  sold_at
    1        1        10.00   2017-03-09 12:00
    2        2        20.00   2017-03-13 12:00"""
LATE = """
    sale_id  user_id  amount  sold_at
    3        1        5.00    2017-03-10 12:00"""


def test_restored_content_wins_and_the_next_build_takes_in_again_what_came_since(world: Any) -> None:
    world.deliver(TWO_USERS, through="2017-03-14")
    first = world.build()
    world.deliver(LATE)
    world.build()
    before = world.rows()
    assert world.spend(10, 11, 12, 13) == [10.0, 15.0, 5.0, 0.0]

    run = world.restore(0)

    added = [row for row in world.rows() if row not in before]
    assert world.spend(10, 11, 12, 13) == [10.0, 10.0, 0.0, 0.0]
    assert (run.version, run.kind, run.restores, run.sources) == (2, "restore", 0, first.sources)
    assert {row["user_id"] for row in added} == {1}
    assert min(row["created_timestamp"] for row in added) > max(row["created_timestamp"] for row in before)
    assert world.restore(0) is None

    assert world.build().late_entities == 1
    assert world.spend(10, 11, 12, 13) == [10.0, 15.0, 5.0, 0.0]
    world.assert_equals_definition()


@pytest.mark.proof
def test_after_merges_a_version_is_restored_as_without_them(world: Any) -> None:
    world.deliver(TWO_USERS, through="2017-03-14")
    world.build()
    world.deliver(LATE)
    world.build()
    for _ in range(2):
        assert compact_table(world.table, world.settings) is not None
        assert world.restore(0) is not None  # version 0, though its files were merged into others
        assert world.spend(10, 11, 12, 13) == [10.0, 10.0, 0.0, 0.0]
        assert world.restore(2) is not None  # the merge itself: the content that it merged
        assert world.spend(10, 11, 12, 13) == [10.0, 15.0, 5.0, 0.0]
        assert world.restore(1) is None
    world.build()
    world.assert_equals_definition()


def test_neither_version_of_a_restore_may_have_other_bytes_than_were_written(world: Any) -> None:
    world.deliver(TWO_USERS, through="2017-03-14")
    world.build()
    old = set(world.table.path.glob("run=*/*.parquet"))
    world.deliver(LATE)
    world.build()
    new = set(world.table.path.glob("run=*/*.parquet")) - old
    for file in (min(old), min(new)):
        whole = file.read_bytes()
        flip_a_value(file)
        with pytest.raises(DamagedError, match=f"^{file} is damaged: it does not hold the bytes that were written"):
            world.restore(0)
        file.write_bytes(whole)
    assert world.latest().version == 1
    assert world.restore(0).version == 2


@pytest.mark.proof
def test_days_built_since_stand_at_what_was_known_then_until_they_are_built_again(world: Any) -> None:
    """The usual case: bad data came in, the table goes back, the data is taken back, and the days are built anew."""
    world.deliver("sale_id  user_id  amount  sold_at\n1  1  10.00  2017-03-09 12:00", through="2017-03-10")
    world.build()
    world.deliver(
        """
        sale_id  user_id  amount  sold_at
        2        1        99.00   2017-03-12 12:00
        3        2        20.00   2017-03-12 12:00""",
        through="2017-03-14",
    )
    world.build()
    assert (world.spend(11, 12, 13, 15), world.spend(13, 15, user_id=2)) == ([10.0, 0.0, 99.0, 0.0], [20.0, 0.0])

    run = world.restore(0)

    assert run.complete_through == date(2017, 3, 10)
    assert (world.spend(11, 12, 13, 15), world.spend(13, 15, user_id=2)) == ([10.0] * 4, [None, None])
    assert {row["sales_count_lifetime"] for row in world.rows() if row["user_id"] == 2} == {1, 0}

    world.retract(2)
    run = world.build()
    assert (run.kind, run.complete_through, run.late_entities) == ("incremental", date(2017, 3, 14), 0)
    assert (world.spend(11, 12, 13, 15), world.spend(13, 15, user_id=2)) == ([10.0, 0.0, 0.0, 0.0], [20.0, 0.0])
    world.assert_equals_definition()


@pytest.mark.proof
def test_a_range_taken_back_can_be_computed_again(world: Any) -> None:
    """Rows of a backfill count as on time, yet they must win over those that the restore wrote for the same days."""
    world.deliver(TWO_USERS, through="2017-03-14")
    world.build(first="2017-03-12")
    world.build(first="2017-03-10", last="2017-03-14")
    world.restore(0)
    assert world.spend(10, 11, 12) == [None, None, 0.0]

    world.build(first="2017-03-10", last="2017-03-14")

    assert world.spend(10, 11, 12) == [10.0, 10.0, 0.0]
    world.assert_equals_definition()


def test_only_versions_of_the_same_definition_can_be_restored_also_across_a_rebuild(world: Any) -> None:
    definition = world.view.definition
    world.deliver(TWO_USERS, through="2017-03-14")
    world.build()
    world.redefine(replace(definition, features=[Sum("amount", name="paid", description="Paid", unit="USD")]))
    world.build()
    with pytest.raises(DataError, match=r"version 0 was built from definition .* \(of this definition are 1\)"):
        world.restore(0)

    world.redefine(definition)
    with pytest.raises(DataError, match="Run `features build user_sales`"):
        world.restore(0)

    world.retract(1)
    world.build()
    assert world.spend(11) == [None]
    world.restore(0)
    assert world.spend(10, 11, 12) == [10.0, 10.0, 0.0]


def test_a_version_that_there_is_not_is_told_with_those_there_are(world: Any) -> None:
    with pytest.raises(DataError, match="user_sales has no version 3; it has no version yet"):
        world.restore(3)
