"""Moments are shown as the clock of a contract's zone shows them."""

from datetime import UTC, datetime

import pytest

from transformations.insight.moments import shown_moment

NOON = datetime(2020, 7, 1, 12, tzinfo=UTC)


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
    assert shown_moment(moment, zone) == text


def test_seconds_may_be_left_out():
    assert shown_moment(NOON, "UTC", seconds=False) == "2020-07-01 12:00 UTC"


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York"])
def test_what_is_shown_of_another_zone_can_be_read_back(zone):
    assert (
        datetime.fromisoformat(shown_moment(NOON, zone).replace(" UTC", "Z").replace(" +", "+").replace(" -", "-"))
        == NOON
    )
