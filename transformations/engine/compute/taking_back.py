"""Take back days that turn out not to be complete: rows as-of later days get the values as-of the last complete one.

Rows as-of days that were never delivered hold the values of a day without events: zeros. They were served, so they stay
in the table, and online the newest row wins. Each is therefore written again, with its entity's values as-of the day
after the last complete one, as if the table had never been built further. Days that are delivered later are computed as
usual, and rows beyond them are taken back to the newest of them.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from time import perf_counter

import pyarrow as pa
import pyarrow.compute as pc

from transformations.engine.base.moments import EVENT_TIMESTAMP, MICROSECOND
from transformations.engine.base.settings import Settings
from transformations.engine.compute.job import BucketWork, Computed, Folders, buckets_for, write_buckets
from transformations.engine.compute.sources import stored_packets
from transformations.engine.compute.spark import spark_session
from transformations.engine.identity.code_revision import code_revision
from transformations.engine.tables.offline_tables import OfflineTable, Run, TableVersion, table_schema
from transformations.engine.tables.reassertion import restored_rows
from transformations.engine.vocabulary.resolution import Resolved

TAKEN_BACK = "taken back"


def take_back(
    resolved: Resolved,
    settings: Settings,
    table: OfflineTable,
    through: date,
    known: datetime,
    report: Callable[[str], None],
) -> Run | None:
    """Publish the table as complete through that day and no further; None if it already is.

    known: since when the later days are known to be incomplete; the rows get this created timestamp, or one right after
    that of the rows they replace.
    """
    latest = table.latest()
    if latest is None or latest.written_through <= through:
        return None
    if latest.run.kind == TAKEN_BACK and latest.run.complete_through == through:
        return None
    return write_taken_back(resolved, settings, table, latest=latest, through=through, known=known, report=report)


def write_taken_back(
    resolved: Resolved,
    settings: Settings,
    table: OfflineTable,
    *,
    latest: TableVersion,
    through: date,
    known: datetime,
    report: Callable[[str], None],
) -> Run:
    """Compute and publish the rows that take the days after `through` back."""
    started, clock = settings.now(), perf_counter()
    created = max(known, latest.run.last_created + MICROSECOND)
    until = resolved.available_from(through + timedelta(days=1))
    spark = spark_session(settings, report)
    run_id = uuid.uuid4().hex
    buckets = buckets_for(latest.rows, spark.sparkContext.defaultParallelism)
    stored = stored_packets(spark, resolved, latest.files, "stored", buckets)
    folders = Folders(table.path, table.path / f"run={run_id}", None)
    report(f"taking back what lies after {through}")
    files = write_buckets(_hold_back(resolved, until, created), stored, buckets, folders).files
    run = replace(
        latest.run,
        version=-1,
        run_id=run_id,
        kind=TAKEN_BACK,
        started_at=started,
        seconds=round(perf_counter() - clock, 3),
        rows=sum(file.rows for file in files),
        code_revision=code_revision(),
        complete_through=through,
        complete_until=until,
        last_created=created if files else latest.run.last_created,
        late_entities=0,
        late_rows=0,
        counts={},
        carry=latest.run.carry if latest.run.complete_through == through else None,
        restores=None,
        warned=(),
        accepted=(),
    )
    return table.publish(files, table_schema(resolved), run, after=latest.version, replace_all=False)


def _hold_back(resolved: Resolved, until: datetime, created: datetime) -> BucketWork:
    empty = table_schema(resolved).empty_table()

    def work(received: Mapping[str, pa.Table]) -> Computed:
        stored = received.get("stored", empty)
        return Computed(restored_rows(resolved, stored, stored.filter(pc.field(EVENT_TIMESTAMP) <= until), created))

    return work
