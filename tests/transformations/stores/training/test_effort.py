"""Retrieval's work in Python does not grow with the spine: rows are handled by Arrow, NumPy and DuckDB alone.

Counted are lines of Python that run, in all threads, so that the machine's load makes no difference.
"""

import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from feast import Entity, Field, RequestSource
from feast.types import Float64

from tests.transformations.stores.training_rows import VISITS, Rows, Store, View
from transformations import ANYTHING, on_demand
from transformations import Float64 as Double
from transformations.stores.on_demand import on_demand_view

FEW, MANY = 300, 6_300
TOLERANCE = 500  # lines: batches, threads and the progress bar differ a little


@on_demand(unit="USD", expect=ANYTHING)
def above(amount: Double, spent: Double) -> Double:
    """How far an amount is above what was spent."""
    return pc.subtract(amount, spent)


def lines_run(call: Callable[[], object]) -> int:
    """How many lines of Python a call runs, in this thread and those that it starts."""
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    threading.settrace(trace)
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
        threading.settrace(None)  # type: ignore[arg-type]
    return count


def spine_rows(rows: int) -> pd.DataFrame:
    start = pd.Timestamp("2024-05-02", tz="UTC")
    return pd.DataFrame(
        {
            "user_id": [row % 5 for row in range(rows)],
            "event_timestamp": (start + pd.to_timedelta(range(rows), unit="s")).astype("datetime64[us, UTC]"),
            "amount": [row / 2 for row in range(rows)],
        }
    )


def with_types(**types: Any) -> Callable[[pd.DataFrame], Any]:
    return lambda frame: frame.astype(types)


SPINES: dict[str, Callable[[pd.DataFrame], Any]] = {
    "microseconds": lambda frame: frame,
    "seconds": with_types(event_timestamp="datetime64[s, UTC]"),
    "nanoseconds": with_types(event_timestamp="datetime64[ns, UTC]"),
    "another zone": with_types(event_timestamp="datetime64[us, Europe/Berlin]"),
    "naive": lambda frame: frame.assign(event_timestamp=frame["event_timestamp"].dt.tz_localize(None)),
    "Arrow's types": with_types(event_timestamp=pd.ArrowDtype(pa.timestamp("us", "UTC")), user_id="int64[pyarrow]"),
    "nullable keys": with_types(user_id="Int64"),
    "keys as text": with_types(user_id="string"),
    "keys as categories": with_types(user_id="category"),
    "keys as floats": with_types(user_id="float64"),
    "Arrow table": pa.Table.from_pandas,
}


@pytest.mark.parametrize("kind", SPINES)
def test_a_retrieval_runs_no_line_of_python_per_row(
    store_of: Store, user: Entity, stored: View, table_of: Rows, kind: str
) -> None:
    visits = stored("user_visits", table_of(VISITS, spent=pa.float64()), spent=Float64)
    asked = RequestSource(name="asked", schema=[Field(name="amount", dtype=Float64)])
    store = store_of(user, visits, on_demand_view("user_now", [above], [visits, asked], owner="me", description="Now"))

    def retrieve(rows: int) -> int:
        entity_df = SPINES[kind](spine_rows(rows))
        return lines_run(
            lambda: store.get_historical_features(entity_df, ["user_visits:spent", "user_now:above"]).to_df()
        )

    retrieve(FEW)
    few, many = retrieve(FEW), retrieve(MANY)
    assert many - few < TOLERANCE, f"{many - few:,} lines more for {MANY - FEW:,} rows more"
