"""Traps that lie in training alone."""

import random

import pandas as pd
from feast.types import Float64, Int64

from .traps import trap
from .worlds import World

USER = [{"user_id": 1}]


def corrected_later(world: World) -> None:
    """The row of 1 May says 5 until it is corrected on 3 May."""
    view = world.view("mended_visits", spent=Float64)
    world.write(view, (1, "2024-05-01", None, 5.0), (1, "2024-05-01", "2024-05-03", 7.0))
    world.apply(view)


@trap("T6", paths=())
def test_t06_training_can_be_asked_for_what_was_known_at_the_time(world: World) -> None:
    world.once(corrected_later)
    asked = ["mended_visits:spent"]

    for at, value in (("2024-05-02", 5.0), ("2024-05-03", 7.0)):
        assert world.training(asked, USER, at, filter_by_created_timestamp=True) == {"spent": [value]}


@trap("T6: default", paths=())
def test_t06_by_default_training_knows_only_what_serving_knew(world: World) -> None:
    world.once(corrected_later)

    assert world.training(["mended_visits:spent"], USER, "2024-05-02") == {"spent": [5.0]}


def many(world: World) -> None:
    """Two views, half of whose users have no row."""
    first, second = world.view("first_visits", pages=Int64), world.view("second_visits", spent=Float64)
    world.write(first, *((user, "2024-05-01", None, user) for user in range(0, 200_000, 2)))
    world.write(second, *((user, "2024-05-01", None, user / 2) for user in range(0, 200_000, 3)))
    world.apply(first, second)


@trap("T23", paths=())
def test_t23_training_rows_come_in_the_order_of_the_spine(world: World) -> None:
    world.once(many)
    users = list(range(200_000))
    random.Random(1).shuffle(users)
    spine = pd.DataFrame({"user_id": users, "event_timestamp": pd.Timestamp("2024-05-02", tz="UTC")})

    for _ in range(3):  # of a few, one may come out in order by chance
        found = world.store.get_historical_features(
            entity_df=spine, features=["first_visits:pages", "second_visits:spent"]
        ).to_arrow()
        assert found["user_id"].to_pylist() == users
