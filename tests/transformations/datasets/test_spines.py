"""A spine's CSV file says what its texts say: nothing is lost to a guess."""

from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformations.datasets.spines import read_spine
from transformations.engine.base.errors import DataError


def rows(folder: Path, text: str) -> dict[str, list[object]]:
    file = folder / "spine.csv"
    file.write_text(text)
    read: dict[str, list[object]] = read_spine(file).to_pydict()
    return read


def test_keys_that_would_not_come_back_letter_for_letter_stay_text(tmp_path: Path) -> None:
    read = rows(tmp_path, "user_id,code,amount\n7,007,1.10\n8,12,2\n")
    assert read == {"user_id": [7, 8], "code": ["007", "12"], "amount": [1.1, 2.0]}


def test_only_the_empty_cell_is_null(tmp_path: Path) -> None:
    assert rows(tmp_path, "country,count\nNA,1\nnull,\n") == {"country": ["NA", "null"], "count": [1, None]}


def test_moments_are_moments(tmp_path: Path) -> None:
    read = rows(tmp_path, "user_id,event_timestamp\n1,2024-05-01 10:00:00\n")
    assert read["event_timestamp"] == [datetime(2024, 5, 1, 10)]


def test_a_double_with_an_exponent_is_itself(tmp_path: Path) -> None:
    assert rows(tmp_path, "a\n1e23\n1.7976931348623157e308\n") == {"a": [1e23, 1.7976931348623157e308]}


@pytest.mark.parametrize("cells", [["+49", "+4917012345"], ["007.5", "1.5"], ["true", "1"], ["true", "FALSE"]])
def test_what_would_be_another_number_or_flag_stays_text(tmp_path: Path, cells: list[str]) -> None:
    assert rows(tmp_path, "a,b\n" + "".join(f"{cell},x\n" for cell in cells))["a"] == cells


@pytest.mark.parametrize("year", [1, 2300, 9999])
def test_a_timestamp_of_96_bits_is_itself_in_any_year(tmp_path: Path, year: int) -> None:
    stamps = pa.array([datetime(year, 1, 1)], pa.timestamp("us"))
    pq.write_table(pa.table({"at": stamps}), tmp_path / "spine.parquet", use_deprecated_int96_timestamps=True)
    assert read_spine(tmp_path / "spine.parquet")["at"].to_pylist() == [datetime(year, 1, 1)]


def test_a_broken_parquet_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "spine.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"spine\.parquet cannot be read as Parquet"):
        read_spine(tmp_path / "spine.parquet")


def test_quoted_newlines_are_letters_wherever_they_stand(tmp_path: Path) -> None:
    notes = [f"{number}\n1,2" + "x" * 97 for number in range(30_000)]
    text = "user_id,note\n" + "".join(f'{number},"{note}"\n' for number, note in enumerate(notes))
    assert rows(tmp_path, text) == {"user_id": list(range(30_000)), "note": notes}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n1,2,3\n", "spine.csv: line 3 is no row .*3 cells where the first line has 2 cells"),
        ('a,b\n1,"x\n2,y\n', "spine.csv: line 2 is no row .*unexpected end of data"),
        ('a,b\n1,"x"y\n', "spine.csv: line 2 is no row"),
        ("a,b\n1,x\na,b\n2,y\n", "spine.csv cannot be read: its header stands once more among its rows"),
        ("a,a\n1,2\n", "is there twice|stands there twice|cannot be read"),
        ("a\n9007199254740993\n1.5\n", "'a' has 1 whole numbers .* first 9007199254740993 in row 1"),
        ("a\n9007199254740993e0\n1.5\n", "'a' has 1 whole number.* first 9007199254740993e0 in row 1"),
        ("", "spine.csv is empty"),
    ],
)
def test_what_cannot_be_read_whole_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        rows(tmp_path, text)
