"""What a task has left behind: how many rows there are of it now, and the report that a person reads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pyarrow.parquet as pq

from transformations.contracts import read_contract
from transformations.datasets.manifest import FILE, read_manifest
from transformations.engine.base.files.published import bring_all, pull
from transformations.engine.base.settings import Settings
from transformations.engine.raw.zone import RawTable
from transformations.engine.tables.offline_tables import OfflineTable
from transformations.insight.repository import repository_folder
from transformations.models.log.event_log import log_of
from transformations.models.log.standing import standing_of
from transformations.models.versions import judged_before
from transformations.monitoring.reading.history import model_folder
from transformations.monitoring.reports.page import PAGE
from transformations.orchestration.tasks import Kind, Task


@dataclass(frozen=True, kw_only=True)
class Leavings:
    """rows: of the source, table, dataset, or the day's predictions; None where a task has none. report: a page."""

    rows: int | None = None
    report: Path | None = None


def leavings_of(task: Task, day: date, settings: Settings) -> Leavings:
    """What there is of a task now, after it was performed for a business day."""
    rows, report = None, None
    match task.kind:
        case Kind.INGEST:
            table = RawTable(read_contract(task.subject, settings.contracts), settings.raw_dir)
            rows = table.snapshot().rows if table.exists() else None
        case Kind.BUILD:
            latest = OfflineTable(settings.offline_dir / task.subject).latest()
            rows = latest.rows if latest else None
        case Kind.DATASET:
            folder = settings.datasets_dir / task.subject
            pull(folder)
            rows = sum(split.rows for split in read_manifest(folder)[0].splits) if (folder / FILE).is_file() else None
        case Kind.MODEL:
            report = _judgement(task.subject, settings)
        case Kind.PREDICT:
            rows = _predictions(task.subject, day + timedelta(days=1), settings)
        case Kind.MONITOR:
            page = model_folder(task.subject, settings) / PAGE
            pull(page)
            report = page if page.is_file() else None
        case _:
            pass
    return Leavings(rows=rows, report=report)


def _judgement(model: str, settings: Settings) -> Path | None:
    """The report of the newest version that was judged."""
    versions = standing_of(model, log_of(repository_folder(settings)).events(model)).versions
    judged = [judged_before(model, versions[number], settings) for number in sorted(versions)]
    pages = [each.page for each in judged if each is not None]
    return pages[-1] if pages else None


def _predictions(model: str, morning: date, settings: Settings) -> int | None:
    """The rows of the batches of a day, by the files' own counts; None where there is no batch."""
    folders = bring_all(settings.predictions_dir / model / "batch", f"{morning}-v*")
    files = [file for folder in folders for file in folder.rglob("day=*/*.parquet")]
    return sum(pq.read_metadata(file).num_rows for file in files) if files else None
