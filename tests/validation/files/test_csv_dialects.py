"""The dialect of a CSV file is found over the whole file, or the line that no dialect fits is named."""

import gzip

import pyarrow as pa
import pytest

from transformations.contracts import CsvDialect
from transformations.engine.base.errors import DataError
from validation.files.csv_dialects import find_dialect


@pytest.fixture
def found(tmp_path):
    """The dialect of a file with that content."""

    def find(content: str | bytes, name: str = "clicks.csv") -> CsvDialect:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return find_dialect(path)

    return find


LONG = "1,x\n" * 30_000


@pytest.mark.parametrize(
    ("content", "dialect"),
    [
        ("id,page\n1,home\n", CsvDialect()),
        ("id;price\n1;2,5\n", CsvDialect(delimiter=";")),
        ("id\tpage\n1\thome\n", CsvDialect(delimiter="\t")),
        ("id|page\n1|home\n", CsvDialect(delimiter="|")),
        ("id\x01page\n1\x01home\n", CsvDialect(delimiter="\x01")),
        ("id~page\n1~home\n", CsvDialect(delimiter="~")),
        ("id,page\n1,a~b\n2,c\n", CsvDialect()),
        ("id\n1\n", CsvDialect()),
        ("id,page\n#1,home\n", CsvDialect()),
        ("# written by hand\nid,page\n1,home\n", CsvDialect(comment="#")),
        ("id,page\n1,'home'\n", CsvDialect()),
        ("id,page\n1,'home, again'\n", CsvDialect(quote="'", escape="'")),
        ('id,page\n1,"home\n2,cart\n', CsvDialect(quote="", escape="")),
        (f'id,page\n{LONG}1,"home\nagain"\n', CsvDialect()),
        (f'id,page\n{LONG}1,"home \\", again"\n', CsvDialect(escape="\\")),
        (f"id,page\n{LONG}1,'home, again'\n", CsvDialect(quote="'", escape="'")),
        ("1002,2024-05-01,home\n1003,2024-05-01,cart\n", CsvDialect(header=False)),
        ("country,2019,2020\nDE,1,2\n", CsvDialect()),
        ("id,page\n1,café\n", CsvDialect()),
        ("id,page\n1,café\n".encode("utf-8-sig"), CsvDialect()),
        ("id,page\n1,café\n".encode("latin-1"), CsvDialect(encoding="latin-1")),
        ("id,page\n1,5 €\n".encode("cp1252"), CsvDialect(encoding="cp1252")),
        ("id,page\n1,café\n".encode("utf-16"), CsvDialect(encoding="utf-16")),
        ("id,page\n1,café\n".encode("utf-16-le"), CsvDialect(encoding="utf-16-le")),
        ("id,page\n1,café\n".encode("utf-32"), CsvDialect(encoding="utf-32")),
        (b"id,page\n1,\x81\x80\n", CsvDialect(encoding="latin-1")),
        ('id,page\n1,"home"x\n', CsvDialect(quote="", escape="")),
    ],
)
def test_the_dialect_fits_every_line_of_the_file(found, content, dialect):
    assert found(content) == dialect


def test_a_tsv_and_a_packed_file_are_read_like_a_plain_one(found):
    assert found("id\n1\n", "clicks.tsv") == CsvDialect(delimiter="\t")
    assert found(gzip.compress(b"id;page\n1;home\n"), "clicks.csv.gz") == CsvDialect(delimiter=";")
    assert found(pa.compress(b"id;page\n", codec="zstd", asbytes=True), "clicks.csv.zst") == CsvDialect(delimiter=";")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("id,ts\n1,2\nid,ts,page\n1,2,home\n", "line 3: 3 cells where the first line has 2 cells"),
        (f"id,page\n{LONG}1\n", "line 30,002: 1 cell where the first line has 2 cells"),
        ('id,page\n1,"home"\n2,"cart\n', "line 3: after this line's beginning: unexpected end of data"),
        ("", "the file is empty"),
    ],
)
def test_a_file_that_no_dialect_fits_is_refused_by_its_line(found, content, problem):
    with pytest.raises(DataError, match=f"clicks.csv: no CSV dialect fits the whole file.*{problem}"):
        found(content)


@pytest.mark.parametrize("cut", [slice(0, -4), slice(0, -9)])
def test_a_cut_off_archive_is_refused(found, cut):
    with pytest.raises(DataError, match=r"clicks\.csv\.gz cannot be unpacked: "):
        found(gzip.compress(b"id,page\n1,home\n")[cut], "clicks.csv.gz")


def test_an_archive_with_a_wrong_checksum_is_refused(found):
    packed = bytearray(gzip.compress(b"id,page\n1,home\n"))
    packed[-8] ^= 1
    with pytest.raises(DataError, match="CRC check failed"):
        found(bytes(packed), "clicks.csv.gz")
