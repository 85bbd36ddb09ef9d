"""The memory of an ingestion keeps within its setting, by spilling to the folder that is set."""

import pyarrow as pa
import pytest

from tests.validation.quality.events import Source
from transformations.engine.base.errors import LowMemoryError, UsageError
from transformations.engine.base.settings import Settings, get_settings
from validation.delivery.ingest import Delivery, ingest_drop
from validation.files.sessions import ingestion_session


@pytest.mark.parametrize("is_private", [False, True])
def test_a_session_has_the_limits_of_the_settings(tmp_path, is_private):
    settings = Settings(ingest_memory_limit="64MiB", ingest_spill=tmp_path)
    with ingestion_session(settings, is_private=is_private) as connection:
        asked = "SELECT current_setting('memory_limit'), current_setting('temp_directory')"
        ((limit, folder),) = connection.execute(asked).fetchall()
    assert limit == "64.0 MiB"
    assert folder.startswith(str(tmp_path))


def test_the_folder_to_spill_into_is_made(tmp_path):
    with ingestion_session(Settings(ingest_spill=tmp_path / "not" / "there")) as connection:
        assert connection.execute("SELECT 1").fetchall() == [(1,)]


@pytest.fixture
def source(tmp_path):
    """A source, and a drop of it that takes some 60 MB in memory."""
    source, count = Source(tmp_path), 400_000
    source.rules()
    numbers = pa.array(range(count), pa.int64())
    rows = {
        "id": numbers,
        "kind": pa.array([f"kind of row number {number}, told at some length" for number in range(count)]),
        "amount": numbers.cast(pa.float64()),
        "at": pa.array([1_580_428_800_000_000] * count, pa.timestamp("us", tz="UTC")),
    }
    source.write(pa.table(rows))
    return source


def test_a_drop_that_needs_more_than_the_limit_is_ingested_by_spilling(source):
    settings = source.settings.model_copy(update={"ingest_memory_limit": "48MB"})
    assert ingest_drop(Delivery("events", source.newest), settings).drop.rows == 400_000


def test_a_limit_that_does_not_suffice_is_named(source):
    settings = source.settings.model_copy(update={"ingest_memory_limit": "4MB"})
    with pytest.raises(LowMemoryError, match=r"more memory than FEATURES_INGEST_MEMORY_LIMIT=4MB allows \(.*Raise it"):
        ingest_drop(Delivery("events", source.newest), settings)
    assert not (settings.raw_dir / "events" / "_delta_log").exists()


def test_a_limit_wants_its_unit(monkeypatch):
    monkeypatch.setenv("FEATURES_INGEST_MEMORY_LIMIT", "2")
    with pytest.raises(UsageError, match="such as 2GB"):
        get_settings()
