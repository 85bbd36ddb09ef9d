"""Delivered files: what is read, as what, and which are refused without a trace."""

import gzip
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformations.contracts import ContractError, read_contract
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.raw.zone import RawTable
from validation.delivery import ingest
from validation.delivery.conforming import check_file
from validation.delivery.ingest import Delivery, check_drop, ingest_drop
from validation.drafting.drafts import draft_contract

from .deliveries import current, deliver, events, utc


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
        (lambda path: path.mkdir(), DataError, "drop.parquet/ has no file to read"),
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
        (gzip.compress(b"id,at\n", mtime=0), "packed with gzip"),
        (b"PK\x03\x04", "a zip archive"),
        (b"PAR1", "a Parquet file"),
        (b"\x28\xb5\x2f\xfd", "packed with zstd"),
    ],
    ids=["gzip", "zip", "parquet", "zstd"],
)
def test_a_packed_file_called_csv_is_named_for_what_it_is(sources, tmp_path, content, kind):
    (tmp_path / "drop.csv").write_bytes(content)
    with pytest.raises(DataError, match=f"drop.csv is no CSV text but {kind}"):
        ingest_drop(Delivery("events", tmp_path / "drop.csv"), sources)


def test_only_three_kinds_of_files_are_read(sources, tmp_path):
    (tmp_path / "drop.json").write_text("{}")
    with pytest.raises(UsageError, match=r"drop.json: neither Parquet, CSV nor JSON lines by its name"):
        ingest_drop(Delivery("events", tmp_path / "drop.json"), sources)


def test_an_unknown_source_is_answered_with_the_nearest(sources):
    with pytest.raises(ContractError, match=r"no contract for a source 'event'; did you mean 'events'"):
        ingest_drop(Delivery("event", Path("any.parquet")), sources)


@pytest.mark.parametrize("content", ["id,amount,at\n", ""])
def test_an_empty_file_shows_nothing_and_is_refused(sources, tmp_path, content):
    (tmp_path / "empty.csv").write_text(content)
    for refused in (
        lambda path: check_drop(Delivery("events", path), sources),
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
        check_drop(Delivery("things", tmp_path / "drop.parquet"), sources)
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


def test_a_folder_is_one_drop_or_nothing(sources, tmp_path):
    folder = tmp_path / "day"
    folder.mkdir()
    (folder / "a.jsonl").write_text('{"id": 1, "amount": 1.5, "at": "2020-01-03 20:00"}\n')
    (folder / "b.jsonl").write_text('{"id": 2, "amount": -1, "at": "2020-01-03 21:00"}\n')
    with pytest.raises(DataError, match=r"first at row 1 of b.jsonl of drop day/ \(-1\)"):
        ingest_drop(Delivery("events", folder), sources)
    (folder / "b.jsonl").write_text('{"id": 2, "at": "2020-01-03 21:00"}\n')
    files = (folder / "b.jsonl", folder / "a.jsonl")
    assert ingest_drop(Delivery("events", files), sources).drop.rows == 2
    assert ingest_drop(Delivery("events", folder), sources).drop is None  # the same files, however they are named
    assert current(sources, "events", "id", "amount") == [(1, 1.5), (2, None)]


def test_of_files_without_a_key_none_is_taken_twice(sources, tmp_path):
    path = sources.contracts / "events.yaml"
    path.write_text(path.read_text().replace(", primaryKey: true", ""))
    for name, number in (("a.csv", 1), ("b.csv", 2), ("c.csv", 2)):
        (tmp_path / name).write_text(f"id,amount,at\n{number},1,2020-01-03 20:00\n")
    ingest_drop(Delivery("events", tmp_path / "a.csv"), sources)
    with pytest.raises(DataError, match=r"a.csv of .* is stored already, with drop 1 \(a.csv\)"):
        ingest_drop(Delivery("events", (tmp_path / "a.csv", tmp_path / "b.csv")), sources)
    with pytest.raises(DataError, match=r"b.csv and c.csv of .* are byte for byte one file"):
        ingest_drop(Delivery("events", (tmp_path / "b.csv", tmp_path / "c.csv")), sources)


def grow(path: Path) -> None:
    """As a program does that is still writing."""
    with path.open("a") as stream:
        stream.write("2,-1,2019-01-03 20:00\n")


def replace_by_another(path: Path) -> None:
    other = path.with_name("other.csv")
    other.write_text(path.read_text().replace("1.5", "9.9"))
    other.rename(path)


@pytest.mark.parametrize("change", [grow, replace_by_another])
def test_a_file_that_changes_while_it_is_read_is_refused(sources, tmp_path, monkeypatch, change):
    """What was checked, hashed and stored would be three different things."""
    path = tmp_path / "events.csv"
    path.write_text("id,amount,at\n1,1.5,2020-01-03 20:00\n")

    def check_and_change(*arguments):
        checked = check_file(*arguments)
        change(path)
        return checked

    with monkeypatch.context() as patched:
        patched.setattr(ingest, "check_file", check_and_change)
        with pytest.raises(DataError, match=r"events\.csv changed while it was read, so nothing of it was written"):
            ingest_drop(Delivery("events", path), sources)
    table = RawTable(read_contract("events", sources.contracts), sources.raw_dir)
    assert not table.exists()
    assert list(table.folder.glob("drop-*")) == []


def test_keys_that_change_while_they_are_read_take_nothing_back(sources, tmp_path, monkeypatch):
    path = tmp_path / "events.csv"
    path.write_text("id,amount,at\n1,1.5,2020-01-03 20:00\n2,1.5,2020-01-03 20:00\n")
    ingest_drop(Delivery("events", path), sources)
    keys = tmp_path / "keys.csv"
    keys.write_text("id\n1\n")

    def check_and_change(*arguments):
        checked = check_file(*arguments)
        keys.write_text("id\n1\n2\n")
        return checked

    with monkeypatch.context() as patched:
        patched.setattr(ingest, "check_file", check_and_change)
        with pytest.raises(DataError, match=r"keys\.csv changed while it was read"):
            ingest_drop(Delivery("events", keys, retract=True), sources)
    assert [row[0] for row in current(sources, "events", "id")] == [1, 2]
