"""How a plan is performed: in this process where late events touch few rows, on Spark otherwise."""

from typing import Any

import pytest

from transformations.engine.compute import run

SALES = """
    sale_id  user_id  amount  sold_at
    1        1        10.00   2017-03-09 12:00
    2        2        20.00   2017-03-09 12:00
    3        3        7.00    2017-03-13 12:00"""
CORRECTED = """
    sale_id  user_id  amount  sold_at
    1        1        12.00   2017-03-10 12:00
    4        3        1.00    2017-03-15 12:00"""


def refuse(*_: object) -> None:
    raise AssertionError("Spark was started")


def test_a_correction_of_few_rows_and_a_day_more_are_built_without_spark(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.deliver(SALES, through="2017-03-14")
    world.build()
    monkeypatch.setattr(run, "spark_session", refuse)
    world.deliver(CORRECTED, through="2017-03-15")
    world.retract(2)

    built = world.build()

    assert (built.kind, built.late_entities) == ("incremental", 2)
    assert world.spend(10, 11, 12, 13, user_id=1) == [None, 12.0, 12.0, 0.0]
    assert world.spend(10, 16, user_id=2) == [None, None]
    assert world.spend(16, user_id=3) == [1.0]
    assert built.counts == {"events": 2, "events without a key": 0}  # the new day's, and one that leaves the window
    world.assert_equals_definition()
    assert world.build() is None


@pytest.mark.parametrize(("limit", "master"), [(3, "local[2]"), (3_000_000, "spark://cluster:7077")])
def test_many_rows_and_a_cluster_s_tables_are_corrected_on_spark(
    world: Any, monkeypatch: pytest.MonkeyPatch, limit: int, master: str
) -> None:
    world.deliver(SALES, through="2017-03-14")
    world.build()
    world.deliver(CORRECTED, through="2017-03-15")
    monkeypatch.setattr(run, "spark_session", refuse)
    monkeypatch.setattr(run, "FEW_ROWS_IN_PROCESS", limit)
    world.settings = world.settings.model_copy(update={"spark_master": master})
    with pytest.raises(AssertionError, match="Spark was started"):
        world.build()


@pytest.mark.proof
def test_a_day_of_many_years_is_computed_without_a_shuffle(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each task reads the day, what leaves a window and what was carried over, however much there is besides."""
    years = "\n".join(f"{number}  {number % 3}  1.00  2017-03-01 12:00" for number in range(40))
    world.deliver(f"sale_id  user_id  amount  sold_at\n{years}", through="2017-03-14")
    world.build()
    world.deliver("sale_id  user_id  amount  sold_at\n50  1  5.00  2017-03-15 12:00", through="2017-03-15")
    monkeypatch.setattr(run, "FEW_ROWS", 10)
    monkeypatch.setattr(run, "run_job", refuse)  # the one that shuffles

    built = world.build()

    assert (built.kind, built.rows) == ("incremental", 1)
    assert world.spend(15, 16, user_id=1) == [0.0, 5.0]
    world.assert_equals_definition()
    world.deliver("sale_id  user_id  amount  sold_at\n51  1  5.00  2017-03-10 12:00", through="2017-03-16")
    monkeypatch.setattr(run, "FEW_ROWS_IN_PROCESS", -1)
    with pytest.raises(AssertionError, match="Spark was started"):  # late: its entity's years are read
        world.build()
