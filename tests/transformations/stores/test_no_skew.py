"""Whatever is stored and asked, an on-demand value is the same in a training frame, in a batch online and alone."""

import struct
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, RequestSource
from feast.types import Bool, Float32, Float64, Int64, String, UnixTimestamp
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from transformations.stores.computed.on_demand import on_demand_view

FUNCTIONS = '''
import pyarrow as pa
import pyarrow.compute as pc
from transformations import ANYTHING, Bool, Float64, Int64, String, UnixTimestamp, on_demand

@on_demand(unit="USD", expect=ANYTHING)
def total(price: Float64, amount: Float64, small: Float64) -> Float64:
    """All three."""
    return pc.add(pc.add(price, amount), small)

@on_demand(unit="ratio", expect=ANYTHING)
def ratio(total: Float64, amount: Float64) -> Float64:
    """Of nothing it is no number."""
    return pc.divide(total, amount)

@on_demand(unit="items", expect=ANYTHING)
def pieces(items: Int64, pieces_before: Int64) -> Int64:
    """All of them, beyond the end of int64 from its beginning on."""
    return pc.add(items, pieces_before)

@on_demand(unit="pieces", expect=ANYTHING)
def as_float(pieces_before: Int64) -> Float64:
    """Even ones, halved, in a list of which Arrow guesses the type."""
    return pa.array([None if n is None or n % 2 or abs(n) > 2**53 else n // 2 for n in pieces_before.to_pylist()])

@on_demand(unit="text", expect=ANYTHING)
def label(code: String, title: String, is_new: Bool) -> String:
    """What it is called."""
    return pc.if_else(pc.fill_null(is_new, False), pc.binary_join_element_wise(code, title, "/"), title)

@on_demand(unit="flag", expect=ANYTHING)
def is_longer(title: String, code: String) -> Bool:
    """Whether the title is the longer one."""
    return pc.greater(pc.utf8_length(title), pc.utf8_length(code))

@on_demand(unit="microseconds", expect=ANYTHING)
def idle(request_timestamp: UnixTimestamp, seen_at: UnixTimestamp) -> Int64:
    """Since the user was seen."""
    return pc.microseconds_between(seen_at, request_timestamp)

@on_demand(unit="microseconds", expect=ANYTHING)
def ahead(request_timestamp: UnixTimestamp, due_at: UnixTimestamp) -> Int64:
    """Until it is due."""
    return pc.microseconds_between(request_timestamp, due_at)
'''
NAMES = ["total", "ratio", "pieces", "as_float", "label", "is_longer", "idle", "ahead"]
STORED = {
    "amount": (Float64, pa.float64()),
    "small": (Float32, pa.float64()),
    "pieces_before": (Int64, pa.int64()),
    "title": (String, pa.string()),
    "is_new": (Bool, pa.bool_()),
    "seen_at": (UnixTimestamp, pa.timestamp("us", tz="UTC")),
}
ASKED = {
    "price": (Float64, pa.float64()),
    "items": (Int64, pa.int64()),
    "code": (String, pa.string()),
    "due_at": (UnixTimestamp, pa.timestamp("us", tz="UTC")),
}
NOW = datetime(2024, 5, 9, 10, tzinfo=UTC)
USERS = 5

floats = st.none() | st.floats(width=64) | st.sampled_from([0.0, -0.0, 0.1, 1e308])
small_floats = st.none() | st.floats(width=32) | st.sampled_from([0.1, float("nan")])
integers = st.none() | st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, 2, 2**53 + 1])
texts = st.none() | st.text(max_size=4) | st.just("")
times = st.none() | st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
numbers = floats | st.integers(-(2**53), 2**53)

stored_rows = st.fixed_dictionaries(
    {
        "amount": floats,
        "small": small_floats,
        "pieces_before": integers,
        "title": texts,
        "is_new": st.none() | st.booleans(),
        "seen_at": times,
    }
)
asked_rows = st.fixed_dictionaries(
    {
        "user_id": st.integers(0, USERS + 1),
        "price": numbers,
        "items": integers,
        "code": texts,
        "due_at": times,
        "request_timestamp": st.datetimes(datetime(2024, 5, 9, 10), datetime(2024, 5, 10), timezones=st.just(UTC)),
    }
)


def bits(value: object) -> object:
    return struct.pack(">d", value) if isinstance(value, float) else value


def values_of(columns: Mapping[str, list[Any]], row: int) -> dict[str, object]:
    return {name: bits(columns[name][row]) for name in NAMES}


@pytest.fixture
def store(
    store_of: Callable[..., FeatureStore],
    stored: Callable[..., FeatureView],
    module_of: Callable[[str, str], ModuleType],
    user: Entity,
    clock: Callable[[str], None],
) -> FeatureStore:
    clock(NOW.isoformat())
    functions = module_of("skew_functions", FUNCTIONS)
    state = stored("user_state", **{name: dtype for name, (dtype, _) in STORED.items()})
    request = RequestSource(name="asked", schema=[Field(name=name, dtype=dtype) for name, (dtype, _) in ASKED.items()])
    view = on_demand_view(
        "user_now", [getattr(functions, name) for name in NAMES], [state, request], owner="me", description="Now"
    )
    return store_of(user, state, view)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(
    stored_rows=[dict.fromkeys(STORED)] * USERS,
    asked=[{**dict.fromkeys(ASKED), "user_id": 0, "request_timestamp": NOW}],
)
@given(
    stored_rows=st.lists(stored_rows, min_size=USERS, max_size=USERS),
    asked=st.lists(asked_rows, min_size=1, max_size=8),
)
def test_training_a_batch_and_a_single_row_give_one_value_bit_for_bit(
    store: FeatureStore, tmp_path: Path, stored_rows: list[dict[str, Any]], asked: list[dict[str, Any]]
) -> None:
    stamps = [NOW - timedelta(days=1)] * USERS
    columns: dict[str, pa.Array] = {"user_id": pa.array(range(USERS), pa.int64())}
    columns |= {name: pa.array(stamps, pa.timestamp("us", "UTC")) for name in ("event_timestamp", "created_timestamp")}
    columns |= {name: pa.array([row[name] for row in stored_rows], kind) for name, (_, kind) in STORED.items()}
    pq.write_table(pa.table(columns), tmp_path / "user_state.parquet")
    store.materialize(datetime(2024, 1, 1, tzinfo=UTC), NOW, disable_event_timestamp=False)

    references = [f"user_now:{name}" for name in NAMES]
    spine = pa.table(
        {
            "user_id": pa.array([row["user_id"] for row in asked], pa.int64()),
            "event_timestamp": pa.array([row["request_timestamp"] for row in asked], pa.timestamp("us", "UTC")),
            **{name: pa.array([row[name] for row in asked], kind) for name, (_, kind) in ASKED.items()},
        }
    )
    training = store.get_historical_features(spine, references).to_arrow().to_pydict()
    frame = pd.DataFrame(asked).rename(columns={"request_timestamp": "event_timestamp"})
    frame["items"] = pd.array([row["items"] for row in asked], dtype="Int64")  # else pandas rounds it beside a null
    from_frame = store.get_historical_features(frame, references).to_arrow().to_pydict()
    batch = store.get_online_features(references, asked).to_dict()
    for row, request in enumerate(asked):
        alone = store.get_online_features(references, [request]).to_dict()
        expected = values_of(training, row)
        assert values_of(batch, row) == expected
        assert values_of(alone, 0) == expected
        assert values_of(from_frame, row) == expected
