"""Shares are exact, sticky and monotone; a request's rows part, and come back in their order."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformations.models.rollout.routing import Route
from transformations.models.rollout.splitting import BUCKETS, Holdout, Key, bucket, share_of, split, unit_text, units_of

ROUTE = Route(event=3, production=1, canary=2, percent=10, salt="s", unit=("user_id",), step=2)
UNITS = st.lists(st.none() | st.text(max_size=8), max_size=30)


def texts(count: int) -> list[str | None]:
    return [unit_text([number]) for number in range(count)]


def test_a_bucket_is_the_first_32_bits_of_the_hash_modulo_10_000() -> None:
    assert bucket("user_return-3", "[7]") == int(hashlib.sha256(b"user_return-3:[7]").hexdigest()[:8], 16) % 10_000


@given(salt=st.text(max_size=5), units=UNITS, one=st.floats(0, 100), other=st.floats(0, 100))
def test_who_is_in_a_share_is_in_every_larger_one(salt: str, units: list[str | None], one: float, other: float) -> None:
    smaller, larger = sorted((one, other))
    assert not np.any(share_of(units, salt, smaller) & ~share_of(units, salt, larger))


@given(units=UNITS, percent=st.floats(0, 100))
def test_a_unit_sticks_wherever_it_stands(units: list[str | None], percent: float) -> None:
    shares = share_of(units, "s", percent)
    assert [bool(share_of([unit], "s", percent)[0]) for unit in units] == shares.tolist()
    assert not any(share for unit, share in zip(units, shares, strict=True) if unit is None)


@pytest.mark.parametrize("percent", [0, 0.01, 1, 2.5, 10, 50, 99.99, 100])
def test_a_share_is_of_exactly_so_many_buckets(percent: float) -> None:
    """Every one of the 10,000 buckets, by a unit that was searched for it."""
    found: dict[int, str] = {}
    number = 0
    while len(found) < BUCKETS:
        found.setdefault(bucket("s", str(number)), str(number))
        number += 1
    assert share_of(list(found.values()), "s", percent).sum() == round(percent * 100)


def test_shares_of_many_units_come_near_what_is_said() -> None:
    """100,000 units: a share of 10 % has a standard error of 0.095 %."""
    units = texts(100_000)
    assert abs(share_of(units, "s", 10).mean() - 0.10) < 4 * 0.00095


def test_two_salts_part_independently() -> None:
    units = texts(20_000)
    both = share_of(units, "one", 50) & share_of(units, "two", 50)
    assert abs(both.mean() - 0.25) < 4 * 0.0031


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([7], "[7]"),
        (["7"], '["7"]'),
        ([np.int64(7)], "[7]"),
        ([7, "a,b"], '[7,"a,b"]'),
        ([7, "é"], '[7,"é"]'),
        ([None], None),
        ([7, None], None),
        ([float("nan")], None),
        ([], None),
    ],
)
def test_the_text_of_a_unit(values: list[Key], text: str | None) -> None:
    assert unit_text(values) == text


def test_a_request_without_the_unit_goes_to_production() -> None:
    for columns in ({"item_id": [1, 2]}, {"user_id": [None, float("nan")]}):
        assert split(
            Route(event=1, production=1, canary=2, percent=100, salt="s", unit=("user_id",)), columns, 2
        ).parts[1].tolist() == [0, 1]
    assert split(Route(event=1, production=1, canary=2, percent=100, salt="s"), {"user_id": [1]}, 1).parts.keys() == {1}


def test_rows_of_one_request_part_and_come_back_in_their_order() -> None:
    users = list(range(200))
    parts = split(ROUTE, {"user_id": users}, len(users))
    assert parts.is_mixed
    assert sorted([*parts.parts[1], *parts.parts[2]]) == users
    answers = {
        version: np.asarray([users[place] * 10.0 for place in places]) for version, places in parts.parts.items()
    }
    assert parts.merge(answers).tolist() == [user * 10.0 for user in users]


@given(
    users=st.lists(st.none() | st.integers(0, 50), max_size=40),
    percent=st.sampled_from([0.0, 10.0, 50.0, 100.0]),
)
def test_a_split_is_row_by_row_what_it_is_alone(users: list[int | None], percent: float) -> None:
    route = Route(event=1, production=1, canary=2 if percent else None, percent=percent, salt="s", unit=("user_id",))
    together = split(route, {"user_id": users}, len(users)).versions.tolist()
    assert together == [split(route, {"user_id": [user]}, 1).versions.tolist()[0] for user in users]


def test_a_merge_of_no_rows_has_none() -> None:
    parts = split(ROUTE, {"user_id": []}, 0)
    assert (parts.merge({}).tolist(), parts.is_mixed) == ([], False)


def test_a_holdout_sticks_whatever_the_arm() -> None:
    holdout = Holdout(percent=2, unit=("user_id",), salt="user_return holdout")
    users: list[Key] = list(range(50_000))
    held = holdout.rows({"user_id": users}, len(users))
    arm = split(ROUTE, {"user_id": users}, len(users)).versions == 2
    assert abs(held.mean() - 0.02) < 4 * 0.00063
    assert abs((held & arm).mean() - 0.002) < 4 * 0.0002
    assert not Holdout(percent=0, unit=("user_id",), salt="s").rows({"user_id": users}, len(users)).any()
    assert units_of({"user_id": users}, (), 1) == [None]
