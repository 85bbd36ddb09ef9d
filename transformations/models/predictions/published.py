"""The collected record: a Parquet file a model, UTC day and version, replaced at once, so that readers see no half.

predictions/user_return/served/day=2024-05-20/v3.parquet
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from transformations.engine.base import storage
from transformations.engine.base.disk_faults import damaged, known_fault, paths_in
from transformations.engine.base.errors import DiskError
from transformations.engine.base.files.bucket import bucket_of
from transformations.engine.base.files.local import force_folder
from transformations.engine.base.files.published import published_in, pull, pull_all, replacing, withdraw
from transformations.engine.base.settings import Settings
from transformations.models.records.prediction_table import TIMESTAMP, VIEW, records_of
from transformations.models.records.predictions import PredictionRecord, ServedFeature, ServedView, Value

_FILE = re.compile(r"v(\d+)\.parquet")
_DAY = "day="


@dataclass(frozen=True, order=True)
class Place:
    """Where records are filed: by model, UTC day of the request, and version."""

    model: str
    day: date
    version: int

    @classmethod
    def of(cls, record: PredictionRecord) -> Place:
        """Where a record belongs, whenever it comes."""
        return cls(record.model, record.request_timestamp.date(), record.version)

    def near(self) -> Iterator[date]:
        """The days on which another attempt of the same prediction can have come: its own and those beside it."""
        return (self.day + timedelta(days=each) for each in (-1, 0, 1))


def served_folder(model: str, settings: Settings) -> Path:
    """Where the collected records of a model are."""
    return settings.predictions_dir / model / "served"


def path_of(place: Place, settings: Settings) -> Path:
    """The file of a place."""
    return served_folder(place.model, settings) / f"{_DAY}{place.day.isoformat()}" / f"v{place.version}.parquet"


def places_of(model: str, settings: Settings, days: Iterable[date] | None = None) -> list[Place]:
    """Where a model has records, by day and version; of these days, or of all."""
    wanted = None if days is None else {day.isoformat() for day in days}
    found = []
    for folder in published_in(served_folder(model, settings), f"{_DAY}*"):
        day = folder.name.removeprefix(_DAY)
        if wanted is None or day in wanted:
            versions = (int(match[1]) for file in pull_all(folder) if (match := _FILE.fullmatch(file.name)))
            found += [Place(model, date.fromisoformat(day), version) for version in versions]
    return sorted(found)


def numbers_of(places: Iterable[Place], settings: Settings) -> dict[Place, int]:
    """What each place is the outcome of: the number of writes by whatever machine. All 0 in a local folder."""
    return {place: pull(path_of(place, settings)) for place in places}


def read_place(place: Place, settings: Settings, columns: Sequence[str] | None = None) -> pa.Table:
    """The records of a place. columns: of which these alone, as far as it has them. DamagedError where its bytes are
    not those that were written.
    """
    path = path_of(place, settings)
    if path.is_dir():
        raise DiskError.not_a_file(path)
    try:
        there = pq.read_schema(path).names
        return pq.read_table(
            path,
            columns=None if columns is None else [name for name in columns if name in there],
            partitioning=None,
            page_checksum_verification=True,
        )
    except (pa.ArrowException, OSError) as error:
        if known_fault(error) is not None:
            raise
        raise damaged(path, "it does not hold the bytes that were written") from error


def write_place(place: Place, table: pa.Table, settings: Settings, after: int = 0) -> int:
    """Put the records of a place there at once, on disk before anybody sees them; without rows the file goes.

    Rows stand in the order of their moments. after: the number of the place that they were made from (`numbers_of`);
    ConflictError where another machine has written it since. The number of the place then.
    """
    path = path_of(place, settings)
    if not table.num_rows:
        return withdraw(path, after)
    with replacing(path, after) as draft:
        ordered = table.sort_by([("request_timestamp", "ascending"), ("id", "ascending")])
        pq.write_table(ordered, draft, compression="zstd", write_page_checksum=True)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
    force_folder(path.parent)
    return after if bucket_of(path) is None else after + 1


def remove_unfinished(model: str, settings: Settings) -> None:
    """Remove what killed collectors left; only for the one who holds the collection."""
    for folder in paths_in(served_folder(model, settings), f"{_DAY}*"):
        for file in paths_in(folder, f".*{storage.UNFINISHED}"):
            file.unlink(missing_ok=True)


def table_of(records: Sequence[PredictionRecord]) -> pa.Table:
    """Records of one version as a table, in the form of `prediction_table`: a struct's field a name, values typed."""
    columns: dict[str, pa.Array] = {
        "id": pa.array([each.id for each in records], pa.string()),
        "request_timestamp": pa.array([each.request_timestamp for each in records], TIMESTAMP),
        "model": pa.array([each.model for each in records], pa.string()),
        "version": pa.array([each.version for each in records], pa.int64()),
        "artifact": pa.array([each.artifact for each in records], pa.string()),
        "role": pa.array([each.role for each in records], pa.string()),
        "event": pa.array([each.event for each in records], pa.int64()),
        "as_of": pa.array([each.as_of for each in records], TIMESTAMP),
        **_struct("keys", [each.keys for each in records], _values),
        **_struct("request", [each.request for each in records], _values),
        **_struct("features", [each.features for each in records], _features),
        **_struct("views", [each.views for each in records], _views),
        "score": pa.array([each.score for each in records], pa.float64()),
        "decision": pa.array([each.decision for each in records], pa.bool_()),
        "holdout": pa.array([each.holdout for each in records], pa.bool_()),
        "degraded": pa.array([each.degraded for each in records], pa.bool_()),
        "answered": pa.array([each.answered for each in records], pa.bool_()),
        "latency_seconds": pa.array([each.latency_seconds for each in records], pa.float64()),
    }
    return pa.table(columns)


def together(tables: Sequence[pa.Table]) -> pa.Table:
    """Tables of one place as one. A field that has numbers in one and texts in another is text, as JSON, in all."""
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return table_of([record for table in tables for record in records_of(table)])


def _struct(
    name: str, rows: Sequence[Mapping[str, Any]], column_of: Callable[[Sequence[Any]], pa.Array]
) -> dict[str, pa.Array]:
    """A struct with a field a name, null where a row lacks it; left out where no row has any."""
    names = list(dict.fromkeys(each for row in rows for each in row))
    if not names:
        return {}
    columns = [column_of([row.get(each) for row in rows]) for each in names]
    return {name: pa.StructArray.from_arrays(columns, names)}


def _values(values: Sequence[Value]) -> pa.Array:
    """Values as one column: of their own type where they share one, else as the JSON of each, so that none changes."""
    kinds = {type(value) for value in values if value is not None}
    try:
        if len(kinds) <= 1 or kinds == {int, float}:
            return pa.array(values)
    except (pa.ArrowInvalid, OverflowError):
        pass
    return pa.array([value if value is None or type(value) is str else json.dumps(value) for value in values])


def _features(served: Sequence[ServedFeature | None]) -> pa.Array:
    absent = pa.array([each is None for each in served])
    columns = [
        _values([None if each is None else each.value for each in served]),
        pa.array([None if each is None else each.status for each in served], pa.string()),
        pa.array([None if each is None else each.row_timestamp for each in served], TIMESTAMP),
    ]
    return pa.StructArray.from_arrays(columns, ["value", "status", "row_timestamp"], mask=absent)


def _views(views: Sequence[ServedView | None]) -> pa.Array:
    return pa.array([None if each is None else each.model_dump() for each in views], VIEW)
