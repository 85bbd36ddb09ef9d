"""Ingestion end to end: a file becomes a drop whole, or nothing of it is written."""

from datetime import date, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.worlds.processes import start
from transformations.engine.base.errors import DataError, UsageError
from validation.delivery.ingest import ContractViolationError, Delivery, check_drop, ingest_drop

from .deliveries import current, deliver, events, utc


def test_a_file_becomes_a_drop_in_the_contracts_columns_and_types(sources):
    rows = events(
        (1, 1.5, "2020-01-03 20:00"), (2, None, "2020-01-03 23:59:59.999999"), (3, float("nan"), "2020-01-04")
    )
    ingestion = deliver(sources, "events", rows)
    assert (ingestion.delivered, ingestion.version, ingestion.notes) == (3, 0, ())
    assert (ingestion.first_day, ingestion.last_day) == (date(2020, 1, 3), date(2020, 1, 4))
    assert ingestion.complete_through == date(2020, 1, 3)
    assert current(sources, "events", "id", "amount", "at") == [
        (1, 1.5, utc(2020, 1, 4, 1)),
        (2, None, utc(2020, 1, 4, 4, 59, 59, 999_999)),
        (3, None, utc(2020, 1, 4, 5)),
    ]


def test_an_ambiguous_local_time_takes_the_earlier_offset_and_is_said(sources):
    ingestion = deliver(sources, "events", events((1, 1.0, "2019-11-03 01:30"), (2, 1.0, "2019-11-03 02:30")))
    (note,) = ingestion.notes
    assert note.startswith(
        "at: 1 row falls between 2019-11-03 01:00 and 02:00, which clocks in America/New_York showed"
    )
    assert note.endswith("twice; taken as the earlier time")
    assert current(sources, "events", "at") == [(utc(2019, 11, 3, 5, 30),), (utc(2019, 11, 3, 7, 30),)]


def test_a_date_only_event_happens_at_the_last_microsecond_of_its_business_day(sources):
    days = pa.array([datetime(2019, 11, 3), datetime(2020, 1, 31), datetime(2019, 3, 10)], pa.timestamp("ns"))
    ingestion = deliver(sources, "days", pa.table({"id": [1, 2, 3], "day": days}), complete_through=date(2020, 1, 31))
    assert current(sources, "days", "id", "day", "_event_timestamp") == [
        (3, utc(2019, 3, 11, 3, 59, 59, 999_999), utc(2019, 3, 11, 3, 59, 59, 999_999)),
        (1, utc(2019, 11, 4, 4, 59, 59, 999_999), utc(2019, 11, 4, 4, 59, 59, 999_999)),
        (2, utc(2020, 2, 1, 4, 59, 59, 999_999), utc(2020, 2, 1, 4, 59, 59, 999_999)),
    ]
    assert (ingestion.first_day, ingestion.last_day) == (date(2019, 3, 10), date(2020, 1, 31))


def test_a_broken_contract_writes_nothing_and_tells_all_violations(sources):
    with pytest.raises(ContractViolationError) as error:
        deliver(sources, "events", events((1, -1.0, "2020-01-03"), (1, 1.0, "2019-03-10 02:30")), "bad.parquet")
    assert error.value.exit_code == 3
    assert [violation.spec.rule for violation in error.value.report.violations] == [
        "range",
        "existing local time",
        "unique key",
    ]
    assert str(error.value).endswith("\nNothing of bad.parquet was written.")
    assert not sources.raw_dir.exists()


def test_a_broken_later_drop_leaves_the_table_as_it_was(sources):
    deliver(sources, "events", events((1, 1.0, "2020-01-03")))
    with pytest.raises(ContractViolationError):
        deliver(sources, "events", events((2, -1.0, "2020-01-04")), "bad.parquet")
    assert current(sources, "events", "id") == [(1,)]


def test_checking_a_file_writes_nothing(sources, tmp_path):
    pq.write_table(events((1, -1.0, "2020-01-03")), tmp_path / "bad.parquet")
    report = check_drop(Delivery("events", tmp_path / "bad.parquet"), sources)
    assert (report.rows, len(report.violations)) == (1, 1)
    assert not sources.raw_dir.exists()


def test_the_newest_file_again_has_nothing_to_do(sources):
    rows = events((1, 1.0, "2020-01-03"))
    deliver(sources, "events", rows)
    again = deliver(sources, "events", rows)
    assert (again.drop, again.version) == (None, 0)


def test_a_later_completeness_alone_is_recorded_once(sources):
    rows = events((1, 1.0, "2020-01-03"))
    deliver(sources, "events", rows)
    said = deliver(sources, "events", rows, complete_through=date(2020, 1, 10))
    assert (said.drop.rows, said.version, said.complete_through) == (0, 1, date(2020, 1, 10))
    again = deliver(sources, "events", rows, complete_through=date(2020, 1, 10))
    assert (again.drop, again.version, again.complete_through) == (None, 1, date(2020, 1, 10))


def test_an_earlier_completeness_is_refused_or_recorded_as_a_correction(sources):
    rows = events((1, 1.0, "2020-01-03"))
    deliver(sources, "events", rows, complete_through=date(2020, 1, 20))
    with pytest.raises(UsageError, match=r"is complete through 2020-01-20 already"):
        deliver(sources, "events", rows, complete_through=date(2020, 1, 10))
    taken = deliver(sources, "events", rows, complete_through=date(2020, 1, 10), correction=True)
    assert (taken.before, taken.complete_through) == (date(2020, 1, 20), date(2020, 1, 10))


def test_completeness_is_declared_without_a_file(sources):
    deliver(sources, "events", events((1, 1.0, "2020-01-03")))
    said = ingest_drop(Delivery("events", None, complete_through=date(2020, 1, 10)), sources)
    assert (said.drop.rows, said.complete_through) == (0, date(2020, 1, 10))
    assert ingest_drop(Delivery("events", None, complete_through=date(2020, 1, 10)), sources).drop is None
    with pytest.raises(UsageError, match=r"neither a file nor --complete-through"):
        ingest_drop(Delivery("events", None), sources)
    with pytest.raises(UsageError, match=r"say what FILE holds"):
        ingest_drop(Delivery("events", None, complete_through=date(2020, 1, 10), retract=True), sources)


def test_a_row_later_than_the_clock_is_refused(sources):
    at_the_clock, after_it = "2020-02-01 07:00", "2020-02-01 07:00:00.000001"  # in New York: the clock is at 12:00 UTC
    deliver(sources, "events", events((1, 1.0, "2020-01-31"), (2, 1.0, at_the_clock)))
    with pytest.raises(
        ContractViolationError, match=r"column 'at' has 1 value after now \(2020-02-01 07:00:00 -05:00\)"
    ):
        deliver(sources, "events", events((3, 1.0, "2020-02-01"), (4, 1.0, after_it)), "later.parquet")
    assert current(sources, "events", "id") == [(1,), (2,)]


def test_days_after_todays_business_day_are_refused(sources):
    def days(*rows: date) -> pa.Table:
        return pa.table({"id": list(range(len(rows))), "day": pa.array(rows, pa.date32())})

    assert deliver(sources, "days", days(date(2020, 1, 31), date(2020, 2, 1))).complete_through == date(2020, 1, 31)
    with pytest.raises(ContractViolationError, match=r"column 'day' has 1 value after now \(2020-02-01\)"):
        deliver(sources, "days", days(date(2020, 2, 1), date(2020, 2, 2)), "later.parquet")


def test_a_contract_may_allow_rows_ahead_of_the_clock_which_complete_nothing(sources):
    contract = sources.contracts / "events.yaml"
    lead = "customProperties: [{ property: futureAllowed, value: P400D }, "
    contract.write_text(contract.read_text().replace("customProperties: [", lead, 1))
    booked = deliver(sources, "events", events((1, 1.0, "2020-01-20"), (2, 1.0, "2021-01-03")))
    assert booked.complete_through == date(2020, 1, 19)
    with pytest.raises(ContractViolationError, match=r"1 value after now and 400 days \(2021-03-07 07:00:00 -05:00\)"):
        deliver(sources, "events", events((3, 1.0, "2031-01-03")), "later.parquet")


def test_an_overlapping_file_adds_only_what_is_new(sources):
    deliver(sources, "events", events((1, 1.0, "2020-01-03"), (2, 2.0, "2020-01-04")))
    ingestion = deliver(sources, "events", events((2, 2.0, "2020-01-04"), (3, 3.0, "2020-01-05")), "next.parquet")
    assert (ingestion.delivered, ingestion.drop.rows, ingestion.drop.unchanged) == (2, 1, 1)
    assert (ingestion.first_day, ingestion.last_day) == (date(2020, 1, 5), date(2020, 1, 5))


def test_a_retraction_names_rows_by_their_key(sources):
    deliver(sources, "events", events((1, 1.0, "2020-01-03"), (2, 2.0, "2020-01-04")))
    ingestion = deliver(sources, "events", pa.table({"id": [1]}), "bogus.parquet", retract=True)
    assert (ingestion.drop.rows, ingestion.drop.retracts) == (1, True)
    assert current(sources, "events", "id") == [(2,)]
    assert deliver(sources, "events", pa.table({"id": [1]}), "bogus.parquet", retract=True).drop is None


def test_a_retraction_holds_keys_alone(sources):
    deliver(sources, "events", events((1, 1.0, "2020-01-03")))
    with pytest.raises(ContractViolationError, match=r"has 2 columns that the contract does not name: at, amount"):
        deliver(sources, "events", events((1, 1.0, "2020-01-03")), "rows.parquet", retract=True)


def test_a_retraction_of_date_only_events_matches_their_days(sources):
    days = pa.table({"id": [1, 2], "day": pa.array([date(2020, 1, 3)] * 2)})
    deliver(sources, "days", days)
    deliver(sources, "days", pa.table({"id": [1]}), "bogus.parquet", retract=True)
    assert current(sources, "days", "id") == [(2,)]


@pytest.mark.parametrize("option", [{"complete_through": date(2020, 1, 3)}, {"valid_from": utc(2020, 1, 1)}])
def test_a_retraction_says_nothing_of_time(sources, option):
    with pytest.raises(UsageError, match=r"leave --complete-through and --valid-from out"):
        deliver(sources, "events", pa.table({"id": [1]}), retract=True, **option)


def test_nothing_can_be_retracted_from_nothing(sources):
    with pytest.raises(DataError, match=r"events: nothing has been ingested yet"):
        deliver(sources, "events", pa.table({"id": [1]}), retract=True)


def test_snapshots_hold_from_the_contracts_moment_then_from_the_clock(sources):
    deliver(sources, "things", pa.table({"id": [1, 2], "colour": ["red", "blue"]}))
    deliver(sources, "things", pa.table({"id": [1], "colour": ["green"]}), "later.parquet")
    assert current(sources, "things", "id", "colour", "_event_timestamp") == [
        (1, "red", utc(2019, 12, 31, 5)),
        (2, "blue", utc(2019, 12, 31, 5)),
        (1, "green", utc(2020, 2, 1, 12)),
        (2, None, utc(2020, 2, 1, 12)),
    ]


def test_two_ingestions_of_a_source_at_once_both_arrive(sources, tmp_path):
    program = (
        "import sys; from pathlib import Path; from transformations.engine.base.settings import Settings\n"
        "from validation.delivery.ingest import Delivery, ingest_drop\n"
        "here = Path(sys.argv[1])\n"
        "settings = Settings(data=here / 'data', contracts=here / 'contracts')\n"
        "ingest_drop(Delivery('events', here / sys.argv[2]), settings)"
    )
    for number in (1, 2):
        pq.write_table(events((number, 1.0, "2020-01-03")), tmp_path / f"{number}.parquet")
    running = [
        start(program, str(tmp_path), f"{number}.parquet", output=tmp_path / f"ingestion-{number}") for number in (1, 2)
    ]
    assert [process.wait() for process in running] == [(0, "")] * 2
    assert current(sources, "events", "id") == [(1,), (2,)]
