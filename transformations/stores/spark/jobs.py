"""Feast's retrieval job, performed by Spark: its result need not pass through this process."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import OnDemandFeatureView
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.file_source import FileSource
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.saved_dataset import SavedDatasetStorage

from transformations.engine.base.disk_faults import faults_in_words
from transformations.engine.base.errors import UsageError
from transformations.engine.base.moments import micros_to_instant
from transformations.engine.base.settings import get_settings
from transformations.engine.base.storage import make_folder
from transformations.engine.compute.spark import spark_session
from transformations.engine.launch.task_errors import errors_of_tasks
from transformations.stores.base.source_paths import path_of
from transformations.stores.computed.feast_functions import request_fields_of
from transformations.stores.spark.retrieval import SparkSpine, result_frame
from transformations.stores.spark.spines import ROW, is_for_spark, numbered_spine, spark_spine
from transformations.stores.training.historical import HistoricalRequest
from transformations.stores.training.jobs import SAVED, PointInTimeJob
from transformations.stores.training.retrieval import Plan

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def spark_job(request: HistoricalRequest) -> RetrievalJob:
    """The job of a request: of a spine that Spark reads, or of one that this process holds."""
    if is_for_spark(request.entities):
        return SparkSpineJob(request)
    return LocalSpineJob(request.job())


class LocalSpineJob(PointInTimeJob):
    """A retrieval for a spine that this process holds: computed by Spark, given in the spine's order and form."""

    def __init__(self, local: PointInTimeJob) -> None:
        super().__init__(
            local.spine,
            local.plan,
            local.metadata,
            full_feature_names=local.full_feature_names,
            repo_path=local.repo_path,
            nullable_dtypes=local.nullable_dtypes,
            project=local.project,
        )

    def computed(self) -> dict[str, pa.Array]:
        """The feature columns, in the spine's order."""
        fields = {name for view in self.plan.on_demand for name in request_fields_of(view)}
        with errors_of_tasks():
            spine = numbered_spine(self.spine, self.plan, fields, spark_session(get_settings()))
            rows = result_frame(spine, self.plan, self.repo_path).select(ROW, *self.plan.columns).toArrow()
        rows = rows.sort_by(ROW)
        return {name: rows[name].combine_chunks() for name in self.plan.columns}

    def to_spark_df(self) -> DataFrame:
        """The spine's columns and the features as a data frame of Spark, in no order."""
        spark = spark_session(get_settings())
        given, moment = self.spine.to_arrow(), self.spine.timestamp
        rows = given.set_column(given.column_names.index(moment), moment, self.spine.moments)
        frame = spark.createDataFrame(rows)
        with errors_of_tasks():
            return result_frame(SparkSpine(frame, moment), self.plan, self.repo_path)


class SparkSpineJob(RetrievalJob):
    """A retrieval for a spine that Spark reads. Its rows have no order."""

    def __init__(self, request: HistoricalRequest) -> None:
        self._spark = spark_session(get_settings())
        self._spine = spark_spine(request.entities, self._spark)
        self._plan = request.plan(request.views(), self._spine.frame.columns)
        self._full_feature_names = request.full_feature_names
        self._repo_path = request.config.repo_path
        self._feature_refs = request.feature_refs

    @cached_property
    def _frame(self) -> DataFrame:
        with errors_of_tasks():
            return result_frame(self._spine, self._plan, self._repo_path)

    def to_spark_df(self) -> DataFrame:
        """The spine's columns and the features as a data frame of Spark: `.write.saveAsTable(…)`, `.write.parquet(…)`.

        Spark tells the errors of its tasks in its own words; `persist` tells them in ours.
        """
        return self._frame

    @faults_in_words()
    def persist(self, storage: SavedDatasetStorage, allow_overwrite: bool = False, timeout: int | None = None) -> None:
        """Write the result from Spark's tasks: Parquet files in a folder, there all at once, or a table of Spark."""
        if (table := getattr(getattr(storage, "spark_options", None), "table", None)) is not None:
            with errors_of_tasks():
                self._frame.write.mode("overwrite" if allow_overwrite else "errorifexists").saveAsTable(table)
            return
        target = storage.to_data_source()
        if not isinstance(target, FileSource):
            raise UsageError(
                f"a retrieval on Spark is saved as Parquet files or as a table of Spark, and "
                f"{type(storage).__name__} is neither."
            )
        folder = path_of("the saved dataset", target, self._repo_path)
        if folder.exists() and not allow_overwrite:
            raise SavedDatasetLocationAlreadyExists(location=str(folder))
        if folder.suffix == ".parquet":
            raise UsageError(f"{folder} is one file, and Spark's tasks write one each. Name a folder.")
        write_files(self._frame, folder, self._spine.timestamp)

    @property
    def plan(self) -> Plan:
        """The pinned histories that are read, and the columns of the result."""
        return self._plan

    @property
    def full_feature_names(self) -> bool:
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        """Empty: the result already holds the on-demand features."""
        return []

    @cached_property
    def metadata(self) -> RetrievalMetadata:
        """What was asked for; the first and last moment take a pass over the spine."""
        from pyspark.sql import functions

        frame, moment = self._spine
        micros = functions.unix_micros(functions.col(f"`{moment}`").cast("timestamp"))
        (bounds,) = frame.agg(functions.min(micros), functions.max(micros)).collect()
        first, last = (None if each is None else micros_to_instant(each) for each in bounds)
        return RetrievalMetadata(self._feature_refs, [name for name in frame.columns if name != moment], first, last)

    @faults_in_words()
    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        with errors_of_tasks():
            return self._frame.toArrow()

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        frame: pd.DataFrame = self._to_arrow_internal(timeout).to_pandas()
        return frame


def write_files(frame: DataFrame, folder: Path, timestamp: str) -> None:
    """Write a frame from Spark's tasks into a folder of Parquet files, which is there whole or not at all.

    One in its place is moved aside first: killed between the two renames, this leaves old and new under hidden names.
    timestamp: the column of the rows' moments, which the files name as a saved dataset's.
    """
    unfinished = folder.with_name(f".{folder.name}-{uuid.uuid4().hex}")
    make_folder(unfinished)
    try:
        with errors_of_tasks():
            written = frame.mapInArrow(_writing_task(unfinished, timestamp), "file string").collect()
        kept = {row[0] for row in written}
        for file in unfinished.iterdir():  # of attempts that another one replaced
            if file.name not in kept:
                file.unlink()
        if folder.exists():
            replaced = folder.with_name(f".{folder.name}-{uuid.uuid4().hex}")
            folder.rename(replaced)
            unfinished.rename(folder)
            shutil.rmtree(replaced)
        else:
            unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _writing_task(folder: Path, timestamp: str) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def task(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        name, writer = f"part-{uuid.uuid4().hex}.parquet", None
        for batch in batches:
            table = pa.Table.from_batches([batch])
            table = table.replace_schema_metadata({SAVED: timestamp.encode()})
            writer = writer or pq.ParquetWriter(folder / name, table.schema)
            writer.write_table(table)
        if writer is not None:
            writer.close()
            yield pa.record_batch({"file": pa.array([name])})

    return task
