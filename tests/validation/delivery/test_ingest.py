"""Ingestion end to end: a file becomes a drop whole, or nothing of it is written."""

import gzip
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformations.contracts import ContractError, read_contract
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.settings import Settings
from transformations.engine.raw.zone import RawTable, read_current
from validation.delivery.ingest import ContractViolationError, Delivery, Ingestion, check_drop, ingest_drop
from validation.drafting.drafts import draft_contract

CONTRACT = """
apiVersion: v3.1.0
kind: DataContract
id: {name}
version: 1.0.0
team: {{ name: tests }}
schema:
  - name: {name}
    description: One row
    customProperties: [{properties}]
    properties: [{columns}]
"""
ID = "{ name: id, logicalType: integer, description: Key, required: true, primaryKey: true }"
NAIVE_US = pa.timestamp("us")


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """Three sources: events at a local time, days of events, and attributes without a time."""

    def write(name: str, columns: list[str], **properties: str) -> None:
        entries = [f"{{ property: {key}, value: '{value}' }}" for key, value in properties.items()]
        text = CONTRACT.format(name=name, columns=", ".join(columns), properties=", ".join(entries))
        (tmp_path / "contracts" / f"{name}.yaml").write_text(text)

    (tmp_path / "contracts").mkdir()
    new_york = {"businessDayZone": "America/New_York", "delivery": "append"}
    amount = "{ name: amount, logicalType: number, description: Amount, logicalTypeOptions: { minimum: 0 } }"
    at = "{ name: at, logicalType: timestamp, description: When, required: true }"
    write("events", [ID, amount, at], eventTime="at", timestampZone="America/New_York", **new_york)
    day = "{ name: day, logicalType: date, description: Day, required: true }"
    write("days", [ID, day], eventTime="day", **new_york)
    colour = "{ name: colour, logicalType: string, description: Colour }"
    write(
        "things",
        [ID, colour],
        validFrom="2019-12-31T00:00:00-05:00",
        businessDayZone="America/New_York",
        delivery="snapshot",
    )
    return Settings(
        data=tmp_path / "data", contracts=tmp_path / "contracts", clock=datetime(2020, 2, 1, 12, tzinfo=UTC)
    )


def deliver(settings: Settings, source: str, rows: pa.Table, name: str = "drop.parquet", **options) -> Ingestion:
    path = settings.data.parent / name
    pq.write_table(rows, path)
    return ingest_drop(Delivery(source, path, **options), settings)


def events(*rows: tuple[int, float | None, str]) -> pa.Table:
    ids, amounts, times = zip(*rows, strict=True)
    local = pa.array([datetime.fromisoformat(time) for time in times], NAIVE_US)
    return pa.table({"at": local, "id": pa.array(ids, pa.int32()), "amount": pa.array(amounts, pa.float64())})


def current(settings: Settings, source: str, *columns: str) -> list[tuple[object, ...]]:
    contract = read_contract(source, settings.contracts)
    rows = read_current(RawTable(contract, settings.raw_dir).snapshot(), contract, columns or None)
    return [tuple(row.values()) for row in rows.to_pylist()]


def utc(*moment: int) -> datetime:
    return datetime(*moment, tzinfo=UTC)


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
    report = check_drop("events", tmp_path / "bad.parquet", sources)
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
    said = ingest_drop(Delivery("events", None, date(2020, 1, 10)), sources)
    assert (said.drop.rows, said.complete_through) == (0, date(2020, 1, 10))
    assert ingest_drop(Delivery("events", None, date(2020, 1, 10)), sources).drop is None
    with pytest.raises(UsageError, match=r"neither a file nor --complete-through"):
        ingest_drop(Delivery("events", None), sources)
    with pytest.raises(UsageError, match=r"say what FILE holds"):
        ingest_drop(Delivery("events", None, date(2020, 1, 10), retract=True), sources)


def test_a_row_later_than_the_clock_is_refused(sources):
    at_the_clock, after_it = "2020-02-01 07:00", "2020-02-01 07:00:00.000001"  # in New York: the clock is at 12:00 UTC
    deliver(sources, "events", events((1, 1.0, "2020-01-31"), (2, 1.0, at_the_clock)))
    with pytest.raises(ContractViolationError, match=r"column 'at' has 1 value after now \(2020-02-01 12:00:00 UTC\)"):
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
    with pytest.raises(ContractViolationError, match=r"1 value after now and 400 days \(2021-03-07 12:00:00 UTC\)"):
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
    commands = [[sys.executable, "-c", program, str(tmp_path), f"{number}.parquet"] for number in (1, 2)]
    running = [subprocess.Popen(command) for command in commands]
    assert [process.wait(60) for process in running] == [0, 0]
    assert current(sources, "events", "id") == [(1,), (2,)]


def test_csv_is_ingested_like_parquet(sources, tmp_path):
    path = tmp_path / "events.csv"
    path.write_text("id,amount,at\n1,1.5,2020-01-03 20:00\n2,,2020-01-04T01:30:00Z\n")
    ingest_drop(Delivery("events", path), sources)
    assert current(sources, "events", "id", "amount", "at") == [
        (1, 1.5, utc(2020, 1, 4, 1)),
        (2, None, utc(2020, 1, 4, 1, 30)),
    ]


def test_a_csv_of_declared_forms_is_ingested_right(sources, tmp_path):
    contract = sources.contracts / "events.yaml"
    at, amount = "description: When", "description: Amount"
    form, comma = "{ property: strptime, value: '%d/%m/%Y %I:%M %p' }", "{ property: decimalSeparator, value: ',' }"
    text = contract.read_text().replace(at, f"{at}, customProperties: [{form}]")
    contract.write_text(text.replace(amount, f"{amount}, customProperties: [{comma}]"))
    path = tmp_path / "events.csv"
    path.write_text('id,amount,at\n1,"1,5",05/01/2020 01:30 PM\n2,,5/1/2020 12:15 AM\n')
    ingest_drop(Delivery("events", path), sources)
    assert current(sources, "events", "id", "amount", "at") == [
        (2, None, utc(2020, 1, 5, 5, 15)),
        (1, 1.5, utc(2020, 1, 5, 18, 30)),
    ]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda path: None, UsageError, "no such file"),
        (lambda path: path.mkdir(), UsageError, "is a folder. Ingest its files one by one"),
        (lambda path: path.write_bytes(b"PAR1"), DataError, "drop.parquet cannot be read: .*too small"),
        (lambda path: path.write_bytes(b"x" * 100), DataError, "drop.parquet cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(sources, tmp_path, make, error, message):
    make(tmp_path / "drop.parquet")
    with pytest.raises(error, match=message):
        ingest_drop(Delivery("events", tmp_path / "drop.parquet"), sources)


@pytest.mark.parametrize("column", ["at", "id", "amount"])
def test_a_damaged_file_publishes_nothing(sources, tmp_path, column):
    path = tmp_path / "drop.parquet"
    rows = events(*((number, number / 7, "2020-01-03") for number in range(5_000)))
    pq.write_table(rows, path, use_dictionary=False)
    damaged = pq.ParquetFile(path).metadata.row_group(0).column(["at", "id", "amount"].index(column))
    content = bytearray(path.read_bytes())
    content[damaged.data_page_offset : damaged.data_page_offset + 20] = b"\xff" * 20
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"drop.parquet cannot be read"):
        ingest_drop(Delivery("events", path), sources)
    contract = read_contract("events", sources.contracts)
    assert not RawTable(contract, sources.raw_dir).exists()


@pytest.mark.parametrize("zone", [None, "UTC"])
@pytest.mark.parametrize(
    "read", [ingest_drop, lambda delivery, _: draft_contract(delivery.path)], ids=["ingest", "draft"]
)
def test_milliseconds_beyond_all_microseconds_are_refused(sources, tmp_path, read, zone):
    path = tmp_path / "drop.parquet"
    far = pa.array([10**16], pa.timestamp("ms", tz=zone))
    pq.write_table(pa.table({"id": [1], "amount": [1.0], "at": far}), path)
    with pytest.raises(DataError, match=r"drop.parquet: a column of seconds or milliseconds holds times"):
        read(Delivery("events", path), sources)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (gzip.compress(b"id,at\n"), "packed with gzip"),
        (b"PK\x03\x04", "a zip archive"),
        (b"PAR1", "a Parquet file"),
        (b"\x28\xb5\x2f\xfd", "packed with zstd"),
    ],
)
def test_a_packed_file_called_csv_is_named_for_what_it_is(sources, tmp_path, content, kind):
    (tmp_path / "drop.csv").write_bytes(content)
    with pytest.raises(UsageError, match=f"drop.csv is no CSV text but {kind}"):
        ingest_drop(Delivery("events", tmp_path / "drop.csv"), sources)


def test_only_parquet_and_csv_are_read(sources, tmp_path):
    (tmp_path / "drop.json").write_text("{}")
    with pytest.raises(UsageError, match=r"drop.json: neither Parquet nor CSV by its name"):
        ingest_drop(Delivery("events", tmp_path / "drop.json"), sources)


def test_an_unknown_source_is_answered_with_the_nearest(sources):
    with pytest.raises(ContractError, match=r"no contract for a source 'event'; did you mean 'events'"):
        ingest_drop(Delivery("event", Path("any.parquet")), sources)


@pytest.mark.parametrize("content", ["id,amount,at\n", ""])
def test_an_empty_file_shows_nothing_and_is_refused(sources, tmp_path, content):
    (tmp_path / "empty.csv").write_text(content)
    for refused in (
        lambda path: check_drop("events", path, sources),
        lambda path: ingest_drop(Delivery("events", path), sources),
    ):
        with pytest.raises(DataError, match=r"empty.csv (has no rows|is empty)"):
            refused(tmp_path / "empty.csv")


def test_a_parquet_file_without_rows_is_refused_and_a_snapshot_is_never_emptied_by_one(sources, tmp_path):
    things = pa.table({"id": [1, 2], "colour": ["red", "blue"]})
    deliver(sources, "things", things)
    with pytest.raises(DataError, match=r"drop.parquet has no rows, so nothing of it was taken"):
        deliver(sources, "things", things.slice(0, 0))
    with pytest.raises(DataError, match=r"drop.parquet has no rows, so it shows nothing of whether the contract holds"):
        check_drop("things", tmp_path / "drop.parquet", sources)
    assert current(sources, "things", "id") == [(1,), (2,)]


def test_days_without_events_may_be_said_to_be_complete(sources):
    deliver(sources, "events", events((1, 1.0, "2020-01-03 20:00")))
    none = events((1, 1.0, "2020-01-03 20:00")).slice(0, 0)
    assert deliver(sources, "events", none, complete_through=date(2020, 1, 5)).complete_through == date(2020, 1, 5)


def test_the_file_that_was_named_is_ingested_and_no_other(sources, tmp_path):
    (tmp_path / "report[1].csv").write_text("id,amount,at\n1,1.5,2020-01-03 20:00\n")
    (tmp_path / "report1.csv").write_text("id,amount,at\n9,9.5,2020-01-03 20:00\n")
    ingest_drop(Delivery("events", tmp_path / "report[1].csv"), sources)
    assert current(sources, "events", "id", "amount") == [(1, 1.5)]


def test_rows_before_a_changed_header_are_not_lost(sources, tmp_path):
    (tmp_path / "days.csv").write_text("id,day\n1,2020-01-03\n2,2020-01-03\nid,day,page\n3,2020-01-04,home\n")
    with pytest.raises(DataError, match="line 4 is no row"):
        ingest_drop(Delivery("days", tmp_path / "days.csv"), sources)
    assert not RawTable(read_contract("days", sources.contracts), sources.raw_dir).exists()
