"""Old content asserted anew: new rows, so that a table reads as an earlier version of it did, in training and online.

Nothing is removed: among rows of equal key and event time the newest created wins, so every event time that either
version knows gets the value that the earlier one gave there, where the table now gives another.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from time import perf_counter

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transformations.engine.base.business_days import instant_to_micros
from transformations.engine.base.errors import DataError
from transformations.engine.base.settings import Settings
from transformations.engine.compute.job import BucketWork, Folders, buckets_for, write_buckets
from transformations.engine.compute.sources import stored_packets
from transformations.engine.compute.spark import spark_session
from transformations.engine.identity.code_revision import code_revision
from transformations.engine.tables.offline_tables import (
    CREATED_TIMESTAMP,
    EVENT_TIMESTAMP,
    TIMESTAMP,
    OfflineTable,
    Run,
    TableVersion,
    table_schema,
)
from transformations.engine.vocabulary.columns import changes, distinct, group_codes, rows_differ
from transformations.engine.vocabulary.resolution import Resolved

Int64s = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_MICROSECOND = timedelta(microseconds=1)


def restore(
    resolved: Resolved, settings: Settings, version: int, *, report: Callable[[str], None] | None = None
) -> Run | None:
    """Make the view's table read as it did at an earlier version; None where it does so already.

    The run takes over how far that version was complete and what it was built from, so that the next build takes in
    again what has come since. report: told in a few words what is being done. Raises DataError for a version that
    there is not, whose files were given up, or that another definition built; ConflictError where another run of the
    view publishes at the same time.
    """
    table = OfflineTable(settings.offline_dir / resolved.name)
    with table.writing():
        wanted, latest = restorable(table, resolved, version)
        if wanted.files == latest.files:
            return None
        return _performed(resolved, settings, table, wanted, latest, report or (lambda _: None))


def restorable(table: OfflineTable, resolved: Resolved, version: int) -> tuple[TableVersion, TableVersion]:
    """The version to restore and the newest one; DataError where its content cannot stand in the table as it is."""
    wanted, latest = table.at(version), table.latest()
    assert latest is not None
    same = [run.version for run in table.runs() if run.definition_hash == resolved.hash]
    if wanted.run.definition_hash != resolved.hash:
        known = f"of this definition are {', '.join(map(str, same))}" if same else "none is of this definition"
        raise DataError(
            f"{table.name}: version {version} was built from definition {wanted.run.definition_hash}, the view's is "
            f"{resolved.hash}: its features are others, or mean something else. Restore a version of the same "
            f"definition ({known}), or declare the view as it was then and build it."
        )
    if latest.run.definition_hash != resolved.hash:
        raise DataError(
            f"{table.name}: the table is built from definition {latest.run.definition_hash}, the view's is "
            f"{resolved.hash}. Run `features build {table.name}`, which rebuilds it, then restore."
        )
    return wanted, latest


def restored_rows(resolved: Resolved, stored: pa.Table, restored: pa.Table, created: datetime) -> pa.Table:
    """The rows that make these entities read as `restored` did, sorted by key and time.

    stored: all rows of these entities now; restored: all that there were then; both in the schema of the view's table.
    Where an entity was unknown then, its features are null or their `unseen` values, as the sweep writes them for an
    entity whose history is retracted. created: of the new rows, where their event timestamp is not later.
    """
    entities, (of_stored, of_restored) = group_codes([stored, restored], list(resolved.join_keys))
    if entities.num_rows == 0:
        return table_schema(resolved).empty_table()
    both = np.concatenate([_micros(stored[EVENT_TIMESTAMP]), _micros(restored[EVENT_TIMESTAMP])])
    instants, instant = np.unique(both, return_inverse=True)
    span = len(instants)
    now = _current(stored, of_stored * span + instant[: stored.num_rows])
    then = _current(restored, of_restored * span + instant[stored.num_rows :])
    row_keys = distinct(np.concatenate([now.row_keys, then.row_keys]))
    features = _as_read(resolved, then, row_keys, span)
    kept = _rows_to_write(features, row_keys, now, span)
    entity, at = np.divmod(row_keys[kept], span)
    event = instants[at]
    columns: Mapping[str, pa.ChunkedArray | pa.Array] = {
        **{name: entities[name].take(pa.array(entity)) for name in entities.column_names},
        EVENT_TIMESTAMP: pa.array(event).cast(TIMESTAMP),
        CREATED_TIMESTAMP: pa.array(np.maximum(event, instant_to_micros(created))).cast(TIMESTAMP),
        **{name: features[name].take(pa.array(kept)) for name in features.column_names},
    }
    return pa.table(columns).cast(table_schema(resolved))


@dataclass(frozen=True)
class _Current:
    """The rows that win: the newest created of each entity and instant, by key (entity's number times span, plus the
    instant's), ascending.
    """

    row_keys: Int64s
    rows: pa.Table


def _current(rows: pa.Table, row_keys: Int64s) -> _Current:
    order = np.lexsort((_micros(rows[CREATED_TIMESTAMP]), row_keys))
    newest = order[np.flatnonzero(np.diff(row_keys[order], append=np.iinfo(np.int64).max))]
    return _Current(row_keys[newest], rows.take(pa.array(newest)))


def _as_read(resolved: Resolved, then: _Current, row_keys: Int64s, span: int) -> pa.Table:
    """Each feature's value at every key by the newest row not later; the value of no row where there is none."""
    found = np.searchsorted(then.row_keys, row_keys, side="right") - 1
    known = np.zeros(len(row_keys), dtype=np.bool_)
    known[found >= 0] = then.row_keys[found[found >= 0]] // span == row_keys[found >= 0] // span
    position = pa.array(found, mask=~known)
    columns = [
        pc.if_else(
            pa.array(known),
            then.rows[feature.name].combine_chunks().take(position),
            pa.scalar(feature.declared.aggregation.unseen, feature.dtype.arrow),
        )
        for feature in resolved.features
    ]
    return pa.table(columns, names=[feature.name for feature in resolved.features])


def _rows_to_write(features: pa.Table, row_keys: Int64s, now: _Current, span: int) -> Int64s:
    """Rows of now that tell another value, and, where there is none, values that do not follow from the row before."""
    entity = row_keys // span
    follows = np.zeros(len(row_keys), dtype=np.bool_)
    follows[1:] = entity[1:] == entity[:-1]
    write: Mask = ~follows | changes(features)
    positions = np.searchsorted(row_keys, now.row_keys)
    write[positions] = rows_differ(features.take(pa.array(positions)), now.rows.select(features.column_names))
    return np.flatnonzero(write)


def _performed(
    resolved: Resolved,
    settings: Settings,
    table: OfflineTable,
    wanted: TableVersion,
    latest: TableVersion,
    report: Callable[[str], None],
) -> Run | None:
    started, clock = settings.now(), perf_counter()
    created = max(started, latest.run.last_created + _MICROSECOND)
    spark = spark_session(settings, report)
    run_id = uuid.uuid4().hex
    buckets = buckets_for(latest.rows + wanted.rows, spark.sparkContext.defaultParallelism)
    stored = stored_packets(spark, resolved, latest.files, "stored", buckets)
    packets = stored.union(stored_packets(spark, resolved, wanted.files, "restored", buckets))
    folders = Folders(table.path, table.path / f"run={run_id}", None)
    report("comparing")
    files = write_buckets(_restoring(resolved, created), packets, buckets, folders).files
    if not files:
        return None
    report("publishing")
    run = replace(
        wanted.run,
        version=-1,
        run_id=run_id,
        kind="restore",
        started_at=started,
        seconds=round(perf_counter() - clock, 3),
        rows=sum(file.rows for file in files),
        code_revision=code_revision(),
        last_created=max(created, wanted.run.last_created),  # no event of either version is later
        late_entities=0,
        counts={},
        restores=wanted.version,
    )
    return table.publish(files, table_schema(resolved), run, after=latest.version, replace_all=False)


def _restoring(resolved: Resolved, created: datetime) -> BucketWork:
    empty = table_schema(resolved).empty_table()

    def work(_bucket: int, received: Mapping[str, pa.Table]) -> tuple[pa.Table, int]:
        return restored_rows(resolved, received.get("stored", empty), received.get("restored", empty), created), 0

    return work


def _micros(column: pa.ChunkedArray) -> Int64s:
    return np.asarray(column.cast(TIMESTAMP).cast(pa.int64()).to_numpy(), dtype=np.int64)
