"""The raw zone: drops become visible whole, corrections and retractions win, nothing is stored twice."""

from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformations.contracts import Column
from transformations.engine.base import storage
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.raw import files as raw_files
from transformations.engine.raw.files import source_schema
from transformations.engine.raw.zone import RawTable, read_current

from .raw_tables import NOW, UTC_US, contract, current, events, keys, moment, origin

# --- drops ------------------------------------------------------------------------------------------------------------


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


def test_a_table_that_holds_no_row_yet_takes_the_first_ones(tmp_path):
    table = RawTable(contract(), tmp_path)
    table.append(events(), origin("empty.parquet"), complete_through=date(2020, 1, 2))
    assert table.snapshot().files == ()
    table.append(events((1, 1.0, "2020-01-03 12:00")), origin("first.parquet"))
    assert read_current(table.snapshot(), table.contract, ["amount"]).to_pylist() == [{"amount": 1.0}]


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


# --- corrections and retractions --------------------------------------------------------------------------------------


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
    table.append(events((1, 1.0, "2020-01-03 12:00")), origin("again.parquet"), correction=True)
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


# --- evolution --------------------------------------------------------------------------------------------------------


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


# --- reading ----------------------------------------------------------------------------------------------------------


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
