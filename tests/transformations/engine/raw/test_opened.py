"""One reading of a raw table: kept while it is true, and after a drop equal to what a new reading would find."""

import shutil
from datetime import date

from transformations.contracts import Column
from transformations.engine.raw.zone import RawTable

from .raw_tables import contract, current, events, keys, origin


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
