"""DuckDB sessions and quoted SQL pieces: every value comes back as it went in."""

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformations.engine.base.duck import (
    file_literal,
    identifier,
    identifiers,
    literal,
    parquet,
    private_session,
    same,
    session,
)
from transformations.engine.base.errors import UsageError


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


@pytest.mark.parametrize(
    ("name", "another"),
    [
        ("report[1].parquet", "report1.parquet"),
        ("what?.parquet", "whats.parquet"),
        ("all*.parquet", "allb.parquet"),
        ("**.parquet", "deep.parquet"),
        ("[!a].parquet", "b.parquet"),
        ("part-[0-9].parquet", "part-5.parquet"),
        ("day[1]/rows.parquet", "day1/rows.parquet"),
        ("page=home/rows.parquet", "page=cart/rows.parquet"),
        ("~.parquet", "tilde.parquet"),
        ("back\\slash.parquet", "backslash.parquet"),
        ("a{1,2}.parquet", "a1.parquet"),
    ],
)
def test_a_path_is_literal_and_never_a_pattern(tmp_path, name, another):
    for path, page in ((name, "asked for"), (another, "another's")):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        pq.write_table(pa.table({"page": [page]}), tmp_path / path)
    with session() as connection:
        assert connection.execute(f"SELECT * FROM {parquet([tmp_path / name])}").fetchall() == [("asked for",)]


def test_a_relative_path_is_literal_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a[1].parquet", "a1.parquet"):
        pq.write_table(pa.table({"name": [name]}), name)
    with session() as connection:
        assert connection.execute(f"SELECT * FROM {parquet(['a[1].parquet'])}").fetchall() == [("a[1].parquet",)]


def test_an_address_stays_one():
    assert file_literal("s3://lake/day=1/a*.parquet") == "'s3://lake/day=1/a[*].parquet'"


def test_a_name_that_duckdb_cannot_be_told_is_refused():
    with pytest.raises(UsageError, match="holds both a backslash and one of"):
        file_literal("/tmp/a\\[1].csv")


def setting(connection, name):
    return connection.execute(f"SELECT current_setting('{name}')").fetchone()[0]


def test_sessions_share_a_duckdb_and_see_nothing_of_each_other():
    with session() as one, session() as other:
        one.execute("SET TimeZone = 'Asia/Tokyo'")
        one.execute("CREATE TEMP TABLE made AS SELECT 1")
        one.register("registered", pa.table({"a": [1]}))
        assert setting(one, "temp_directory") == setting(other, "temp_directory")
        assert setting(other, "TimeZone") == "UTC"
        for name in ("made", "registered", "one"):  # `one` is a variable, which DuckDB would look for, too
            with pytest.raises(duckdb.CatalogException):
                other.execute(f"FROM {name}")
    with session() as later, pytest.raises(duckdb.CatalogException):
        later.execute("FROM made")


def test_settings_hold_for_the_sessions_that_ask_for_them_and_private_ones_for_none_other():
    with session() as usual, session(threads=1, memory_limit="1GB") as bounded, private_session() as private:
        private.execute("CREATE TABLE made AS SELECT 1")
        private.execute("SET lock_configuration = true")
        assert (setting(bounded, "threads"), setting(bounded, "memory_limit")) == (1, "953.6 MiB")
        assert setting(usual, "memory_limit") != "953.6 MiB"
    with session(memory_limit="1GB", threads=1) as again, private_session() as other:
        assert setting(again, "memory_limit") == "953.6 MiB"
        other.execute("CREATE TABLE made AS SELECT 1")


@pytest.mark.parametrize("error", [duckdb.FatalException, duckdb.InternalException])
def test_after_an_error_that_breaks_duckdb_the_next_session_has_another_one(error):
    spills = []
    with pytest.raises(error), session() as broken:
        raise error(spills.append(setting(broken, "temp_directory")))
    with session() as connection:
        assert setting(connection, "temp_directory") not in spills


PROCESS = """
import os, sys
from pathlib import Path
from transformations.engine.base.duck import private_session, session

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 2**20

for opened in (session, private_session):
    with opened() as connection:
        connection.execute("SET enable_progress_bar = false")
        connection.execute("CREATE TEMP TABLE many AS FROM range(20_000_000)")
        (spill,) = connection.execute("SELECT current_setting('temp_directory')").fetchone()
        before = resident()
    print(before - resident())
    print(spill, flush=True)
child = os.fork()
if child == 0:
    with session() as connection:
        sys.exit(connection.execute("SELECT 7").fetchone()[0])
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
with session() as connection:
    print(connection.execute("SELECT 8").fetchone()[0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_session_gives_its_memory_back_and_a_process_its_spill_folders_and_a_fork_changes_nothing():
    printed = subprocess.run([sys.executable, "-c", PROCESS], check=True, capture_output=True, text=True).stdout
    shared, spill, private, other, forked, parent = printed.split()
    assert min(int(shared), int(private)) > 50, "MiB, of 150"
    assert not Path(spill).exists()
    assert not Path(other).exists()
    assert (forked, parent) == ("7", "8")
