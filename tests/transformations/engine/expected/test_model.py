"""Rules on a day: a range stays, a growth moves with the days."""

from datetime import date

import pytest

from transformations.engine.expected.model import Band, ExpectedFeature, Growth, Statistic, number

MEASURED = date(2024, 3, 1)


@pytest.mark.parametrize(
    ("day", "low", "high"),
    [(date(2024, 3, 1), 37, 43), (date(2024, 3, 11), 47, 63), (date(2024, 2, 20), 17, 33)],
)
def test_a_growth_is_reckoned_forwards_and_backwards(day: date, low: float, high: float) -> None:
    assert Growth(was=40, a_day=Band(1, 2), within=3).on(day, MEASURED) == Band(low, high)


def test_a_rule_stops_unless_its_name_or_its_group_warns() -> None:
    feature = ExpectedFeature(rules={}, warns=frozenset({"null_share", "shares"}))
    stops = [
        Statistic("", "null_share"),
        Statistic("shares", "null_share"),
        Statistic("shares", "a"),
        Statistic("", "others"),
    ]
    assert [feature.stops(each) for each in stops] == [False, False, False, True]


@pytest.mark.parametrize(
    ("value", "text"),
    [(3.0, "3"), (0.02, "0.02"), (1e-7, "1.0e-07"), (-12345.6, "-12345.6"), (1e20, "100000000000000000000.0")],
)
def test_numbers_are_written_for_people_and_for_yaml(value: float, text: str) -> None:
    assert number(value) == text
    assert float(text) == value
