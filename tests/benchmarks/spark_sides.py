"""The sides of the retrieval benchmark on Spark: our store with `engine: spark`, and Feast's SparkOfflineStore."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_history import FEATURES, FLOATS, spine
from harness import Stopwatch, peak_memory, say
from retrieval_sides import LONG_SECONDS, OURS, TTL

if TYPE_CHECKING:
    from feast import FeatureStore
    from pyspark.sql import DataFrame

STOCK = "feast.infra.offline_stores.contrib.spark_offline_store.spark.SparkOfflineStore"
_SPINE_FILES = 4


@dataclass(frozen=True, kw_only=True)
class Case:
    """A spine and a history as Parquet, and what Spark has for them."""

    spine: Path
    history: Path
    memory: str
    partitions: int


def write_spine(folder: Path, rows: int, users: int, is_skewed: bool) -> None:
    """Write the spine's files, unless they are there. is_skewed: one user has a fifth of all rows."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    if folder.exists():
        return
    table = spine(rows, users)
    if is_skewed:
        is_hot = np.random.default_rng(1).random(rows) < 0.2
        table = table.set_column(0, "user_id", pa.array(np.where(is_hot, 17, table["user_id"].to_numpy())))
    draft = folder.with_name(f"{folder.name}.draft")
    draft.mkdir(parents=True, exist_ok=True)
    step = -(-rows // _SPINE_FILES)
    for number in range(_SPINE_FILES):
        pq.write_table(table.slice(number * step, step), draft / f"{number}.parquet")
    draft.rename(folder)


def measure(side: str, case: Case, calls: int) -> dict[str, list[float]]:
    """Seconds of the first call and of so many warm ones, GiB at the worst moment, and what the values are, summed up.

    The first call's rows are summed up by Spark, those of the others go to its `noop` sink. A side whose first call
    takes a minute is not called again, and has no warm call to report.
    """
    with tempfile.TemporaryDirectory() as folder, peak_memory() as memory:
        call = _call(side, case, Path(folder))
        with Stopwatch() as first:
            facts = _facts(call())
        warm = []
        for _ in range(calls if first.seconds < LONG_SECONDS else 0):
            with Stopwatch() as watch:
                _consume(call())
            warm.append(watch.seconds)
    say(f"{side}: first {first.seconds:.1f} s, warm {', '.join(f'{each:.1f}' for each in warm)} s")
    return {"first": [first.seconds], "warm": warm, "memory": [memory()], **facts}


def _call(side: str, case: Case, folder: Path) -> Callable[[], DataFrame]:
    from transformations.engine.base.settings import get_settings
    from transformations.engine.compute.spark import spark_session

    os.environ |= {
        "FEATURES_DATA": str(folder),
        "FEATURES_SPARK_DRIVER_MEMORY": case.memory,
        "FEATURES_SPARK_MASTER": "local[2]",
        "FEATURES_LINEAGE": "off",
    }
    spark = spark_session(get_settings())
    spark.conf.set("spark.sql.shuffle.partitions", str(case.partitions))
    spark.read.parquet(str(case.spine)).createOrReplaceTempView("spine")
    store = _store(folder, side, case)
    names = [f"view:{name}" for name in FEATURES]
    asked = str(case.spine) if side == "ours" else "SELECT * FROM spine"

    def call() -> DataFrame:
        job: Any = store.get_historical_features(asked, names)
        frame: DataFrame = job.to_spark_df()
        return frame

    return call


def _consume(frame: DataFrame) -> None:
    frame.write.format("noop").mode("overwrite").save()


def _facts(frame: DataFrame) -> dict[str, list[float]]:
    from pyspark.sql import functions as f

    nulls = sum((f.sum(f.col(name).isNull().cast("long")) for name in FEATURES), f.lit(0))
    total = sum((f.sum(f.col(name).cast("double")) for name in FEATURES), f.lit(0.0))
    (row,) = frame.agg(f.count(f.lit(1)), nulls, total).collect()
    return {"rows": [float(row[0])], "nulls": [float(row[1])], "sum": [float(row[2])]}


def _store(folder: Path, side: str, case: Case) -> FeatureStore:
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.data_format import ParquetFormat
    from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource
    from feast.types import Float64, Int64

    offline = {"type": OURS, "engine": "spark"} if side == "ours" else {"type": STOCK}
    config = RepoConfig(
        project="benchmark",
        provider="local",
        registry={"registry_type": "file", "path": str(folder / "registry.db")},
        offline_store=offline,
        online_store=None,
        entity_key_serialization_version=3,
    )
    config.repo_path = folder
    store = FeatureStore(config=config)
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
    fields = [Field(name=name, dtype=Float64 if name in FLOATS else Int64) for name in FEATURES]
    place, moment = str(case.history), "event_timestamp"
    source: Any = (
        FileSource(name="source", path=place, timestamp_field=moment, file_format=ParquetFormat())
        if side == "ours"
        else SparkSource(name="source", path=place, file_format="parquet", timestamp_field=moment)
    )
    schema = [Field(name="user_id", dtype=Int64), *fields]
    store.apply([user, FeatureView(name="view", entities=[user], ttl=TTL, schema=schema, source=source)])
    return store
