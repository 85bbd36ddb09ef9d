"""Visits of two users, spines from literal rows, and what a retrieval gives for them."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import pyarrow as pa
from feast import FeatureStore, FeatureView

Store = Callable[..., FeatureStore]
Rows = Callable[..., pa.Table]
View = Callable[..., FeatureView]

VISITS = """
    user_id  event_timestamp   created_timestamp  spent
    1        2024-05-01        2024-05-01         10
    1        2024-05-03        2024-05-03         30
    2        2024-05-02        2024-05-02         -
"""


def spine(*rows: tuple[Any, str], key: str = "user_id") -> pd.DataFrame:
    moments = pd.to_datetime([moment for _, moment in rows], utc=True, format="ISO8601")
    return pd.DataFrame({key: [value for value, _ in rows], "event_timestamp": moments})


def values(store: FeatureStore, entity_df: Any, *features: str, **more: Any) -> list[Any]:
    table = store.get_historical_features(entity_df, list(features), **more).to_arrow()
    found = [table[feature.partition(":")[2]].to_pylist() for feature in features]
    return found[0] if len(found) == 1 else found
