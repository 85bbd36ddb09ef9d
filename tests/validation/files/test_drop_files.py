"""A delivered file comes back letter for letter, or is refused by its line; its names meet none of our own."""

import csv
import gzip
import io
import string
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformations.contracts import Column, Contract, CsvDialect, FileForm
from transformations.engine.base.duck import session
from transformations.engine.base.errors import DataError
from validation.files.drop_files import open_drop


def contract(*columns: Column | str, key: tuple[str, ...] = (), **form) -> Contract:
    return Contract(
        name="clicks",
        version="1.0.0",
        description="One click",
        owner="tests",
        columns=tuple(Column(each, "String", True, "Text") if isinstance(each, str) else each for each in columns),
        key=key,
        event_time=None,
        timestamp_zone="UTC",
        business_day_zone="UTC",
        valid_from=datetime(2020, 1, 1),
        delivery="append",
        form=FileForm(**form),
    )


def read(path: Path, rules: Contract | None = None, **options) -> tuple[list[str], list[tuple[object, ...]]]:
    """The names of a file's columns, and its rows."""
    with session() as connection:
        drop = open_drop(connection, path, rules, **options)
        rows = connection.execute(f"SELECT * FROM {drop.rows(drop.types)}").fetchall()
    assert [row[-1] for row in rows] == list(range(1, len(rows) + 1))
    return list(drop.types), [row[:-1] for row in rows]


@pytest.fixture
def rows(tmp_path):
    """The rows of a CSV file with that content."""

    def read_rows(content: str | bytes, name: str = "clicks.csv", rules: Contract | None = None, **dialect):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read(path, rules, dialect=CsvDialect(**dialect) if dialect else None)[1]

    return read_rows


# --- letter for letter -----------------------------------------------------------------------------------------------

CELL = st.text(
    st.sampled_from("ab1 ,;|'\"#\\\r\n\té€😀") | st.characters(codec="utf-8", exclude_characters="\0"), max_size=6
)


@given(
    table=st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(CELL, min_size=width, max_size=width), max_size=8)),
    dialect=st.builds(
        CsvDialect,
        delimiter=st.sampled_from(",;|\t"),
        quote=st.sampled_from("\"'"),
        header=st.booleans(),
        encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
    ),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_a_csv_writer_writes_comes_back_letter_for_letter(tmp_path_factory, table, dialect, quoting, end):
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=dialect.delimiter, quotechar=dialect.quote, quoting=quoting, lineterminator=end)
    if dialect.header:
        writer.writerow(f"column {letter}" for letter in string.ascii_letters[: len(table[0]) if table else 2])
    writer.writerows(table)
    path = tmp_path_factory.mktemp("letters") / "cells.csv"
    path.write_bytes(text.getvalue().encode(dialect.encoding))
    declared = replace(dialect, escape=dialect.quote, encoding=dialect.encoding.removesuffix("-sig"))
    # Of a space and then a quote some readers take the quote for one: such a cell is written in quotes, or refused.
    spaced = any(cell[:1].isspace() and cell.lstrip().startswith(dialect.quote) for row in table for cell in row)
    if (not table and not dialect.header) or text.getvalue().startswith("\ufeff"):  # which is a byte order mark
        return
    try:
        found = read(path, dialect=declared)[1]
    except DataError:
        begins_with_feed = end == "\r\n" and not dialect.header and any("\n" in cell for cell in table[0])
        assert spaced or begins_with_feed or any("\r" in cell for row in table for cell in row)
    else:
        assert found == [tuple(cell or None for cell in row) for row in table]


def test_a_headerless_file_whose_first_line_holds_another_line_end_is_refused_with_the_way_out(rows):
    with pytest.raises(DataError, match="put a header line before it"):
        rows('"home\nagain",1\r\n"cart",2\r\n', header=False)
    assert rows('page,id\r\n"home\nagain",1\r\n"cart",2\r\n') == [("home\nagain", "1"), ("cart", "2")]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_each_line_end_and_a_byte_order_mark_are_no_part_of_a_cell(rows, ending):
    assert rows(f"\ufeffid,page{ending}1,home{ending}2,cart{ending}") == [("1", "home"), ("2", "cart")]


def test_hashes_and_apostrophes_are_letters(rows):
    assert rows("id,page\n#1002,'home'\n") == [("#1002", "'home'")]


@pytest.mark.parametrize("last", ['"home\nagain"', '"say ""home"""'])
def test_quotes_first_seen_after_thirty_thousand_rows_enclose_their_cell(rows, last):
    found = rows("id,page\n" + "1,home\n" * 30_000 + f"2,{last}\n")
    assert len(found) == 30_001
    assert found[-1] == ("2", last[1:-1].replace('""', '"'))


def test_many_quoted_newlines_do_not_confuse_the_reader(tmp_path):
    cells = [str(number) + "\n1,2\n" * (number % 7) for number in range(60_000)]
    with (tmp_path / "cells.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "page", "note"), *((cell, cell, "x") for cell in cells)])
    assert read(tmp_path / "cells.csv")[1] == [(cell, cell, "x") for cell in cells]


@pytest.mark.parametrize(
    ("content", "dialect", "cells"),
    [
        ("id;price\n1;2,5\n", {"delimiter": ";"}, ("1", "2,5")),
        ("id,page\n1,'a, b''s'\n", {"quote": "'", "escape": "'"}, ("1", "a, b's")),
        ('id,page\n1,"a \\" \\\\ b"\n', {"escape": "\\"}, ("1", 'a " \\ b')),
        ('id,page\n1,"a\n', {"quote": "", "escape": ""}, ("1", '"a')),
        ('# by hand\nid,page\n#no row\n1,"a\n#b"\n', {"comment": "#"}, ("1", "a\n#b")),
        ("1,home\n", {"header": False}, ("1", "home")),
        ("id,page\n1,café\n".encode("latin-1"), {"encoding": "latin-1"}, ("1", "café")),
    ],
)
def test_a_declared_dialect_is_kept_to(rows, content, dialect, cells):
    assert rows(content, **dialect) == [cells]


def test_packed_files_and_tabs_are_read_by_the_name(rows):
    assert rows(gzip.compress(b"id,page\n1,home\n"), "clicks.csv.gz") == [("1", "home")]
    assert rows(pa.compress(b"id,page\n1,home\n", codec="zstd", asbytes=True), "clicks.csv.zst") == [("1", "home")]
    assert rows("id\tpage\n1\ta,b\n", "clicks.tsv") == [("1", "a,b")]


def test_a_path_is_literal(rows):
    rows("id,page\n9,another\n", "clicks1.csv")
    assert rows("id,page\n1,home\n", "clicks[1].csv") == [("1", "home")]


def test_empty_lines_are_no_rows_and_are_counted(tmp_path):
    (tmp_path / "clicks.csv").write_text("id,page\n1,home\n\n\n2,cart\n\n")
    with session() as connection:
        assert open_drop(connection, tmp_path / "clicks.csv").notes == ("3 empty lines of clicks.csv are no row",)


def test_an_empty_line_of_a_single_column_is_a_row_without_a_value(rows):
    assert rows("id\n1\n\n3\n") == [("1",), (None,), ("3",)]


# --- refused by the line ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("id,ts\n1,2\n2,3\nid,ts,page\n3,4,home\n", "line 4 is no row .*3 cells where the first line has 2 cells"),
        ("id,ts\n1,2\n2\n", "line 3 is no row .*1 cell where the first line has 2 cells"),
        ("id,ts\n1,2,\n", "line 2 is no row .*3 cells where the first line has 2 cells"),
        ('id,page\n1,home\n2,"cart\n3,home\n', "line 3 is no row .*unexpected end of data"),
        ('id,page\n1,"home"x\n', "line 2 is no row"),
        ('id,page\n1, "home"\n', "line 2 is no row .*a space before a cell in quotes"),
        ('id,page\n1,"home" \n', "line 2 is no row"),
        ("id,page\r\n1,home\n", r"its lines end in different ways \(1 CR, 2 LF\)"),
        ("id,page\n1,ho\rme\n", "line 3 is no row"),
        ("id,page\n1,a\0b\n", "line 2 holds a NUL byte"),
        ("\nid,page\n1,home\n", "line 1 is empty"),
        ("", "is empty: it has not even a header"),
        ("id,page\n1,café\n".encode("latin-1"), r"line 2 is not written in utf-8 \(byte 0xe9\).*encoding: latin-1"),
        ("id,page\n1,a\n".encode("utf-16"), "encoding: utf-16 "),
        ("id,page\n1,a\n".encode("utf-16-le"), "is written in utf-16-le, not in utf-8"),
        ("id,ID\n1,2\n", "has 2 columns called 'id', 'ID'"),
        ("id,id\n1,2\n", "has 2 columns called 'id', 'id'"),
        (",id\n1,2\n", r"column 1 of 2 has no name.*ignoredColumns: \[''\]"),
    ],
)
def test_what_is_no_row_is_refused(rows, content, problem):
    with pytest.raises(DataError, match=f"(?s)clicks.csv.*{problem}"):
        rows(content)


def test_joined_files_are_refused_for_the_header_between_them(rows):
    with pytest.raises(DataError, match=r"clicks.csv cannot be read: its header stands once more among its rows"):
        rows("id,page\n1,home\nid,page\n2,cart\n")
    assert rows("page\nhome\npage\n") == [("home",), ("page",)]


@pytest.mark.parametrize("cell", ['"home"x', 'x"home', '"ho""me"', '"home" "again"', '""home"'])
def test_text_beside_the_quotes_of_a_cell_is_no_cell_with_backslashes_either(rows, cell):
    if cell == 'x"home':
        assert rows(f"id,page\n1,{cell}\n", escape="\\") == [("1", cell)]
    else:
        with pytest.raises(DataError, match=r"line 2 .*text beside a cell in quotes"):
            rows(f"id,page\n1,{cell}\n", escape="\\")


@given(table=st.lists(st.tuples(CELL, CELL), min_size=1, max_size=5))
def test_quotes_behind_backslashes_come_back_letter_for_letter(tmp_path_factory, table):
    path = tmp_path_factory.mktemp("backslashes") / "cells.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL, doublequote=False, escapechar="\\", lineterminator="\n")
        writer.writerows([("id", "page"), *table])
    assert read(path, dialect=CsvDialect(escape="\\"))[1] == [tuple(cell or None for cell in row) for row in table]


def test_an_archive_in_an_archive_is_no_text(rows):
    with pytest.raises(DataError, match=r"clicks.csv.gz is no CSV text inside but packed with gzip"):
        rows(gzip.compress(gzip.compress(b"id,page\n1,home\n")), "clicks.csv.gz")


def test_a_letter_after_a_backslash_is_refused_rather_than_guessed(rows):
    with pytest.raises(DataError, match=r"line 2 .*a backslash that stands before neither"):
        rows('id,page\n1,"a\\nb"\n', escape="\\")


def test_a_wrong_checksum_is_refused(rows):
    packed = bytearray(gzip.compress(b"id,page\n1,home\n"))
    packed[-8] ^= 1
    with pytest.raises(DataError, match="CRC check failed"):
        rows(bytes(packed), "clicks.csv.gz")


# --- names -----------------------------------------------------------------------------------------------------------

OURS = ["file_row_number", "file_index", "filename", "_row", "c0", "file", "n", "first", "rowid"]


def test_a_files_names_meet_none_of_our_own(tmp_path):
    table = pa.table({name: [10 * number, 20, 30] for number, name in enumerate(OURS)})
    pq.write_table(table, tmp_path / "clicks.parquet")
    (tmp_path / "clicks.csv").write_text(
        "\n".join([",".join(OURS), *(",".join(map(str, row.values())) for row in table.to_pylist())])
    )
    wanted = [tuple(row.values()) for row in table.to_pylist()]
    assert read(tmp_path / "clicks.parquet") == (OURS, wanted)
    assert read(tmp_path / "clicks.csv") == (OURS, [tuple(map(str, row)) for row in wanted])


@pytest.mark.parametrize("names", [["id", "id"], ["id", "ID"], ["id", "page", "id"]])
def test_a_parquet_file_with_one_name_twice_is_refused(tmp_path, names):
    pq.write_table(pa.table([[1]] * len(names), names=names), tmp_path / "clicks.parquet")
    with pytest.raises(DataError, match=r"clicks\.parquet has 2 columns called 'id', '"):
        read(tmp_path / "clicks.parquet")


def test_nested_columns_count_once(tmp_path):
    table = pa.table({"a": [{"x": 1, "y": [2]}], "b": [[{"x": 1}]], "c": [7]})
    pq.write_table(table, tmp_path / "clicks.parquet")
    assert read(tmp_path / "clicks.parquet")[0] == ["a", "b", "c"]


def test_folders_above_a_file_name_no_column(tmp_path):
    (tmp_path / "page=home").mkdir()
    pq.write_table(pa.table({"page": ["cart"]}), tmp_path / "page=home" / "clicks.parquet")
    (tmp_path / "page=home" / "clicks.csv").write_text("page\ncart\n")
    assert read(tmp_path / "page=home" / "clicks.parquet") == (["page"], [("cart",)])
    assert read(tmp_path / "page=home" / "clicks.csv") == (["page"], [("cart",)])


def test_a_column_has_the_contracts_name_whatever_the_file_calls_it(rows):
    rules = contract("id", Column("delay", "String", True, "Delay", physical_name="Dep Delay"))
    assert rows("Dep Delay,id\n5,1\n", rules=rules) == [("5", "1")]
    with pytest.raises(DataError, match="has a column 'delay', yet by the contract that column is called 'Dep Delay'"):
        rows("delay,id\n5,1\n", rules=rules)


def test_ignored_columns_are_left_out_and_null_tokens_are_null(rows):
    rules = contract("id", "page", ignored_columns=("", "note"), null_tokens=("NA", "-"))
    assert rows(",id,note,page\n0,1,x,NA\n1,-,y,nA\n2,,z,home\n", rules=rules) == [
        ("1", None),
        (None, "nA"),
        (None, "home"),
    ]


def test_case_counts_unless_the_contract_says_otherwise(tmp_path):
    (tmp_path / "clicks.csv").write_text("ID,Page\n1,home\n")
    assert read(tmp_path / "clicks.csv", contract("id", "page"))[0] == ["ID", "Page"]
    assert read(tmp_path / "clicks.csv", contract("id", "page", ignores_header_case=True))[0] == ["id", "page"]


def test_a_file_without_a_header_has_the_contracts_columns_in_order(tmp_path):
    rules = contract("id", "page", key=("page",), csv=CsvDialect(header=False))
    (tmp_path / "clicks.csv").write_text("1,home\n")
    (tmp_path / "keys.csv").write_text("home\n")
    assert read(tmp_path / "clicks.csv", rules) == (["id", "page"], [("1", "home")])
    assert read(tmp_path / "keys.csv", rules, keys_only=True) == (["page"], [("home",)])
    with pytest.raises(DataError, match="its first row has 1 cell, the contract 2 columns"):
        read(tmp_path / "keys.csv", rules)
