"""Parquet files that tasks read themselves: a share of the files as packets or, if there is little data, all at once.

Spark's own reader converts columns to rows first, which costs ten times as much.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.dataset import Expression, dataset, field

from transformations.engine.base import duck
from transformations.engine.base.disk_faults import note_reads
from transformations.engine.base.moments import EVENT_TIMESTAMP
from transformations.engine.compute.knowledge import FOREVER, SINCE, UNTIL
from transformations.engine.compute.packets import SCHEMA, Kind, bucket_of, count_events, pack, with_key
from transformations.engine.launch.elsewhere import are_elsewhere, sent
from transformations.engine.raw.files import BUSINESS_DAY, DROP, RETRACTED
from transformations.engine.vocabulary.columns import group_codes, integers, micros

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Int64s = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_MOST_SHARES = 64
"""Tasks that read the files of one frame: enough for a cluster, and each has its start to pay for."""


@dataclass(frozen=True, kw_only=True)
class FileReading:
    """Some columns of some rows of the files. wanted: the condition on rows; None: all."""

    kind: Kind
    files: Sequence[str]
    schema: pa.Schema
    columns: Sequence[str]
    wanted: Expression | None = None
    found: Sequence[str] = ()

    def share(self, number: int, shares: int) -> Iterator[pa.RecordBatch]:
        """The rows of one of `shares` equal shares of the files."""
        files = list(self.files[number::shares])
        note_reads(files)
        rows = dataset(files, schema=self.schema, format="parquet")
        return rows.to_batches(columns=list(self.columns), filter=self.wanted)  # type: ignore[no-any-return]

    def frame(self, spark: SparkSession, ddl: str) -> DataFrame:
        """All rows as a Spark frame, each task reading its share. ddl: Spark's words for the columns."""
        shares = min(len(self.files), _MOST_SHARES)

        def read(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for number in (number for batch in batches for number in batch.column(0).to_pylist()):
                yield from self.share(number, shares)

        return spark.range(0, shares, 1, shares).mapInArrow(sent(read, spark), ddl)

    def read(self) -> pa.Table:
        """All rows."""
        schema = pa.schema([self.schema.field(name) for name in self.columns])
        return pa.Table.from_batches(self.share(0, 1), schema)


@dataclass(frozen=True, kw_only=True)
class HistoryReading:
    """Every version of the events of a source without lookups, superseded ones included.

    superseding: the drops that repeat identities of earlier ones. numbers: by drop, its number in the view's timeline.
    days: the business days to read; None: all.

    For example, with event 7 corrected by drop 2 (timeline number 4) and drop 1 being number 1:

        event_id  amount  _drop        event_id  amount  _since  _until
        7         10.0    1       →    7         10.0    1       4
        8         5.0     1            8         5.0     1       FOREVER
        7         12.0    2            7         12.0    4       FOREVER
    """

    files: Sequence[str]
    schema: pa.Schema
    columns: Sequence[str]
    identity: Sequence[str]
    superseding: Sequence[int]
    numbers: Sequence[tuple[int, int]]
    days: Sequence[range] | None
    kind: Literal["events"] = "events"
    found: Sequence[str] = ()

    def read(self) -> pa.Table:
        """The rows in `columns`, each with the drops since and until which it is known."""
        needed = dict.fromkeys([*self.columns, DROP, RETRACTED, *(self.identity if self.superseding else ())])
        wanted = None if self.superseding else ~field(RETRACTED)
        note_reads(self.files)
        rows = dataset(list(self.files), schema=self.schema, format="parquet").to_table(list(needed), filter=wanted)
        drops = integers(rows[DROP])
        number_of = np.zeros(max(drop for drop, _ in self.numbers) + 1, dtype=np.int32)
        for drop, number in self.numbers:
            number_of[drop] = number
        until = np.full(rows.num_rows, FOREVER, dtype=np.int32)
        places, following = self._followed_rows(rows, drops)
        until[places] = number_of[following]
        found = rows.select(list(self.columns))
        found = found.append_column(SINCE, pa.array(number_of[drops])).append_column(UNTIL, pa.array(until))
        kept = ~_mask_of(rows[RETRACTED]) if self.superseding else np.ones(rows.num_rows, dtype=np.bool_)
        if self.days is not None:
            kept &= is_within(integers(rows[BUSINESS_DAY]), self.days)
        return _rows_where(kept, found)

    def _followed_rows(self, rows: pa.Table, drops: Int64s) -> tuple[Int64s, Int64s]:
        """The positions of rows whose identity a later drop repeats, and that drop for each."""
        if not self.superseding:
            nothing = np.empty(0, dtype=np.int64)
            return nothing, nothing
        repeating = _rows_where(np.isin(drops, self.superseding), rows.select(list(self.identity)))
        places = np.flatnonzero(ValuesOfKeys.of(repeating, self.identity).are_in(rows))
        _, (identity,) = group_codes([rows.select(list(self.identity)).take(pa.array(places))], self.identity)
        order = np.lexsort((drops[places], identity))
        places, identity = places[order], identity[order]
        is_followed = identity[1:] == identity[:-1]
        return places[:-1][is_followed], drops[places[1:][is_followed]]


@dataclass(frozen=True, kw_only=True)
class LookupReading:
    """Every version of the events of a source with lookups, as DuckDB joins them.

    files: for each source of the view, in order, its files and raw schema; `relation` names them in the query. schema:
    of the events. found: the columns that are null where the lookup found no record.
    """

    query: str
    files: tuple[tuple[Sequence[str], pa.Schema], ...]
    relation: str
    schema: pa.Schema
    found: tuple[str, ...]
    kind: Literal["events"] = "events"

    def read(self) -> pa.Table:
        """The rows of `schema`, and the `found` columns."""
        with duck.session() as connection:
            for number, (paths, schema) in enumerate(self.files):
                note_reads(paths)
                rows = dataset(list(paths), schema=schema, format="parquet") if paths else schema.empty_table()
                connection.register(self.relation.format(number), rows)
            found = connection.sql(self.query).to_arrow_table()
        schema = pa.schema([*self.schema, *(pa.field(name, pa.bool_()) for name in self.found)])
        return found.select(schema.names).cast(schema)


@dataclass(frozen=True)
class ValuesOfKeys:
    """The values of each key column in some rows: a cheap test that all of their keys pass, and few others do."""

    keys: Sequence[str]
    values: Sequence[pa.Array]

    @classmethod
    def of(cls, rows: pa.Table, keys: Sequence[str]) -> ValuesOfKeys:
        """The values in these rows."""
        return cls(keys, [pc.unique(rows[key]) for key in keys])

    def are_in(self, rows: pa.Table) -> Mask:
        """Which rows have one of the values in every key column."""
        passed = np.ones(rows.num_rows, dtype=np.bool_)
        for key, values in zip(self.keys, self.values, strict=True):
            passed &= _mask_of(pc.is_in(rows[key], values))
        return passed


@dataclass(frozen=True, kw_only=True)
class Narrowing:
    """The part of few rows that an incremental run needs: everything about entities that a late drop touched; for all
    others, the events of `days` and the stored rows after `covered`.

    drops: the late drops of the timeline that the run replays. complete_day: the last business day that was complete
    before any late drop. covered: the event timestamp up to which the table was complete.

        user  _business_day  _since  _until        drops (4,), complete_day 20, days 21..21
        1     3              1       4             touched: 1 (until 4) and 2 (since 4, day 9); not 3, whose day 21
        1     3              4       FOREVER       was not complete before
        2     9              4       FOREVER  →    events: all of users 1 and 2, and day 21 of user 3
        3     5              1       FOREVER
        3     21             4       FOREVER
    """

    drops: Sequence[int]
    complete_day: int
    days: Sequence[range]
    covered: int

    def touched(self, events: pa.Table, keys: Sequence[str]) -> ValuesOfKeys:
        """The entities to check again."""
        since, until = (integers(events[name]) for name in (SINCE, UNTIL))
        late = np.isin(since, self.drops) | np.isin(until, self.drops)
        late &= integers(events[BUSINESS_DAY]) <= self.complete_day
        return ValuesOfKeys.of(_rows_where(late, events.select(list(keys))), keys)

    def narrow(self, tables: Mapping[str, pa.Table], keys: Sequence[str], is_needed: Mask) -> dict[str, pa.Table]:
        """The marks of touched entities, and the events and stored rows that the run needs; is_needed: the events of
        `days`.
        """
        events = tables["events"]
        touched = self.touched(events, keys)
        is_touched = touched.are_in(events)
        marked = with_key(_rows_where(is_touched, events.select(list(keys))), keys, ())
        narrowed = {
            "events": _rows_where(is_touched | is_needed, events),
            "marks": marked.group_by(list(keys)).aggregate([]),
        }
        if "stored" in tables:
            stored = tables["stored"]
            later = micros(stored[EVENT_TIMESTAMP]) > self.covered
            narrowed["stored"] = _rows_where(touched.are_in(stored) | later, stored)
        return narrowed


@dataclass(frozen=True)
class Files:
    """Parquet files of several kinds that tasks read themselves."""

    readings: tuple[FileReading | HistoryReading | LookupReading, ...]
    keys: tuple[str, ...]
    narrowing: Narrowing | None = None

    def __post_init__(self) -> None:
        for reading in () if are_elsewhere() else self.readings:  # there, each task fetches what it reads
            files = (
                reading.files if not isinstance(reading, LookupReading) else chain(*(each for each, _ in reading.files))
            )
            note_reads(files)

    def packets(self, spark: SparkSession, buckets: int) -> DataFrame:
        """Their rows as packets, each task reading its share."""
        readings, keys = [each for each in self.readings if isinstance(each, FileReading)], self.keys
        most = max(len(reading.files) for reading in readings)
        shares = max(min(spark.sparkContext.defaultParallelism, most), 1)

        def read(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for number in (number for batch in batches for number in batch.column(0).to_pylist()):
                for reading in readings:
                    yield from pack(reading.share(number, shares), keys, reading.kind, buckets)

        return spark.range(0, shares, 1, shares).mapInArrow(sent(read, spark), SCHEMA)

    def bucket(self, number: int, buckets: int) -> tuple[dict[str, pa.Table], list[int]]:
        """The tables of one bucket by kind, and the counts of all events. Each task reads all files for itself.

        For few rows that costs less than a shuffle.
        """
        tables: dict[str, pa.Table] = {each.kind: each.read() for each in self.readings}
        found = next(reading.found for reading in self.readings if reading.kind == "events")
        if self.narrowing is None:
            counts = count_events(tables["events"], self.keys, found)
        else:
            is_needed = is_within(integers(tables["events"][BUSINESS_DAY]), self.narrowing.days)
            counts = count_events(_rows_where(is_needed, tables["events"]), self.keys, found)
            tables |= self.narrowing.narrow(tables, self.keys, is_needed)
        with_keys = {
            kind: with_key(rows, self.keys, found if kind == "events" else ()) for kind, rows in tables.items()
        }
        return {kind: self._of_bucket(rows, number, buckets) for kind, rows in with_keys.items()}, counts

    def _of_bucket(self, rows: pa.Table, number: int, buckets: int) -> pa.Table:
        return rows if buckets == 1 else rows.filter(pa.array(bucket_of(rows, self.keys, buckets) == number))


def is_within(days: Int64s, stretches: Sequence[range]) -> Mask:
    """Which business days lie in one of these stretches."""
    within = np.zeros(len(days), dtype=np.bool_)
    for each in stretches:
        within |= (days >= each.start) & (days < each.stop)
    return within


def _rows_where(mask: Mask, rows: pa.Table) -> pa.Table:
    return rows if mask.all() else rows.filter(pa.array(mask))


def _mask_of(column: pa.ChunkedArray) -> Mask:
    return np.asarray(column.to_numpy(), dtype=np.bool_)
