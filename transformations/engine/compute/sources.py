"""Sources as Spark frames: the current content of a raw snapshot, with looked-up attributes, ready for the sweep.

Everything here is lazy; nothing is collected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow.dataset import field, scalar

from transformations.contracts import Contract
from transformations.engine.base import storage
from transformations.engine.base.disk_faults import paths_in
from transformations.engine.base.files.without_copies import footer_of
from transformations.engine.compute.folds import carry_schema
from transformations.engine.compute.knowledge import SINCE, UNTIL, Timeline
from transformations.engine.compute.packets import Kind, pack_frame
from transformations.engine.compute.readings import FileReading, Files, HistoryReading, LookupReading, Narrowing
from transformations.engine.compute.spark import parquet_rows
from transformations.engine.compute.sweep import FIRST_DAY, FROM_DAY, order_columns
from transformations.engine.compute.versions_sql import DUCKDB, SPARK, found_column, versions
from transformations.engine.launch.elsewhere import are_elsewhere
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
    """The columns that a task reads beside the join keys, in a fixed order."""
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
    """The current events of these days and the carried-over state in a folder, for tasks to read directly.

    None if the view has lookups or superseded events, which Spark has to resolve: see `event_packets`. with_drops: with
    the number of each event's drop.
    """
    snapshot = snapshots[resolved.contract.name]
    if resolved.lookups or snapshot.supersedes:
        return None
    events = _current_reading(resolved, snapshot, days, with_drops)
    return Files((events, *([_carried_reading(resolved, carry)] if carry else [])), tuple(resolved.join_keys))


def few_files(
    resolved: Resolved,
    snapshots: Mapping[str, RawSnapshot],
    line: Callable[[], Timeline],
    *,
    days: Sequence[range],
    carry: Path | None,
    stored: Sequence[str],
    is_replayed: bool,
    narrowing: Narrowing | None,
) -> Files:
    """For few rows: the events, the carried-over state and the table's rows, which each task reads in full.

    line: asked where it is needed. is_replayed: with all versions of the events. narrowing: to the entities and days
    that the run needs.
    """
    snapshot = snapshots[resolved.contract.name]
    events: FileReading | HistoryReading | LookupReading
    if resolved.lookups:
        all_days = [range(FIRST_DAY, -FIRST_DAY)]
        events = _lookup_reading(resolved, snapshots, line(), days if narrowing is None else all_days)
    elif snapshot.supersedes or is_replayed:
        events = _history_reading(resolved, snapshot, line(), days if narrowing is None else None)
    else:
        events = _current_reading(resolved, snapshot, days, with_drops=False)
    schema = table_schema(resolved)
    rows = FileReading(kind="stored", files=stored, schema=schema, columns=schema.names)
    readings = (events, *([_carried_reading(resolved, carry)] if carry else []), *([rows] if stored else []))
    return Files(readings, tuple(resolved.join_keys), narrowing)


def _current_reading(resolved: Resolved, snapshot: RawSnapshot, days: Sequence[range], with_drops: bool) -> FileReading:
    """The events of these days in a source where every row is current."""
    day = field(BUSINESS_DAY)
    within = [(day >= stretch.start) & (day < stretch.stop) for stretch in days]
    return FileReading(
        kind="events",
        files=[part.path for part in snapshot.parts_of(days)],
        schema=raw_schema(resolved.contract),
        columns=[*event_schema(resolved).names, *([DROP] if with_drops else [])],
        wanted=reduce(or_, within, scalar(False)) & ~field(RETRACTED),
    )


def _history_reading(
    resolved: Resolved, snapshot: RawSnapshot, line: Timeline, days: Sequence[range] | None
) -> HistoryReading:
    return HistoryReading(
        files=snapshot.files,
        schema=raw_schema(resolved.contract),
        columns=event_schema(resolved).names,
        identity=_identity(resolved.contract),
        superseding=[drop.number for drop in snapshot.drops if drop.supersedes],
        numbers=line.since(resolved.contract.name),
        days=days,
    )


def _lookup_reading(
    resolved: Resolved, snapshots: Mapping[str, RawSnapshot], line: Timeline, days: Sequence[range]
) -> LookupReading:
    contracts = [resolved.contract, *resolved.lookups.values()]
    found = tuple(_found_columns(resolved).values())
    columns = [*event_schema(resolved).names, *found]
    return LookupReading(
        query=versions(resolved, snapshots, line, columns, days, DUCKDB),
        files=tuple((snapshots[each.name].files, raw_schema(each)) for each in contracts),
        relation=DUCKDB.relation,
        schema=versioned_schema(resolved),
        found=found,
    )


def event_packets(
    spark: SparkSession,
    resolved: Resolved,
    snapshots: Mapping[str, RawSnapshot],
    *,
    days: Sequence[range],
    carry: Path | None,
    buckets: int,
    line: Timeline | None,
) -> DataFrame:
    """The content of `event_files`, packed by entity; `count_names` names the packets' counts.

    line: to get all versions of the events, or their drops, instead of the current events.
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
    packets = pack_frame(rows, keys, "events", buckets, found)
    return (
        packets
        if carry is None
        else packets.union(Files((_carried_reading(resolved, carry),), keys).packets(spark, buckets))
    )


def count_carried_rows(folder: Path) -> int:
    """The number of entities in a folder of carried-over state."""
    return sum(int(footer_of(file).num_rows) for file in carried_files(folder))


def carried_files(folder: Path) -> list[Path]:
    """The files of carried-over state in a folder, here or, for tasks elsewhere, in object storage."""
    if not are_elsewhere():
        return paths_in(folder, "*.parquet")
    return [each.path for each in storage.files_below(folder) if each.path.suffix == ".parquet"]


def stored_packets(
    spark: SparkSession, resolved: Resolved, files: Sequence[str], kind: Kind, buckets: int
) -> DataFrame:
    """All rows of these files of the view's table, packed by entity."""
    schema = table_schema(resolved)
    reading = FileReading(kind=kind, files=files, schema=schema, columns=schema.names)
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
    """All versions of the events of these days, with the `found` columns of lookups."""
    columns = [*event_schema(resolved).names, *found]
    relations: dict[str, Any] = {
        f"raw_{number}": _raw_rows(spark, contract, snapshots[contract.name].files) or _no_rows(spark, contract)
        for number, contract in enumerate([resolved.contract, *resolved.lookups.values()])
    }
    return spark.sql(versions(resolved, snapshots, line, columns, days, SPARK), **relations)


def count_names(resolved: Resolved) -> list[str]:
    """The names of the counts of event packets, in order."""
    misses = [f"events without a match in {source}" for source in _found_columns(resolved)]
    return ["events", "events without a key", *misses]


def events(
    spark: SparkSession, resolved: Resolved, snapshots: Mapping[str, RawSnapshot], days: Sequence[range]
) -> DataFrame:
    """The current events of these days: raw columns and looked-up attributes."""
    snapshot = snapshots[resolved.contract.name]
    rows = current_rows(spark, snapshot, resolved.contract, _raw_columns(resolved))
    within = [f"{BUSINESS_DAY} >= {stretch.start} and {BUSINESS_DAY} < {stretch.stop}" for stretch in days]
    return _look_up(spark, resolved, snapshots, rows.where(" or ".join(within) or "false"))


def marks(
    spark: SparkSession,
    resolved: Resolved,
    before: Mapping[str, RawSnapshot],
    now: Mapping[str, RawSnapshot],
    complete_day: int,
) -> DataFrame | None:
    """For each entity that newer drops touched on days up to `complete_day`: the first as-of day to check again.

    An entity is touched by new events, by events that were replaced or retracted, and by events whose looked-up record
    changed, under both its old and its new attributes, since an attribute may be part of the key. None: nothing came.
    """
    name = resolved.contract.name
    touched = []
    if any(drop.supersedes for drop in now[name].drops_since(before[name].version)):
        came = _raw_rows(spark, resolved.contract, now[name].files_since(before[name].version))
        if came is not None:
            identities = came.select(*_identity(resolved.contract))
            touched += [_affected_days(spark, resolved, each, identities) for each in (before, now)]
    else:
        parts = now[name].parts_since(before[name].version)
        late = _raw_rows(spark, resolved.contract, [part.path for part in parts if part.first_day <= complete_day])
        if late is not None:
            touched.append(_days_of_keys(spark, resolved, now, late.where(f"not {RETRACTED}")))
    for lookup in resolved.definition.lookups:
        old, new = before[lookup.source], now[lookup.source]
        came = _raw_rows(spark, resolved.lookups[lookup.source], new.files_since(old.version))
        if came is not None:
            touched += [_affected_days(spark, resolved, each, came.select(*lookup.on)) for each in (before, now)]
    if not touched:
        return None
    keys = list(resolved.join_keys)
    every = reduce(lambda left, right: left.unionByName(right), touched).where(f"{BUSINESS_DAY} <= {complete_day}")
    return (
        every.groupBy(*keys)
        .agg({BUSINESS_DAY: "min"})
        .selectExpr(*keys, f"cast(`min({BUSINESS_DAY})` + 1 as bigint) as {FROM_DAY}")
    )


def current_rows(spark: SparkSession, snapshot: RawSnapshot, contract: Contract, columns: Sequence[str]) -> DataFrame:
    """A snapshot's current rows: for each identity the row of the newest drop, unless that is a retraction."""
    rows = _raw_rows(spark, contract, snapshot.files) or _no_rows(spark, contract)
    if snapshot.supersedes and contract.key:
        from pyspark.sql import Window, functions

        newest = Window.partitionBy(*_identity(contract)).orderBy(functions.col(DROP).desc())
        rows = rows.withColumn("_rank", functions.row_number().over(newest)).where("_rank = 1")
    return rows.where(f"not {RETRACTED}").select(*columns)


def _affected_days(
    spark: SparkSession, resolved: Resolved, snapshots: Mapping[str, RawSnapshot], identities: DataFrame
) -> DataFrame:
    """Keys and days of the current events among these identities."""
    snapshot = snapshots[resolved.contract.name]
    columns = sorted({*_raw_columns(resolved), *identities.columns})
    rows = current_rows(spark, snapshot, resolved.contract, columns)
    rows = rows.join(identities.distinct(), on=identities.columns, how="left_semi")
    return _days_of_keys(spark, resolved, snapshots, rows)


def _days_of_keys(
    spark: SparkSession, resolved: Resolved, snapshots: Mapping[str, RawSnapshot], rows: DataFrame
) -> DataFrame:
    keys = list(resolved.join_keys)
    found = _look_up(spark, resolved, snapshots, rows).select(*keys, BUSINESS_DAY)
    return found.where(" and ".join(f"`{key}` is not null" for key in keys))


def _look_up(
    spark: SparkSession, resolved: Resolved, snapshots: Mapping[str, RawSnapshot], rows: DataFrame
) -> DataFrame:
    """Add the attributes as of each event: those of its key's newest record that is not later than the event."""
    from pyspark.sql import Window, functions

    for lookup in resolved.definition.lookups:
        contract = resolved.lookups[lookup.source]
        records = current_rows(spark, snapshots[lookup.source], contract, [*lookup.on, *lookup.columns, RAW_TIMESTAMP])
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


def _carried_reading(resolved: Resolved, folder: Path) -> FileReading:
    schema = carry_schema(resolved)
    files = list(map(str, carried_files(folder)))
    return FileReading(kind="carried", files=files, schema=schema, columns=schema.names)


def _raw_columns(resolved: Resolved) -> list[str]:
    """The source's own columns that a build reads."""
    own = {column.name for column in resolved.contract.columns}
    needed = {*event_columns(resolved), *resolved.join_keys, BUSINESS_DAY}
    for lookup in resolved.definition.lookups:
        needed |= {*lookup.on, RAW_TIMESTAMP}
    return sorted(name for name in needed if name in own or name in _SYSTEM)


def _identity(contract: Contract) -> list[str]:
    return [*contract.key, *([] if contract.event_time else [RAW_TIMESTAMP])]


def _raw_rows(spark: SparkSession, contract: Contract, files: Sequence[str]) -> DataFrame | None:
    return file_rows(spark, raw_schema(contract), files) if files else None


def file_rows(spark: SparkSession, schema: pa.Schema, files: Sequence[str]) -> DataFrame:
    """The rows of files of a table, which Java reads where it can: object storage is read by Python's tasks."""
    if not are_elsewhere():
        return parquet_rows(spark, spark_schema(schema), files)
    reading = FileReading(kind="stored", files=files, schema=schema, columns=schema.names)
    return reading.frame(spark, spark_schema(schema))


def _no_rows(spark: SparkSession, contract: Contract) -> DataFrame:
    return spark.createDataFrame([], spark_schema(raw_schema(contract)))


def spark_schema(schema: pa.Schema) -> str:
    """Arrow fields as Spark's DDL."""
    return ", ".join(f"`{field.name}` {_spark_type(field.type)}" for field in schema)


def _spark_type(type_: pa.DataType) -> str:
    if pa.types.is_list(type_):
        return f"array<{_spark_type(type_.value_type)}>"
    return _SPARK_TYPES[type_]
