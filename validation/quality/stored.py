"""The verdict of a drop as files that are stored with it, and how to read them back.

`quality.json`: rules, outcomes, what was measured, the suite and its result. `profile.parquet`: a row per business day
and column (`profile.SCHEMA`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from transformations.engine.base import storage
from transformations.engine.base.disk_faults import note_reads
from transformations.engine.base.errors import DataError
from transformations.engine.raw.drops import Drop
from validation.quality.compiled_rules import allowed_text
from validation.quality.judge import QualityReport

QUALITY, PROFILE, QUARANTINE = "quality.json", "profile.parquet", "quarantine.parquet"


@dataclass(frozen=True)
class StoredQuality:
    """What `features ingest` found about a drop. document: `quality.json`; profile: None where the drop had no rows."""

    document: Mapping[str, Any]
    profile: pa.Table | None


def files_of(report: QualityReport) -> dict[str, bytes]:
    """The files to be stored with a drop, by name."""
    text = json.dumps(document_of(report), ensure_ascii=False, allow_nan=False)
    files = {QUALITY: text.encode()}
    if report.profile is not None:
        files[PROFILE] = parquet_bytes(report.profile.columns)
    return files


def parquet_bytes(rows: pa.Table) -> bytes:
    """A small table as a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content


def read_quarantine(drop: Drop, table: Path) -> pa.Table:
    """The rows that were set aside of a drop, as texts, with their `_place` and the `_rules` that they break.

    Raises DataError where none was set aside, or where their file cannot be read.
    """
    if not drop.quarantined or drop.quality is None:
        raise DataError(f"{table.name}: drop {drop.number} has no row that was set aside.")
    file = table / drop.quality / QUARANTINE
    note_reads([file])
    try:
        return pq.read_table(file, partitioning=None)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{file}: the rows set aside of drop {drop.number} cannot be read ({error}).") from None


def document_of(report: QualityReport) -> dict[str, object]:
    """The report as JSON: numbers that are not finite become texts."""
    rules = [
        {
            "rule": each.rule.name,
            "measure": each.rule.measure,
            "columns": list(each.rule.columns),
            "severity": each.rule.severity,
            "per": "businessDay" if each.rule.is_daily else None,
            "allowed": allowed_text(each.rule),
            "passed": each.passed,
            "broken": each.observed,
            "examples": [vars(example) for example in each.examples],
            "message": each.text or None,
        }
        for each in report.outcomes
    ]
    document: dict[str, object] = {
        "rules": rules,
        "measured": report.measurements.table(),
        "notes": list(report.notes),
        "suite": report.suite,
        "results": list(report.results),
    }
    finite: dict[str, object] = _finite(document)
    return finite


def read_quality(drop: Drop, table: Path) -> StoredQuality | None:
    """What was stored with a drop of the raw table in a folder; None for a drop that no rule judged."""
    if drop.quality is None:
        return None
    folder = table / drop.quality
    storage.fetch_folder(folder)
    if drop.quarantined and not (folder / QUALITY).exists():  # rows were set aside under a contract without rules
        return None
    try:
        document = json.loads((folder / QUALITY).read_text())
        profile = pq.read_table(folder / PROFILE, partitioning=None) if (folder / PROFILE).is_file() else None
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(
            f"{folder}: what was checked of drop {drop.number} cannot be read ({error}). The drop's rows are not "
            f"affected; bring the folder back from a copy."
        ) from None
    return StoredQuality(document, profile)


def _finite(value: Any) -> Any:
    match value:
        case float() if not math.isfinite(value):
            return str(value)
        case dict():
            return {str(key): _finite(entry) for key, entry in value.items()}
        case list() | tuple():
            return [_finite(entry) for entry in value]
        case str() | int() | float() | bool() | None:
            return value
    return str(value)
