"""Business days: the start of a local date, and the day of an instant, through every kind of clock change."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformations.engine.base.business_days import (
    day_number,
    day_of_instant,
    day_of_number,
    days_of_instants,
    start_of_day,
    starts_of_days,
)
from transformations.engine.base.moments import micros_to_instant

NEW_YORK = "America/New_York"
MICROSECOND = timedelta(microseconds=1)

# Zones with changes at 02:00, at midnight in both directions, of half an hour, and with a date that never was.
ZONES = ["UTC", NEW_YORK, "America/Sao_Paulo", "Asia/Beirut", "America/Havana", "Australia/Lord_Howe", "Pacific/Apia"]


def utc(*moment: int) -> datetime:
    return datetime(*moment, tzinfo=UTC)


def hours_of(day: date, zone: str) -> float:
    return (start_of_day(day + timedelta(days=1), zone) - start_of_day(day, zone)) / timedelta(hours=1)


def test_a_day_begins_at_local_midnight_told_in_utc():
    assert start_of_day(date(2017, 1, 1), NEW_YORK) == utc(2017, 1, 1, 5)
    assert start_of_day(date(2017, 7, 1), NEW_YORK) == utc(2017, 7, 1, 4)
    assert start_of_day(date(2017, 7, 1), "UTC") == utc(2017, 7, 1)


def test_the_day_of_a_clock_change_has_23_or_25_hours():
    assert hours_of(date(2017, 3, 11), NEW_YORK) == 24
    assert hours_of(date(2017, 3, 12), NEW_YORK) == 23
    assert hours_of(date(2017, 11, 5), NEW_YORK) == 25


def test_an_instant_belongs_to_the_day_whose_start_it_has_reached():
    assert day_of_instant(utc(2017, 1, 2, 5), NEW_YORK) == date(2017, 1, 2)
    assert day_of_instant(utc(2017, 1, 2, 5) - MICROSECOND, NEW_YORK) == date(2017, 1, 1)


@pytest.mark.parametrize(
    ("zone", "day", "first_instant"),
    [
        ("America/Sao_Paulo", date(2017, 10, 15), utc(2017, 10, 15, 3)),  # 23:59:59 was followed by 01:00
        ("Asia/Beirut", date(2017, 3, 26), utc(2017, 3, 25, 22)),
    ],
)
def test_where_midnight_does_not_exist_the_day_begins_when_the_clock_has_jumped(zone, day, first_instant):
    assert start_of_day(day, zone) == first_instant
    assert day_of_instant(first_instant, zone) == day
    assert day_of_instant(first_instant - MICROSECOND, zone) == day - timedelta(days=1)
    assert hours_of(day, zone) == 23


def test_where_midnight_occurs_twice_the_day_begins_at_the_earlier_one():
    assert start_of_day(date(2017, 11, 5), "America/Havana") == utc(2017, 11, 5, 4)
    assert hours_of(date(2017, 11, 5), "America/Havana") == 25


def test_a_date_that_never_was_has_no_instants():
    before, skipped, after = date(2011, 12, 29), date(2011, 12, 30), date(2011, 12, 31)
    assert start_of_day(skipped, "Pacific/Apia") == start_of_day(after, "Pacific/Apia") == utc(2011, 12, 30, 10)
    assert day_of_instant(utc(2011, 12, 30, 10), "Pacific/Apia") == after
    assert day_of_instant(utc(2011, 12, 30, 10) - MICROSECOND, "Pacific/Apia") == before


def test_days_are_numbered_from_1970_and_numbers_lead_back():
    assert day_number(date(1970, 1, 1)) == 0
    assert day_number(date(2017, 1, 1)) == 17_167
    assert day_of_number(-1) == date(1969, 12, 31)


def test_no_instants_have_no_days():
    assert days_of_instants(np.empty(0, dtype=np.int64), NEW_YORK).tolist() == []


def test_starts_of_days_are_those_of_each_day():
    first, last = day_number(date(2017, 3, 11)), day_number(date(2017, 3, 13))
    starts = [micros_to_instant(int(micros)) for micros in starts_of_days(first, last, NEW_YORK)]
    assert starts == [utc(2017, 3, 11, 5), utc(2017, 3, 12, 5), utc(2017, 3, 13, 4)]


@given(day=st.dates(date(1971, 1, 1), date(2100, 1, 1)), zone=st.sampled_from(ZONES))
def test_every_day_starts_in_itself_one_microsecond_after_the_day_before(day, zone):
    if zone == "Pacific/Apia" and day in (date(2011, 12, 30), date(2011, 12, 31)):
        return  # the one date that never was, above
    start = start_of_day(day, zone)
    assert day_of_instant(start, zone) == day
    assert day_of_instant(start - MICROSECOND, zone) == day - timedelta(days=1)


@given(micros=st.lists(st.integers(0, 4_102_444_800_000_000), min_size=1, max_size=20), zone=st.sampled_from(ZONES))
def test_each_instant_lies_between_the_start_of_its_day_and_the_next(micros, zone):
    for instant, day in zip(micros, days_of_instants(np.array(micros, dtype=np.int64), zone).tolist(), strict=True):
        start, following = starts_of_days(day, day + 1, zone).tolist()
        assert start <= instant < following
