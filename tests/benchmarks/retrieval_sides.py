"""The sides of the retrieval benchmark: our store, Feast's DuckDB store, joins by hand in DuckDB and polars.

Each gives a pandas frame of the spine with the features of one or of several views, and measures itself: the first call
of a process, a warm one, and the most memory that the process held.
"""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from feature_history import FEATURES, FLOATS, spine
from harness import Stopwatch, peak_memory

if TYPE_CHECKING:
    import pandas as pd
    from feast import FeatureStore

TTL = timedelta(days=10)
LONG_SECONDS = 60
"""A call that takes longer than this is not repeated: its warm time is its first one."""

OURS = "transformations.stores.offline.PointInTimeOfflineStore"
STOCK = "duckdb"

Call = Callable[[], "pd.DataFrame"]


@dataclass(frozen=True)
class Case:
    """A spine of so many rows, over a history's file or folder, that so many views share."""

    spine_rows: int
    users: int
    source: Path
    views: int = 1
    settings: tuple[tuple[str, str], ...] = ()


def measure(side: str, case: Case) -> dict[str, float]:
    """Seconds of the first call and of a warm one, GiB at the worst moment, and what the values are, summed up."""
    with peak_memory(0.05) as memory, _call(side, case) as call:
        with Stopwatch() as first:
            frame = call()
        facts = _facts(frame)
        del frame
        gc.collect()
        warm = first
        if first.seconds < LONG_SECONDS:
            with Stopwatch() as warm:
                frame = call()
            del frame
    return {"first": first.seconds, "warm": warm.seconds, "memory": memory(), **facts}


def _facts(frame: pd.DataFrame) -> dict[str, float]:
    """Nulls and the sum of all features, to see that the sides agree."""
    features = frame[[name for name in frame.columns if name.rpartition("__")[2] in FEATURES]]
    nulls = sum(int(features[name].isna().sum()) for name in features)
    return {"rows": float(len(frame)), "nulls": float(nulls), "sum": sum(float(features[n].sum()) for n in features)}


@contextmanager
def _call(side: str, case: Case) -> Iterator[Call]:
    rows = spine(case.spine_rows, case.users)
    if side in ("ours", "stock"):
        with tempfile.TemporaryDirectory() as folder:
            store = _store(Path(folder), OURS if side == "ours" else STOCK, case)
            entity_df = rows.to_pandas()
            names = [f"view_{number}:{name}" for number in range(case.views) for name in FEATURES]
            yield lambda: store.get_historical_features(entity_df, names, full_feature_names=case.views > 1).to_df()
    elif side == "DuckDB ASOF":
        entity_df = rows.to_pandas()
        yield lambda: _asof_in_duckdb(entity_df, case)
    else:
        entity_df = rows.to_pandas()
        yield lambda: _asof_in_polars(entity_df, case)


def _store(folder: Path, offline: str, case: Case) -> FeatureStore:
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.data_format import ParquetFormat
    from feast.types import Float64, Int64

    config = RepoConfig(
        project="benchmark",
        provider="local",
        registry={"registry_type": "file", "path": str(folder / "registry.db")},
        offline_store={"type": offline, **dict(case.settings)},
        online_store=None,
        entity_key_serialization_version=3,
    )
    config.repo_path = folder
    store = FeatureStore(config=config)
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
    fields = [Field(name=name, dtype=Float64 if name in FLOATS else Int64) for name in FEATURES]
    views = [
        FeatureView(
            name=f"view_{number}",
            entities=[user],
            ttl=TTL,
            schema=[Field(name="user_id", dtype=Int64), *fields],
            source=FileSource(
                name=f"source_{number}",
                path=str(case.source),
                timestamp_field="event_timestamp",
                file_format=ParquetFormat(),
            ),
        )
        for number in range(case.views)
    ]
    store.apply([user, *views])
    return store


def _asof_in_duckdb(entity_df: pd.DataFrame, case: Case) -> pd.DataFrame:
    import duckdb

    path = str(case.source / "*.parquet") if case.source.is_dir() else str(case.source)
    wanted = ", ".join(
        f"CASE WHEN v{view}.event_timestamp >= spine.event_timestamp - INTERVAL {TTL.days} DAY THEN v{view}.{name} END "
        f'AS "{_column(view, name, case)}"'
        for view in range(case.views)
        for name in FEATURES
    )
    joins = "\n".join(
        f"ASOF LEFT JOIN read_parquet('{path}') AS v{view} "
        f"ON spine.user_id = v{view}.user_id AND spine.event_timestamp >= v{view}.event_timestamp"
        for view in range(case.views)
    )
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("spine", entity_df)
        frame: pd.DataFrame = connection.sql(f"SELECT spine.*, {wanted} FROM spine {joins}").df()
        return frame


def _asof_in_polars(entity_df: pd.DataFrame, case: Case) -> pd.DataFrame:
    import polars as pl

    rows = pl.from_pandas(entity_df).with_columns(pl.col("event_timestamp").dt.cast_time_unit("us"))
    rows = rows.with_row_index("row").sort("event_timestamp")
    for view in range(case.views):
        history = pl.read_parquet(case.source).sort("event_timestamp")
        names = {name: _column(view, name, case) for name in FEATURES}
        history = history.select("user_id", "event_timestamp", *FEATURES).rename(names)
        history = history.with_columns(pl.col("event_timestamp").dt.cast_time_unit("us").dt.convert_time_zone("UTC"))
        rows = rows.join_asof(
            history, on="event_timestamp", by="user_id", tolerance=TTL, strategy="backward", check_sortedness=False
        )
    frame: pd.DataFrame = rows.sort("row").drop("row").to_pandas()
    return frame


def _column(view: int, name: str, case: Case) -> str:
    return f"view_{view}__{name}" if case.views > 1 else name
