"""Sources without an event time: from when the rows of a drop hold."""

from datetime import UTC, date, datetime, timedelta

import pytest

from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.raw.zone import RawTable

from .raw_tables import NOW, attributes, contract, current, events, keys, moment, origin, things


def test_the_first_snapshot_holds_from_the_contracts_moment_and_later_ones_from_their_ingestion(tmp_path):
    table = RawTable(attributes(), tmp_path)
    table.append(things((1, "red"), (2, "blue")), origin("first.parquet", at=NOW))
    later = datetime(2020, 3, 1, tzinfo=UTC)
    table.append(things((1, "green"), (2, "blue")), origin("second.parquet", at=later))

    assert current(table, "id", "colour", "_event_timestamp") == [
        (1, "red", moment("2019-12-31")),
        (2, "blue", moment("2019-12-31")),
        (1, "green", later),
    ]
    assert table.snapshot().complete_through is None
    assert table.snapshot().drops[-1].unchanged == 1
    assert not table.snapshot().supersedes


def test_a_key_that_vanished_from_a_snapshot_has_null_attributes_from_then_on(tmp_path):
    table = RawTable(attributes(), tmp_path)
    table.append(things((1, "red"), (2, "blue")), origin("first.parquet"))
    table.append(things((1, "red")), origin("second.parquet"), valid_from=moment("2020-02-01"))
    assert current(table, "id", "colour", "_event_timestamp")[-1] == (2, None, moment("2020-02-01"))

    assert table.append(things((1, "red")), origin("third.parquet"), valid_from=moment("2020-02-01 01:00")) is None
    table.append(things((1, "red"), (2, "blue")), origin("fourth.parquet"), valid_from=moment("2020-02-01 02:00"))
    assert current(table, "id", "colour", "_event_timestamp")[-1] == (2, "blue", moment("2020-02-01 02:00"))


def test_a_snapshot_of_the_same_moment_corrects_it(tmp_path):
    table = RawTable(attributes(), tmp_path)
    table.append(things((1, "red"), (2, "blue")), origin("first.parquet"), valid_from=moment("2020-01-01"))
    drop = table.append(things((1, "green")), origin("second.parquet"), valid_from=moment("2020-01-01"))
    assert drop.supersedes == 2
    assert current(table, "id", "colour", "_event_timestamp") == [
        (1, "green", moment("2020-01-01")),
        (2, None, moment("2020-01-01")),
    ]


def test_a_snapshot_before_the_newest_moment_is_refused(tmp_path):
    table = RawTable(attributes(), tmp_path)
    table.append(things((1, "red")), origin("first.parquet"), valid_from=moment("2020-02-01"))
    with pytest.raises(
        DataError, match=r"holds from 2020-01-31 19:00:00 -05:00, after 2019-12-31 19:00:00 -05:00.*--valid-from"
    ):
        table.append(things((1, "green")), origin("second.parquet"), valid_from=moment("2020-01-01"))


def test_content_that_would_hold_from_after_the_clock_is_refused(tmp_path):
    ahead = moment("2020-02-01 12:00:01")  # a second after NOW
    with pytest.raises(DataError, match=r"holds from 2020-02-01 07:00:01 -05:00 lies after the clock"):
        RawTable(attributes(), tmp_path).append(things((1, "red")), origin(), valid_from=ahead)
    with pytest.raises(DataError, match=r"or the contract's validFrom"):
        RawTable(attributes(valid_from=ahead), tmp_path).append(things((1, "red")), origin())
    allowed = attributes(future_allowed=timedelta(seconds=1))
    assert RawTable(allowed, tmp_path).append(things((1, "red")), origin(), valid_from=ahead).rows == 1


def test_attributes_that_are_appended_never_vanish(tmp_path):
    table = RawTable(attributes(delivery="append"), tmp_path)
    table.append(things((1, "red")), origin("first.parquet"))
    table.append(things((2, "blue"), (1, "red")), origin("second.parquet"))
    assert current(table, "id", "colour") == [(1, "red"), (2, "blue")]


def test_retracting_a_key_takes_back_every_moment_of_it(tmp_path):
    table = RawTable(attributes(), tmp_path)
    table.append(things((1, "red"), (2, "blue")), origin("first.parquet"))
    table.append(things((1, "green"), (2, "blue")), origin("second.parquet"))
    assert table.retract(keys(1), origin("bogus.parquet")).rows == 2
    assert current(table, "id", "colour") == [(2, "blue")]


def test_a_moment_or_a_day_that_cannot_apply_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match=r"happen at their own 'at'"):
        RawTable(contract(), tmp_path).append(events(), origin(), valid_from=NOW)
    with pytest.raises(UsageError, match=r"has no event time; its content holds until it is replaced"):
        RawTable(attributes(), tmp_path).append(things((1, "red")), origin(), complete_through=date(2020, 1, 1))
