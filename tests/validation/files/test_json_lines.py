"""JSON lines: every digit and letter as written, every line an object or refused by its number."""

import gzip
import json
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transformations.contracts import Column
from transformations.contracts.model import ColumnFormat
from transformations.engine.base.duck import session
from transformations.engine.base.errors import DataError
from validation.delivery.checks import conversions_of
from validation.delivery.checks_sql import converted_rows, count_query
from validation.files.drop_files import open_drop

from .test_drop_files import contract


def converted(path, rules) -> tuple[list[tuple[object, ...]], list[int]]:
    """The rows of a file under a contract, and by column how many of them lose something."""
    with session() as connection:
        drop = open_drop(connection, path, rules)
        how = conversions_of(connection, rules, drop, rules.column_names)
        lossy = [each.lossy for each in how.values()]
        counts = connection.execute(count_query(drop.rows(how), how.values(), lossy)).fetchall()[0]
        return connection.execute(converted_rows(drop, how)).fetchall(), list(counts[2:])


def write(tmp_path, content: str | bytes, name: str = "clicks.jsonl"):
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


ANY = st.characters(codec="utf-8", exclude_characters="\0")
LETTERS = st.text(st.sampled_from('a"\\/:{},[é€😀\n\t ') | ANY, max_size=5)
NAMES = st.lists(LETTERS.filter(str.strip), min_size=1, max_size=3, unique_by=str.lower)


@settings(max_examples=40)
@given(st.data(), NAMES, st.booleans())
def test_texts_and_numbers_come_back_as_a_json_writer_wrote_them(tmp_path_factory, data, names, ascii_only):
    value = st.none() | LETTERS | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
    rows = data.draw(st.lists(st.fixed_dictionaries(dict.fromkeys(names, value)), min_size=1, max_size=4))
    text = "".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in rows)
    with session() as connection:
        drop = open_drop(connection, write(tmp_path_factory.mktemp("json"), text))
        found = connection.execute(f"SELECT * FROM {drop.rows(drop.types)}").fetchall()
    assert list(drop.types) == list(rows[0])
    for row, cells in zip(rows, found, strict=True):
        for name, cell in zip(drop.types, cells, strict=False):
            is_escaped = json.dumps(name, ensure_ascii=ascii_only) != json.dumps(name, ensure_ascii=False)
            if cell and cell[0] == "?" and is_escaped:
                continue  # of a key with escapes the number's text is not found, and it is no number then
            assert (None if cell is None else json.loads(cell, parse_float=Decimal)) == (
                Decimal(repr(row[name])) if isinstance(row[name], float) else row[name]
            )


def test_types_come_from_the_contract_and_a_number_in_quotes_is_none(tmp_path):
    dtypes = {"id": "Int64", "amount": "Float64", "new": "Bool", "page": "String"}
    rules = contract(*(Column(name, dtype, True, "A column") for name, dtype in dtypes.items()))
    text = (
        '{"id": 1, "amount": 9007199254740993.5, "new": true, "page": "a"}\n'
        '{"id": 9007199254740992, "amount": 1e400, "new": "true", "page": 5}\n'
        '{"id": "3", "amount": 9007199254740993.0, "new": 1, "page": {"of": "x"}}\n'
        '{"page": null, "amount": NaN}\n'
    )
    rows, lossy = converted(write(tmp_path, text), rules)
    assert rows[0] == (1, 9007199254740993.5, True, "a")
    assert rows[3] == (None, None, None, None)
    assert lossy == [2, 1, 2, 2]  # infinite is another check's: 1e400


def test_a_column_of_texts_is_read_as_numbers_where_the_contract_says_so(tmp_path):
    text = Column("id", "Int64", True, "A column", format=ColumnFormat(stored_as="text"))
    rows, lossy = converted(write(tmp_path, '{"id": "9007199254740993"}\n{"id": 4}\n'), contract(text))
    assert (rows[0], lossy) == ((9007199254740993,), [1])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"id": 1}\n\n[2]\n', r"clicks.jsonl: line 3 is no JSON object: \[2\]"),
        ('{"id": 1}\n{"id": 2, "id": 3}\n', "line 2 says a key twice"),
        ('{"id": 1,}\n', "line 1 has a comma before its end"),
        ('{"id": 1}\n{"id": 2\n', "line 2 is no JSON"),
        ('{"id": 1}{"id": 2}\n', "line 1 is no JSON"),
        ("{'id': 1}\n", "line 1 is no JSON"),
        ('[\n{"id": 1}\n]\n', "line 1 is no JSON"),
        ('{"id": 1}\n{"id": \0}\n', "line 2 holds a NUL byte"),
        ('{"id": "é"}\n'.encode("latin-1"), r"line 1 is not written in utf-8 \(byte 0xe9\). Deliver the file in UTF-8"),
        ('{"id": 1}\n'.encode("utf-16"), "not written in utf-8"),
        ("".join(f'{{"{number}": 1}}\n' for number in range(10_001)), "have 10,001 different keys"),
        ('{"Id": 1}\n{"id": 2}\n', r"has 2 columns called 'Id', 'id' \(case aside\)"),
    ],
)
def test_what_is_no_object_a_line_is_refused_by_its_line(tmp_path, content, message):
    with session() as connection, pytest.raises(DataError, match=message):
        open_drop(connection, write(tmp_path, content))


@pytest.mark.parametrize("name", ["clicks.jsonl.gz", "clicks.ndjson.zst", "clicks.jsonl"])
def test_packed_files_empty_lines_and_a_mark_are_read_and_counted(tmp_path, name):
    content = "\ufeff".encode() + b'{"id": 1}\n\n  \r\n{"page": "a"}'
    packed = {".gz": gzip.compress(content), ".zst": pa.compress(content, codec="zstd", asbytes=True)}
    path = write(tmp_path, packed.get(Path(name).suffix, content), name)
    with session() as connection:
        drop = open_drop(connection, path)
        assert connection.execute(f"SELECT * FROM {drop.rows(['id', 'page'])}").fetchall() == [
            ("1", None, 1),
            (None, '"a"', 2),
        ]
    assert drop.notes == (f"2 empty lines of {name} are no row",)


def test_an_archive_in_an_archive_and_a_bomb_are_refused(tmp_path):
    twice = write(tmp_path, gzip.compress(gzip.compress(b'{"id": 1}\n')), "twice.jsonl.gz")
    bomb = write(tmp_path, gzip.compress(b" " * 65 * 2**20), "bomb.jsonl.gz")
    with session() as connection:
        with pytest.raises(DataError, match="is no JSON text inside but packed with gzip"):
            open_drop(connection, twice)
        with pytest.raises(DataError, match="unpacks to more than 500 times its"):
            open_drop(connection, bomb)


def test_files_of_one_delivery_may_leave_out_keys(tmp_path):
    write(tmp_path, '{"id": 1}\n', "a.jsonl")
    write(tmp_path, '{"page": "x", "id": 2}\n', "b.jsonl")
    with session() as connection:
        drop = open_drop(connection, tmp_path)
        rows = connection.execute(f"SELECT * FROM {drop.rows(['id', 'page'])}").fetchall()
    assert [(*row[:2], drop.place(row[2])) for row in rows] == [
        ("1", None, "1 of a.jsonl"),
        ("2", '"x"', "1 of b.jsonl"),
    ]


@pytest.mark.parametrize(("content", "rows"), [("", 0), ("\n", 0), ("{}\n{}\n", 2)])
def test_a_file_without_keys_has_its_rows(tmp_path, content, rows):
    with session() as connection:
        drop = open_drop(connection, write(tmp_path, content), contract("id"))
        assert len(connection.execute(f"SELECT * FROM {drop.rows(drop.types)}").fetchall()) == rows
