"""Literal events of tests are read as a delivery would be: times in the contract's zone, or with their offset."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.worlds.contracts import event_source
from transformations import Count, WindowedFeatures, days
from transformations.contracts import Column, Contract
from transformations.engine.base.errors import UsageError
from transformations.engine.testing.literal_tables import as_of, parse_events
from transformations.engine.vocabulary.resolution import resolve

CLICKS = WindowedFeatures(
    name="user_clicks",
    join_key="user_id",
    source="clicks",
    windows=[days(1)],
    description="What a user clicked",
    features=[Count(name="clicks", description="Clicks", unit="clicks", unseen=0)],
)


def clicks(**facts: Any) -> Contract:
    columns = [
        Column("user_id", "Int64", False, "User"),
        Column("at", "UnixTimestamp", False, "When"),
        Column("is_mobile", "Bool", True, "Whether on a phone"),
    ]
    zones = {"timestamp_zone": "Europe/Berlin", "business_day_zone": "Europe/Berlin"}
    return event_source("clicks", columns, at="at", **zones | facts)


def moment(text: str, contract: Contract) -> datetime:
    resolved = resolve(CLICKS, {"clicks": contract}.__getitem__)
    (event,) = parse_events(resolved, f"user_id  at\n1  {text}")
    return event["at"]


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2017-07-15 12:00", datetime(2017, 7, 15, 10, tzinfo=UTC)),
        ("2017-01-15 12:00", datetime(2017, 1, 15, 11, tzinfo=UTC)),
        (
            "2017-10-29 02:30",
            datetime(2017, 10, 29, 0, 30, tzinfo=UTC),
        ),  # shown twice: the earlier, as ingestion has it
        ("2017-07-15 12:00Z", datetime(2017, 7, 15, 12, tzinfo=UTC)),
        ("2017-07-15T12:00:00-05:00", datetime(2017, 7, 15, 17, tzinfo=UTC)),
    ],
)
def test_a_literal_time_is_local_to_the_contracts_zone_or_carries_its_offset(text, instant):
    assert moment(text, clicks()) == instant


def test_a_time_without_an_offset_is_refused_where_the_contract_names_no_zone():
    nowhere = clicks(timestamp_zone="UTC", declares_zone=False)
    with pytest.raises(UsageError, match=r"'2017-07-15 12:00' has no offset, .*Write .* 2017-07-15 12:00Z"):
        moment("2017-07-15 12:00", nowhere)
    assert moment("2017-07-15 12:00Z", nowhere) == datetime(2017, 7, 15, 12, tzinfo=UTC)


def test_a_literal_time_that_clocks_skipped_is_refused():
    with pytest.raises(UsageError, match=r"Europe/Berlin never showed '2017-03-26 02:30'"):
        moment("2017-03-26 02:30", clicks())


def test_a_late_evening_counts_to_the_day_that_the_clock_showed():
    count = as_of(
        CLICKS, "clicks_count_1d", "user_id  at\n1  2017-07-15 23:30", contracts={"clicks": clicks()}.__getitem__
    )
    assert (count(1, "2017-07-16"), count(1, "2017-07-17")) == (1, 0)


def test_a_literal_that_is_neither_true_nor_false_is_refused():
    with pytest.raises(UsageError, match=r"'yes' cannot be true or false"):
        as_of(
            CLICKS,
            "clicks_count_1d",
            "user_id  at  is_mobile\n1  2017-07-15 12:00  yes",
            contracts={"clicks": clicks()}.__getitem__,
        )


@pytest.mark.parametrize(
    ("row", "refusal"),
    [
        ("1  2017-07-15 1:00PM", "'2017-07-15 1:00PM' is no UnixTimestamp for column at"),
        ("one  2017-07-15 12:00", "'one' is no Int64 for column user_id"),
    ],
)
def test_a_literal_that_its_column_cannot_hold_is_refused_by_name(row, refusal):
    with pytest.raises(UsageError, match=refusal):
        as_of(CLICKS, "clicks_count_1d", f"user_id  at\n{row}", contracts={"clicks": clicks()}.__getitem__)


def test_the_offset_that_a_day_lacks_is_shown_with_a_time_that_can_be_read():
    nowhere = clicks(timestamp_zone="UTC", declares_zone=False)
    with pytest.raises(UsageError, match=r"Write the time with its offset: 2017-07-15 00:00Z"):
        moment("2017-07-15", nowhere)
    assert moment("2017-07-15 00:00Z", nowhere) == datetime(2017, 7, 15, tzinfo=UTC)
