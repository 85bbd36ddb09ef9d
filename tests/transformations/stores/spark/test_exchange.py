"""Rows that tasks put down for each other stay as long as a frame of Spark may need them, and no longer."""

import gc
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.transformations.stores.spark.test_jobs import TIMESTAMP, USER, folder, stores, view_of  # noqa: F401
from transformations.engine.base.settings import Settings
from transformations.engine.compute.spark import spark_session
from transformations.stores.spark import retrieval
from transformations.stores.spark.exchange import open_exchange

START = datetime(2024, 5, 1, tzinfo=UTC)


@pytest.mark.proof
def test_files_stay_until_java_has_forgotten_every_frame_that_needs_them(
    folder: Path,  # noqa: F811
    stores: Callable[..., Any],  # noqa: F811
    spark_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retrieval, "MOST_ROWS_READ", 0)  # else tasks would read so small a history whole
    place = spark_settings.spark_dir
    rows = {"user_id": [1], "happened_at": [START], "created_at": [START], "seen": [7]}
    table = pa.table(rows).cast(
        pa.schema(
            [("user_id", pa.int64()), ("happened_at", TIMESTAMP), ("created_at", TIMESTAMP), ("seen", pa.int64())]
        )
    )
    _, store = stores(USER, view_of(folder, "visits", [table]))
    spark = spark_session(spark_settings)
    spine = pa.table({"user_id": [1, 2], "event_timestamp": pa.array([START, START], TIMESTAMP)})

    def swept() -> set[Path]:
        gc.collect()
        time.sleep(0.5)  # until Python has told Java
        jvm: Any = spark._jvm
        jvm.System.gc()
        opened = open_exchange(place)
        return {*place.glob("exchange-*")} - {opened} - before

    before = {*place.glob("exchange-*")}
    frame = store.get_historical_features(spark.createDataFrame(spine), ["visits:seen"]).to_spark_df()
    made_from_it = frame.select("seen")
    del frame
    (kept,) = swept()
    assert sorted(row[0] or 0 for row in made_from_it.collect()) == [0, 7]
    assert [file.stat().st_mode & 0o777 for file in kept.glob("*.parquet")] == [0o640]
    del made_from_it
    assert any(kept not in swept() for _ in range(10))  # Java collects what it likes, when it likes
