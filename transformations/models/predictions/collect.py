"""Collecting: what the segments hold becomes Parquet by day, each prediction once, and the segments go.

Killed at any point it has lost nothing: a segment goes only after what it held is on disk elsewhere, and what is
collected a second time is there already.

Segments are of one machine; in object storage what is collected is shared. There each machine puts a place's records
only where nobody else has put some since it read them, and looks afterwards whether somebody has filed beside it. Of
two that file at once, at least the one that looks last sees both, so that each prediction is there once in the end.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from transformations.engine.base import storage
from transformations.engine.base.disk_faults import faults_in_words, paths_in
from transformations.engine.base.errors import ConflictError
from transformations.engine.base.settings import Settings
from transformations.models.batch.personal import Personal
from transformations.models.batch.pinning import is_expired, pin_views, reason_of, release_expired
from transformations.models.predictions.published import (
    Place,
    numbers_of,
    path_of,
    places_of,
    read_place,
    remove_unfinished,
    table_of,
    together,
    write_place,
)
from transformations.models.predictions.segment_reading import (
    SegmentContent,
    closed_segment,
    read_segment,
    segments_in,
)
from transformations.models.predictions.segments import SUFFIX, segments_folder
from transformations.models.records.predictions import PredictionRecord, Value

_BYTES_AT_ONCE = 64 * 2**20
_LOCK = ".collect.lock"
_NAMING = ("id", "role", "event", "keys", "request")
"""The columns that say which prediction a record is of."""


@dataclass(kw_only=True)
class Collected:
    """What a collection did. records: that are new in the Parquet files. repeats: records of predictions that were
    recorded before, of which one stays. reused: ids under which other rows came before; the predictions of all of them
    stay. degraded, unanswered: of the new ones. torn: lines that a crash has cut. unreadable: what this release cannot
    read, by segment; such segments stay. segments: that went. waiting: that are still written to. gone: versions of
    tables, as `view@version`, that predictions name and that were given up before they could be pinned. places: the
    files that changed.
    """

    records: int = 0
    repeats: int = 0
    reused: set[str] = field(default_factory=set)
    degraded: int = 0
    unanswered: int = 0
    torn: int = 0
    segments: int = 0
    waiting: int = 0
    unreadable: list[str] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    places: set[Place] = field(default_factory=set)

    def as_json(self) -> dict[str, object]:
        """All of it, for JSON."""
        places = [asdict(place) for place in sorted(self.places)]
        return {**vars(self), "gone": sorted(self.gone), "reused": sorted(self.reused), "places": places}


@faults_in_words()
def collect(settings: Settings, model: str | None = None) -> Collected:
    """Collect every closed segment; of one model only, and segments then stay that hold others' records, too.

    Personal data is kept, hashed or dropped on the way, as each version declares it. One process at a time:
    ConflictError where another one was not done after a minute. Other errors: of `Personal.treated`.
    """
    folder, personal = segments_folder(settings), Personal(settings)
    found = Collected()
    if not folder.is_dir():
        return found
    with storage.exclusive(folder / _LOCK, "the record of predictions"):
        _remove_unnamed(folder)
        for segments in _portions(folder, found):
            contents = [read_segment(path) for path in segments]
            told = [each for content in contents for each in content.records if model in (None, each.model)]
            records = [personal.treated(each) for each in told]
            for name in sorted({each.model for each in records}):
                remove_unfinished(name, settings)
                _publish(name, [each for each in records if each.model == name], settings, found)
            found.gone |= _pin(records, settings)
            for path, content in zip(segments, contents, strict=True):
                found.torn += content.torn
                found.unreadable += [f"{path}: {each}" for each in content.unreadable]
                if _is_done(content, model):
                    path.unlink()
                    found.segments += 1
    release_expired(settings)
    return found


def versions_recorded(settings: Settings) -> dict[str, dict[int, tuple[str, ...]]]:
    """The versions of tables that predictions name and nobody has pinned yet, with the reasons: vacuum spares them."""
    found: dict[str, dict[int, tuple[str, ...]]] = {}
    for path in segments_in(segments_folder(settings)):
        with suppress(FileNotFoundError):  # collected, and pinned, in the meantime
            for record in read_segment(path).records:
                for name, view in record.views.items():
                    if view.table_version is not None and not is_expired(record.request_timestamp.date(), settings):
                        reason = reason_of(record.model, record.request_timestamp.date())
                        reasons = found.setdefault(name, {}).setdefault(view.table_version, ())
                        found[name][view.table_version] = tuple(sorted({*reasons, reason}))
    return found


def _pin(records: Sequence[PredictionRecord], settings: Settings) -> set[str]:
    """Pin what these predictions were read from; which of it is gone already."""
    named = {
        (record.model, record.request_timestamp.date(), name, view)
        for record in records
        for name, view in record.views.items()
    }
    return {
        each
        for model, day, name, view in sorted(named, key=str)
        for each in pin_views({name: view}, model, day, settings)
    }


def _portions(folder: Path, found: Collected) -> Iterator[list[Path]]:
    """The closed segments, so many at once that memory suffices."""
    portion: list[Path] = []
    size = 0
    for path in segments_in(folder):
        with closed_segment(path) as is_closed:
            if not is_closed:
                found.waiting += 1
                continue
        portion.append(path)
        size += path.stat().st_size
        if size >= _BYTES_AT_ONCE:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


def _is_done(content: SegmentContent, model: str | None) -> bool:
    return not content.unreadable and (model is None or all(each.model == model for each in content.records))


def _remove_unnamed(folder: Path) -> None:
    """Remove what workers left that died between making a segment and naming it."""
    for path in paths_in(folder, f".*{SUFFIX}{storage.UNFINISHED}"):
        with closed_segment(path) as is_closed:
            if is_closed:
                path.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Key:
    """What is recorded once: the answer to an id and row, and what each version said beside it.

    beside: the version, where it spoke in shadow or was asked for by its number. asked: the row's keys and fields.
    """

    id: str
    beside: int | None
    asked: str

    @classmethod
    def of(cls, version: int, row: Mapping[str, Any]) -> _Key:
        """Of a record or a row of a file, as a mapping."""
        is_beside = row["role"] == "shadow" or row["event"] is None
        asked = {
            f"{part}.{name}": _text(value)
            for part in ("keys", "request")
            for name, value in sorted((row.get(part) or {}).items())
            if value is not None
        }
        return cls(row["id"], version if is_beside else None, json.dumps(asked))


@dataclass(frozen=True, order=True)
class _Rank:
    """Of several attempts the first counts that was answered, else the first."""

    is_unanswered: bool
    moment: datetime


def _publish(model: str, records: Sequence[PredictionRecord], settings: Settings, found: Collected) -> None:
    """File the records of one model, each prediction once, whatever is there already."""
    repeats = found.repeats
    while True:
        found.repeats = repeats
        with suppress(ConflictError):
            if _file(model, records, settings, found):
                return


def _file(model: str, records: Sequence[PredictionRecord], settings: Settings, found: Collected) -> bool:
    """File the records; whether nobody else has filed any near them meanwhile. ConflictError where somebody has filed
    in the same place, and what is not filed yet then waits for the next attempt.
    """
    new: dict[_Key, PredictionRecord] = {}
    for record in records:
        first = new.setdefault(_key(record), record)
        new[_key(record)] = min(first, record, key=_rank)
    found.repeats += len(records) - len(new)
    days = {day for record in new.values() for day in Place.of(record).near()}
    numbers = numbers_of(places_of(model, settings, days), settings)
    gone: dict[Place, set[_Key]] = {}
    filed = _there_already(new, numbers, settings)
    reused = _reused(new.keys() - filed.keys(), filed)
    for key, there in filed.items():
        if key not in new:
            continue
        ranks = [rank for rank, _ in there]
        found.repeats += _rank(new[key]) not in ranks  # else it is the very record that a killed collector has filed
        if min(ranks) <= _rank(new[key]):
            del new[key]
            there.remove(min(there))
        for _, place in there:
            gone.setdefault(place, set()).add(key)
    added: dict[Place, list[PredictionRecord]] = {}
    for record in new.values():
        added.setdefault(Place.of(record), []).append(record)
    for place in sorted(added.keys() | gone.keys(), key=lambda place: (place not in added, place)):
        # First what comes, then what goes: killed between the two, the next one finds both.
        coming = added.get(place, ())
        changed = _changed(place, coming, gone.get(place, set()), settings)
        numbers[place] = write_place(place, changed, settings, numbers.get(place, 0))
        found.places.add(place)
        found.records += len(coming)
        found.degraded += sum(record.degraded for record in coming)
        found.unanswered += sum(not record.answered for record in coming)
    found.reused |= reused
    return numbers.items() >= numbers_of(places_of(model, settings, days), settings).items()


def _key(record: PredictionRecord) -> _Key:
    return _Key.of(record.version, {name: getattr(record, name) for name in _NAMING})


def _text(value: Value) -> str:
    """A value as text, the same whatever type the column has that holds it: see `together`."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value)


def _reused(new: Iterable[_Key], there: Iterable[_Key]) -> set[str]:
    """The ids of new predictions that stand for other rows, too."""
    new = [key for key in new if key.beside is None]
    rows: dict[str, set[str]] = {}
    for key in (*new, *there):
        if key.beside is None:
            rows.setdefault(key.id, set()).add(key.asked)
    return {key.id for key in new if len(rows[key.id]) > 1}


def _rank(record: PredictionRecord) -> _Rank:
    return _Rank(not record.answered, record.request_timestamp)


def _there_already(
    new: Collection[_Key], places: Iterable[Place], settings: Settings
) -> dict[_Key, list[tuple[_Rank, Place]]]:
    """The records that are filed under the ids of these predictions, with the place of each."""
    ids = pa.array({key.id for key in new}, pa.string())
    found: dict[_Key, list[tuple[_Rank, Place]]] = {}
    for place in places:
        table = read_place(place, settings, [*_NAMING, "answered", "request_timestamp"])
        for row in table.filter(pc.is_in(table["id"], ids)).to_pylist():
            rank = _Rank(not row["answered"], row["request_timestamp"])
            found.setdefault(_Key.of(place.version, row), []).append((rank, place))
    return found


def _changed(place: Place, added: Sequence[PredictionRecord], gone: Set[_Key], settings: Settings) -> pa.Table:
    tables = [table_of(added)] if added else []
    if path_of(place, settings).exists():
        table = read_place(place, settings)
        if gone:
            named = table.select([name for name in _NAMING if name in table.column_names])
            table = table.filter(pa.array([_Key.of(place.version, row) not in gone for row in named.to_pylist()]))
        tables.insert(0, table)
    return together(tables)
