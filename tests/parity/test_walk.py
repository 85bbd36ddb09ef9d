"""Time walks forward over generated histories; whatever is looked up is what it was promised, and what training has."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from .shop import Shop
from .walk import Step, Walk

EXAMPLES = int(os.environ.get("PARITY_EXAMPLES", "0"))  # `make parity-proof` tries many

# 0.1 + 0.2 is no 0.3: sums show the order in which they were folded.
AMOUNTS = st.sampled_from([0.1, 0.2, 0.3, 5.0, -1.0, 1e16, None])
STEPS = st.builds(
    Step,
    hours=st.integers(1, 60),
    sales=st.lists(
        st.tuples(st.integers(1, 3), AMOUNTS, st.integers(0, 90), st.sampled_from(["free", "gold"])), max_size=4
    ),
    corrections=st.lists(st.tuples(st.integers(0, 20), AMOUNTS), max_size=1),
    retractions=st.lists(st.integers(0, 20), max_size=1),
    lag=st.integers(0, 1),
    builds=st.sampled_from([True, True, True, False]),
    materialize=st.sampled_from(["incremental", "incremental", "full", "behind", "nothing"]),
    flushes=st.sampled_from([False, False, False, False, True]),
    widens=st.sampled_from([False, False, False, False, True]),
    redefines=st.sampled_from([False, False, False, False, True]),
    looks=st.lists(st.integers(0, 80), min_size=1, max_size=2, unique=True),
)

BUSY = [
    Step(hours=24, sales=[(1, 0.1, 5, "free"), (2, 0.2, 30, "gold"), (1, 0.2, 40, "gold")], looks=[0, 3]),
    Step(  # late, corrected; the plan's ttl passes
        hours=20, sales=[(2, 0.3, 70, "free"), (3, None, 26, "free")], corrections=[(0, 5.0)], looks=[0, 50]
    ),
    Step(hours=14, retractions=[1], materialize="behind", looks=[0, 20]),  # vanished rows; held-back rows
    Step(hours=9, sales=[(3, 1e16, 10, "gold")], widens=True, materialize="nothing"),  # rows of an older schema
    Step(hours=2, sales=[(1, -1.0, 30, "free")], looks=[0, 1]),
    Step(hours=30, flushes=True, materialize="nothing"),
    Step(hours=20, redefines=True, materialize="nothing"),  # what was known when is asked again
    Step(hours=10, builds=False, looks=[0, 30]),
]


@pytest.fixture
def open_shop(shop_of: Callable[..., Shop], tmp_path: Path) -> Callable[..., Shop]:
    """A new shop each time, in the same place, since views know where their tables lie."""

    def shop(with_spark: bool = False) -> Shop:
        folder = tmp_path / "shop"
        shutil.rmtree(folder, ignore_errors=True)
        made = shop_of(folder, with_spark)
        made.now = "2024-03-08T12:00:00+00:00"  # two days before the clocks change in New York
        made.apply()
        return made

    return shop


def walked(shop: Shop, steps: list[Step]) -> Walk:
    walk = Walk(shop)
    for step in steps:
        walk.go(step)
    return walk.end()


@settings(
    max_examples=max(EXAMPLES, 1),
    deadline=None,
    # A step takes too long to shrink; what failed is printed in full.
    phases=[Phase.explicit, *([Phase.generate] if EXAMPLES else [])],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@example(steps=BUSY)
@example(steps=[Step(hours=45, sales=[(1, None, 11, "gold")], lag=1)])  # a table that covers no day of a sale yet
@example(
    steps=[
        Step(hours=49, sales=[(2, None, 1, "gold")], retractions=[0]),
        Step(hours=41, retractions=[0], widens=True),
    ]
)  # nothing left
@given(steps=st.lists(STEPS, min_size=2, max_size=5))
def test_what_is_served_is_what_was_promised_and_what_training_has(
    open_shop: Callable[..., Shop], steps: list[Step]
) -> None:
    walked(open_shop(), steps)


def test_the_walk_compares_something(open_shop: Callable[..., Shop]) -> None:
    walk = walked(open_shop(), BUSY[:2])
    assert walk.compared > 100
    assert walk.compared_as_served > 50


@pytest.mark.proof
@pytest.mark.usefixtures("_spark")
def test_the_same_holds_of_tables_that_the_engine_built(open_shop: Callable[..., Shop]) -> None:
    walked(open_shop(with_spark=True), BUSY[1:3] if EXAMPLES == 0 else BUSY)
