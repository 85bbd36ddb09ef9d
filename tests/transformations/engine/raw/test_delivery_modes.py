"""Re-sent days and upserts: what is current equals what their definitions say, over any history of drops."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transformations.engine.base.errors import DataError
from transformations.engine.raw.zone import RawTable

from .raw_tables import NOW, contract, current, events, keys, origin

ROW = st.tuples(st.integers(1, 5), st.sampled_from([1.0, 2.0, None]), st.integers(3, 5))
DROP = st.lists(ROW, min_size=1, max_size=4, unique_by=lambda row: row[0]) | st.integers(1, 5)


def at(day: int) -> str:
    return f"2020-01-0{day} 12:00"


@pytest.mark.parametrize("delivery", ["upsert", "replace-partition"])
@settings(max_examples=20)
@given(history=st.lists(DROP, min_size=2, max_size=4))
def test_the_current_content_is_that_of_all_drops_in_turn(tmp_path_factory, delivery, history):
    table = RawTable(contract(delivery=delivery), tmp_path_factory.mktemp("raw"))
    expected: dict[int, tuple[float | None, int]] = {}
    for number, drop in enumerate(history):
        came = origin(f"drop {number}", NOW + timedelta(hours=number))
        if isinstance(drop, int):
            if table.exists():
                table.retract(keys(drop), came)
                expected.pop(drop, None)
            continue
        days = {day for _, _, day in drop} if delivery == "replace-partition" else set()
        gone = {key for key, (_, day) in expected.items() if day in days} - {key for key, *_ in drop}
        written = table.append(events(*((key, amount, at(day)) for key, amount, day in drop)), came, correction=True)
        assert (written.retracted if written else 0) == len(gone)
        expected = {key: row for key, row in expected.items() if key not in gone}
        expected |= {key: (amount, day) for key, amount, day in drop}
    found = current(table, "id", "amount", "at") if table.exists() else []
    assert {key: (amount, when.day) for key, amount, when in found} == expected


def test_a_day_sent_again_takes_back_what_it_lacks_and_leaves_other_days(tmp_path):
    table = RawTable(contract(delivery="replace-partition"), tmp_path)
    table.append(events((1, 1.0, at(3)), (2, 2.0, at(3)), (3, 3.0, at(4))), origin("first"))
    drop = table.append(events((1, 5.0, at(3)), (4, 4.0, at(3))), origin("third again"))
    assert (drop.rows, drop.unchanged, drop.supersedes, drop.retracted) == (3, 0, 2, 1)
    assert sorted(current(table, "id", "amount")) == [(1, 5.0), (3, 3.0), (4, 4.0)]
    again = table.append(events((4, 4.0, at(3)), (1, 5.0, at(3))), origin("in another order"))
    assert again is None


def test_a_row_of_a_day_that_is_not_delivered_is_replaced_by_a_correction_alone(tmp_path):
    table = RawTable(contract(delivery="replace-partition"), tmp_path)
    table.append(events((1, 1.0, at(3)), (2, 2.0, at(4))), origin("first"))
    moved = events((1, 1.0, at(4)), (2, 2.0, at(4)))
    with pytest.raises(DataError, match=r"1 row of days that it does not deliver, by their key, such as id 1 of"):
        table.append(moved, origin("moved"))
    assert table.append(moved, origin("moved"), correction=True).supersedes == 1


@pytest.mark.parametrize("delivery", ["upsert", "replace-partition"])
def test_the_bytes_of_an_earlier_drop_are_refused(tmp_path, delivery):
    table = RawTable(contract(delivery=delivery), tmp_path)
    for amount, name in ((1.0, "one"), (2.0, "two")):
        table.append(events((1, amount, at(3))), origin(name))
    with pytest.raises(DataError, match="one is byte for byte the file of drop 1"):
        table.append(events((1, 1.0, at(3))), origin("one"))
    assert table.append(events((1, 1.0, at(3))), origin("other bytes")).supersedes == 2
    assert table.append(events((1, 2.0, at(3))), origin("two"), correction=True) is not None


def test_an_upsert_replaces_any_row_of_any_day(tmp_path):
    table = RawTable(contract(delivery="upsert"), tmp_path)
    table.append(events((1, 1.0, at(3)), (2, 2.0, at(3))), origin("first"))
    assert table.append(events((1, 9.0, at(5)), (2, 9.0, at(4))), origin("second")).supersedes == 2
    assert current(table, "id", "amount") == [(2, 9.0), (1, 9.0)]
