"""Spines written as SQL over the raw zone and the offline tables."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from feast import Entity, FeatureStore, FeatureView
from feast.types import Float64

from transformations.engine.errors import DataError, UsageError
from transformations.engine.raw_zone import Origin, RawTable
from transformations.engine.settings import Settings
from transformations.stores.retrieval import Resources
from transformations.stores.spine_sql import rows_of_query
from validation.contracts import read_contract

TIMESTAMP = pa.timestamp("us", tz="UTC")


def ingest(settings: Settings, contracts: Path, rows: pa.Table) -> None:
    origin = Origin("visits.parquet", "hash", datetime(2024, 6, 1, tzinfo=UTC))
    RawTable(read_contract("visits", contracts), settings.raw_dir).append(rows, origin)


@pytest.fixture
def visited(settings: Settings, contracts: Path, table_of: Callable[..., pa.Table]) -> None:
    text = """
        user_id  at                         page  spent
        1        2024-05-02T10:00:00.5      home  1.5
        2        2024-05-03                 news  -
        1        2024-05-04                 news  2.5"""
    ingest(settings, contracts, table_of(text, at=TIMESTAMP, page=pa.string(), spent=pa.float64()))


def test_a_query_of_the_raw_zone_is_a_spine(
    visited: None,
    store_of: Callable[..., FeatureStore],
    stored: Callable[..., FeatureView],
    table_of: Callable[..., pa.Table],
    user: Entity,
) -> None:
    table = table_of(
        "user_id  event_timestamp  created_timestamp  spent\n1  2024-05-03  2024-05-03  7", spent=pa.float64()
    )
    store = store_of(user, stored("user_spend", table, spent=Float64))
    query = """
        SELECT user_id, visits."at" AS event_timestamp, page FROM raw.visits WHERE spent > 1 ORDER BY 2 DESC"""
    found = store.get_historical_features(query, ["user_spend:spent"]).to_arrow()
    assert found.drop_columns("event_timestamp").to_pydict() == {
        "user_id": [1, 1],
        "page": ["news", "home"],
        "spent": [7.0, None],
    }


def test_an_offline_table_can_be_queried_by_its_view_s_name(
    settings: Settings,
    publish: Callable[..., Any],
    table_of: Callable[..., pa.Table],
    stored: Callable[..., FeatureView],
) -> None:
    rows = table_of("user_id  event_timestamp  created_timestamp  spent\n1  2024-05-03  2024-05-03  7")
    publish(stored("user_spend"), rows, definition_hash="0")
    found = rows_of_query('SELECT user_id, spent FROM offline."user_spend"', Resources())
    assert found.to_pydict() == {"user_id": [1], "spent": [7]}


@pytest.mark.parametrize(
    ("query", "error", "message"),
    [
        ("SELECT * FROM raw.visit", DataError, "names raw.visit, and there is no such source. There are: visits"),
        ("SELECT * FROM offline.nowhere", DataError, "names offline.nowhere, and nothing has been built there"),
        ("SELECT nothing FROM raw.visits", UsageError, "the spine's query cannot be run: .*nothing"),
        ("SELEKT", UsageError, "the spine's query cannot be run: .*SELEKT"),
        ("SELECT * FROM elsewhere", UsageError, "the spine's query cannot be run: .*elsewhere"),
    ],
)
def test_a_query_that_cannot_be_run_says_why(visited: None, query: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"(?s){message}"):
        rows_of_query(query, Resources())
