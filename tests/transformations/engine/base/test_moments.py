"""Moments: UTC, counted in microseconds since 1970."""

from datetime import UTC, datetime, timedelta, timezone

from transformations.engine.base.moments import as_utc, instant_to_micros, micros_to_instant


def test_a_naive_datetime_is_utc():
    assert as_utc(datetime(2024, 5, 1, 12)) == datetime(2024, 5, 1, 12, tzinfo=UTC)
    assert instant_to_micros(datetime(1970, 1, 1, 0, 0, 1)) == 1_000_000


def test_an_aware_datetime_is_the_same_instant_in_utc():
    moment = as_utc(datetime(2024, 5, 1, 12, tzinfo=timezone(timedelta(hours=2))))
    assert (moment.hour, moment.tzinfo) == (10, UTC)


def test_microseconds_lead_back_to_the_instant_before_1970_too():
    assert micros_to_instant(-1) == datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC)
    assert instant_to_micros(micros_to_instant(-1)) == -1
