"""Keys and moments as they are typed at a command: read whole, or refused."""

from datetime import UTC, date, datetime

import pytest

from transformations.engine.base.errors import UsageError
from transformations.engine.base.settings import Settings
from transformations.engine.vocabulary.dtypes import INT64, STRING
from transformations.insight.values.asked import asked_moment, parse_key


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("2024-05-01", date(2024, 5, 1)),
        ("2024-05-01T10:00", datetime(2024, 5, 1, 10, tzinfo=UTC)),
        ("2024-05-01 10:00:00.123456000+02:00", datetime(2024, 5, 1, 8, 0, 0, 123_456, tzinfo=UTC)),
    ],
)
def test_a_day_or_a_moment_is_asked_for(text, asked):
    assert asked_moment(text, Settings(), ["UTC"]) == asked


@pytest.mark.parametrize(
    "text",
    [
        "now",
        "2024-05-01 10:00 PM",
        "2024-05-01 24:00",
        "2024-05-01T10:00:00.1234567",
        "0001-01-01",
        "0001-01-01T00:00:00+05:00",
        "9999-12-31T23:00:00-05:00",
    ],
)
def test_what_is_neither_or_beyond_all_events_is_refused(text):
    with pytest.raises(UsageError, match=r"neither a day .* nor a moment .* of the years 1900 to 2199"):
        asked_moment(text, Settings(), ["UTC"])


def test_a_moment_without_an_offset_is_of_the_contracts_zone():
    assert asked_moment("2024-05-01T10:00", Settings(), ["Europe/Berlin"]) == datetime(2024, 5, 1, 8, tzinfo=UTC)
    with pytest.raises(UsageError):
        asked_moment("2024-03-31T02:30", Settings(), ["Europe/Berlin"])


def test_a_moment_without_an_offset_is_refused_where_the_sources_have_several_zones():
    zones = ["Europe/Berlin", "Asia/Kolkata", "Europe/Berlin"]
    with pytest.raises(UsageError, match=r"no offset.*of several zones: Asia/Kolkata, Europe/Berlin\. Write"):
        asked_moment("2024-05-01T10:00", Settings(), zones)
    assert asked_moment("2024-05-01T10:00Z", Settings(), zones) == datetime(2024, 5, 1, 10, tzinfo=UTC)
    assert asked_moment("2024-05-01", Settings(), zones) == date(2024, 5, 1)


@pytest.mark.parametrize("text", ["1_000", "\u0661", " 7", "+7", "7.0", "1e3", str(2**63), str(2**70), ""])
def test_a_key_of_digits_is_a_whole_number_of_64_bits(text):
    with pytest.raises(UsageError, match=r"user_id is Int64. Write a whole number of at most 64 bits"):
        parse_key(text, {"user_id": INT64}, "user_clicks")


def test_a_key_is_typed_by_its_column():
    assert parse_key("-9223372036854775808", {"user_id": INT64}, "user_clicks") == {"user_id": -(2**63)}
    assert parse_key("007", {"user_id": STRING}, "user_clicks") == {"user_id": "007"}
