"""The raw zone: drops become visible whole, corrections and retractions win, nothing is stored twice."""

from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformations.contracts import Column
from transformations.engine.base import storage
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.raw import files as raw_files
from transformations.engine.raw.completeness import remaining_through
from transformations.engine.raw.files import source_schema
from transformations.engine.raw.zone import RawTable, _drop, read_current

from .raw_tables import NOW, UTC_US, attributes, contract, current, events, keys, moment, origin, things

# --- drops -----------------------------------------------------------------------------------------------------------


def test_a_drop_is_one_version_with_its_own_record(tmp_path):
    table = RawTable(contract(), tmp_path)
    table.append(events((1, 1.0, "2020-01-03 12:00"), (2, 2.0, "2020-01-04 12:00")), origin("first.parquet"))
    table.append(events((3, 3.0, "2020-01-05 12:00")), origin("second.parquet"))

    snapshot = table.snapshot()
    assert [(drop.number, drop.version, drop.file_name, drop.rows) for drop in snapshot.drops] == [
        (1, 0, "first.parquet", 2),
        (2, 1, "second.parquet", 1),
    ]
    assert snapshot.drops[0].ingested_at == NOW
    assert snapshot.drops[0].content_hash == "hash of first.parquet"
    assert snapshot.version == 1
    assert not snapshot.supersedes


def test_rows_carry_event_time_business_day_drop_number_and_retraction(tmp_path):
    table = RawTable(contract(), tmp_path)
    table.append(events((1, 1.0, "2020-01-04 04:59"), (2, 2.0, "2020-01-04 05:00")), origin())

    rows = pq.read_table(table.snapshot().files[0])
    assert rows.schema.field("_event_timestamp").type == UTC_US
    assert rows.schema.field("_business_day").type == pa.int32()
    assert not rows.schema.field("_event_timestamp").nullable
    day = (date(2020, 1, 3) - date(1970, 1, 1)).days
    assert rows.column("_business_day").to_pylist() == [day, day + 1]  # 04:59 UTC is still the day before in New York
    assert rows.column("_drop").to_pylist() == [1, 1]
    assert rows.column("_retracted").to_pylist() == [False, False]
    assert rows.column("_event_timestamp").to_pylist() == rows.column("at").to_pylist()


def test_files_are_sorted_by_event_time_and_split_so_that_days_can_be_pruned(tmp_path, monkeypatch):
    monkeypatch.setattr(raw_files, "ROWS_A_FILE", 2)
    monkeypatch.setattr("transformations.engine.raw.zone.ROWS_A_GROUP", 2)
    table = RawTable(contract(), tmp_path)
    days = [9, 3, 7, 5, 8, 4, 6, 2]
    drop = events(*((day, None, f"2020-01-0{day} 12:00") for day in days))
    table.append(pa.Table.from_batches(drop.to_batches(max_chunksize=2)), origin())

    parts = table.snapshot().parts
    stored = [pq.read_table(part.path).column("id").to_pylist() for part in parts]
    assert [day for file in stored for day in file] == sorted(days)
    assert all(part.rows == len(file) for part, file in zip(parts, stored, strict=True))
    first = (date(2020, 1, 2) - date(1970, 1, 1)).days
    assert (parts[0].first_day, parts[-1].last_day) == (first, first + 7)


def test_an_older_version_stays_readable_and_files_since_it_are_known(tmp_path):
    table = RawTable(contract(), tmp_path)
    table.append(events((1, 1.0, "2020-01-03 12:00")), origin("first.parquet"))
    old = table.snapshot()
    table.append(events((1, 9.0, "2020-01-03 12:00")), origin("second.parquet"), correction=True)
    new = table.snapshot()

    assert read_current(old, table.contract, ["amount"]).to_pylist() == [{"amount": 1.0}]
    assert table.snapshot(version=0) == old == new.at(0)
    assert set(new.files_since(old.version)) == set(new.files) - set(old.files)
    assert new.files_since(new.version) == ()


def test_a_missing_table_or_version_says_what_there_is(tmp_path):
    table = RawTable(contract(), tmp_path)
    with pytest.raises(DataError, match=r"events: nothing has been ingested.*features ingest events FILE"):
        table.snapshot()
    table.append(events((1, 1.0, "2020-01-03 12:00")), origin())
    with pytest.raises(DataError, match=r"no version 7; it has versions 0 to 0"):
        table.snapshot(7)


def test_rows_of_another_type_are_refused(tmp_path):
    table = RawTable(contract(), tmp_path)
    wrong = events((1, 1.0, "2020-01-03 12:00")).set_column(1, "amount", pa.array([1], pa.int64()))
    with pytest.raises(DataError, match=r"column 'amount' is int64, the raw zone stores double"):
        table.append(wrong, origin())
    assert not table.exists()


# --- corrections and retractions -------------------------------------------------------------------------------------


def test_a_later_drop_replaces_the_row_of_its_key(tmp_path):
    table = RawTable(contract(), tmp_path)
    table.append(events((1, 1.0, "2020-01-03 12:00"), (2, 2.0, "2020-01-03 13:00")), origin("first.parquet"))
    correction = table.append(events((1, 5.0, "2020-01-05 12:00")), origin("second.parquet"), correction=True)

    assert correction.supersedes == 1
    assert table.snapshot().supersedes
    assert current(table, "id", "amount") == [(2, 2.0), (1, 5.0)]


def test_a_row_that_is_current_already_is_not_stored_again(tmp_path):
    table = RawTable(contract(), tmp_path)
    table.append(events((1, 1.0, "2020-01-03 12:00"), (2, None, "2020-01-03 13:00")), origin("first.parquet"))
    overlap = table.append(
        events((2, None, "2020-01-03 13:00"), (3, 3.0, "2020-01-04 12:00")), origin("second.parquet")
    )
    assert (overlap.rows, overlap.unchanged, overlap.supersedes) == (1, 1, 0)
    assert not table.snapshot().supersedes
    assert current(table, "id") == [(1,), (2,), (3,)]


def test_a_drop_that_changes_nothing_publishes_nothing(tmp_path):
    table = RawTable(contract(), tmp_path)
    table.append(events((1, 1.0, "2020-01-03 12:00")), origin("first.parquet"))
    assert table.append(events((1, 1.0, "2020-01-03 12:00")), origin("again.parquet")) is None
    assert table.snapshot().version == 0
    assert table.leftovers() == ()


def test_a_correction_can_be_taken_back_by_delivering_the_first_row_again(tmp_path):
    table = RawTable(contract(), tmp_path)
    for name, amount in (("first", 1.0), ("second", 5.0), ("third", 1.0)):
        table.append(events((1, amount, "2020-01-03 12:00")), origin(name), correction=True)
    assert current(table, "amount") == [(1.0,)]
    assert table.snapshot().drops[-1].supersedes == 2


def test_a_retraction_takes_the_row_back_and_keeps_its_event_time(tmp_path):
    table = RawTable(contract(), tmp_path)
    table.append(events((1, 1.0, "2020-01-03 12:00"), (2, 2.0, "2020-01-04 12:00")), origin("first.parquet"))
    drop = table.retract(keys(1, 77), origin("bogus.parquet"))

    assert (drop.rows, drop.supersedes, drop.retracts) == (1, 1, True)
    assert current(table, "id") == [(2,)]
    (row,) = pq.read_table(table.snapshot().files_since(0)[0]).to_pylist()
    assert (row["id"], row["_event_timestamp"], row["_retracted"]) == (1, moment("2020-01-03 12:00"), True)


def test_a_retracted_row_that_is_delivered_again_is_current_again(tmp_path):
    table = RawTable(contract(), tmp_path)
    table.append(events((1, 1.0, "2020-01-03 12:00")), origin("first.parquet"))
    table.retract(keys(1), origin("bogus.parquet"))
    assert current(table, "id") == []
    table.append(events((1, 1.0, "2020-01-03 12:00")), origin("again.parquet"))
    assert current(table, "id", "amount") == [(1, 1.0)]


def test_retracting_what_is_not_there_publishes_nothing(tmp_path):
    table = RawTable(contract(), tmp_path)
    table.append(events((1, 1.0, "2020-01-03 12:00")), origin("first.parquet"))
    assert table.retract(keys(77), origin("bogus.parquet")) is None
    assert table.retract(keys(1), origin("bogus.parquet")) is not None
    assert table.retract(keys(1), origin("bogus.parquet")) is None


def test_without_a_key_every_row_stands_for_itself_but_a_file_counts_once(tmp_path):
    table = RawTable(contract(key=()), tmp_path)
    twins = events((1, 1.0, "2020-01-03 12:00"), (1, 1.0, "2020-01-03 12:00"))
    table.append(twins, origin("first.parquet"))
    table.append(events((1, 1.0, "2020-01-03 12:00")), origin("second.parquet"))
    assert table.append(twins, origin("first.parquet")) is None
    assert current(table, "id") == [(1,), (1,), (1,)]
    with pytest.raises(UsageError, match=r"no column is part of the key"):
        table.retract(keys(1), origin())


# --- sources without event time --------------------------------------------------------------------------------------


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
    with pytest.raises(DataError, match=r"holds from 2020-02-01.*after 2020-01-01.*--valid-from"):
        table.append(things((1, "green")), origin("second.parquet"), valid_from=moment("2020-01-01"))


def test_content_that_would_hold_from_after_the_clock_is_refused(tmp_path):
    ahead = moment("2020-02-01 12:00:01")  # a second after NOW
    with pytest.raises(DataError, match=r"holds from 2020-02-01T12:00:01\+00:00 lies after the clock"):
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


# --- completeness ----------------------------------------------------------------------------------------------------


def test_by_default_the_newest_events_day_may_still_be_filling(tmp_path):
    drop = RawTable(contract(), tmp_path).append(events((1, 1.0, "2020-01-05 04:30")), origin())
    assert drop.complete_through == date(2020, 1, 3)  # 04:30 UTC is 4 January in New York


def test_completeness_goes_back_only_as_a_correction(tmp_path):
    table = RawTable(contract(), tmp_path)
    table.append(events((1, 1.0, "2020-01-05 12:00")), origin("first"), complete_through=date(2020, 1, 20))
    late = events((2, 1.0, "2020-01-02 12:00"))
    with pytest.raises(UsageError, match=r"complete through 2020-01-20 already; 2020-01-02 would take days back"):
        table.append(late, origin("second"), complete_through=date(2020, 1, 2))
    assert table.append(late, origin("second")).complete_through == date(2020, 1, 20)
    taken = table.append(events(), origin("word"), complete_through=date(2020, 1, 5), correction=True)
    assert (taken.complete_through, table.snapshot().complete_through) == (date(2020, 1, 5), date(2020, 1, 5))


def test_a_stretch_of_days_without_rows_is_not_completed_unsaid(tmp_path):
    table = RawTable(contract(), tmp_path)
    table.append(events((1, 1.0, "2020-01-01 12:00"), (2, 1.0, "2020-01-03 12:00")), origin("first"))
    later = events((3, 1.0, "2020-01-12 12:00"), (4, 1.0, "2020-01-13 12:00"))
    with pytest.raises(DataError, match=r"of 8 days between 2020-01-03 and 2020-01-12 there is no row") as error:
        table.append(later, origin("second"))
    assert "--complete-through 2020-01-12; if it is still to come, say --complete-through 2020-01-02" in str(
        error.value
    )
    assert (table.snapshot().version, table.leftovers()) == (0, ())

    assert table.append(later, origin("second"), complete_through=date(2020, 1, 2)).rows == 2
    table.append(events((5, 1.0, "2020-01-06 12:00")), origin("between"))
    assert table.snapshot().complete_through == date(2020, 1, 5)


@pytest.mark.parametrize(
    ("days", "through"),
    [
        ((1, 9, 10), 9),  # a week without rows is a quiet one
        ((1, 11, 21), 20),  # every ten days: the source is like that
    ],
)
def test_quiet_days_are_completed_with_the_rest(tmp_path, days, through):
    rows = events(*((day, 1.0, f"2020-01-{day:02} 12:00") for day in days))
    assert RawTable(contract(), tmp_path).append(rows, origin()).complete_through == date(2020, 1, through)


def test_a_first_drop_with_a_hole_in_it_is_in_question_as_well(tmp_path):
    rows = events(*((day, 1.0, f"2019-01-{day:02} 12:00") for day in (1, 2, 3)), (9, 1.0, "2019-12-30 12:00"))
    with pytest.raises(DataError, match=r"of 360 days between 2019-01-03 and 2019-12-30"):
        RawTable(contract(), tmp_path).append(rows, origin())
    assert not RawTable(contract(), tmp_path).exists()


def test_retracted_rows_take_back_what_they_alone_completed(tmp_path):
    table = RawTable(contract(), tmp_path)
    table.append(events((1, 1.0, "2020-01-01 12:00")), origin("first"), complete_through=date(2020, 1, 2))
    table.append(events((2, 1.0, "2020-01-04 12:00"), (3, 1.0, "2020-01-09 12:00")), origin("second"))
    assert table.snapshot().complete_through == date(2020, 1, 8)
    assert table.retract(keys(3), origin("bogus")).complete_through == date(2020, 1, 3)
    assert table.retract(keys(2), origin("bogus too")).complete_through == date(2020, 1, 2)
    assert table.retract(keys(1), origin("all")).complete_through == date(2020, 1, 2)  # it was declared


def test_retracting_older_rows_leaves_completeness_alone(tmp_path):
    table = RawTable(contract(), tmp_path)
    table.append(events((1, 1.0, "2020-01-02 12:00"), (2, 1.0, "2020-01-09 12:00")), origin("first"))
    assert table.retract(keys(1), origin("bogus")).complete_through == date(2020, 1, 8)


def test_a_correction_that_moves_the_newest_rows_takes_back_what_they_completed(tmp_path):
    table = RawTable(contract(), tmp_path)
    table.append(events((1, 1.0, "2020-01-02 12:00"), (2, 1.0, "2020-01-09 12:00")), origin("first"))
    moved = table.append(events((2, 1.0, "2020-01-03 12:00")), origin("second"), correction=True)
    assert moved.complete_through == date(2020, 1, 2)


def test_what_was_declared_before_a_correction_took_it_back_stays_taken_back(tmp_path):
    table = RawTable(contract(), tmp_path)
    table.append(events((1, 1.0, "2020-01-02 12:00")), origin("first"), complete_through=date(2020, 1, 20))
    table.append(events(), origin("word"), complete_through=date(2020, 1, 3), correction=True)
    table.append(events((2, 1.0, "2020-01-06 12:00")), origin("second"))
    assert table.retract(keys(2), origin("bogus")).complete_through == date(2020, 1, 3)


def test_a_drop_recorded_without_a_word_on_the_matter_counts_as_declared(tmp_path):
    facts = {"number": 1, "file_name": "old", "content_hash": "1", "rows": 1, "ingested_at": "2020-01-10T00:00:00Z"}
    facts |= {"complete_through": "2020-01-08", "supersedes": 0, "unchanged": 0, "retracts": False, "valid_from": None}
    old = _drop(storage.Commit(0, facts))
    assert old.is_declared
    assert remaining_through([old], None) == date(2020, 1, 8)


# --- replacing rows --------------------------------------------------------------------------------------------------


def test_a_drop_that_replaces_rows_of_another_day_is_refused_unless_it_is_a_correction(tmp_path):
    table = RawTable(contract(), tmp_path)
    table.append(events((1, 1.0, "2020-01-03 12:00"), (2, 2.0, "2020-01-03 13:00")), origin("january.parquet"))
    february = events((1, 7.0, "2020-01-04 12:00"), (3, 3.0, "2020-01-04 13:00"))
    with pytest.raises(DataError) as error:
        table.append(february, origin("february.parquet"))
    assert str(error.value) == (
        "events.yaml: drop february.parquet would replace 1 stored rows, of the days 2020-01-03 to 2020-01-03, by "
        "their key: 1 of them by rows of another business day (allowed without a word: 0), and 50.00% of the 2 rows "
        "delivered (allowed: 1.00%), such as id 1 of 2020-01-03 by one of 2020-01-04. If it corrects these rows, say "
        "--correction. If they are new rows, the key does not identify a row: mend primaryKey, or raise "
        "supersedesAllowed. Nothing was written."
    )
    assert (current(table, "id"), table.leftovers()) == ([(1,), (2,)], ())
    assert table.append(february, origin("february.parquet"), correction=True).supersedes == 1


@pytest.mark.parametrize(("allowed", "is_refused"), [(0.0, True), (0.49, True), (0.5, False)])
def test_more_than_the_allowed_share_of_replacing_rows_is_refused(tmp_path, allowed, is_refused):
    table = RawTable(contract(supersedes_allowed=allowed), tmp_path)
    table.append(events((1, 1.0, "2020-01-03 12:00")), origin("first"))
    again = events((1, 2.0, "2020-01-03 12:00"), (2, 2.0, "2020-01-03 12:00"))
    if is_refused:
        with pytest.raises(DataError, match=r"50.00% of the 2 rows delivered"):
            table.append(again, origin("second"))
    else:
        assert table.append(again, origin("second")).supersedes == 1


def test_rows_delivered_unchanged_replace_nothing(tmp_path):
    table = RawTable(contract(), tmp_path)
    table.append(events((1, 1.0, "2020-01-03 12:00")), origin("first"))
    table.retract(keys(1), origin("bogus"))
    assert table.append(events((1, 1.0, "2020-01-05 12:00")), origin("again")).rows == 1  # nothing current is replaced


def test_a_day_without_events_can_be_declared_complete(tmp_path):
    table = RawTable(contract(), tmp_path)
    table.append(events((1, 1.0, "2020-01-05 12:00")), origin("first"))
    quiet = table.append(events(), origin("nothing"), complete_through=date(2020, 1, 6))
    assert (quiet.rows, quiet.version, table.snapshot().complete_through) == (0, 1, date(2020, 1, 6))
    assert table.append(events(), origin("nothing"), complete_through=date(2020, 1, 6)) is None


def test_a_day_that_has_not_ended_cannot_be_complete(tmp_path):
    table = RawTable(contract(), tmp_path)
    with pytest.raises(UsageError, match=r"the last day that ended is 2020-01-31"):
        table.append(events(), origin(), complete_through=date(2020, 2, 1))
    ahead = events((1, 1.0, "2020-01-30 12:00"), (2, 1.0, "2031-01-01 12:00"))  # a contract may allow it
    assert table.append(ahead, origin()).complete_through == date(2020, 1, 29)


# --- evolution -------------------------------------------------------------------------------------------------------


def test_a_column_that_a_new_contract_adds_is_null_in_older_drops(tmp_path):
    RawTable(contract(), tmp_path).append(events((1, 1.0, "2020-01-03 12:00")), origin("first.parquet"))
    wider = contract(columns=(*contract().columns, Column("note", "String", True, "A note")))
    table = RawTable(wider, tmp_path)
    assert current(table, "id", "note") == [(1, None)]

    noted = events((2, 2.0, "2020-01-04 12:00")).append_column("note", pa.array(["new"]))
    table.append(noted, origin("second.parquet"))
    assert current(table, "id", "note") == [(1, None), (2, "new")]
    assert "note" in [field.name for field in storage.open_table(table.folder).schema().fields]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"key": ("id", "at")}, r"key is \['id', 'at'\], yet events was ingested with \['id'\]"),
        ({"business_day_zone": "UTC"}, "business day zone is 'UTC', yet events was ingested with 'America/New_York'"),
        (
            {"columns": (Column("id", "String", False, "x"), *contract().columns[1:])},
            "'id' is string, yet events stores",
        ),
    ],
)
def test_a_contract_that_would_place_stored_rows_anew_is_refused(tmp_path, change, complaint):
    RawTable(contract(), tmp_path).append(events((1, 1.0, "2020-01-03 12:00")), origin())
    changed = RawTable(contract(**change), tmp_path)
    with pytest.raises(DataError, match=complaint):
        changed.append(source_schema(changed.contract).empty_table(), origin("second"))


# --- reading ---------------------------------------------------------------------------------------------------------


def test_current_content_is_read_in_total_order_with_typed_conditions(tmp_path):
    table = RawTable(contract(key=()), tmp_path)
    rows = [(2, None, "2020-01-03 12:00"), (1, 7.0, "2020-01-03 12:00"), (1, None, "2020-01-03 12:00")]
    table.append(events(*rows, (3, 1.0, "2020-01-02 12:00")), origin())

    assert current(table, "id", "amount") == [(3, 1.0), (1, None), (1, 7.0), (2, None)]
    assert current(table, "amount", id=1) == [(None,), (7.0,)]
    assert current(table, "id", amount=None) == [(1,), (2,)]
    assert current(table, "id", at=moment("2020-01-02 12:00")) == [(3,)]
    assert read_current(table.snapshot(), table.contract).schema.names == [
        "id",
        "amount",
        "at",
        "_event_timestamp",
        "_business_day",
    ]


def test_a_table_without_rows_is_read_as_empty_with_its_types(tmp_path):
    table = RawTable(contract(), tmp_path)
    table.append(events(), origin())
    empty = read_current(table.snapshot(), table.contract, ["at", "_business_day"])
    assert (empty.num_rows, empty.schema.types) == (0, [UTC_US, pa.int32()])
