"""Restoring old content: new rows make a table read as an earlier version of it did, in training and online.

Nothing is removed. Among rows of equal key and event time the one created last wins, so at every event time of either
version the earlier version's value is written again, if the table now gives another.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from time import perf_counter

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transformations.engine.base.disk_faults import faults_in_words, verify_files
from transformations.engine.base.errors import DataError
from transformations.engine.base.moments import MICROSECOND
from transformations.engine.base.settings import Settings
from transformations.engine.compute.job import BucketWork, Computed, Folders, buckets_for, write_buckets
from transformations.engine.compute.sources import stored_packets
from transformations.engine.compute.spark import spark_session
from transformations.engine.identity.code_revision import code_revision
from transformations.engine.launch.elsewhere import are_elsewhere
from transformations.engine.tables.offline_tables import (
    OfflineTable,
    Run,
    TableVersion,
    table_schema,
)
from transformations.engine.tables.reassertion import restored_rows
from transformations.engine.vocabulary.resolution import Resolved

Int64s = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@faults_in_words()
def restore(
    resolved: Resolved, settings: Settings, version: int, *, report: Callable[[str], None] | None = None
) -> Run | None:
    """Make the view's table read as it did at an earlier version; None if it already does.

    The run takes over the completeness and sources of that version, so the next build includes again what has come
    since. report: called with a short text at each step. Raises DataError for a version that does not exist, whose
    files were given up, or that was built from another definition; ConflictError if another run of the view publishes
    at the same time.
    """
    table = OfflineTable(settings.offline_dir / resolved.name)
    with table.writing():
        wanted, latest = restorable(table, resolved, version)
        if wanted.files == latest.files:
            return None
        return _restore_version(resolved, settings, table, wanted, latest, report or (lambda _: None))


def restorable(table: OfflineTable, resolved: Resolved, version: int) -> tuple[TableVersion, TableVersion]:
    """The version to restore and the newest one; DataError if the version's content does not fit the table."""
    wanted, latest = table.at(version), table.newest()
    same = [run.version for run in table.runs() if run.definition_hash == resolved.hash]
    if wanted.run.definition_hash != resolved.hash:
        known = f"of this definition are {', '.join(map(str, same))}" if same else "none is of this definition"
        raise DataError(
            f"{table.name}: version {version} was built from definition {wanted.run.definition_hash}, the view's is "
            f"{resolved.hash}: it has other features, or features that mean something else. Restore a version of the "
            f"same definition ({known}), or declare the view as it was then and build it."
        )
    if latest.run.definition_hash != resolved.hash:
        raise DataError(
            f"{table.name}: the table is built from definition {latest.run.definition_hash}, the view's is "
            f"{resolved.hash}. Run `features build {table.name}`, which rebuilds it, then restore."
        )
    return wanted, latest


def _restore_version(
    resolved: Resolved,
    settings: Settings,
    table: OfflineTable,
    wanted: TableVersion,
    latest: TableVersion,
    report: Callable[[str], None],
) -> Run | None:
    started, clock = settings.now(), perf_counter()
    created = max(started, latest.run.last_created + MICROSECOND)
    if not are_elsewhere(settings):  # where each task verifies what it fetches
        verify_files([*latest.files, *wanted.files])
    spark = spark_session(settings, report)
    run_id = uuid.uuid4().hex
    buckets = buckets_for(latest.rows + wanted.rows, spark.sparkContext.defaultParallelism)
    stored = stored_packets(spark, resolved, latest.files, "stored", buckets)
    packets = stored.union(stored_packets(spark, resolved, wanted.files, "restored", buckets))
    folders = Folders(table.path, table.path / f"run={run_id}", None)
    report("comparing")
    files = write_buckets(_restore_rows(resolved, created), packets, buckets, folders).files
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
        warned=(),
        accepted=(),
    )
    return table.publish(files, table_schema(resolved), run, after=latest.version, replace_all=False)


def _restore_rows(resolved: Resolved, created: datetime) -> BucketWork:
    empty = table_schema(resolved).empty_table()

    def work(received: Mapping[str, pa.Table]) -> Computed:
        stored, restored = (received.get(kind, empty) for kind in ("stored", "restored"))
        return Computed(restored_rows(resolved, stored, restored, created))

    return work
