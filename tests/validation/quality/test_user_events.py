"""The classic contract, as it is: 100,000 rows a day at least, null rates at most, and four types of events."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformations.contracts import read_contract
from transformations.engine.base.settings import Settings
from transformations.engine.raw.zone import RawTable
from validation.delivery.ingest import ContractViolationError, Delivery, ingest_drop

ENOUGH = 100_000
TYPES = np.array(["click", "purchase", "view", "scroll"])


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "contracts").mkdir()
    shutil.copy(Path(__file__).with_name("user_events.yaml"), tmp_path / "contracts")
    return Settings(
        data=tmp_path / "data", contracts=tmp_path / "contracts", clock=datetime(2020, 2, 1, 12, tzinfo=UTC)
    )


def delivery(folder, count=ENOUGH, users_missing=0, types_missing=1_000, other_types=0) -> Delivery:
    """A day of events, by default one that just keeps every rule."""
    numbers = np.arange(count)
    types = TYPES[numbers % 4].astype(object)
    types[:types_missing] = None
    types[count - other_types :] = "hover"
    moments = np.datetime64("2020-01-31", "us") + numbers.astype("timedelta64[ms]")
    rows = {
        "event_id": numbers,
        "user_id": pa.array(numbers % 1_000, mask=numbers < users_missing),
        "event_type": pa.array(types, pa.string()),
        "event_time": pa.array(moments),
    }
    pq.write_table(pa.table(rows), folder / "day.parquet")
    return Delivery("user_events", folder / "day.parquet")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"count": ENOUGH - 1, "types_missing": 0}, "(2020-01-31 has 99,999 rows), allowed at least 100,000 rows."),
        ({"users_missing": 1}, "'user_id': 0.001 % nulls in drop day.parquet, allowed at most 0 %; first at row 1."),
        ({"types_missing": 1_001}, "'event_type': 1.001 % nulls in drop day.parquet, allowed at most 1 %; first at"),
        ({"other_types": 1}, "column 'event_type' has 1 value outside the 4 allowed in 100,000 rows"),
    ],
)
def test_a_day_that_just_breaks_the_contract_is_refused_and_nothing_is_written(settings, tmp_path, changes, expected):
    with pytest.raises(ContractViolationError) as error:
        ingest_drop(delivery(tmp_path, **changes), settings)
    assert expected in error.value.message
    assert not RawTable(read_contract("user_events", settings.contracts), settings.raw_dir).exists()


def test_a_day_that_just_keeps_the_contract_is_taken(settings, tmp_path):
    assert ingest_drop(delivery(tmp_path), settings).drop.rows == ENOUGH
