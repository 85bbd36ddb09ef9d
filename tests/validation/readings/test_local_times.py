"""Naive local times: each becomes the instant at which clocks showed it, the earlier one if they did so twice."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from transformations.engine.base.duck import session
from validation.readings.local_times import (
    nonexistent_sql,
    offset_periods,
    offset_periods_of_years,
    repeated_times,
    utc_sql,
)

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Australia/Lord_Howe", "Pacific/Apia"]


def converted(local: datetime, zone: str) -> tuple[datetime, bool]:
    """The instant of a local time, and whether it was skipped."""
    periods = offset_periods(zone, local, local)
    text = f"TIMESTAMP '{local}'"
    with session() as connection:
        query = f"SELECT {utc_sql(text, periods)}, {nonexistent_sql(text, periods)}"
        instant, skipped = connection.execute(query).fetchall()[0]
        return instant.astimezone(UTC), skipped


@pytest.mark.parametrize(
    ("local", "instant"),
    [
        (datetime(2017, 1, 15, 12), datetime(2017, 1, 15, 11)),
        (datetime(2017, 7, 15, 12), datetime(2017, 7, 15, 10)),
        (datetime(2017, 3, 26, 1, 59, 59, 999_999), datetime(2017, 3, 26, 0, 59, 59, 999_999)),
        (datetime(2017, 3, 26, 3), datetime(2017, 3, 26, 1)),
        (datetime(2017, 10, 29, 1, 59), datetime(2017, 10, 28, 23, 59)),
        (datetime(2017, 10, 29, 2, 30), datetime(2017, 10, 29, 0, 30)),  # shown twice: the earlier offset, summer time
        (datetime(2017, 10, 29, 3), datetime(2017, 10, 29, 2)),
    ],
)
def test_a_berlin_time_is_the_instant_at_which_clocks_showed_it_first(local, instant):
    assert converted(local, "Europe/Berlin") == (instant.replace(tzinfo=UTC), False)


@pytest.mark.parametrize("local", [datetime(2017, 3, 26, 2), datetime(2017, 3, 26, 2, 59, 59, 999_999)])
def test_a_time_that_clocks_skipped_never_happened(local):
    assert converted(local, "Europe/Berlin")[1]


def test_a_whole_day_that_was_skipped_never_happened():
    assert converted(datetime(2011, 12, 30, 12), "Pacific/Apia")[1]


@given(
    local=st.datetimes(datetime(1950, 1, 1), datetime(2037, 1, 1)),
    zone=st.sampled_from(ZONES),
)
@example(local=datetime(1999, 10, 31, 1, fold=1), zone="America/New_York")
def test_every_local_time_agrees_with_the_standard_library(local, zone):
    local = local.replace(fold=0)  # a text does not say which of the two times of an hour shown twice it is
    instant, skipped = converted(local, zone)
    expected = local.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    exists = expected.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == local
    assert skipped != exists
    if exists:
        assert instant == expected


@given(
    near=st.datetimes(datetime(1, 1, 3), datetime(2036, 12, 31)),
    far=st.datetimes(datetime(2037, 1, 1), datetime(9999, 12, 29)),
    zone=st.sampled_from(ZONES),
)
def test_years_far_apart_keep_their_own_offsets(near, far, zone):
    periods = offset_periods_of_years(zone, [near.year, far.year])
    with session() as connection:
        for local in (near, far):
            text = f"TIMESTAMP '{local}'"
            query = f"SELECT {utc_sql(text, periods)}, {nonexistent_sql(text, periods)}"
            instant, skipped = connection.execute(query).fetchall()[0]
            expected = local.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
            exists = expected.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == local
            assert skipped != exists
            assert instant == expected or not exists


def test_times_that_were_shown_twice_are_listed():
    assert repeated_times(offset_periods_of_years("Europe/Berlin", [2016, 2017, 2500])) == (
        (datetime(2016, 10, 30, 2), datetime(2016, 10, 30, 3)),
        (datetime(2017, 10, 29, 2), datetime(2017, 10, 29, 3)),
        (datetime(2500, 10, 31, 2), datetime(2500, 10, 31, 3)),
    )


@given(hour=st.integers(0, 366 * 24 - 1), zone=st.sampled_from(ZONES))
def test_every_instant_of_a_year_is_found_from_its_local_time_or_is_the_later_of_two(hour, zone):
    instant = datetime(2011, 6, 1, tzinfo=UTC) + timedelta(hours=hour)
    shown = instant.astimezone(ZoneInfo(zone))
    found, skipped = converted(shown.replace(tzinfo=None), zone)
    assert not skipped
    assert found < instant if shown.fold else found == instant
