"""DuckDB sessions and quoted SQL pieces: every value comes back as it went in."""

from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformations.engine.duck import identifier, identifiers, literal, parquet, same, session


@pytest.mark.parametrize(
    "value",
    [None, True, False, -7, 2**62, "it's", "", 'a "b"', date(2020, 1, 31), datetime(2020, 1, 31, 5, tzinfo=UTC)],
)
def test_a_literal_comes_back_as_it_went_in(value):
    with session() as connection:
        assert connection.execute(f"SELECT {literal(value)}").fetchone() == (value,)


@given(value=st.floats(allow_nan=False))
def test_a_float_comes_back_bit_for_bit(value):
    with session() as connection:
        assert repr(connection.execute(f"SELECT {literal(value)}").fetchone()[0]) == repr(value)


def test_an_aware_datetime_is_an_instant_whatever_its_offset():
    new_york = timezone(timedelta(hours=-5))
    there, here = literal(datetime(2020, 1, 31, tzinfo=new_york)), literal(datetime(2020, 1, 31, 5, tzinfo=UTC))
    with session() as connection:
        assert connection.execute(f"SELECT {there} = {here}").fetchone() == (True,)


def test_what_has_no_literal_is_refused():
    with pytest.raises(TypeError, match="no SQL literal for"):
        literal(b"bytes")


def test_identifiers_are_quoted():
    assert identifier('a "b"') == '"a ""b"""'
    assert identifiers(["a", "b"], "t") == '"t"."a", "t"."b"'


def test_null_is_the_same_as_null():
    with session() as connection:
        query = "SELECT count(*) FROM (SELECT NULL AS a, 1 AS b) AS l JOIN (SELECT NULL AS a, 1 AS b) AS r ON "
        assert connection.execute(query + same("l", "r", ["a", "b"])).fetchone() == (1,)


def test_files_with_different_columns_are_read_together(tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "it's.parquet")
    pq.write_table(pa.table({"a": [2], "b": ["x"]}), tmp_path / "new.parquet")
    files = [tmp_path / "it's.parquet", tmp_path / "new.parquet"]
    with session() as connection:
        assert connection.execute(f"SELECT a, b FROM {parquet(files)} ORDER BY a").fetchall() == [(1, None), (2, "x")]


def test_a_session_speaks_utc_and_leaves_no_spill_folder():
    with session() as connection:
        (zone,) = connection.execute("SELECT current_setting('TimeZone')").fetchone()
        (spill,) = connection.execute("SELECT current_setting('temp_directory')").fetchone()
    assert zone == "UTC"
    assert "features-duckdb-" in spill
    assert not Path(spill).exists()
