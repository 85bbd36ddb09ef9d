"""One reading of a raw table: kept while it is true, and after a drop equal to what a new reading would find."""

import shutil
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest

from transformations.contracts import Column
from transformations.engine.base import storage
from transformations.engine.base.settings import Settings
from transformations.engine.raw import opened, zone
from transformations.engine.raw.compaction import compact_source
from transformations.engine.raw.drops import RawSnapshot
from transformations.engine.raw.zone import RawTable

from .raw_tables import contract, current, events, keys, origin

MANY = [Column(f"c{number}", "Float64", True, "One of many") for number in range(40)]


def test_what_a_table_knows_after_a_drop_is_what_a_new_reading_finds(tmp_path):
    table = RawTable(contract(), tmp_path)

    def is_as_read_anew() -> bool:
        return table.snapshot() == RawTable(table.contract, tmp_path).snapshot()

    table.append(events((1, 1.0, "2020-01-03 12:00"), (2, 2.0, "2020-01-05 12:00")), origin("first"))
    assert is_as_read_anew()
    table.append(events((3, 3.0, "2020-01-06 12:00")), origin("second"))
    assert is_as_read_anew()
    table.append(events((1, 9.0, "2020-01-04 12:00")), origin("correction"), correction=True)
    assert is_as_read_anew()
    table.retract(keys(2), origin("bogus"))
    assert is_as_read_anew()
    table.append(events(), origin("word"), complete_through=date(2020, 1, 20))
    assert is_as_read_anew()

    table.contract = contract(columns=(*contract().columns, Column("note", "String", True, "A note")))
    noted = events((4, 4.0, "2020-01-07 12:00"))
    table.append(noted.append_column("note", [["new"]]), origin("wider"))
    assert is_as_read_anew()
    assert current(table, "id", "note") == [(1, None), (3, None), (4, "new")]


@pytest.mark.parametrize("is_old", [False, True])
def test_a_source_may_have_more_columns_than_delta_reads_statistics_of_by_itself(tmp_path, is_old):
    table = RawTable(contract(columns=(*contract().columns, *MANY)), tmp_path)

    def wide(*rows: tuple[int, float, str]) -> pa.Table:
        made = events(*rows)
        for each in MANY:
            made = made.append_column(each.name, pa.array([0.0] * made.num_rows))
        return made

    table.append(wide((1, 1.0, "2020-01-03 12:00")), origin("first"))
    if is_old:  # as an older release has made it
        storage.open_table(table.folder).alter.set_table_properties({"delta.dataSkippingNumIndexedCols": "32"})
    table = RawTable(table.contract, tmp_path)
    table.append(wide((2, 2.0, "2020-01-04 12:00")), origin("second"))
    snapshot = RawTable(table.contract, tmp_path).snapshot()
    assert [
        (file.drop, file.last_day - file.first_day) for file in sorted(snapshot.stored, key=lambda file: file.drop)
    ] == [(1, 0), (2, 0)]
    assert current(table, "id", "c39") == [(1, 0.0), (2, 0.0)]


def test_a_table_that_another_writer_moved_on_is_read_anew(tmp_path):
    table, other = RawTable(contract(), tmp_path), RawTable(contract(), tmp_path)
    table.append(events((1, 1.0, "2020-01-03 12:00")), origin("first"))
    assert table.snapshot().version == 0
    other.append(events((2, 2.0, "2020-01-04 12:00")), origin("theirs"))
    assert table.snapshot() == other.snapshot()
    other.append(events((3, 3.0, "2020-01-05 12:00")), origin("theirs too"))
    assert table.append(events((4, 4.0, "2020-01-06 12:00")), origin("ours")).number == 4
    assert current(other, "id") == [(1,), (2,), (3,), (4,)]


def test_a_table_put_in_the_place_of_another_is_read_anew(tmp_path):
    table = RawTable(contract(), tmp_path)
    table.append(events((1, 1.0, "2020-01-03 12:00")), origin("first"))
    assert table.snapshot().drops[0].file_name == "first"
    shutil.rmtree(table.folder)
    RawTable(contract(), tmp_path).append(events((2, 2.0, "2020-01-03 12:00")), origin("of another table"))
    assert table.snapshot().drops[0].file_name == "of another table"
    assert current(table, "id") == [(2,)]


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The versions up to which all drops were read meanwhile. Logs are summed up every four commits."""
    versions: list[int] = []
    read = storage.commits_of

    def noting(folder, version, *keys):
        versions.append(version)
        return read(folder, version, *keys)

    monkeypatch.setattr(storage, "commits_of", noting)
    monkeypatch.setattr("transformations.engine.base.commit_log.COMMITS_A_SUMMARY", 4)
    return versions


def deliver(table: RawTable, first: int, last: int, *, is_declared: bool = True) -> None:
    """A drop a day, as daily runs bring it, each by a reading of its own. is_declared: as that day's last."""
    for number in range(first, last + 1):
        moment = datetime(2020, 1, 1, 12, tzinfo=UTC) + timedelta(days=number)
        rows = events((number, 1.0, f"{moment:%Y-%m-%d %H:%M}"))
        delivered = origin(f"drop {number}", moment + timedelta(days=1))
        day = moment.date() if is_declared else None
        RawTable(table.contract, table.folder.parent).append(rows, delivered, complete_through=day)


@pytest.mark.parametrize("days", [5, 13])
def test_a_daily_drop_reads_nothing_of_the_drops_before_it(tmp_path, readings, days):
    table = RawTable(contract(), tmp_path)
    deliver(table, 1, days)
    compact_source(table, Settings(data=tmp_path))
    del readings[:]
    deliver(table, days + 1, days + 1)
    found = RawTable(table.contract, tmp_path).snapshot()
    newest = date(2020, 1, days + 2)
    assert (found.drops[-1].number, found.rows, len(found.stored)) == (days + 1, days + 1, 2)
    assert (found.complete_through, found.supersedes, found.declared_through) == (newest, False, newest)
    assert found.comes_in_order
    assert [drop.number for drop in found.drops_since(days - 1)] == [days + 1]
    assert [part.drop for part in found.parts_since(days - 1)] == [days + 1]
    assert compact_source(table, Settings(data=tmp_path), only_many=True) is None
    assert readings == []
    assert [drop.number for drop in found.drops] == [part.drop for part in found.parts] == [*range(1, days + 2)]
    assert readings == [days + 1]


def test_files_since_a_version_are_those_of_drops_that_were_merged_meanwhile_too(tmp_path, readings):
    table = RawTable(contract(), tmp_path)
    deliver(table, 1, 6)
    before = {version: table.snapshot().parts_since(version) for version in range(-1, 6)}
    assert [len(parts) for parts in before.values()] == [6, 5, 4, 3, 2, 1, 0]
    compact_source(table, Settings(data=tmp_path))
    found = RawTable(table.contract, tmp_path).snapshot()
    assert {version: found.parts_since(version) for version in range(-1, 6)} == before
    assert found.as_delivered().files == tuple(part.path for part in before[-1])
    assert found.at(3).as_delivered().files == found.as_delivered().files[:4]


@pytest.mark.parametrize("is_old", [False, True])
def test_what_a_record_says_of_all_drops_so_far_is_what_they_say(tmp_path, readings, monkeypatch, is_old):
    """is_old: the first drops are of a version that did not say it."""
    table = RawTable(contract(), tmp_path)
    record = opened.record_of
    if is_old:
        monkeypatch.setattr(
            zone, "record_of", lambda *given: {name: each for name, each in record(*given).items() if name != "so_far"}
        )
    deliver(table, 1, 4)
    table.append(events((1, 9.0, "2020-01-02 12:00")), origin("correction"), correction=True)
    monkeypatch.setattr(zone, "record_of", record)
    deliver(table, 5, 7, is_declared=False)
    del readings[:]
    found = RawTable(table.contract, tmp_path).snapshot()
    assert (found.supersedes, found.declared_through) == (True, date(2020, 1, 5))
    assert readings == []
    drops = tuple(found.drops)
    plain = RawSnapshot(source="", version=7, parts=tuple(found.parts), drops=drops, complete_through=None)
    assert (plain.supersedes, plain.declared_through, len(drops)) == (True, date(2020, 1, 5), 8)
    assert (plain.comes_in_order, found.comes_in_order) == (False, False)
