"""Moments: UTC, counted in microseconds since 1970, and shown as the clock of a zone shows them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from transformations.engine.base.moments import as_utc, instant_to_micros, micros_to_instant, moment_text, value_text

NOON = datetime(2020, 7, 1, 12, tzinfo=UTC)


def test_a_naive_datetime_is_utc():
    assert as_utc(datetime(2024, 5, 1, 12)) == datetime(2024, 5, 1, 12, tzinfo=UTC)
    assert instant_to_micros(datetime(1970, 1, 1, 0, 0, 1)) == 1_000_000


def test_an_aware_datetime_is_the_same_instant_in_utc():
    moment = as_utc(datetime(2024, 5, 1, 12, tzinfo=timezone(timedelta(hours=2))))
    assert (moment.hour, moment.tzinfo) == (10, UTC)


def test_microseconds_lead_back_to_the_instant_before_1970_too():
    assert micros_to_instant(-1) == datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC)
    assert instant_to_micros(micros_to_instant(-1)) == -1


@pytest.mark.parametrize(
    ("moment", "zone", "text"),
    [
        (NOON, "UTC", "2020-07-01 12:00:00 UTC"),
        (NOON, "Europe/Berlin", "2020-07-01 14:00:00 +02:00"),
        (NOON.replace(month=1), "America/New_York", "2020-01-01 07:00:00 -05:00"),
        (NOON.replace(microsecond=250_000), "Asia/Kolkata", "2020-07-01 17:30:00.250000 +05:30"),
    ],
)
def test_a_moment_is_shown_with_its_offset(moment, zone, text):
    assert moment_text(moment, zone) == text


def test_seconds_may_be_left_out():
    assert moment_text(NOON, "UTC", seconds=False) == "2020-07-01 12:00 UTC"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (NOON, "2020-07-01 14:00:00 +02:00"),
        (NOON.replace(tzinfo=None), "2020-07-01 14:00:00 +02:00"),
        ([NOON, None, "a"], "[2020-07-01 14:00:00 +02:00, null, 'a']"),
        ({"first": [NOON]}, "{'first': [2020-07-01 14:00:00 +02:00]}"),
        ("1", "1"),
        (True, "True"),
        (0.1, "0.1"),
    ],
)
def test_moments_within_a_value_are_shown_in_the_zone_too(value, text):
    assert value_text(value, "Europe/Berlin") == text


def test_a_text_in_quotes_is_no_number():
    assert value_text("1", "UTC", quoted=True) == "'1'"
    assert value_text(NOON, "UTC", quoted=True) == "2020-07-01 12:00:00 UTC"


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York"])
def test_what_is_shown_of_another_zone_can_be_read_back(zone):
    assert (
        datetime.fromisoformat(moment_text(NOON, zone).replace(" UTC", "Z").replace(" +", "+").replace(" -", "-"))
        == NOON
    )
