"""The memory of an ingestion keeps within its setting, by spilling to the folder that is set."""

import math

import numpy as np
import pyarrow as pa
import pytest

from tests.validation.quality.events import Source
from tests.worlds import processes
from transformations.engine.base import duck, machine
from transformations.engine.base.errors import LowMemoryError, UsageError
from transformations.engine.base.settings import Settings, get_settings
from validation.files.sessions import ingestion_session, least_limit, session_beside

MB = 1_000_000
SORT = "SELECT count(DISTINCT (i, hash(i))) FROM range(20_000_000) t(i)"


def limited(settings: Settings, more: int = 0) -> Settings:
    """The settings with the least limit that this process can keep to, and so many megabytes more."""
    return settings.model_copy(update={"ingest_memory_limit": f"{math.ceil(least_limit() / MB) + 20 + more}MB"})


def bytes_of(connection) -> int:
    """The limit of a session's DuckDB."""
    ((text,),) = connection.execute("SELECT current_setting('memory_limit')").fetchall()
    number, unit = text.split()
    return int(float(number) * {"MiB": 2**20, "GiB": 2**30}[unit])


@pytest.mark.parametrize("is_private", [False, True])
def test_what_the_process_holds_and_what_duckdb_may_take_stay_within_the_limit(tmp_path, is_private):
    settings = limited(Settings(ingest_spill=tmp_path), more=500)
    with ingestion_session(settings, is_private=is_private) as connection:
        allowed = bytes_of(connection)
        ((folder,),) = connection.execute("SELECT current_setting('temp_directory')").fetchall()
    limit = int(settings.ingest_memory_limit.removesuffix("MB")) * MB
    assert 500 * MB < allowed <= limit - machine.held_bytes() - 550 * MB + 40 * MB  # reading it took some itself
    assert folder.startswith(str(tmp_path))


def test_two_sessions_at_once_share_the_memory_and_then_the_first_has_it_all_again(tmp_path):
    settings = limited(Settings(ingest_spill=tmp_path), more=300)
    with ingestion_session(settings) as connection:
        whole = bytes_of(connection)
        with session_beside(connection, settings) as second:
            assert bytes_of(connection) + bytes_of(second) <= whole
        assert bytes_of(connection) == pytest.approx(whole, rel=0.01)  # DuckDB tells a tenth of a MiB


def test_a_limit_in_percent_is_of_the_machines_memory(tmp_path):
    with ingestion_session(Settings(ingest_memory_limit="90%", ingest_spill=tmp_path)) as connection:
        assert 0 < bytes_of(connection) < 0.9 * machine.memory_bytes()


def test_a_limit_that_the_process_exceeds_already_is_refused_with_one_that_it_can_keep_to(tmp_path):
    with (
        pytest.raises(LowMemoryError, match=r"FEATURES_INGEST_MEMORY_LIMIT=64MiB is too little: .* Allow [\d.]+ .iB"),
        ingestion_session(Settings(ingest_memory_limit="64MiB", ingest_spill=tmp_path)),
    ):
        pass


def test_the_folder_to_spill_into_is_made(tmp_path):
    with ingestion_session(Settings(ingest_spill=tmp_path / "not" / "there")) as connection:
        assert connection.execute("SELECT 1").fetchall() == [(1,)]


def test_a_limit_that_does_not_suffice_is_named(tmp_path):
    settings = limited(Settings(ingest_spill=tmp_path))
    needs_more = rf"needs more memory than FEATURES_INGEST_MEMORY_LIMIT={settings.ingest_memory_limit} allows \(.*Raise"
    with pytest.raises(LowMemoryError, match=needs_more):
        sort_within(settings, "4MB")


def sort_within(settings: Settings, limit: str) -> None:
    """Sort more than DuckDB's limit allows."""
    with ingestion_session(settings) as connection:
        duck.limit_memory(connection, limit)
        connection.execute(SORT)


def test_a_limit_wants_its_unit(monkeypatch):
    monkeypatch.setenv("FEATURES_INGEST_MEMORY_LIMIT", "2")
    with pytest.raises(UsageError, match="such as 2GB"):
        get_settings()


@pytest.mark.proof  # 300 MB of rows, 1.1 GB without a limit; the tests of sessions above are its quick twins
def test_a_process_stays_within_the_limit_while_it_ingests_more_than_that(tmp_path):
    source, count = Source(tmp_path), 1_500_000
    source.rules(kind=[{"metric": "nullValues", "mustBe": 0}])
    numbers = pa.array(np.random.default_rng(0).permutation(count))
    rows = {
        "id": numbers,
        "kind": pa.array(
            [f"kind of row number {number:09}, told at some length, " * 3 for number in numbers.to_pylist()]
        ),
        "amount": numbers.cast(pa.float64()),
        "at": pa.array([1_580_428_800_000_000] * count, pa.timestamp("us", tz="UTC")),
    }
    source.write(pa.table(rows))
    del rows, numbers
    started = processes.start(INGEST, str(tmp_path), str(source.newest), output=tmp_path / "said")
    code, said = started.wait(300)
    assert code == 0, said
    taken, limit, peak = map(int, said.split()[-3:])
    assert taken == count
    assert limit < 1_100 * MB  # which the same ingestion takes without it
    assert peak <= limit


INGEST = """
import sys
from pathlib import Path
from tests.validation.files.test_sessions import MB, limited
from tests.validation.quality.events import Source

settings = limited(Source(Path(sys.argv[1])).settings, more=40)
taken = ingest_drop(Delivery("events", Path(sys.argv[2])), settings).drop.rows
(line,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(taken, int(settings.ingest_memory_limit.removesuffix("MB")) * MB, int(line.split()[1]) * 1024)
"""
