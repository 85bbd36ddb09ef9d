"""What a drop may do to stored rows without being called a correction."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from transformations.engine.base.duck import parquet
from transformations.engine.base.errors import DataError
from transformations.engine.raw import raw_sql
from transformations.engine.raw.zone import RawTable

from .raw_tables import NOW, attributes, contract, current, events, keys, origin, things


def test_a_drop_that_replaces_rows_of_another_day_is_refused_unless_it_is_a_correction(tmp_path):
    table = RawTable(contract(), tmp_path)
    table.append(events((1, 1.0, "2020-01-03 12:00"), (2, 2.0, "2020-01-03 13:00")), origin("january.parquet"))
    february = events((1, 7.0, "2020-01-04 12:00"), (3, 3.0, "2020-01-04 13:00"))
    with pytest.raises(DataError) as error:
        table.append(february, origin("february.parquet"))
    assert str(error.value) == (
        "events.yaml: drop february.parquet would replace 1 stored row, of 2020-01-03, by "
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


def test_only_files_that_hold_a_delivered_key_are_read_whole(tmp_path, monkeypatch):
    table = RawTable(contract(), tmp_path)
    for day in (3, 4, 5):
        table.append(events((day, 1.0, f"2020-01-0{day} 12:00")), origin(f"{day}"))
    files, read = table.snapshot().files, list[str]()
    monkeypatch.setattr(raw_sql, "parquet", lambda some: read.extend(some) or parquet(some))

    table.append(events((6, 1.0, "2020-01-06 12:00")), origin("new"))
    assert read == []
    table.append(events((4, 9.0, "2020-01-04 12:00")), origin("corrected"), correction=True)
    assert read[0] == files[1]  # for the rows; the others are asked for their days
    assert current(table, "id", "amount") == [(3, 1.0), (4, 9.0), (5, 1.0), (6, 1.0)]


# --- older files delivered again -------------------------------------------------------------------------------------


def many(*changed: tuple[int, float]) -> pa.Table:
    """200 events of a day, of amount 1.0 but for those named: one of them is within the 1 % that may be replaced."""
    amounts = dict.fromkeys(range(200), 1.0) | dict(changed)
    return events(*((number, amount, "2020-01-03 12:00") for number, amount in amounts.items()))


def test_an_older_file_delivered_again_does_not_revert_a_correction_unsaid(tmp_path):
    table = RawTable(contract(), tmp_path)
    table.append(many(), origin("january.parquet"))
    table.append(events((7, 5.0, "2020-01-03 12:00")), origin("mended.parquet"), correction=True)
    with pytest.raises(DataError) as error:
        table.append(many(), origin("january.parquet"))
    assert str(error.value) == (
        "events.yaml: drop january.parquet is byte for byte the file of drop 1: it would bring back 1 row as stored "
        "before a later drop replaced or retracted it, such as id 7, replaced by drop 2 (mended.parquet). Leave the "
        "file out; or, if the later drop was wrong, say --correction. Nothing was written."
    )
    assert (current(table, "amount", id=7), table.leftovers()) == ([(5.0,)], ())
    assert table.append(many(), origin("january.parquet"), correction=True).rows == 1
    assert current(table, "amount", id=7) == [(1.0,)]


def test_an_older_file_that_was_packed_anew_does_not_revert_a_correction_either(tmp_path):
    table = RawTable(contract(), tmp_path)
    table.append(many(), origin("january.parquet"))
    table.append(events((7, 5.0, "2020-01-03 12:00")), origin("mended.parquet"), correction=True)
    with pytest.raises(DataError, match=r"drop january-zstd.parquet reads like an older file: .* bring back 1 row"):
        table.append(many(), origin("january-zstd.parquet"))
    assert table.append(many((7, 6.0)), origin("newer.parquet")).rows == 1  # 6.0 was never stored: a replacement


def test_an_older_file_whose_rows_are_all_current_has_nothing_to_do(tmp_path):
    table = RawTable(contract(), tmp_path)
    table.append(many(), origin("january.parquet"))
    table.append(events((300, 5.0, "2020-01-03 12:00")), origin("more.parquet"))
    assert table.append(many(), origin("january.parquet")) is None


def test_a_retracted_row_comes_back_only_as_a_correction(tmp_path):
    table = RawTable(contract(), tmp_path)
    table.append(many(), origin("january.parquet"))
    table.retract(keys(7), origin("bogus.parquet"))
    overlapping = many((300, 1.0))
    with pytest.raises(DataError, match=r"such as id 7, retracted by drop 2 \(bogus.parquet\)"):
        table.append(overlapping, origin("february.parquet"))
    assert table.append(overlapping, origin("february.parquet"), correction=True).rows == 2


def test_a_file_that_was_the_content_of_a_snapshot_before_is_not_its_content_again_unsaid(tmp_path):
    table = RawTable(attributes(), tmp_path)
    red, green = things((1, "red")), things((1, "green"))
    table.append(red, origin("red.parquet"))
    table.append(green, origin("green.parquet"))
    assert table.append(green, origin("green.parquet")) is None
    with pytest.raises(DataError, match=r"byte for byte the file of drop 1, ingested at 2020-02-01 07:00"):
        table.append(red, origin("red.parquet"))
    assert current(table, "colour")[-1] == ("green",)
    assert table.append(red, origin("red.parquet"), valid_from=NOW).rows == 1


def test_the_same_content_under_another_name_is_a_snapshot_of_its_own(tmp_path):
    table = RawTable(attributes(), tmp_path)
    for number, colour in enumerate(("red", "green", "red")):
        table.append(things((1, colour)), origin(f"{number}.parquet", at=datetime(2020, 3, 1 + number, tzinfo=UTC)))
    assert current(table, "colour") == [("red",), ("green",), ("red",)]
