"""A retrieval as Spark performs it: packets of spine and histories meet by key, stage after stage.

Small histories meet nobody: each task reads them whole for its share of the spine, and nothing else is shuffled.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from transformations.engine.base.errors import UsageError
from transformations.engine.base.settings import get_settings
from transformations.engine.launch.elsewhere import sent
from transformations.stores.base.values import arrow_type
from transformations.stores.computed.wiring import reference_of
from transformations.stores.spark.exchange import keep_for, open_exchange
from transformations.stores.spark.histories import Counted, Cutting, refuse_unfetched, rows_of, sources_of
from transformations.stores.spark.packets import SCHEMA
from transformations.stores.spark.stages import Stage, stages_of
from transformations.stores.spark.tasks import dealing_task, history_task, matching_task, spine_task
from transformations.stores.training.historical import explain_same_name
from transformations.stores.training.retrieval import Plan

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

MOST_ROWS_READ = 16_000_000
"""Rows of histories that all tasks together read at most, each all of them, before these are shuffled instead. A first
call for a million rows over 3 million, on two busy cores, takes 32 s where tasks read all, and 92 s with the shuffle.
"""
_BATCH_BYTES = ("spark.sql.execution.arrow.maxBytesPerBatch", str(256 * 2**20))


class SparkSpine(NamedTuple):
    """A spine that Spark has. timestamp: the column of its rows' moments."""

    frame: DataFrame
    timestamp: str


def result_frame(spine: SparkSpine, plan: Plan, repository: Path | None) -> DataFrame:
    """The spine's rows, in no order, with the columns of the result; computed when it is used.

    Where histories are shuffled, a first pass over the spine, at once, counts its rows by key, and they stay on the
    disks of Spark while the frame is in use. UsageError for a feature of a type that Spark lacks, and for a history
    that tasks cannot fetch.
    """
    frame = spine.frame
    spark = frame.sparkSession
    refuse_unfetched(plan.stored)
    spark.conf.set(*_BATCH_BYTES)  # packets are large rows, and an Arrow batch holds 2 GiB at most
    schema = _result_schema(frame, plan)
    one_thread = replace(plan, resources=replace(plan.resources, threads=1))
    parallelism = spark.sparkContext.defaultParallelism
    if parallelism * rows_of(plan.stored) <= MOST_ROWS_READ:
        stage = Stage((), plan.stored, is_read_whole=True)
        cutting = Cutting(stage, parallelism, spine.timestamp, one_thread.resources)
        packets = frame.mapInArrow(sent(spine_task(cutting), spark), SCHEMA).repartitionById(parallelism, "bucket")
        task = matching_task(stage, one_thread, spine.timestamp, None, repository)
        return packets.sortWithinPartitions("kind", "place").mapInArrow(sent(task, spark), schema)
    stages = stages_of(plan.stored)
    hashes = int(spark.conf.get("spark.sql.shuffle.partitions") or 1)
    cuttings = [Cutting(stage, hashes, spine.timestamp, one_thread.resources) for stage in stages]
    exchange = _exchange(plan, spark)
    packets, kept = frame.mapInArrow(sent(spine_task(cuttings[0]), spark), SCHEMA), list["DataFrame"]()
    for number, stage in enumerate(stages):
        kept.append(_kept(packets))
        sources, units = sources_of(cuttings[number], _counted(packets), parallelism)
        received = packets.mapInArrow(dealing_task(sources.buckets), SCHEMA)
        if units:
            numbers = spark.range(0, len(units), 1, len(units))
            task = history_task(units, sources, exchange)
            received = received.unionAll(numbers.mapInArrow(sent(task, spark), SCHEMA))
        received = received.repartitionById(sources.buckets.total, "bucket").sortWithinPartitions("kind", "place")
        onward = cuttings[number + 1] if number + 1 < len(stages) else None
        task = matching_task(stage, one_thread, spine.timestamp, onward, repository)
        packets = received.mapInArrow(sent(task, spark), schema if onward is None else SCHEMA)
    weakref.finalize(packets, _release, kept)
    if exchange is not None:
        keep_for(packets, exchange)
    return packets


def _exchange(plan: Plan, spark: SparkSession) -> Path | None:
    """Where tasks put rows for each other; None where they are not all on this machine."""
    if not str(spark.sparkContext.master).startswith("local"):
        return None
    return open_exchange(plan.resources.spill or get_settings().spark_dir)


def _kept(packets: DataFrame) -> DataFrame:
    from pyspark import StorageLevel

    return packets.persist(StorageLevel.DISK_ONLY)


def _release(kept: Sequence[DataFrame]) -> None:
    for frame in kept:
        if frame.sparkSession.getActiveSession() is not None:
            frame.unpersist()


def _result_schema(frame: DataFrame, plan: Plan) -> StructType:
    """The spine's schema in Spark, and behind it that of the result's columns."""
    from pyspark.sql.pandas.types import from_arrow_type
    from pyspark.sql.types import StructField, StructType

    dtypes = {
        f"{each.reference}:{name}": declared.dtype for each in plan.stored for name, declared in each.fields.items()
    }
    dtypes |= {f"{reference_of(view)}:{each.name}": each.dtype for view in plan.on_demand for each in view.features}
    fields = list(frame.schema.fields)
    given = set(frame.columns)
    for column, reference in plan.columns.items():
        if column in given:  # which takes the place of a request field elsewhere
            raise UsageError(explain_same_name(column, reference))
        kind = arrow_type(dtypes[reference])
        try:
            fields.append(StructField(column, from_arrow_type(kind if kind is not None else pa.null())))
        except Exception:
            kind = None
        if kind is None:
            raise UsageError(
                f"feature {reference} is declared {dtypes[reference]}, which no column of Spark can hold. Leave it "
                f"out, or retrieve it with `offline_store: {{engine: local}}`."
            )
    return StructType(fields)


def _counted(packets: DataFrame) -> dict[int, Counted]:
    """The spine's rows by bucket; this reads the spine."""
    from pyspark.sql import functions

    sums = functions.sum("rows"), functions.min("first"), functions.max("last")
    rows = packets.groupBy("bucket").agg(*sums).collect()
    return {int(row[0]): Counted(int(row[1]), int(row[2]), int(row[3])) for row in rows}
