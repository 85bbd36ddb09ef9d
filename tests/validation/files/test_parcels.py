"""A delivery of many files: one drop, by rules that name the file that breaks them."""

import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformations.contracts import FileForm
from transformations.engine.base.duck import session
from transformations.engine.base.errors import DataError, UsageError
from validation.files.drop_files import open_drop
from validation.files.parcels import open_parcel

from .test_drop_files import contract, read


def write(folder, files: dict[str, object]):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, pa.Table):
            pq.write_table(content, path)
        else:
            path.write_text(str(content))
    return folder


def test_a_folder_is_one_delivery_of_its_files_by_name(tmp_path):
    folder = write(tmp_path / "day", {"b.csv": "page,id\ncart,2\n", "a.csv": "id,page\n1,home\n", "_SUCCESS": ""})
    with session() as connection:
        drop = open_drop(connection, folder)
        rows = connection.execute(f"SELECT * FROM {drop.rows(['id', 'page'])}").fetchall()
    assert [row[:2] for row in rows] == [("1", "home"), ("2", "cart")]
    assert [drop.place(row[2]) for row in rows] == ["1 of a.csv", "1 of b.csv"]
    assert (drop.name, drop.notes) == ("day/", ("1 name in day/ that begins with . or _ passed over",))


def test_parquet_files_may_order_their_columns_as_they_like(tmp_path):
    one, two = pa.table({"id": [1, 2], "page": ["a", "b"]}), pa.table({"page": ["c"], "id": [3]})
    with session() as connection:
        drop = open_drop(connection, write(tmp_path, {"one.parquet": one, "two.parquet": two}))
        rows = connection.execute(f"SELECT * FROM {drop.rows(['id', 'page'])}").fetchall()
    assert [(*row[:2], drop.place(row[2])) for row in rows] == [
        (1, "a", "1 of one.parquet"),
        (2, "b", "2 of one.parquet"),
        (3, "c", "1 of two.parquet"),
    ]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.parquet": pa.table({"id": [1]}), "b.parquet": pa.table({"id": [1.5]})}, "'id' is BIGINT in a.parquet and"),
        ({"a.parquet": pa.table({"id": [1]}), "b.parquet": pa.table({"no": [1]})}, "b.parquet lacks 'id', which a.par"),
        ({"a.csv": "id\n1\n", "b.csv": "id,page\n2,x\n"}, "b.csv has 'page', which a.csv lacks"),
        ({"a.csv": "id\n1\n", "b.jsonl": '{"id": 2}\n'}, "mixes kinds of files: a.csv is CSV, b.jsonl is JSON lines"),
        ({"a.csv": "id\n1\n", "read.me": "hello"}, "read.me: neither Parquet, CSV nor JSON lines by its name"),
        ({"a.csv": "id\n1\n", "more/b.csv": "id\n2\n"}, "has a folder more, of which the contract says nothing"),
        ({"day=1/a.csv": "id\n1\n"}, r"or name it in folderColumns \(\[day\]\)"),
        ({"a.csv": "id\n1\n", "b.csv": "id\n2\n3,4\n"}, "b.csv: line 3 is no row"),
        ({"_temporary/a.csv": "id\n1\n"}, "is still being written"),
        ({".a.csv": "id\n1\n"}, "has no file to read"),
    ],
)
def test_a_folder_with_a_fault_is_refused_by_name(tmp_path, files, message):
    with session() as connection, pytest.raises(DataError, match=message):
        open_drop(connection, write(tmp_path / "day", files))


def test_links_lead_nowhere_else_and_pipes_are_no_files(tmp_path):
    folder = write(tmp_path / "day", {"a.csv": "id\n1\n"})
    (tmp_path / "secret.csv").write_text("id\n9\n")
    (folder / "b.csv").symlink_to(tmp_path / "secret.csv")
    with pytest.raises(DataError, match=r"b.csv of day/ is a link that leads out of the folder"):
        open_parcel(folder, FileForm())
    (folder / "b.csv").unlink()
    os.mkfifo(folder / "b.csv")
    with pytest.raises(DataError, match=r"b.csv is a device, a pipe or a socket"):
        open_parcel(folder, FileForm())


def test_files_may_be_listed_in_any_order_but_once(tmp_path):
    write(tmp_path, {"a.csv": "id\n1\n", "b.csv": "id\n2\n"})
    one, two = tmp_path / "a.csv", tmp_path / "b.csv"
    forth, back = (open_parcel(each, FileForm()) for each in ([one, two], [two, one]))
    assert forth == back
    assert forth.content_hash() == back.content_hash() != open_parcel(one, FileForm()).content_hash()
    with pytest.raises(UsageError, match="given twice"):
        open_parcel([one, tmp_path / "." / "a.csv"], FileForm())
    with pytest.raises(UsageError, match="a folder among files"):
        open_parcel([one, tmp_path], FileForm())


FOLDERS = {
    "day=2020-01-01/region=a%2Fb/1.csv": "id\n1\n",
    "day=2020-01-02/region=__HIVE_DEFAULT_PARTITION__/1.csv": "id\n2\n",
}


def test_the_names_of_folders_are_read_where_the_contract_says_so(tmp_path):
    rules = contract("id", "day", "region", folder_columns=("day", "region"))
    with session() as connection:
        drop = open_drop(connection, write(tmp_path, FOLDERS), rules)
        rows = connection.execute(f"SELECT * FROM {drop.rows(['id', 'day', 'region'])} ORDER BY id").fetchall()
    assert [(*row[:3], drop.place(row[3])[:2]) for row in rows] == [
        ("1", "2020-01-01", "a/b", "1 "),
        ("2", "2020-01-02", None, "1 "),
    ]


@pytest.mark.parametrize(
    ("columns", "files", "message"),
    [
        (("day",), {"1.csv": "id\n1\n"}, "is in no folder day=…"),
        (("day",), {"region=a/1.csv": "id\n1\n"}, "where one named day=… belongs"),
        (("day",), {"day=1/1.csv": "id,day\n1,2\n"}, "has a column 'day', which the contract reads from the folders"),
        (("day",), FOLDERS, "of which the contract says nothing"),
    ],
)
def test_folders_that_are_not_as_declared_are_refused(tmp_path, columns, files, message):
    with pytest.raises(DataError, match=message):
        read(write(tmp_path / "in", files), contract("id", "day", folder_columns=columns))
