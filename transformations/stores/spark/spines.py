"""Spines as Spark has them: a data frame, a table by its name, or Parquet files by their path."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.compute.spark import literal_path
from transformations.stores.base.values import canonical_key
from transformations.stores.spark.retrieval import SparkSpine
from transformations.stores.training.retrieval import Plan
from transformations.stores.training.spine import Spine, timestamp_column

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructField

ROW = "features_row"
"""The column that numbers the rows of a spine that this process holds, so that the result can be put in its order."""
_TABLE = re.compile(r"`?\w+`?(\.`?\w+`?){0,2}")
_WILDCARDS = re.compile(r"[*?\[]")
"""What makes a pattern, as in the path of a source (stores/history/source_files.py)."""
_OTHER_MARKS = re.compile(r"[{}\\]+")
"""What Spark takes for parts of a pattern as well."""
_QUERY = re.compile(r"\s*(select\b|with\b|from\b|\()", re.IGNORECASE)


def is_for_spark(entities: Any) -> bool:
    """Whether Spark reads a spine: a data frame of its own, a table's name, or a path; not a query, frame or table."""
    if isinstance(entities, str):
        return _QUERY.match(entities) is None
    return type(entities).__module__.startswith("pyspark.")


def spark_spine(entities: Any, spark: SparkSession) -> SparkSpine:
    """A spine that is for Spark. UsageError where it has no column of moments, two columns of one name, or a column
    that tasks cannot be handed; DataError where there is no such table or path.
    """
    from pyspark.sql.types import TimestampNTZType, TimestampType

    frame = _frame_of(entities, spark) if isinstance(entities, str) else entities
    times = Counter(frame.columns)
    if alike := [name for name, count in times.items() if count > 1]:
        raise UsageError(f"the spine has {times[alike[0]]} columns called {alike[0]!r}. Rename or drop all but one.")
    _refuse_uncarried(frame)
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
        return spark.read.parquet(_pattern_of(name, spark))
    except AnalysisException as error:
        raise DataError(
            f"the spine {name!r} is no table that Spark knows, and no path of Parquet files: {error}"
        ) from error


def _pattern_of(path: str, spark: SparkSession) -> str:
    """A path as Spark reads it: literal as far as it exists, and a pattern behind that, as sources' paths are.

    Hadoop is asked what exists, since the path may be one of a cluster's storage.
    """
    if literal_path(path) == path:
        return path
    hadoop: Any = spark.sparkContext._jvm
    given = hadoop.org.apache.hadoop.fs.Path(path)
    files = given.getFileSystem(spark.sparkContext._jsc.hadoopConfiguration())
    whole = there = files.makeQualified(given)
    while not files.exists(there) and there.getParent() is not None:
        there = there.getParent()
    literal = str(there.toString())
    rest = str(whole.toString())[len(literal) :]
    if not _WILDCARDS.search(rest):
        return literal_path(literal + rest)
    return literal_path(literal) + _OTHER_MARKS.sub(lambda found: literal_path(found[0]), rest)


def _refuse_uncarried(frame: DataFrame) -> None:
    """UsageError for a column that Spark cannot hand its tasks in Arrow and take back from them, as they do."""
    if _is_carried(frame, frame.schema.fields):
        return
    for field in frame.schema:
        if not _is_carried(frame, [field]):
            raise UsageError(
                f"spine column {field.name!r} is of Spark's type {field.dataType.simpleString()}, which Spark cannot "
                f"hand to Python in Arrow. Leave it out, or cast it: "
                f"withColumn({field.name!r}, col({field.name!r}).cast('string'))."
            )


def _is_carried(frame: DataFrame, fields: Sequence[StructField]) -> bool:
    """Whether Spark takes columns of these types from a task, which it says before it runs one."""
    from pyspark.errors import PySparkNotImplementedError
    from pyspark.sql.types import StructType

    try:
        frame.mapInArrow(lambda batches: batches, StructType(list(fields)))
    except PySparkNotImplementedError:
        return False
    return True
