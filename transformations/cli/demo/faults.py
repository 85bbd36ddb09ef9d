"""Two faults of the replay's last weeks, as a broken job leaves them: in the table, so that training has them as well.

On each Monday from BAD on, DRIFTING is in another unit, and FROZEN is what it was on the Monday before. Serving
and training agree about both, so no comparison of the two finds them, and no rule on values is broken: only who looks
at distributions and at changes sees anything.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transformations.engine.base.moments import instant_to_micros
from transformations.engine.base.storage import NewFile
from transformations.engine.tables.layout import write_rows
from transformations.engine.tables.offline_tables import OfflineTable, Run, time_bounds

VIEW, KEY = "household_purchases", "household_id"
DRIFTING, FROZEN = "spend_sum_28d", "trips_count_28d"
FACTOR = 1.8
_EVENT, _CREATED = "event_timestamp", "created_timestamp"


def break_mondays(offline: Path, before: datetime, bad: Sequence[datetime]) -> Run:
    """Commit what the broken job wrote: a row a household, as of each bad Monday's night.

    before: a moment of the last good Monday; bad: one of each bad one, ascending, in the time between the night's rows
    and the next ones.
    """
    table = OfflineTable(offline / VIEW)
    latest = table.newest()
    stored = pq.read_table(list(latest.files), partitioning=None)
    frozen = _by_key(newest_rows(stored, before))
    broken = [_broken(newest_rows(stored, moment), frozen) for moment in bad]
    rows = pa.concat_tables(broken).sort_by([(KEY, "ascending"), (_EVENT, "ascending")])
    run_id = uuid.uuid4().hex
    file = write_rows(rows, table.path / f"run={run_id}" / "part-0.parquet")
    micros = [instant_to_micros(each.as_py()) for each in (pc.min(rows[_EVENT]), pc.max(rows[_EVENT]))]
    name = file.relative_to(table.path).as_posix()
    new = NewFile(name, file.stat().st_size, rows.num_rows, time_bounds(*micros))
    run = replace(latest.run, version=-1, run_id=run_id, kind="incremental", rows=rows.num_rows, counts={})
    return table.publish([new], rows.schema, run, after=latest.version, replace_all=False)


def newest_rows(stored: pa.Table, moment: datetime) -> pa.Table:
    """Of each key the row that is served at a moment: the newest event, and of several of these the newest created."""
    known = stored.filter(pc.field(_EVENT) <= pa.scalar(moment, stored.schema.field(_EVENT).type))
    known = known.sort_by([(KEY, "ascending"), (_EVENT, "ascending"), (_CREATED, "ascending")])
    keys = known[KEY].to_numpy()
    return known.filter(pa.array(np.append(keys[1:] != keys[:-1], True)[: len(keys)]))


def _by_key(rows: pa.Table) -> dict[int, object]:
    return dict(zip(rows[KEY].to_pylist(), rows[FROZEN].to_pylist(), strict=True))


def _broken(rows: pa.Table, frozen: dict[int, object]) -> pa.Table:
    """The rows of one Monday as the job wrote them: all of its night, each a second after the true one."""
    night = pc.max(rows[_EVENT]).as_py()
    drifted = pc.multiply(rows[DRIFTING], FACTOR)
    stays = [frozen.get(key, value) for key, value in zip(rows[KEY].to_pylist(), rows[FROZEN].to_pylist(), strict=True)]
    columns = {
        DRIFTING: drifted.cast(rows.schema.field(DRIFTING).type),
        FROZEN: pa.array(stays, rows.schema.field(FROZEN).type),
        _EVENT: pa.repeat(pa.scalar(night, rows.schema.field(_EVENT).type), rows.num_rows),
        _CREATED: pa.repeat(pa.scalar(night + timedelta(seconds=1), rows.schema.field(_CREATED).type), rows.num_rows),
    }
    for name, values in columns.items():
        rows = rows.set_column(rows.column_names.index(name), rows.schema.field(name), values)
    return rows
