"""Sources as Spark sees them: the current content of a raw snapshot, with looked-up attributes, ready to be swept.

Everything here is lazy; nothing is collected.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow.dataset import Expression, dataset, field, scalar

from transformations.contracts import Contract
from transformations.engine.compute.folds import carry_schema
from transformations.engine.compute.knowledge import SINCE, UNTIL, Timeline
from transformations.engine.compute.packets import SCHEMA, Kind, of_bucket, pack, packed
from transformations.engine.compute.spark import parquet_rows
from transformations.engine.compute.sweep import FROM_DAY, order_columns
from transformations.engine.compute.versions import DUCKDB, SPARK, VersionReading, found_column, versions
from transformations.engine.raw.files import BUSINESS_DAY, DROP, RAW_TIMESTAMP, RETRACTED
from transformations.engine.raw.zone import RawSnapshot, raw_schema
from transformations.engine.tables.offline_tables import table_schema
from transformations.engine.vocabulary.dtypes import STORED
from transformations.engine.vocabulary.resolution import Resolved

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_SPARK_TYPES = {dtype.arrow: dtype.spark for dtype in STORED}
_SYSTEM = (RAW_TIMESTAMP, BUSINESS_DAY, DROP, RETRACTED)


def event_columns(resolved: Resolved) -> list[str]:
    """What a task needs of each event beside the join keys, in a fixed order."""
    needed = {BUSINESS_DAY}
    for feature in resolved.features:
        needed |= feature.declared.aggregation.columns()
        if any(part.needs_order for part in feature.declared.aggregation.parts()):
            needed |= {RAW_TIMESTAMP, *order_columns(resolved)}
    derived = {function.name: function for function in resolved.definition.derived}
    while pending := needed & set(derived):
        needed = (needed - pending) | {name for each in pending for name in derived[each].inputs}
    return sorted(needed - set(resolved.join_keys))


def event_files(
    resolved: Resolved,
    snapshots: Mapping[str, RawSnapshot],
    days: Sequence[range],
    carry: Path | None,
    with_drops: bool = False,
) -> Files | None:
    """The current events of these days and what an earlier run carried over into a folder, for tasks to read.

    Spark's own reader makes rows of columns first, which costs ten times as much. None where events are looked up or
    superseded, which it has to do: see `event_packets`. with_drops: with the number of the drop that each came with.
    """
    snapshot = snapshots[resolved.contract.name]
    if resolved.lookups or snapshot.supersedes:
        return None
    day = field(BUSINESS_DAY)
    within = [(day >= stretch.start) & (day < stretch.stop) for stretch in days]
    wanted = reduce(or_, within, scalar(False)) & ~field(RETRACTED)
    files = [part.path for part in snapshot.parts_of(days)]
    columns = [*event_schema(resolved).names, *([DROP] if with_drops else [])]
    raw = _Reading("events", files, raw_schema(resolved.contract), columns, wanted)
    return Files((raw, *([] if carry is None else [_carried(resolved, carry)])), tuple(resolved.join_keys))


def few_files(
    resolved: Resolved,
    snapshots: Mapping[str, RawSnapshot],
    line: Timeline,
    days: Sequence[range],
    carry: Path | None,
    stored: Sequence[str],
) -> Files:
    """All versions of the events of these days, of a table's files the rows, and what was carried over, where all of it
    is little: each task reads everything, DuckDB finding what was superseded or is looked up.
    """
    files = event_files(resolved, snapshots, days, carry, with_drops=True)
    if files is None:
        columns = [*event_schema(resolved).names, *_found_columns(resolved).values()]
        contracts = [resolved.contract, *resolved.lookups.values()]
        sources = tuple((snapshots[each.name].files, raw_schema(each)) for each in contracts)
        query = versions(resolved, snapshots, line, columns, days, DUCKDB)
        reading = VersionReading(query, sources, versioned_schema(resolved), tuple(_found_columns(resolved).values()))
        files = Files((reading, *([] if carry is None else [_carried(resolved, carry)])), tuple(resolved.join_keys))
    if not stored:
        return files
    schema = table_schema(resolved)
    return Files((*files.readings, _Reading("stored", stored, schema, schema.names, None)), files.keys)


def event_packets(
    spark: SparkSession,
    resolved: Resolved,
    snapshots: Mapping[str, RawSnapshot],
    days: Sequence[range],
    carry: Path | None,
    buckets: int,
    line: Timeline | None,
) -> DataFrame:
    """What `event_files` has, packed by entity; `counted` names what the counts of events count.

    line: to have all versions of the events, or the drops that they came with, in place of the current ones.
    """
    files = event_files(resolved, snapshots, days, carry, with_drops=line is not None)
    if files is not None:
        return files.packets(spark, buckets)
    keys = tuple(resolved.join_keys)
    found = list(_found_columns(resolved).values())
    if line is None:
        rows = events(spark, resolved, snapshots, days).select(*keys, *event_columns(resolved), *found)
    else:
        rows = version_events(spark, resolved, snapshots, line, days, found)
    packets = packed(rows, keys, "events", buckets, found)
    return (
        packets if carry is None else packets.union(Files((_carried(resolved, carry),), keys).packets(spark, buckets))
    )


def carried_rows(folder: Path) -> int:
    """Of how many entities a run carried something over."""
    from pyarrow.parquet import read_metadata

    return sum(int(read_metadata(file).num_rows) for file in folder.glob("*.parquet"))


def stored_packets(
    spark: SparkSession, resolved: Resolved, files: Sequence[str], kind: Kind, buckets: int
) -> DataFrame:
    """All rows of these files of the view's table, packed by entity."""
    schema = table_schema(resolved)
    reading = _Reading(kind, files, schema, schema.names, None)
    return Files((reading,), tuple(resolved.join_keys)).packets(spark, buckets)


def event_schema(resolved: Resolved) -> pa.Schema:
    """The columns of event packets."""
    system = {BUSINESS_DAY: pa.int32(), RAW_TIMESTAMP: pa.timestamp("us", tz="UTC")}
    types = {name: dtype.arrow for name, dtype in resolved.columns.items()} | system
    return pa.schema([(name, types[name]) for name in (*resolved.join_keys, *event_columns(resolved))])


def versioned_schema(resolved: Resolved) -> pa.Schema:
    """The columns of packets of all versions of events."""
    return pa.schema([*event_schema(resolved), (SINCE, pa.int32()), (UNTIL, pa.int32())])


def version_events(
    spark: SparkSession,
    resolved: Resolved,
    snapshots: Mapping[str, RawSnapshot],
    line: Timeline,
    days: Sequence[range],
    found: Sequence[str] = (),
) -> DataFrame:
    """All versions of the events of these days, and the `found` columns of lookups."""
    columns = [*event_schema(resolved).names, *found]
    relations: dict[str, Any] = {
        f"raw_{number}": _read(spark, contract, snapshots[contract.name].files) or _no_rows(spark, contract)
        for number, contract in enumerate([resolved.contract, *resolved.lookups.values()])
    }
    return spark.sql(versions(resolved, snapshots, line, columns, days, SPARK), **relations)


def counted(resolved: Resolved) -> list[str]:
    """What the counts of event packets count, in order."""
    misses = [f"events without a match in {source}" for source in _found_columns(resolved)]
    return ["events", "events without a key", *misses]


def events(
    spark: SparkSession, resolved: Resolved, snapshots: Mapping[str, RawSnapshot], days: Sequence[range]
) -> DataFrame:
    """The current events of these days: raw columns and looked-up attributes."""
    snapshot = snapshots[resolved.contract.name]
    rows = current(spark, snapshot, resolved.contract, _raw_columns(resolved))
    within = [f"{BUSINESS_DAY} >= {stretch.start} and {BUSINESS_DAY} < {stretch.stop}" for stretch in days]
    return _looked_up(spark, resolved, snapshots, rows.where(" or ".join(within) or "false"))


def marks(
    spark: SparkSession,
    resolved: Resolved,
    before: Mapping[str, RawSnapshot],
    now: Mapping[str, RawSnapshot],
    complete_day: int,
) -> DataFrame | None:
    """For every entity touched on days up to `complete_day` by what came since: the first as-of day to check again.

    Touched are the events that came, those that they replaced or retracted, and those whose looked-up record changed;
    each under its old and under its new attributes, since an attribute may be part of the key. None: nothing came.
    """
    name = resolved.contract.name
    touched = []
    if any(drop.supersedes for drop in now[name].drops if drop.version > before[name].version):
        came = _read(spark, resolved.contract, now[name].files_since(before[name].version))
        if came is not None:
            identities = came.select(*_identity(resolved.contract))
            touched += [_affected(spark, resolved, each, identities) for each in (before, now)]
    else:
        parts = now[name].parts_since(before[name].version)
        late = _read(spark, resolved.contract, [part.path for part in parts if part.first_day <= complete_day])
        if late is not None:
            touched.append(_days_of_keys(spark, resolved, now, late.where(f"not {RETRACTED}")))
    for lookup in resolved.definition.lookups:
        old, new = before[lookup.source], now[lookup.source]
        came = _read(spark, resolved.lookups[lookup.source], new.files_since(old.version))
        if came is not None:
            touched += [_affected(spark, resolved, each, came.select(*lookup.on)) for each in (before, now)]
    if not touched:
        return None
    keys = list(resolved.join_keys)
    every = reduce(lambda left, right: left.unionByName(right), touched).where(f"{BUSINESS_DAY} <= {complete_day}")
    return (
        every.groupBy(*keys)
        .agg({BUSINESS_DAY: "min"})
        .selectExpr(*keys, f"cast(`min({BUSINESS_DAY})` + 1 as bigint) as {FROM_DAY}")
    )


def current(spark: SparkSession, snapshot: RawSnapshot, contract: Contract, columns: Sequence[str]) -> DataFrame:
    """The rows of a snapshot that count: of each identity the one of the newest drop, unless that retracts it."""
    rows = _read(spark, contract, snapshot.files) or _no_rows(spark, contract)
    if snapshot.supersedes and contract.key:
        from pyspark.sql import Window, functions

        newest = Window.partitionBy(*_identity(contract)).orderBy(functions.col(DROP).desc())
        rows = rows.withColumn("_rank", functions.row_number().over(newest)).where("_rank = 1")
    return rows.where(f"not {RETRACTED}").select(*columns)


def _affected(
    spark: SparkSession, resolved: Resolved, snapshots: Mapping[str, RawSnapshot], identities: DataFrame
) -> DataFrame:
    """Keys and days of the current events among these identities."""
    snapshot = snapshots[resolved.contract.name]
    columns = sorted({*_raw_columns(resolved), *identities.columns})
    rows = current(spark, snapshot, resolved.contract, columns)
    rows = rows.join(identities.distinct(), on=identities.columns, how="left_semi")
    return _days_of_keys(spark, resolved, snapshots, rows)


def _days_of_keys(
    spark: SparkSession, resolved: Resolved, snapshots: Mapping[str, RawSnapshot], rows: DataFrame
) -> DataFrame:
    keys = list(resolved.join_keys)
    found = _looked_up(spark, resolved, snapshots, rows).select(*keys, BUSINESS_DAY)
    return found.where(" and ".join(f"`{key}` is not null" for key in keys))


def _looked_up(
    spark: SparkSession, resolved: Resolved, snapshots: Mapping[str, RawSnapshot], rows: DataFrame
) -> DataFrame:
    """Attributes as of each event: the record of its key whose time is the last one not after the event's."""
    from pyspark.sql import Window, functions

    for lookup in resolved.definition.lookups:
        contract = resolved.lookups[lookup.source]
        records = current(spark, snapshots[lookup.source], contract, [*lookup.on, *lookup.columns, RAW_TIMESTAMP])
        history = Window.partitionBy(*lookup.on).orderBy(RAW_TIMESTAMP)
        found = found_column(lookup.source)
        records = (
            records.withColumn("_until", functions.lead(RAW_TIMESTAMP).over(history))
            .withColumnRenamed(RAW_TIMESTAMP, "_since")
            .withColumn(found, functions.lit(True))
            .alias("record")
        )
        rows = rows.alias("event")
        same = [functions.col(f"event.{key}").eqNullSafe(functions.col(f"record.{key}")) for key in lookup.on]
        valid = (functions.col("record._since") <= functions.col(f"event.{RAW_TIMESTAMP}")) & (
            functions.col("record._until").isNull()
            | (functions.col(f"event.{RAW_TIMESTAMP}") < functions.col("record._until"))
        )
        rows = rows.join(records, on=reduce(lambda a, b: a & b, same) & valid, how="left").select(
            "event.*", *(functions.col(f"record.{name}") for name in lookup.columns), functions.col(f"record.{found}")
        )
    return rows


def _found_columns(resolved: Resolved) -> dict[str, str]:
    """For each lookup, the column that is null where no record was found."""
    return {lookup.source: found_column(lookup.source) for lookup in resolved.definition.lookups}


@dataclass(frozen=True)
class _Reading:
    """Parquet files that tasks read themselves: these columns of the rows that are wanted; None: of all."""

    kind: Kind
    files: Sequence[str]
    schema: pa.Schema
    columns: Sequence[str]
    wanted: Expression | None

    def share(self, number: int, shares: int) -> Iterator[pa.RecordBatch]:
        """The rows of one of so many equal shares of the files."""
        rows = dataset(list(self.files[number::shares]), schema=self.schema, format="parquet")
        return rows.to_batches(columns=list(self.columns), filter=self.wanted)  # type: ignore[no-any-return]

    def of_bucket(self, keys: Sequence[str], bucket: int, buckets: int) -> tuple[pa.Table, list[int]]:
        """The rows of one bucket of entities, and the counts of all rows."""
        schema = pa.schema([self.schema.field(name) for name in self.columns])
        return of_bucket(self.share(0, 1), schema, keys, bucket, buckets)


@dataclass(frozen=True)
class Files:
    """Parquet files of several kinds that tasks read themselves."""

    readings: tuple[_Reading | VersionReading, ...]
    keys: tuple[str, ...]

    def packets(self, spark: SparkSession, buckets: int) -> DataFrame:
        """Their rows as packets, each task reading its share."""
        readings, keys = [each for each in self.readings if isinstance(each, _Reading)], self.keys
        most = max(len(reading.files) for reading in readings)
        shares = max(min(spark.sparkContext.defaultParallelism, most), 1)

        def read(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for number in (number for batch in batches for number in batch.column(0).to_pylist()):
                for reading in readings:
                    yield from pack(reading.share(number, shares), keys, reading.kind, buckets)

        return spark.range(0, shares, 1, shares).mapInArrow(read, SCHEMA)

    def bucket(self, number: int, buckets: int) -> tuple[dict[str, pa.Table], list[int]]:
        """The tables of one bucket by kind, and the counts of all events: for a task that reads all for its own sake.

        Of few rows that costs less than a shuffle.
        """
        found = {each.kind: each.of_bucket(self.keys, number, buckets) for each in self.readings}
        return {kind: table for kind, (table, _) in found.items()}, found["events"][1]


def _carried(resolved: Resolved, folder: Path) -> _Reading:
    schema = carry_schema(resolved)
    return _Reading("carried", sorted(map(str, folder.glob("*.parquet"))), schema, schema.names, None)


def _raw_columns(resolved: Resolved) -> list[str]:
    """The source's own columns that a build reads."""
    own = {column.name for column in resolved.contract.columns}
    needed = {*event_columns(resolved), *resolved.join_keys, BUSINESS_DAY}
    for lookup in resolved.definition.lookups:
        needed |= {*lookup.on, RAW_TIMESTAMP}
    return sorted(name for name in needed if name in own or name in _SYSTEM)


def _identity(contract: Contract) -> list[str]:
    return [*contract.key, *([] if contract.event_time else [RAW_TIMESTAMP])]


def _read(spark: SparkSession, contract: Contract, files: Sequence[str]) -> DataFrame | None:
    return parquet_rows(spark, spark_schema(raw_schema(contract)), files) if files else None


def _no_rows(spark: SparkSession, contract: Contract) -> DataFrame:
    return spark.createDataFrame([], spark_schema(raw_schema(contract)))


def spark_schema(schema: pa.Schema) -> str:
    """Arrow fields as Spark's DDL."""
    return ", ".join(f"`{field.name}` {_spark_type(field.type)}" for field in schema)


def _spark_type(type_: pa.DataType) -> str:
    if pa.types.is_list(type_):
        return f"array<{_spark_type(type_.value_type)}>"
    return _SPARK_TYPES[type_]
