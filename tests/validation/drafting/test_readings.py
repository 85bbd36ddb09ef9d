"""What a drafted contract takes a column for: never for something that would lose a letter of it."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from transformations.engine.base.duck import session
from validation.drafting.columns import Seen, look
from validation.drafting.readings import NULL_TOKENS
from validation.files.column_names import ROW
from validation.files.drop_files import TEXT_CELL, DropFile, open_drop
from validation.files.parcels import Parcel, ParcelFile


class Cells(DropFile):
    """One column of a CSV file, held in a table."""

    def __init__(self) -> None:
        names = {"cell": "cell"}
        super().__init__(
            parcel=Parcel("cells.csv", (ParcelFile(Path("cells.csv"), "cells.csv"),)),
            types={"cell": TEXT_CELL},
            relation="cells",
            cells=names,
            row_number=ROW,
            names=names,
        )

    def rows(self, columns):
        return "cells"


def seen(*cells: str | None) -> Seen:
    """What the cells of one column of a CSV file are taken for."""
    with session() as connection:
        rows = pa.table({ROW: list(range(1, len(cells) + 1)), "cell": pa.array(cells, pa.string())})
        connection.register("cells", rows)
        return look(connection, Cells()).columns[0]


@pytest.mark.parametrize(
    ("cells", "dtype"),
    [
        (["1", "-2", "0"], "Int64"),
        (["9223372036854775807"], "Int64"),
        (["12345678901234567890"], "String"),
        (["01234", "55555"], "String"),
        (["007"], "String"),
        (["+4917012345"], "String"),
        (["-0", "1"], "String"),
        ([" 1", "2"], "String"),
        (["1_000"], "String"),
        (["1.10", "1.9"], "String"),
        (["1.5", "2"], "Float64"),
        (["1.5", "2.0"], "Float64"),
        (["2.0", "3"], "String"),
        (["0.1", "0.1000000000000000055"], "String"),
        (["1e5", "2"], "String"),
        (["inf", "1.5"], "String"),
        (["true", "false"], "Bool"),
        (["True", "False"], "Bool"),
        (["true", "TRUE"], "String"),
        (["2024-05-01", "2024-05-02"], "Date"),
        (["2024-05-01 00:00:00", "2024-05-02 00:00:00"], "UnixTimestamp"),
        (["2024-05-01T10:00:00Z", "2024-05-01T10:00:00+02:00"], "UnixTimestamp"),
        (["2024-05-01 10:00 America/New_York"], "String"),
        (["epoch", "2024-05-01 10:00"], "String"),
        (["2024-02-30"], "String"),
        ([None, None], "String"),
        (["NA", "NA"], "String"),
    ],
)
def test_a_text_is_something_else_only_if_it_would_come_back_letter_for_letter(cells, dtype):
    assert seen(*cells).dtype == dtype


@given(st.lists(st.text("0123456789+-. eE_", min_size=1, max_size=22), min_size=1, max_size=4))
def test_what_is_drafted_as_an_integer_comes_back_letter_for_letter(cells):
    if seen(*cells).dtype == "Int64":
        values = [cell for cell in cells if cell not in NULL_TOKENS]
        assert [str(int(cell)) for cell in values] == values


@given(st.lists(st.text("0123456789+-.eE", min_size=1, max_size=8), min_size=1, max_size=3))
@example([".", "1.5"])  # beside numbers, a dot is drafted as a text that means null
def test_what_is_drafted_as_a_number_comes_back_in_the_one_way_that_the_column_writes_numbers(cells):
    if seen(*cells).dtype == "Float64":
        values = [cell for cell in cells if cell not in NULL_TOKENS]
        said = [json.dumps(float(cell)) for cell in values]
        assert values in (said, [text.removesuffix(".0") for text in said])


@pytest.mark.parametrize(
    ("cells", "dtype", "form"),
    [
        (["31/01/2024", "01/02/2024"], "Date", "%d/%m/%Y"),
        (["01/31/2024", "02/01/2024"], "Date", "%m/%d/%Y"),
        (["31.01.2024 13:30", "01.02.2024 00:15"], "UnixTimestamp", "%d.%m.%Y %H:%M"),
        (["2024-05-01 01:30:00 PM", "2024-05-01 12:15:00 AM"], "UnixTimestamp", "%Y-%m-%d %I:%M:%S %p"),
        (["05 May 2024", "06 May 2024"], "Date", "%d %b %Y"),
        (["1-Feb-2024"], "Date", "%d-%b-%Y"),
    ],
)
def test_a_form_of_times_is_taken_where_it_is_the_only_one_that_fits_every_value(cells, dtype, form):
    column = seen(*cells)
    assert (column.dtype, column.reading.form, column.rivals) == (dtype, form, ())


def test_where_two_forms_fit_the_file_both_are_named():
    column = seen("05/06/2024", "07/08/2024")
    assert (column.reading.form, column.rivals) == ("%d/%m/%Y", ("%m/%d/%Y",))


def test_a_form_that_the_last_row_contradicts_is_none_of_it(tmp_path):
    assert seen(*["05/06/2024"] * 3, "13/06/2024").rivals == ()
    assert seen(*(f"{1 + n % 12:02}/{1 + n % 12:02}/{1000 + n}" for n in range(3_000)), "nonsense").dtype == "String"


def test_the_clock_is_shown_as_the_file_has_it():
    column = seen("2024-05-01 10:00", "2024-05-02 11:00")
    assert (column.local, column.values) == (2, ("2024-05-01 10:00:00", "2024-05-02 11:00:00"))


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([1.0, None, 3.0]), ("integer", "DOUBLE")),
        (pa.array([1.0, 2.0, 3.0]), ("number", None)),  # no null: nothing says why integers should be stored so
        (pa.array([1.0, None, 2.5]), ("number", None)),
        (pa.array([2.0**53, None]), ("number", None)),
        (pa.array([float("nan"), 7.0]), ("integer", "DOUBLE")),
        (pa.array([None, None], pa.float64()), ("number", None)),
        (pa.array(["2024-05-01 10:00:00", None]), ("timestamp", "VARCHAR")),
        (pa.array(["2024-05-01", "2024-05-02"]).dictionary_encode(), ("date", "VARCHAR")),
        (pa.array(["7", "8"]), ("string", None)),  # stored as text on purpose
    ],
)
def test_a_cast_of_a_stored_column_is_written_down(tmp_path, column, expected):
    from validation.drafting.drafts import draft_contract

    pq.write_table(pa.table({"x": column}), tmp_path / "t.parquet")
    (found,) = yaml.safe_load(draft_contract(tmp_path / "t.parquet"))["schema"][0]["properties"]
    assert (found["logicalType"], found.get("physicalType")) == expected


def test_a_file_is_read_once(tmp_path):
    pq.write_table(pa.table({"a": [1, 2], "b": ["x", "y"]}), tmp_path / "t.parquet")
    with session() as connection:
        file = open_drop(connection, tmp_path / "t.parquet")
        asked: list[str] = []

        class Watched:
            def execute(self, query: str):
                asked.append(query)
                return connection.execute(query)

        look(Watched(), file)
    assert sum("read_parquet" in query for query in asked) == 1
