"""Rows are appended in the types of the files: moments and decimals may be text, and nothing is cut off."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, PushSource
from feast.data_source import PushMode
from feast.types import Float64, Int64

from transformations.engine.base.errors import DataError
from transformations.engine.base.settings import Settings
from transformations.stores.training.append import append

TIMESTAMP = pa.timestamp("us", tz="UTC")


@pytest.mark.parametrize("zone", ["UTC", None])
def test_moments_written_as_text_as_json_has_them_are_appended(
    store_of: Callable[..., FeatureStore], user: Entity, tmp_path: Path, zone: str | None
) -> None:
    """The online store reads them so; a push to both had written the online row, and failed on the files."""
    first = pa.array([pd.Timestamp("2024-05-01")], pa.timestamp("us", zone))
    pq.write_table(pa.table({"user_id": [1], "event_timestamp": first, "spent": [10.0]}), tmp_path / "lake.parquet")
    source = FileSource(name="lake", path="lake.parquet", timestamp_field="event_timestamp")
    schema = [Field(name="user_id", dtype=Int64), Field(name="spent", dtype=Float64)]
    pushed = PushSource(name="pushed", batch_source=source)
    store = store_of(user, FeatureView(name="user_visits", entities=[user], schema=schema, source=pushed), pushed)
    written = ["2024-05-03T00:00:00Z", "2024-05-04 02:00:00+02:00", "2024-05-05T00:00:00.000Z", "2024-05-06 00:00:00"]
    for number, moment in enumerate([*written, "2024-05-07"]):
        rows = pd.DataFrame({"user_id": [1], "event_timestamp": [moment], "spent": [float(number)]})
        store.push("pushed", rows, to=PushMode.ONLINE_AND_OFFLINE)
        spine = pd.DataFrame({"user_id": [1], "event_timestamp": [pd.Timestamp("2024-06-01", tz="UTC")]})
        frame = store.get_historical_features(spine, ["user_visits:spent"]).to_df()
        assert list(frame["spent"]) == [float(number)]
    stored = pq.read_table(tmp_path / "lake.parquet")["event_timestamp"]
    assert stored.type == first.type
    assert [each.day for each in stored.to_pylist()] == [1, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("name", "value", "is_kept"),
    [
        ("m", {"a": "7", "b": "8"}, True),
        ("m", {"a": "7"}, True),  # b is null in training, too
        ("m", {"q": "7"}, False),
        ("m", {"a": "7", "b": "8", "c": "9"}, False),
        ("ms", [{"a": 7}, {"c": 9}], False),
        ("ms", [{"a": 7}, None], True),
        ("amount", "3.5", True),
        ("amount", "3.555", False),
    ],
)
def test_no_key_of_a_map_is_cut_off_and_decimals_may_be_text(
    user: Entity, tmp_path: Path, name: str, value: object, is_kept: bool
) -> None:
    moment = pa.array([pd.Timestamp("2024-05-01", tz="UTC")], TIMESTAMP)
    given = {"m": [{"a": "1", "b": "2"}], "ms": [[{"a": 1}]], "amount": pa.array([Decimal("1.25")])}
    pq.write_table(pa.table({"user_id": [1], "event_timestamp": moment, **given}), tmp_path / "lake.parquet")
    source = FileSource(name="lake", path=str(tmp_path / "lake.parquet"), timestamp_field="event_timestamp")
    view = FeatureView(name="user_visits", entities=[user], source=source)
    rows = pa.table({"user_id": [1], "event_timestamp": moment, **(given | {name: [value]})})
    if is_kept:
        append(view, rows, tmp_path, Settings())
    else:
        with pytest.raises(DataError, match=f"column '{name}'"):
            append(view, rows, tmp_path, Settings())
    assert pq.read_table(tmp_path / "lake.parquet").num_rows == 1 + is_kept
