"""Tracing a prediction to its version, run, dataset and gates, its features to rows and runs; and its score anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa
from feast import FeatureStore, FeatureView
from feast.errors import FeastError

from transformations.engine.base.disk_faults import faults_in_words
from transformations.engine.base.errors import DataError, UsageError, nearest
from transformations.engine.base.settings import Settings
from transformations.insight.values.explained import Row, rows_of_key
from transformations.insight.values.explanation import Explained, explain_row
from transformations.models.batch.personal import is_hashed
from transformations.models.holding.definitions import references_of
from transformations.models.log.event_log import EventLog
from transformations.models.predictions.check import difference
from transformations.models.predictions.finding import records_of_id
from transformations.models.predictions.replay import Replayer
from transformations.models.records.base import Stage
from transformations.models.records.predictions import PredictionRecord, ServedFeature, Value
from transformations.models.scoring.contributions import contributions_of
from transformations.models.versions import judgement_of
from transformations.stores.base.join_keys import key_fields
from transformations.stores.base.views import DEFINITION_HASH, feature_hashes_of


@dataclass(frozen=True, kw_only=True)
class Source:
    """The stored feature behind a value. version: of the table that was loaded. row: that was served, with the run that
    wrote it; None where it is not known, or none could be read. definition: the hash of its definition as applied now.
    """

    reference: str
    key: Mapping[str, Value]
    version: int | None
    description: str
    definition: str | None
    row: Row | None


@dataclass(frozen=True, kw_only=True)
class TracedFeature:
    """A value as it was served, and where it comes from: one stored feature, or those that it was computed from."""

    name: str
    served: ServedFeature
    sources: Sequence[Source]


@dataclass(frozen=True, kw_only=True)
class TracedVersion:
    """Where a version comes from. gates: how many of its gates passed, of how many; None without a report."""

    stage: Stage
    run_id: str
    trained_at: datetime
    code_revision: str
    dataset: str
    dataset_hash: str
    evidence: str | None
    gates: tuple[int, int] | None


@dataclass(frozen=True, kw_only=True)
class TracedPrediction:
    """A prediction with all that it came from.

    again: `same` where the recorded versions give the same score today, `expired` where one of them is gone, else what
    keeps it from that. difference: what comes out otherwise; None where nothing does or it cannot be known. missing:
    the table versions that are gone. contributions: what each of the model's columns adds to its margin, before
    calibration, the largest first; empty where the score is not computed again, or its trainer cannot tell. base: what
    the margin begins with.
    """

    record: PredictionRecord
    version: TracedVersion
    features: Sequence[TracedFeature]
    again: str
    difference: str | None = None
    missing: Sequence[str] = ()
    contributions: Mapping[str, float] = field(default_factory=dict)
    base: float | None = None


@faults_in_words()
def trace(prediction: str, log: EventLog, store: FeatureStore, settings: Settings) -> list[TracedPrediction]:
    """Trace the prediction of an id, online or in batch; and what shadows said beside it.

    UsageError for an id that nobody has recorded, DataError where a version's artifact or dataset is gone.
    """
    found = records_of_id(prediction, settings)
    if not found:
        raise UsageError(
            f"no prediction {prediction!r} is in {settings.predictions_dir}. An answer carries the id of each row."
        )
    with Replayer(log, store, settings) as replayer:
        return [_traced(record, replayer, store, settings) for record in found]


def explain_feature(found: TracedPrediction, name: str, settings: Settings) -> Iterator[Explained]:
    """The raw events, definition, run and row behind each stored feature that a value was made from: those of the table
    version that was served, whatever came late or was corrected since.

    UsageError for a feature that the prediction does not have, for one that no view of the repository computes, where
    the record leaves out its key, and where the value is a default since no row could be read; DataError where that
    version, or the events that it was made of, are gone.
    """
    feature = next((each for each in found.features if each.name == name), None)
    if feature is None:
        known = [each.name for each in found.features]
        raise UsageError(f"prediction {found.record.id} has no feature {name!r}: {nearest(name, known)}.")
    if found.record.degraded:
        raise UsageError(
            f"prediction {found.record.id} was made with defaults, since features could not be read: no row and no "
            f"event is behind {name}."
        )
    for source in feature.sources:
        if None in source.key.values() or any(map(is_hashed, source.key.values())):
            raise UsageError(
                f"prediction {found.record.id} does not hold the key of {source.reference}, which is personal data, so "
                f"nobody knows the events behind it."
            )
        view, _, _ = source.reference.partition(":")
        until = _loaded_until(found.record, view)
        yield explain_row(source.reference, source.key, until, source.version, settings)


def _traced(record: PredictionRecord, replayer: Replayer, store: FeatureStore, settings: Settings) -> TracedPrediction:
    again, differs, inputs = _again(record, replayer)
    contributions, base = ({}, None) if inputs is None else _contributions(record, replayer, inputs)
    return TracedPrediction(
        record=record,
        version=_version(record, replayer, settings),
        features=list(_features(record, replayer, store, settings)),
        again=again,
        difference=differs,
        missing=replayer.missing(record),
        contributions=contributions,
        base=base,
    )


def _again(record: PredictionRecord, replayer: Replayer) -> tuple[str, str | None, pa.Table | None]:
    """Whether the score comes out the same today, what differs, and the row that is scored."""
    if record.degraded:
        return "degraded", None, None
    if replayer.missing(record):
        return "expired", None, None
    if names := replayer.withheld(record):
        return "withheld", f"{', '.join(names)} is personal, and not in the record", None
    (now,) = replayer.as_recorded([record])
    found = difference(record, now)
    return ("same", None, now.inputs) if found is None else (found.cause, found.said, now.inputs)


def _contributions(
    record: PredictionRecord, replayer: Replayer, inputs: pa.Table
) -> tuple[dict[str, float], float | None]:
    try:
        found = contributions_of(replayer.parts(record.model, record.version).artifact, inputs)
    except UsageError:  # the trainer cannot tell
        return {}, None
    parts = dict(zip(found.names, found.parts[0].tolist(), strict=True))
    return dict(sorted(parts.items(), key=lambda each: -abs(each[1]))), float(found.base[0])


def _version(record: PredictionRecord, replayer: Replayer, settings: Settings) -> TracedVersion:
    parts = replayer.parts(record.model, record.version)
    state, facts = parts.state, parts.artifact.manifest.facts
    if record.artifact != state.registered.artifact:
        raise DataError(
            f"prediction {record.id} names artifact {record.artifact[:12]}, and version {record.version} is "
            f"{state.registered.artifact[:12]}."
        )
    judgement = judgement_of(record.model, state, settings)
    results = [each for each in judgement.gates.results if each.gated] if judgement and judgement.gates else None
    return TracedVersion(
        stage=state.stage,
        run_id=state.registered.run_id,
        trained_at=state.registered_at,
        code_revision=facts.code_revision,
        dataset=parts.dataset.name,
        dataset_hash=state.registered.dataset_hash,
        evidence=state.evidence,
        gates=None if results is None else (sum(each.outcome == "pass" for each in results), len(results)),
    )


def _features(
    record: PredictionRecord, replayer: Replayer, store: FeatureStore, settings: Settings
) -> Iterator[TracedFeature]:
    dataset = replayer.parts(record.model, record.version).dataset
    references = references_of(dataset.registry, dataset)
    for name, served in record.features.items():
        sources = [_source(each, record, store, settings) for each in references.get(name, ())]
        stored = [each for each in sources if each is not None]
        yield TracedFeature(name=name, served=served, sources=stored)


def _source(reference: str, record: PredictionRecord, store: FeatureStore, settings: Settings) -> Source | None:
    """The stored feature of a reference, with the row that was served; None for an on-demand one."""
    view_name, _, feature = reference.partition(":")
    loaded = record.views.get(view_name)
    if loaded is None:
        return None
    try:
        view = store.registry.get_feature_view(view_name, store.project, allow_cache=True)
    except FeastError:  # removed since
        return Source(
            reference=reference, key={}, version=loaded.table_version, description="", definition=None, row=None
        )
    declared = next((each for each in view.features if each.name == feature), None)
    keys: Mapping[str, Value] = {field.name: record.keys.get(field.name) for field in key_fields(view)}
    row = None
    if not record.degraded and None not in keys.values() and not any(map(is_hashed, keys.values())):
        row = _row(view, feature, keys, record, loaded.table_version, settings)
    return Source(
        reference=reference,
        key=keys,
        version=loaded.table_version,
        description=declared.description if declared else "",
        definition=feature_hashes_of(view).get(feature, view.tags.get(DEFINITION_HASH)),
        row=row,
    )


def _row(
    view: FeatureView,
    feature: str,
    keys: Mapping[str, object],
    record: PredictionRecord,
    version: int | None,
    settings: Settings,
) -> Row | None:
    """The stored row that was served: the newest of the key, in the loaded version, as far as it was loaded."""
    until = _loaded_until(record, view.name)
    try:
        rows, _ = rows_of_key(view, feature, keys, version, settings)
    except DataError:  # the version is gone: `missing` says so
        return None
    visible = [row for row in rows if row.event_timestamp <= until]
    return visible[-1] if visible else None


def _loaded_until(record: PredictionRecord, view: str) -> datetime:
    """Up to which moment rows of a view were served."""
    loaded = record.views[view].loaded_through
    return record.request_timestamp if loaded is None else min(record.request_timestamp, loaded)
