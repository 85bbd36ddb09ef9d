"""The folders of published batches: one a model, version and day, put in its place at once, never written again.

predictions/user_return/batch/2024-05-20-v3/batch.json
predictions/user_return/batch/2024-05-20-v3/day=2024-05-20/predictions.parquet
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transformations.datasets.folders import publish, remove_leftovers
from transformations.engine.base import storage
from transformations.engine.base.disk_faults import known_fault
from transformations.engine.base.errors import DataError
from transformations.engine.base.files.published import bring
from transformations.engine.base.settings import Settings
from transformations.engine.upkeep.integrity import examine_folder
from transformations.models.records.batches import FILE, BatchManifest

DAY = "day"
_PARQUET = "predictions.parquet"


def batches_folder(model: str, settings: Settings) -> Path:
    """Where the batches of a model are."""
    return settings.predictions_dir / model / "batch"


def folder_of(model: str, version: int, day: date | None, spine: str | None, settings: Settings) -> Path:
    """Where the batch of a version and a day is, or of a spine's file."""
    of = day.isoformat() if day is not None else f"spine-{(spine or '')[:16]}"
    return batches_folder(model, settings) / f"{of}-v{version}"


def days_of(predictions: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each UTC day of their moments, as they are filed."""
    days = pc.strftime(predictions["request_timestamp"], "%Y-%m-%d")
    for each in sorted(pc.unique(days).to_pylist()):
        yield each, predictions.filter(pc.equal(days, each))


def write_batch(target: Path, manifest: BatchManifest, predictions: pa.Table) -> bool:
    """Publish a batch; False where another process has published it in the meantime, whose rows then stay."""
    lock = target.parent / ".batch.lock"
    with storage.exclusive(lock, f"the batches of model {manifest.model}"):
        remove_leftovers(target)
        if bring(target).exists():
            return False
        unfinished = target.with_name(f".{target.name}-{uuid4().hex}{storage.UNFINISHED}")
        unfinished.mkdir(mode=storage.FOLDER_MODE)
        try:
            for day, rows in days_of(predictions):
                folder = unfinished / f"{DAY}={day}"
                folder.mkdir(mode=storage.FOLDER_MODE)
                pq.write_table(rows, storage.make_file(folder / _PARQUET), compression="zstd")
            storage.make_file(unfinished / FILE).write_text(manifest.text(), encoding="utf-8")
            publish(unfinished, target)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return True


def read_batch(folder: Path) -> BatchManifest:
    """The manifest of a published batch. DataError where it is missing or damaged."""
    bring(folder)
    remedy = "Bring the folder back from a copy, or take it away and score anew."
    try:
        return BatchManifest.from_text((folder / FILE).read_text(encoding="utf-8"), str(folder / FILE))
    except FileNotFoundError:
        raise DataError(f"{folder} is no whole batch: {FILE} is missing. {remedy}") from None
    except (DataError, UnicodeDecodeError):
        raise DataError(f"{folder} is no whole batch: {FILE} cannot be read. {remedy}") from None
    except OSError as error:
        raise known_fault(error) or error from error


def predictions_of(folder: Path) -> pa.Table:
    """The predictions of a published batch. DataError where its files are not those that were published."""
    files = [f"{DAY}={day}/{_PARQUET}" for day in read_batch(folder).rows]
    if faults := examine_folder("predictions", folder, [FILE, *files]).faults:
        raise DataError(f"{folder}: {faults[0]}. Bring the folder back from a copy, or take it away and score anew.")
    return pa.concat_tables([pq.read_table(folder / file, partitioning=None) for file in files])
