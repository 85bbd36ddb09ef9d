"""The versions of a model that score in one call, and how each makes a batch of rows."""

from __future__ import annotations

import getpass
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureStore

from transformations.datasets.manifest import Manifest
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.moments import moment_text
from transformations.engine.base.settings import Settings
from transformations.models.batch.features import Reader, Served, reading
from transformations.models.batch.personal import HASHED, hashed, treated_columns, treatments_of
from transformations.models.batch.pinning import pin_views
from transformations.models.batch.population import (
    Asked,
    Rows,
    ask,
    day_zone,
    known_entities,
    nobody_on,
)
from transformations.models.batch.publishing import days_of, folder_of, read_batch, write_batch
from transformations.models.log.event_log import EventLog
from transformations.models.log.standing import VersionState
from transformations.models.records.batches import BatchManifest
from transformations.models.records.predict import Predictions
from transformations.models.records.prediction_table import Columns, Said, prediction_table
from transformations.models.records.predictions import Value, batch_id
from transformations.models.scoring.artifact import Artifact
from transformations.models.scoring.predict import predict
from transformations.models.versions import artifact_of, dataset_of
from transformations.stores.training.spine import spine_of

Entities = Literal["declared", "known"]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A published batch. is_new: False where it had been published before, and nothing was scored."""

    manifest: BatchManifest
    folder: Path
    is_new: bool


@dataclass(frozen=True, kw_only=True)
class _Model:
    """A version, ready to score: its artifact, the dataset it learned from, and a reader of its features."""

    state: VersionState
    artifact: Artifact
    dataset: Manifest
    reader: Reader
    request_fields: tuple[str, ...]


class Opened:
    """The versions that score in one call, each opened once: its artifact, a reader of its features, its query."""

    def __init__(self, model: str, log: EventLog, store: FeatureStore, settings: Settings) -> None:
        self._name, self._log, self._store, self._settings = model, log, store, settings
        self._models: dict[int, _Model] = {}
        self._asked: dict[str, Asked | None] = {}
        self._nobody: DataError | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def nobody(self, day: date) -> DataError:
        """What to say where no day had a row."""
        return self._nobody or DataError(f"there is nobody to score on {day}.")

    def score_day(self, state: VersionState, day: date, entities: Entities) -> Batch | None:
        """The batch of a day, scored unless it is published already; None where there is nobody."""
        published = self._published(state, day, None)
        if published is not None:
            if published.manifest.population != entities and self._has_query(state):
                raise UsageError(
                    f"{published.folder} holds the {published.manifest.population} entities of {day}, and a published "
                    f"batch is never replaced. Ask for these, or take the folder away first."
                )
            return published
        rows = self._rows(self._model(state), day, entities)
        return None if rows is None else self.score(state, rows)

    def score(self, state: VersionState, rows: Rows) -> Batch:
        """Score rows and publish the batch, unless it is published already."""
        published = self._published(state, rows.day, rows.spine)
        if published is not None:
            return published
        model = self._model(state)
        _refuse_later(rows, self._settings.now(), model.reader.zone)
        served = model.reader.read(rows.table)
        predictions = predict(model.artifact, served.table)
        table = self._table(model, rows, served, predictions)
        manifest = BatchManifest(
            model=self._name,
            version=state.number,
            artifact=model.artifact.id,
            as_of=rows.as_of,
            day=rows.day,
            population=rows.kind,
            spine=rows.spine,
            made_at=self._settings.now(),
            who=getpass.getuser(),
            event=len(self._log.events(self._name)),
            rows={day: each.num_rows for day, each in days_of(table)},
            as_served=model.dataset.config.as_served,
            views=served.views,
            mean_score=pc.mean(predictions.scores).as_py(),
            acted=None if predictions.decisions is None else pc.sum(predictions.decisions).as_py(),
        )
        target = folder_of(self._name, state.number, rows.day, rows.spine, self._settings)
        pin_views(served.views, self._name, manifest.made_at.date(), self._settings)
        is_new = write_batch(target, manifest, table)
        return Batch(manifest=manifest if is_new else read_batch(target), folder=target, is_new=is_new)

    def _published(self, state: VersionState, day: date | None, spine: str | None) -> Batch | None:
        target = folder_of(self._name, state.number, day, spine, self._settings)
        return Batch(manifest=read_batch(target), folder=target, is_new=False) if target.exists() else None

    def _has_query(self, state: VersionState) -> bool:
        return self._model(state).dataset.config.spine.query is not None

    def _rows(self, model: _Model, day: date, entities: Entities) -> Rows | None:
        dataset = model.dataset
        if dataset.name not in self._asked:
            self._asked[dataset.name] = ask(dataset, self._store, self._settings) if entities == "declared" else None
        asked = self._asked[dataset.name]
        if asked is not None:
            rows = asked.of_day(day)
            self._nobody = self._nobody or (None if rows else nobody_on(day, dataset, asked))
            return rows
        try:
            return known_entities(
                dataset, model.reader.stored(), day, model.reader.request, self._store, model.reader.zone
            )
        except DataError as error:
            self._nobody = self._nobody or error
            return None

    def _model(self, state: VersionState) -> _Model:
        if state.number not in self._models:
            artifact = artifact_of(self._name, state, self._settings)
            dataset = dataset_of(self._name, state, self._settings)
            declared = artifact.manifest.facts.declaration.get("request_fields")
            request = tuple(str(name) for name in declared) if isinstance(declared, list) else ()
            reader = self._stack.enter_context(
                reading(
                    dataset,
                    artifact.manifest.scores.inputs,
                    request,
                    zone=day_zone(dataset, self._settings),
                    store=self._store,
                    settings=self._settings,
                )
            )
            self._models[state.number] = _Model(
                state=state, artifact=artifact, dataset=dataset, reader=reader, request_fields=request
            )
        return self._models[state.number]

    def _table(self, model: _Model, rows: Rows, served: Served, predictions: Predictions) -> pa.Table:
        said = Said(
            model=self._name,
            version=model.state.number,
            artifact=model.artifact.id,
            role="batch",
            as_of=rows.as_of,
            views=served.views,
        )
        names = [*served.keys, *served.request, *served.features]
        treatments = treatments_of(model.artifact.manifest, names, lambda: model.dataset)
        keys, request, values = (
            treated_columns(columns, treatments, self._settings)
            for columns in (served.keys, served.request, {name: each.values for name, each in served.features.items()})
        )
        ids = _ids(said, served)
        if treatments.keys() & {*served.keys, *served.request}:  # whose plain hash anybody could try values out on
            ids = pa.array([_secret_id(each, self._settings) for each in ids.to_pylist()], pa.string())
        return prediction_table(
            said,
            ids=ids,
            moments=served.moments,
            keys=keys,
            request=request,
            features={name: replace(served.features[name], values=column) for name, column in values.items()},
            scores=predictions.scores,
            decisions=predictions.decisions,
        )


def _ids(said: Said, served: Served) -> pa.Array:
    """An id a row. DataError for a row without a key, and for one that stands there twice."""
    for name, column in served.keys.items():
        if column.null_count:
            row = pc.index(column.is_null(), True).as_py()
            raise DataError(
                f"row {row} has no {name} ({column.null_count:,} such rows), so nobody is scored. Leave such rows out."
            )
    keys, request = (_rows_of(columns, len(served.moments)) for columns in (served.keys, served.request))
    moments = served.moments.to_pylist()
    ids = [
        batch_id(said.model, said.version, moment, key, asked)
        for moment, key, asked in zip(moments, keys, request, strict=True)
    ]
    first: dict[str, int] = {}
    for row, each in enumerate(ids):
        if first.setdefault(each, row) != row:
            raise DataError(
                f"rows {first[each]} and {row} are alike: {keys[row]} at {moment_text(moments[row], 'UTC')}. A "
                f"prediction has one row; take the other out, or mend the query."
            )
    return pa.array(ids, pa.string())


def _secret_id(plain: str, settings: Settings) -> str:
    """An id that is as stable as the plain one, and tells nothing of the row without FEATURES_RECORD_KEY."""
    start, _, row = plain.rpartition("-")
    return f"{start}-{str(hashed('id', row, settings)).removeprefix(HASHED)[:24]}"


def _rows_of(columns: Columns, rows: int) -> list[dict[str, Value]]:
    listed = {name: column.to_pylist() for name, column in columns.items()}
    return [{name: values[row] for name, values in listed.items()} for row in range(rows)]


def _refuse_later(rows: Rows, now: datetime, zone: str) -> None:
    last = pc.max(spine_of(rows.table.select([rows.timestamp])).moments).as_py()
    if last > now:
        raise DataError(
            f"a row is of {moment_text(last, zone)}, and it is {moment_text(now, zone)}: nobody knows its features "
            f"yet. Score it when that moment has come."
        )
