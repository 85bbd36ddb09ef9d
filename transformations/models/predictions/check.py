"""Holding a sample of recorded predictions against what the tables and the artifact give: the same bits, or a cause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from feast import FeatureStore

from transformations.engine.base.disk_faults import faults_in_words
from transformations.engine.base.errors import UsageError, nearest
from transformations.engine.base.settings import Settings
from transformations.models.batch.personal import is_hashed
from transformations.models.log.event_log import EventLog
from transformations.models.predictions.finding import last_day, models_with_records, sample_of_day
from transformations.models.predictions.replay import Again, Replayer
from transformations.models.records.predictions import PredictionRecord, ServedFeature
from validation.parity.values import same_value

Cause = Literal[
    "another artifact",
    "version unknown",
    "another value",
    "another row",
    "another status",
    "another score",
    "another decision",
]
"""Why a prediction is skewed: what differs from what the recorded versions give.

another value: of the same stored row. another score: of the same features, so other libraries or another processor.
"""
Spared = Literal["expired", "degraded", "withheld", "reloaded"]
"""Why a prediction is not compared. expired: a table version that it names is gone. degraded: made with defaults, since
features could not be read. withheld: personal data was hashed or dropped. reloaded: served while a newer version than
the recorded one was being loaded, and it is what that one gives.
"""


@dataclass(frozen=True, kw_only=True)
class Skew:
    """A prediction that is not what its record says it was made from."""

    id: str
    cause: Cause
    said: str


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What came of a check of one model and day. compared: bit for bit. late, corrected: of those, for which the newest
    tables hold another row, or another value of the same row: serving could not know that. spared: not compared.
    """

    model: str
    day: date
    records: int
    compared: int
    equal: int
    late: int
    corrected: int
    spared: Mapping[Spared, int] = field(default_factory=dict)
    skewed: tuple[Skew, ...] = ()


@faults_in_words()
def check_models(
    model: str | None,
    day: date | None,
    sample: int | None,
    *,
    log: EventLog,
    store: FeatureStore,
    settings: Settings,
    seed: int = 0,
) -> list[Checked]:
    """Check a model, or all that have records, on a UTC day, by default the last one of each.

    UsageError for a model without records. DataError where an artifact or a dataset is gone.
    """
    known = models_with_records(settings)
    if not known or model not in (None, *known):
        said = nearest(model, known) if model and known else "run `features predictions collect` first"
        raise UsageError(f"no predictions {f'of {model} ' if model else ''}are collected or published: {said}.")
    with Replayer(log, store, settings) as replayer:
        return [
            check(name, taken, sample, replayer, settings, seed)
            for name in ([model] if model else known)
            if (taken := day or last_day(name, settings)) is not None
        ]


def check(model: str, day: date, sample: int | None, replayer: Replayer, settings: Settings, seed: int = 0) -> Checked:
    """Compare what was recorded on a UTC day, or a sample of it, with what is computed again.

    The sample is the same for the same seed and records. DataError where an artifact or a dataset is gone.
    """
    taken, recorded = sample_of_day(model, day, sample, seed, settings)
    spared: Counter[Spared] = Counter()
    skewed: list[Skew] = []
    equal = late = corrected = 0
    groups: dict[tuple[int, bool], list[PredictionRecord]] = {}
    for record in taken:
        why, found = _spared(record, replayer), _unfit(record, replayer)
        if why is not None:
            spared[why] += 1
        elif found is not None:
            skewed.append(found)
        else:
            groups.setdefault((record.version, record.role == "batch"), []).append(record)
    for group in groups.values():
        again = replayer.as_recorded(group)
        for record, then, now in zip(group, again, replayer.as_known_now(group, again), strict=True):
            found = difference(record, then)
            if found is None:
                equal += 1
                later = None if now is None else difference(record, now)
                late += later is not None and later.cause == "another row"
                corrected += later is not None and later.cause != "another row"
            elif any(difference(record, next_one) is None for next_one in replayer.as_loaded_next(record)):
                spared["reloaded"] += 1
            else:
                skewed.append(found)
    return Checked(
        model=model,
        day=day,
        records=recorded,
        compared=equal + len(skewed),
        equal=equal,
        late=late,
        corrected=corrected,
        spared=dict(spared),
        skewed=tuple(skewed),
    )


def difference(record: PredictionRecord, again: Again) -> Skew | None:
    """How a record differs from what was computed again, the first of its features first; None where it does not.

    A value that was hashed or dropped, as personal data, is not compared.
    """
    for name, then in record.features.items():
        now = again.features.get(name)
        if now is None or is_hashed(then.value):
            continue
        if cause := _cause(then, now):
            return Skew(id=record.id, cause=cause, said=f"{name} was {_text(then)}, and is {_text(now)}")
    if not same_value(record.score, again.score):
        return Skew(id=record.id, cause="another score", said=f"it was {record.score!r}, and is {again.score!r}")
    if record.decision != again.decision:
        return Skew(id=record.id, cause="another decision", said=f"it was {record.decision}, and is {again.decision}")
    return None


def _cause(then: ServedFeature, now: ServedFeature) -> Cause | None:
    if then.row_timestamp != now.row_timestamp:
        return "another row"
    if not same_value(then.value, now.value):
        return "another value"
    return None if then.status == now.status else "another status"


def _spared(record: PredictionRecord, replayer: Replayer) -> Spared | None:
    if record.degraded:
        return "degraded"
    if replayer.missing(record):
        return "expired"
    return "withheld" if replayer.withheld(record) else None


def _unfit(record: PredictionRecord, replayer: Replayer) -> Skew | None:
    """What a record lacks or contradicts before anything is computed."""
    registered = replayer.parts(record.model, record.version).state.registered.artifact
    if record.artifact != registered:
        said = f"it names {record.artifact[:12]}, and version {record.version} is {registered[:12]}"
        return Skew(id=record.id, cause="another artifact", said=said)
    if unknown := replayer.unknown(record):
        return Skew(id=record.id, cause="version unknown", said=f"of {', '.join(unknown)}")
    return None


def _text(feature: ServedFeature) -> str:
    row = "no row" if feature.row_timestamp is None else f"row of {feature.row_timestamp.isoformat()}"
    return f"{feature.value!r} ({feature.status}, {row})"
