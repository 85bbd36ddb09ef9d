"""Checking a file says what ingesting it would, and writes nothing."""

from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformations.contracts import read_contract
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.raw.zone import RawTable
from validation.delivery.ingest import Delivery, check_drop, ingest_drop

from .deliveries import deliver, events

JANUARY = events((1, 1.0, "2020-01-01"), (2, 2.0, "2020-01-02"), (3, 3.0, "2020-01-03"))


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        (events((4, 4.0, "2020-01-20")), "of 16 days between 2020-01-03 and 2020-01-20 there is no row"),
        (events((1, 9.0, "2020-01-05")), "would replace 1 stored row, of 2020-01-01, by their key"),
        (events((1, 1.0, "2020-01-01")), "bring back 1 row as stored before a later drop replaced or retracted it"),
    ],
    ids=["a gap", "a row of another day", "an older file"],
)
def test_what_ingesting_would_refuse_checking_says_in_the_same_words(sources, tmp_path, rows, complaint):
    deliver(sources, "events", JANUARY, "january.parquet")
    if complaint.startswith("bring back"):
        deliver(sources, "events", events((1, 5.0, "2020-01-01")), "mended.parquet", correction=True)
    before = {path for path in sources.data.rglob("*") if path.is_file()}
    pq.write_table(rows, tmp_path / "next.parquet")
    delivery = Delivery("events", tmp_path / "next.parquet")

    report = check_drop(delivery, sources)
    with pytest.raises(DataError) as refusal:
        ingest_drop(delivery, sources)
    assert (complaint in report.refusal, report.refusal) == (True, refusal.value.message)
    record = sources.data / "refused" / "events.jsonl"
    assert {path for path in sources.data.rglob("*") if path.is_file()} == {*before, record}


def test_what_the_options_of_an_ingestion_allow_checking_allows(sources, tmp_path):
    deliver(sources, "events", JANUARY, "january.parquet")
    path = tmp_path / "next.parquet"
    pq.write_table(events((4, 4.0, "2020-01-20")), path)
    assert check_drop(Delivery("events", path, complete_through=date(2020, 1, 19)), sources).refusal == ""
    with pytest.raises(UsageError, match="cannot be complete through 2031-01-01"):
        check_drop(Delivery("events", path, complete_through=date(2031, 1, 1)), sources)
    pq.write_table(events((1, 9.0, "2020-01-05")), path)
    assert check_drop(Delivery("events", path, correction=True), sources).refusal == ""
    assert RawTable(read_contract("events", sources.contracts), sources.raw_dir).snapshot().version == 0


def test_a_file_of_keys_is_checked_as_one(sources, tmp_path):
    path = tmp_path / "bogus.parquet"
    pq.write_table(pa.table({"id": [1]}), path)
    with pytest.raises(DataError, match="events: nothing has been ingested yet"):
        check_drop(Delivery("events", path, retract=True), sources)
    deliver(sources, "events", JANUARY, "january.parquet")
    assert check_drop(Delivery("events", path, retract=True), sources).violations == ()
    assert [each.spec.rule for each in check_drop(Delivery("events", path), sources).violations] == ["missing column"]


def test_the_newest_file_checked_again_is_fine_as_ingesting_it_is(sources, tmp_path):
    deliver(sources, "events", JANUARY, "january.parquet")
    report = check_drop(Delivery("events", tmp_path / "january.parquet"), sources)
    assert (report.rows, report.violations, report.refusal) == (3, (), "")
