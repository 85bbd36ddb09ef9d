"""Tracing a prediction of a batch back to what it came from, and computing it again from there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureStore

from transformations.engine.base.disk_faults import faults_in_words
from transformations.engine.base.errors import DataError
from transformations.engine.base.moments import EVENT_TIMESTAMP
from transformations.engine.base.settings import Settings
from transformations.models.batch.features import reading
from transformations.models.batch.population import day_zone
from transformations.models.batch.publishing import predictions_of, read_batch
from transformations.models.log.event_log import EventLog
from transformations.models.records.prediction_table import records_of
from transformations.models.records.predictions import PredictionRecord
from transformations.models.scoring.predict import predict
from transformations.models.versions import artifact_of, dataset_of, judgement_of, standing


@dataclass(frozen=True, kw_only=True)
class Traced:
    """Where a prediction came from. tables: by view the version that its features were read from."""

    record: PredictionRecord
    run_id: str
    dataset: str
    code_revision: str
    evidence: str | None
    tables: tuple[str, ...]


@faults_in_words()
def trace(batch: Path, row: int, log: EventLog, store: FeatureStore, settings: Settings) -> Traced:
    """Trace a row of a published batch: to its version, run, dataset, gates and tables; its features are read again
    from the recorded versions, and the score computed anew.

    DataError, naming what, where a link of that chain is broken or anything comes out otherwise.
    """
    manifest = read_batch(batch)
    rows = predictions_of(batch).slice(row, 1)
    (record,) = records_of(rows)
    state = standing(record.model, log).version(record.version)
    artifact = artifact_of(record.model, state, settings)
    if record.artifact != state.registered.artifact:
        raise DataError(
            f"prediction {record.id} names artifact {record.artifact[:12]}, and version {record.version} is "
            f"{state.registered.artifact[:12]}."
        )
    dataset = dataset_of(record.model, state, settings)
    judgement = judgement_of(record.model, state, settings)
    if state.has_passed and judgement is None:
        raise DataError(f"the gate report of {record.model} version {record.version} is gone. Evaluate it anew.")
    versions = {name: view.table_version for name, view in manifest.views.items() if view.table_version is not None}
    request = list(record.request)
    with reading(
        dataset,
        artifact.manifest.scores.inputs,
        request,
        zone=day_zone(dataset, settings),
        store=store,
        settings=settings,
        versions=versions,
    ) as reader:
        served = reader.read(_spine(rows))
    for name, then in record.features.items():
        now = served.features[name]
        found = (now.values[0].as_py(), now.statuses[0].as_py(), now.row_timestamps[0].as_py())
        if found != (then.value, then.status, then.row_timestamp):
            raise DataError(
                f"prediction {record.id}: {name} was {then.value!r} ({then.status}), and is {found[0]!r} now."
            )
    score = predict(artifact, served.table).scores[0].as_py()
    if score != record.score:
        raise DataError(f"prediction {record.id}: the score was {record.score!r}, and is {score!r} now.")
    facts = artifact.manifest.facts
    return Traced(
        record=record,
        run_id=facts.run_id,
        dataset=dataset.name,
        code_revision=facts.code_revision,
        evidence=state.evidence,
        tables=tuple(f"{name}@{version}" for name, version in versions.items()),
    )


def _spine(rows: pa.Table) -> pa.Table:
    """The row as it was asked for: keys, request fields and its moment, in their dtypes."""
    columns = {EVENT_TIMESTAMP: rows["request_timestamp"]}
    for name in ("keys", "request"):
        if name in rows.column_names:
            columns |= {field.name: pc.struct_field(rows[name], field.name) for field in rows.schema.field(name).type}
    return pa.table(columns)
