"""A dataset's manifest: all that it was made from, by version, and what came out. It never says "latest"."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from transformations.datasets.config import DatasetConfig
from transformations.engine.base.disk_faults import known_fault
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.files.published import bring

FILE = "manifest.json"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PinnedFile(_Model):
    """A file that was read. sha256: only where no version names its content."""

    path: str
    size: int
    sha256: str | None = None


class PinnedTable(_Model):
    """A table at a version: a view's, or one that the spine's query reads.

    zone: `raw`, `offline`, or `file` for a view over files of another kind. version: None for plain Parquet files,
    which are pinned by their content. columns: of a table that the query reads, those it could see.
    """

    zone: Literal["raw", "offline", "file"]
    name: str
    version: int | None
    files: tuple[PinnedFile, ...]
    definition_hash: str | None = None
    complete_through: date | None = None
    columns: tuple[str, ...] = ()


class SplitContent(_Model):
    """One split: its file, rows, content hash (of canonical values), that of each column, and what its values are."""

    name: str
    file: str
    rows: int
    content_hash: str
    first: datetime
    last: datetime
    columns: Mapping[str, str]
    statistics: Mapping[str, Mapping[str, Any]]


class Availability(_Model):
    """The leakage check of one view: spine rows, those that found a row, those whose row is known in its present value
    only since after the spine row's moment (a correction or late data, which `as_served` leaves out), and the shortest
    time from a row's availability to its spine row, in seconds.
    """

    view: str
    rows: int
    found: int
    corrected_since: int
    closest_seconds: float | None


class Manifest(_Model):
    """See the module. spine_file: the copy beside the manifest. counts: rows of the spine, and those left out, by
    reason. data_end: from when on labels are unknown; None without a label. registry: what Feast's registry said of the
    feature service.
    """

    format: Literal[1] = 1
    name: str
    created_at: datetime
    config: DatasetConfig
    code_revision: str
    libraries: Mapping[str, str]
    data_end: datetime | None
    timestamp: str
    views: tuple[PinnedTable, ...]
    spine_tables: tuple[PinnedTable, ...]
    spine_file: PinnedFile | None
    functions: Mapping[str, str]
    counts: Mapping[str, int]
    splits: tuple[SplitContent, ...]
    leakage: tuple[Availability, ...]
    registry: Mapping[str, Any]

    def text(self) -> str:
        """The manifest as JSON."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"


def read_manifest(path: Path) -> tuple[Manifest, Path]:
    """A manifest and its folder; path: the file, or the folder that holds it."""
    bring(path)
    file = path / FILE if path.is_dir() else path
    if path.is_dir() and not file.exists():
        raise DataError(
            f"{path} has no {FILE}, so it is no whole dataset. Bring that file back from a copy; without one, take the "
            f"rest away (`features dataset delete {path.name}`) and make the dataset anew."
        )
    try:
        return Manifest.model_validate_json(file.read_text(encoding="utf-8")), file.parent
    except OSError as error:
        if fault := known_fault(error):
            raise fault from error
        raise UsageError(f"{file} cannot be read: {error.strerror}. Name a dataset's {FILE} or its folder.") from None
    except UnicodeDecodeError:
        raise DataError(f"{file} is no manifest of ours: it is no UTF-8 text. Bring it back from a copy.") from None
    except ValidationError as error:
        (first, *_) = error.errors()
        place = ".".join(map(str, first["loc"])) or "the file"
        raise DataError(f"{file} is no manifest of ours: {place}: {first['msg']}. Bring it back from a copy.") from None
