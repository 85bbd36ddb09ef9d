"""What was served on a UTC day: one reader of batches and of the collected record of the model server."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from transformations.engine.base.disk_faults import paths_in
from transformations.engine.base.files.published import bring, bring_all, published_in, pull, pull_all
from transformations.engine.base.settings import Settings
from transformations.models.batch.publishing import batches_folder
from transformations.monitoring.reading import served_sql
from transformations.monitoring.reading.counting import count_values
from transformations.monitoring.reading.records import SCORE, Baseline
from transformations.monitoring.statistics.effects import Counts
from transformations.stores.history.session_sql import Resources, session

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

STALE_HOURS = 25
"""A view that was loaded longer ago than a business day, of 25 hours at most, has missed one."""
_DAY = timedelta(days=1)
_COMPARED_KEYS = 20_000
_SEGMENTS = 12


@dataclass(frozen=True, kw_only=True)
class Group:
    """The predictions of one value of a segment."""

    column: str
    value: str
    rows: int
    mean_score: float
    acted: int


@dataclass(frozen=True, kw_only=True)
class Served:
    """A version's predictions of a day, counted. counts: on the baseline's bins, scores among them.

    absent: inputs that no record holds. stale: by view how many rows it was too old for. latency: seconds at the
    median, 95th and 99th percentile; None in batch. states: by column that tells a calendar's state, the value
    that most rows have, the first in order among equals.
    """

    day: date
    rows: int
    counts: Counts
    absent: tuple[str, ...]
    acted: int
    decided: int
    degraded: int
    unanswered: int
    mean_score: float
    latency: tuple[float, float, float] | None
    stale: Mapping[str, int] = field(default_factory=dict)
    groups: tuple[Group, ...] = ()
    states: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Changed:
    """How many keys two days share, and by input the share of them whose value differs."""

    before: date
    keys: int
    shares: Mapping[str, float]


def versions_served(model: str, day: date, settings: Settings) -> list[int]:
    """The versions that have predictions of a day."""
    text = served_sql.day_text(day)
    batches = [folder for folder in _batches(model, day, settings) if (folder / text).is_dir()]
    found = {_version(folder.name.rpartition("-v")[2]) for folder in batches}
    served = settings.predictions_dir / model / "served" / text
    found |= {_version(file.stem.removeprefix("v")) for file in pull_all(served, "v*.parquet")}
    return sorted(each for each in found if each is not None)


def days_served(model: str, settings: Settings, since: date = date.min) -> list[date]:
    """The UTC days, from one on, of which a model has predictions, in their order.

    Of a batch that is older than that nothing is looked at, so that asking for the last days costs what they cost.
    """
    folders = _served_days(model, settings)
    for batch in published_in(batches_folder(model, settings)):
        named = _day_of(batch.name)
        if named is None or named + _DAY >= since:
            folders += paths_in(bring(batch), "day=*")
    first = served_sql.day_text(since)
    return sorted({_day_in(folder) for folder in folders if folder.name >= first})


def newest_day(model: str, settings: Settings) -> date | None:
    """The newest UTC day of which a model has predictions; None where it has none."""
    named = [_day_of(batch.name) for batch in published_in(batches_folder(model, settings))]
    if not named:
        served = _served_days(model, settings)[-1:]
        return _day_in(served[0]) if served else None
    newest = max((each for each in named if each is not None), default=None)
    days = days_served(model, settings, since=date.min if newest is None else newest - _DAY)
    return days[-1] if days else None


def files_of(model: str, version: int, day: date, settings: Settings) -> list[Path]:
    """The files that hold a version's predictions of a day."""
    text = served_sql.day_text(day)
    found = [
        file
        for folder in _batches(model, day, settings)
        if _version(folder.name.rpartition("-v")[2]) == version
        for file in paths_in(folder / text, "*.parquet")
    ]
    served = _collected(model, version, day, settings)
    return [*found, served] if served.is_file() else found


def is_batch_alone(model: str, version: int, day: date, settings: Settings) -> bool:
    """Whether all predictions of a version's day are of batches: these score the population as the tables have it."""
    return not _collected(model, version, day, settings).is_file()


def read_day(
    baseline: Baseline, day: date, settings: Settings, segments: Sequence[str] = (), roles: Sequence[str] = ()
) -> Served | None:
    """A version's predictions of a day, counted on its baseline's bins; None where there are none.

    roles: those that somebody may act on, unless others are named.
    """
    files = files_of(baseline.model, baseline.version, day, settings)
    if not files:
        return None
    with session(_resources(settings, threads=1)) as connection:  # several would add in an order of their own
        wanted, threads = roles or served_sql.ANSWERING, settings.offline_threads or os.cpu_count() or 1
        parts = [_read_file(connection, file, baseline, wanted, threads) for file in files]
        parts = [each for each in parts if each.rows]
        if not parts:
            return None
        groups = _groups(connection, files, segments)
    rows = sum(each.rows for each in parts)
    latencies = [each.latency for each in parts if each.latency is not None]
    return Served(
        day=day,
        rows=rows,
        counts=np.asarray(np.sum([each.counts for each in parts], axis=0), dtype=np.int64),
        absent=tuple(sorted(set.intersection(*(set(each.absent) for each in parts)))),
        acted=sum(each.acted for each in parts),
        decided=sum(each.decided for each in parts),
        degraded=sum(each.degraded for each in parts),
        unanswered=sum(each.unanswered for each in parts),
        mean_score=sum(each.score_sum for each in parts) / rows,
        latency=latencies[-1] if latencies else None,
        stale={
            view: sum(each.stale.get(view, 0) for each in parts)
            for view in dict.fromkeys(name for each in parts for name in each.stale)
        },
        groups=groups,
        states={
            name: _most(parts, name) for name in baseline.state_columns if any(each.states.get(name) for each in parts)
        },
    )


def changed_since(baseline: Baseline, day: date, earlier: Sequence[date], settings: Settings) -> Changed | None:
    """How many of the keys have other values than on the newest of earlier days; None where no such day has records.

    A sample of some 20,000 keys, chosen by their hash, speaks for all.
    """
    now = files_of(baseline.model, baseline.version, day, settings)
    for before in earlier:
        then = [
            file
            for version in versions_served(baseline.model, before, settings)
            for file in files_of(baseline.model, version, before, settings)
        ]
        if not now or not then:
            continue
        names = [name for name in baseline.changed if name != SCORE]
        known = [_places(pq.read_schema(file), names) for file in (now[0], then[0])]
        shared = [name for name in names if all(name in each for each in known) and known[0][name] == known[1][name]]
        keys = [entry.name for entry in pq.read_schema(now[0]).field("keys").type]
        if not shared:
            continue
        values = [served_sql.column_of(known[0][name], name) for name in shared]
        every = max(1, pq.read_metadata(now[0]).num_rows // _COMPARED_KEYS)
        with session(_resources(settings)) as connection:
            query = served_sql.shared_keys(now[0], then[0], keys, values, every)
            ((both, *differing),) = connection.execute(query).fetchall()
        if both:
            shares = {name: count / both for name, count in zip(shared, differing, strict=True)}
            return Changed(before=before, keys=both, shares=shares)
    return None


@dataclass(frozen=True, kw_only=True)
class _Part:
    """What one file holds."""

    rows: int
    counts: Counts
    absent: tuple[str, ...]
    acted: int
    decided: int
    degraded: int
    unanswered: int
    score_sum: float
    latency: tuple[float, float, float] | None
    stale: Mapping[str, int]
    states: Mapping[str, Mapping[str, int]]


def _most(parts: Sequence[_Part], column: str) -> str:
    """The value that most rows have, the first in order among equals."""
    found: Counter[str] = Counter()
    for each in parts:
        found.update(each.states.get(column, {}))
    return min(found, key=lambda value: (-found[value], value))


def _read_file(
    connection: DuckDBPyConnection, file: Path, baseline: Baseline, roles: Sequence[str], threads: int
) -> _Part:
    schema = pq.read_schema(file)
    layout = baseline.layout
    places = _places(schema, [name for name in layout.names if name != SCORE])
    expressions = list(served_sql.FACTS.values())
    views = [entry.name for entry in schema.field("views").type] if "views" in schema.names else []
    expressions += [served_sql.stale_rows(view, STALE_HOURS) for view in views]
    told = [name for name in baseline.state_columns if _column(schema, name) is not None]
    expressions += [served_sql.values_of(_column(schema, name) or "") for name in told]
    (found,) = connection.execute(served_sql.count_day(file, expressions, roles)).fetchall()
    facts = dict(zip(served_sql.FACTS, found, strict=False))
    counts = count_values(file, baseline, places, roles, threads)
    latency = facts["latency"]
    return _Part(
        rows=int(facts["rows"]),
        counts=layout.row(counts),
        absent=tuple(name for name in layout.names if name not in counts),
        acted=facts["acted"],
        decided=facts["decided"],
        degraded=facts["degraded"],
        unanswered=facts["unanswered"],
        score_sum=facts["score_sum"] or 0.0,
        latency=None if latency is None or latency[0] is None else (latency[0], latency[1], latency[2]),
        stale=dict(zip(views, found[len(served_sql.FACTS) :], strict=False)),
        states={name: each or {} for name, each in zip(told, found[len(found) - len(told) :], strict=True)},
    )


def _column(schema: pa.Schema, name: str) -> str | None:
    """Where a key, request field or input stands in a record; None where no record holds it."""
    if name in [entry.name for entry in schema.field("keys").type]:
        return served_sql.column_of("keys", name)
    place = _places(schema, [name]).get(name)
    return None if place is None else served_sql.column_of(place, name)


def _places(schema: pa.Schema, names: Sequence[str]) -> dict[str, str]:
    """Of these inputs, in which struct of a record each stands."""
    found: dict[str, str] = {}
    for part in ("request", "features"):
        if part in schema.names:
            found |= {entry.name: part for entry in schema.field(part).type if entry.name in names}
    return found


def _groups(connection: DuckDBPyConnection, files: Sequence[Path], segments: Sequence[str]) -> tuple[Group, ...]:
    found: dict[tuple[str, str], list[float]] = {}
    for file in files:
        schema = pq.read_schema(file)
        for name in segments:
            if (column := _column(schema, name)) is not None:
                for value, rows, mean, acted in connection.execute(
                    served_sql.groups_of(file, column, _SEGMENTS)
                ).fetchall():
                    sums = found.setdefault((name, value), [0, 0.0, 0])
                    found[name, value] = [sums[0] + rows, sums[1] + rows * mean, sums[2] + acted]
    return tuple(
        Group(column=name, value=value, rows=int(rows), mean_score=total / rows, acted=int(acted))
        for (name, value), (rows, total, acted) in found.items()
    )


def _collected(model: str, version: int, day: date, settings: Settings) -> Path:
    """The file of what servers recorded of a version on a day, if they did."""
    file = settings.predictions_dir / model / "served" / served_sql.day_text(day) / f"v{version}.parquet"
    pull(file)
    return file


def _batches(model: str, day: date, settings: Settings) -> list[Path]:
    """The folders of batches that may have rows of a UTC day: a business day has its rows on it or beside it."""
    folder = batches_folder(model, settings)
    beside = [(day + _DAY * each).isoformat() for each in (-1, 0, 1)]
    return [found for name in (*beside, "spine-") for found in bring_all(folder, f"{name}*-v*")]


def _served_days(model: str, settings: Settings) -> list[Path]:
    """The folders of days of which the model server's record was collected, in their order."""
    return published_in(settings.predictions_dir / model / "served", "day=*")


def _day_in(folder: Path) -> date:
    return date.fromisoformat(folder.name.removeprefix("day="))


def _day_of(batch: str) -> date | None:
    """The business day that a batch's folder is named after; None for one of a file's rows."""
    return None if batch.startswith("spine-") else date.fromisoformat(batch[:10])


def _version(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def _resources(settings: Settings, threads: int | None = None) -> Resources:
    return Resources(
        threads=threads or settings.offline_threads,
        memory_limit=settings.offline_memory_limit,
        spill=settings.offline_spill,
    )
