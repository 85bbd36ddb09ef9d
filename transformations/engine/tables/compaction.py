"""Compaction of an offline table: its small files merged into few, sorted by key and time, as a version of its own.

Nothing else changes: the rows and their created timestamps, earlier versions, and what is new to a load. The files that
were merged stay on disk as long as a version, a pin or a load needs them.
"""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transformations.engine.base import storage
from transformations.engine.base.disk_faults import faults_in_words, verify_files
from transformations.engine.base.errors import ConflictError
from transformations.engine.base.moments import CREATED_TIMESTAMP, EVENT_TIMESTAMP
from transformations.engine.base.settings import Settings
from transformations.engine.merging.merged_files import Merged, files_to_merge, merged_tables, refuse_other_content
from transformations.engine.merging.replacing import replace_files, rows_by_file
from transformations.engine.tables.layout import write_rows
from transformations.engine.tables.offline_tables import RECORD, OfflineTable, time_bounds


@faults_in_words()
def compact_table(table: OfflineTable, settings: Settings, *, only_many: bool = False) -> Merged | None:
    """Merge the small files of a table's newest version; None where that would not make them fewer.

    only_many: None as well as long as they are few. Builds, retrievals and loads go on meanwhile; a build that
    publishes at the same moment is waited for. Raises ConflictError where a rebuild replaced the files meanwhile.
    """
    if not table.exists():
        return None
    began = perf_counter()
    rows_of = rows_by_file(storage.open_table(table.path))
    chosen = sorted(files_to_merge(rows_of, only_many=only_many))
    if not chosen:
        return None
    files = [str(table.path.absolute() / path) for path in chosen]
    verify_files(files)
    folder = table.path / f"compacted={uuid4().hex}"
    try:
        written = _write_merged(table.path, folder, files, settings)
        with table.writing(storage.LOCK_WAIT_SECONDS):
            record = {"merged": len(chosen), "rows": sum(file.rows for file in written)}
            version = replace_files(table.path, chosen, written, record, refuses=RECORD)
    except ConflictError:
        storage.discard(folder)
        raise
    return Merged(
        zone="offline",
        table=table.name,
        version=version,
        files=(len(rows_of), len(rows_of) - len(chosen) + len(written)),
        rows=sum(file.rows for file in written),
        size_bytes=(sum(Path(file).stat().st_size for file in files), sum(file.size for file in written)),
        seconds=round(perf_counter() - began, 3),
    )


def _write_merged(table: Path, folder: Path, files: list[str], settings: Settings) -> list[storage.NewFile]:
    schema = pq.read_schema(files[0]).remove_metadata()
    order = [*schema.names[: schema.names.index(EVENT_TIMESTAMP) + 1]]
    order += [CREATED_TIMESTAMP] if CREATED_TIMESTAMP in schema.names else []
    paths = []
    written = []
    for rows in merged_tables(files, schema, order, settings):
        path = write_rows(rows, folder / f"{uuid4().hex}.parquet")
        times = pc.min_max(rows[EVENT_TIMESTAMP].cast(pa.int64())).as_py()
        bounds = time_bounds(times["min"], times["max"])
        name = path.relative_to(table).as_posix()
        written.append(storage.NewFile(name, path.stat().st_size, rows.num_rows, bounds))
        paths.append(str(path))
    refuse_other_content(files, paths, schema, settings)
    return written
