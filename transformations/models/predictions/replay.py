"""Computing recorded predictions again: from the table versions and by the artifact that the record names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
from feast import FeatureStore

from transformations.datasets.manifest import Manifest
from transformations.datasets.registration import join_keys
from transformations.engine.base.errors import DataError
from transformations.engine.base.moments import EVENT_TIMESTAMP
from transformations.engine.base.settings import Settings
from transformations.engine.tables.offline_tables import OfflineTable
from transformations.models.batch.features import Reader, Served, reading
from transformations.models.batch.personal import is_hashed
from transformations.models.batch.population import day_zone
from transformations.models.log.event_log import EventLog
from transformations.models.log.standing import VersionState
from transformations.models.records.prediction_table import TIMESTAMP
from transformations.models.records.predictions import PredictionRecord, ServedFeature, Value
from transformations.models.scoring.artifact import Artifact
from transformations.models.scoring.inputs import ARROW_TYPES
from transformations.models.scoring.predict import predict
from transformations.models.versions import artifact_of, dataset_of, standing

_LOADS_BEHIND = 2
"""By how many loads what a server says of its views can be behind the rows that it reads."""


@dataclass(frozen=True, kw_only=True)
class Again:
    """A prediction computed again. features: those that the model takes, as a lookup would have given them. inputs: the
    row that was scored.
    """

    features: Mapping[str, ServedFeature]
    inputs: pa.Table
    score: float
    decision: bool | None


@dataclass(frozen=True, kw_only=True)
class VersionParts:
    """What a version computes with."""

    state: VersionState
    artifact: Artifact
    dataset: Manifest


@dataclass(frozen=True)
class _Loads:
    """From what rows were served: by view the table version, and how far it had been loaded."""

    versions: tuple[tuple[str, int | None], ...]
    through: tuple[tuple[str, datetime | None], ...]


class Replayer:
    """Computes records again, every version and every state of the tables opened once."""

    def __init__(self, log: EventLog, store: FeatureStore, settings: Settings) -> None:
        self._log, self._store, self._settings = log, store, settings
        self._parts: dict[tuple[str, int], VersionParts] = {}
        self._readers: dict[tuple[str, int, tuple[tuple[str, int], ...] | None], Reader] = {}
        self._whole: dict[tuple[str, int], bool] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Replayer:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def parts(self, model: str, number: int) -> VersionParts:
        """A version's artifact and dataset. DataError or UsageError where they are not there any more."""
        if (model, number) not in self._parts:
            state = standing(model, self._log).version(number)
            self._parts[model, number] = VersionParts(
                state=state,
                artifact=artifact_of(model, state, self._settings),
                dataset=dataset_of(model, state, self._settings),
            )
        return self._parts[model, number]

    def missing(self, record: PredictionRecord) -> list[str]:
        """The versions of our tables that a record names and that cannot be read any more, as `view@version`."""
        return [
            f"{name}@{view.table_version}"
            for name, view in record.views.items()
            if view.table_version is not None and not self._is_whole(name, view.table_version)
        ]

    def unknown(self, record: PredictionRecord) -> list[str]:
        """The views that come from tables of ours, and of which a record does not say which version was loaded."""
        return [
            name
            for name, view in record.views.items()
            if view.table_version is None and OfflineTable(self._settings.offline_dir / name).exists()
        ]

    def as_recorded(self, records: Sequence[PredictionRecord]) -> list[Again]:
        """Records of one version, each from the table versions that it names, loaded as far as it says."""
        found: dict[int, Again] = {}
        groups: dict[_Loads, list[int]] = {}
        for place, record in enumerate(records):
            groups.setdefault(_loads_of(record), []).append(place)
        for loads, places in groups.items():
            versions = {name: version for name, version in loads.versions if version is not None}
            through = {name: end for name, end in loads.through if end is not None}
            group = [records[place] for place in places]
            is_batch = group[0].role == "batch"
            found |= dict(zip(places, self._again(group, versions, None if is_batch else through), strict=True))
        return [found[place] for place in range(len(records))]

    def as_known_now(self, records: Sequence[PredictionRecord], recorded: Sequence[Again]) -> list[Again | None]:
        """Records of one version, each at its moment from the newest tables: with what came late, and was corrected.

        recorded: what `as_recorded` gave, which is this as well where a record names the newest tables, loaded as far
        as its moment. None where the newest tables no longer have what the version takes.
        """
        newest = self._newest(records)
        found: list[Again | None] = [*recorded]
        left = [place for place, record in enumerate(records) if not _knew_all(record, newest)]
        if left:
            try:
                again: Sequence[Again | None] = self._again([records[place] for place in left], newest, {})
            except DataError:
                again = [None] * len(left)
            for place, each in zip(left, again, strict=True):
                found[place] = each
        return found

    def as_loaded_next(self, record: PredictionRecord) -> Iterator[Again]:
        """A record from the table versions that followed those that it names: what a load that was going on gave."""
        newest = self._newest([record])
        named = {name: view.table_version for name, view in record.views.items() if view.table_version is not None}
        for step in range(1, _LOADS_BEHIND + 1):
            versions = {name: min(version + step, newest.get(name, version)) for name, version in named.items()}
            if versions != named and record.role != "batch":
                with suppress(DataError):
                    yield from self._again([record], versions, {})

    def withheld(self, record: PredictionRecord) -> list[str]:
        """The keys without which a record cannot be computed again, being personal data: dropped or hashed."""
        keys = join_keys(self.parts(record.model, record.version).dataset)
        return [name for name in keys if name not in record.keys or is_hashed(record.keys[name])]

    def _newest(self, records: Sequence[PredictionRecord]) -> dict[str, int]:
        tables = {name: OfflineTable(self._settings.offline_dir / name) for each in records for name in each.views}
        return {name: table.newest().version for name, table in tables.items() if table.exists()}

    def _again(
        self,
        records: Sequence[PredictionRecord],
        versions: Mapping[str, int],
        through: Mapping[str, datetime] | None,
    ) -> list[Again]:
        first = records[0]
        parts = self.parts(first.model, first.version)
        served = self._reader(first, versions).read(_spine(records, parts), through)
        said = predict(parts.artifact, served.table)
        decisions = [None] * len(records) if said.decisions is None else said.decisions.to_pylist()
        return [
            Again(features=features, inputs=served.table.slice(row, 1), score=score, decision=decision)
            for row, (features, score, decision) in enumerate(
                zip(_rows_of(served), said.scores.to_pylist(), decisions, strict=True)
            )
        ]

    def _reader(self, record: PredictionRecord, versions: Mapping[str, int]) -> Reader:
        key = (record.model, record.version, tuple(sorted(versions.items())))
        if key not in self._readers:
            parts = self.parts(record.model, record.version)
            self._readers[key] = self._stack.enter_context(
                reading(
                    parts.dataset,
                    parts.artifact.manifest.scores.inputs,
                    list(record.request),
                    zone=day_zone(parts.dataset, self._settings),
                    store=self._store,
                    settings=self._settings,
                    versions=dict(versions),
                )
            )
        return self._readers[key]

    def _is_whole(self, view: str, version: int) -> bool:
        if (view, version) not in self._whole:
            table = OfflineTable(self._settings.offline_dir / view)
            try:
                self._whole[view, version] = not table.exists() or bool(table.at(version))
            except DataError:
                self._whole[view, version] = False
        return self._whole[view, version]


def _knew_all(record: PredictionRecord, newest: Mapping[str, int]) -> bool:
    """Whether an online record names these table versions, each loaded as far as its moment."""
    return record.role != "batch" and all(
        view.table_version is not None
        and view.table_version == newest.get(name)
        and view.loaded_through is not None
        and view.loaded_through >= record.request_timestamp
        for name, view in record.views.items()
    )


def _loads_of(record: PredictionRecord) -> _Loads:
    views = sorted(record.views.items())
    return _Loads(
        tuple((name, view.table_version) for name, view in views),
        tuple((name, view.loaded_through) for name, view in views),
    )


def _spine(records: Sequence[PredictionRecord], parts: VersionParts) -> pa.Table:
    """The rows as they were asked for: keys, request fields and their moments."""
    types = {each.name: ARROW_TYPES[each.dtype] for each in parts.artifact.manifest.scores.inputs}
    columns = {EVENT_TIMESTAMP: pa.array([each.request_timestamp for each in records], TIMESTAMP)}
    for part in ([each.keys for each in records], [each.request for each in records]):
        for name in dict.fromkeys(name for row in part for name in row):
            columns[name] = _column([row.get(name) for row in part], types.get(name))
    return pa.table(columns)


def _column(values: Sequence[Value], kind: pa.DataType | None) -> pa.Array:
    return pa.array(values) if kind is None else pa.array(values, kind)


def _rows_of(served: Served) -> Iterator[dict[str, ServedFeature]]:
    columns = {
        name: zip(
            column.values.to_pylist(), column.statuses.to_pylist(), column.row_timestamps.to_pylist(), strict=True
        )
        for name, column in served.features.items()
    }
    for _ in range(len(served.moments)):
        row = {name: next(values) for name, values in columns.items()}
        yield {
            name: ServedFeature(value=value, status=status, row_timestamp=moment)
            for name, (value, status, moment) in row.items()
        }
