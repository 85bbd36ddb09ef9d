"""Spines that Spark reads: a path is the one that was named, and what tasks cannot be handed is refused by its name."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.settings import Settings
from transformations.engine.compute.spark import spark_session
from transformations.stores.spark.spines import spark_spine

START = datetime(2024, 5, 1, tzinfo=UTC)


def write_spine(file: Path, *rows: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    moments = pa.array([START] * len(rows), pa.timestamp("us", tz="UTC"))
    pq.write_table(pa.table({"row": pa.array(rows, pa.int64()), "event_timestamp": moments}), file)


def rows_of(path: str, settings: Settings) -> list[int]:
    return sorted(row["row"] for row in spark_spine(path, spark_session(settings)).frame.collect())


@pytest.mark.parametrize(
    ("named", "other"),
    [
        ("sp[1]", "sp1"),
        ("sp{1}", "sp1"),
        ("{a,b}", "a"),
        ("sp*", "spare"),
        ("sp?", "sp1"),
        ("sp\\1", "sp1"),
        ("sp[1].parquet", "sp1.parquet"),
    ],
)
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_path_that_exists_is_no_pattern(
    tmp_path: Path, spark_settings: Settings, named: str, other: str, scheme: str
) -> None:
    for name, row in ((named, 1), (other, 2)):
        is_file = name.endswith(".parquet")
        write_spine(tmp_path / name if is_file else tmp_path / name / "a.parquet", row)
    assert rows_of(f"{scheme}{tmp_path / named}", spark_settings) == [1]


def test_behind_what_exists_a_path_is_a_pattern_as_a_source_s_is(tmp_path: Path, spark_settings: Settings) -> None:
    for place, row in (("of[1]/day=1", 1), ("of[1]/day=2", 2), ("of1/day=1", 3), ("of1/d1", 4)):
        write_spine(tmp_path / place / "a.parquet", row)
    assert rows_of(f"{tmp_path}/of[1]/day=*", spark_settings) == [1, 2]
    assert rows_of(f"{tmp_path}/of[1]/day=[2]/?.parquet", spark_settings) == [2]
    assert rows_of(f"{tmp_path}/of[1]", spark_settings) == [1, 2]
    for path in ("of[1]/d{1}", "of1/d{1}", "of1/d{1}/*", "of[2]/none"):  # braces are no pattern in a source's path
        with pytest.raises(DataError, match="is no table that Spark knows, and no path of Parquet files"):
            spark_spine(f"{tmp_path}/{path}", spark_session(spark_settings))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("interval '1' year", "interval year"),
        ("array(interval '1-2' year to month)", "array<interval year to month>"),
        ("make_interval(1)", "interval"),
    ],
)
def test_a_column_that_tasks_cannot_be_handed_is_named_with_what_to_do(
    spark_settings: Settings, value: str, kind: str
) -> None:
    frame = spark_session(spark_settings).sql(f"SELECT 1L AS user_id, {value} AS age, now() AS event_timestamp")
    with pytest.raises(UsageError) as caught:
        spark_spine(frame, frame.sparkSession)
    assert str(caught.value) == (
        f"spine column 'age' is of Spark's type {kind}, which Spark cannot hand to Python in Arrow. Leave it out, or "
        f"cast it: withColumn('age', col('age').cast('string'))."
    )
    cast = frame.withColumn("age", frame["age"].cast("string"))
    assert spark_spine(cast, cast.sparkSession).frame.count() == 1
