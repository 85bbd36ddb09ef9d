"""Spines as Spark has them: a data frame, a table by its name, or Parquet files by their path."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from transformations.engine.base.errors import DataError, UsageError
from transformations.stores.base.values import canonical_key
from transformations.stores.spark.retrieval import SparkSpine
from transformations.stores.training.retrieval import Plan
from transformations.stores.training.spine import Spine, timestamp_column

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ROW = "features_row"
"""The column that numbers the rows of a spine that this process holds, so that the result can be put in its order."""
_TABLE = re.compile(r"`?\w+`?(\.`?\w+`?){0,2}")
_QUERY = re.compile(r"\s*(select\b|with\b|from\b|\()", re.IGNORECASE)


def is_for_spark(entities: Any) -> bool:
    """Whether Spark reads a spine: a data frame of its own, a table's name, or a path; not a query, frame or table."""
    if isinstance(entities, str):
        return _QUERY.match(entities) is None
    return type(entities).__module__.startswith("pyspark.")


def spark_spine(entities: Any, spark: SparkSession) -> SparkSpine:
    """A spine that is for Spark. UsageError where it has no column of moments, or two columns of one name; DataError
    where there is no such table or path.
    """
    from pyspark.sql.types import TimestampNTZType, TimestampType

    frame = _frame_of(entities, spark) if isinstance(entities, str) else entities
    times = Counter(frame.columns)
    if alike := [name for name, count in times.items() if count > 1]:
        raise UsageError(f"the spine has {times[alike[0]]} columns called {alike[0]!r}. Rename or drop all but one.")
    kinds = (TimestampType, TimestampNTZType)
    return SparkSpine(frame, timestamp_column({each.name: isinstance(each.dataType, kinds) for each in frame.schema}))


def numbered_spine(spine: Spine, plan: Plan, request_fields: set[str], spark: SparkSession) -> SparkSpine:
    """What Spark needs of a spine that this process holds: keys, moments and request fields, and each row's number."""
    columns: dict[str, Any] = {ROW: pa.array(range(len(spine)), pa.int64()), spine.timestamp: spine.moments}
    for name in sorted(request_fields):
        columns.setdefault(name, spine.column(name))
    dtypes: dict[str, set[Any]] = {}
    for each in plan.stored:
        for key, dtype in each.keys.items():
            dtypes.setdefault(each.spine_column(key), set()).add(canonical_key(dtype))
    for name, kinds in dtypes.items():
        is_alone = len(kinds) == 1 and name not in columns
        columns.setdefault(name, spine.key(name, next(iter(kinds))) if is_alone else spine.column(name))
    try:
        return SparkSpine(spark.createDataFrame(pa.table(columns)), spine.timestamp)
    except Exception as error:
        raise UsageError(f"Spark cannot take this spine: {error}. Retrieve it with engine: local.") from error


def _frame_of(name: str, spark: SparkSession) -> DataFrame:
    from pyspark.errors import AnalysisException

    try:
        if _TABLE.fullmatch(name) and not name.endswith(".parquet"):
            return spark.table(name)
        return spark.read.parquet(name)
    except AnalysisException as error:
        raise DataError(
            f"the spine {name!r} is no table that Spark knows, and no path of Parquet files: {error}"
        ) from error
