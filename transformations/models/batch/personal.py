"""Personal data in the record: kept, hashed with a key, or dropped, as the version that scored declares it.

What is declared is read from the version's artifact, and which class of personal data a field has from the manifest of
its dataset, both on disk: collecting needs no registry and no online store. What a batch publishes is treated alike.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

import pyarrow as pa

from transformations.datasets.manifest import Manifest, read_manifest
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.files.published import bring_all
from transformations.engine.base.settings import Settings
from transformations.models.declaration.recording import Recording, Treatment
from transformations.models.holding.definitions import references_of
from transformations.models.records.artifact import ArtifactManifest
from transformations.models.records.prediction_table import Columns
from transformations.models.records.predictions import PredictionRecord, Value
from transformations.models.scoring.artifact import read_manifest as read_artifact_manifest
from transformations.stores.base.views import PII, highest_pii

HASHED = "hmac-sha256:"
"""How a hashed value begins."""


def is_hashed(value: Value) -> bool:
    """Whether a recorded value stands for one that was hashed."""
    return isinstance(value, str) and value.startswith(HASHED)


class Personal:
    """Treats records as the versions that made them declare; each version is looked up once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: dict[tuple[str, str], Mapping[str, Treatment]] = {}

    def treated(self, record: PredictionRecord) -> PredictionRecord:
        """The record as it is filed.

        DataError where its artifact is not there, so that nobody knows what may be filed; UsageError where there is no
        key to hash with.
        """
        treatments = self._treatments(record)
        if not treatments:
            return record
        features = {
            name: feature.model_copy(update={"value": hashed(name, feature.value, self._settings)})
            if treatments.get(name) == "hash"
            else feature
            for name, feature in record.features.items()
            if treatments.get(name) != "drop"
        }
        keys, request = (self._values(values, treatments) for values in (record.keys, record.request))
        return record.model_copy(update={"keys": keys, "request": request, "features": features})

    def _values(self, values: Mapping[str, Value], treatments: Mapping[str, Treatment]) -> dict[str, Value]:
        return {
            name: hashed(name, value, self._settings) if treatments.get(name) == "hash" else value
            for name, value in values.items()
            if treatments.get(name) != "drop"
        }

    def _treatments(self, record: PredictionRecord) -> Mapping[str, Treatment]:
        known = (record.model, record.artifact)
        if known not in self._known:
            manifest = self._artifact(*known)
            names = [*record.keys, *record.request, *record.features]
            self._known[known] = treatments_of(manifest, names, lambda: self._dataset(manifest))
        return self._known[known]

    def _artifact(self, model: str, artifact: str) -> ArtifactManifest:
        for folder in bring_all(self._settings.models_dir / model):
            if (folder / "manifest.json").is_file() and (found := read_artifact_manifest(folder)).id == artifact:
                return found
        raise DataError(
            f"artifact {artifact[:12]} of model {model} is not in {self._settings.models_dir}, so nobody knows what of "
            f"its records is personal: they stay in their segments. Bring its folder back from a copy."
        )

    def _dataset(self, artifact: ArtifactManifest) -> Manifest:
        return read_manifest(self._settings.datasets_dir / artifact.facts.dataset)[0]


def treatments_of(
    artifact: ArtifactManifest, names: Iterable[str], dataset: Callable[[], Manifest]
) -> Mapping[str, Treatment]:
    """Of keys, request fields and features those that a version's record does not keep as they are."""
    recording = Recording.model_validate(artifact.facts.declaration.get("recording") or {})
    if recording.keeps_all:
        return {}
    classes = classes_of(dataset())
    found = {name: recording.treatment(name, classes.get(name, "none")) for name in names}
    return {name: treatment for name, treatment in found.items() if treatment != "keep"}


def hashed(name: str, value: Value, settings: Settings) -> Value:
    """What stands for a value in the record; None for None. UsageError where there is no key to hash with."""
    key = settings.record_key
    if key is None:
        raise UsageError(
            f"{name} is to be hashed in the record, and there is no key. Set FEATURES_RECORD_KEY, and keep it: "
            f"with another key equal values are no longer equal."
        )
    if value is None:
        return None
    text = json.dumps([name, value], ensure_ascii=False)
    return HASHED + hmac.new(key.get_secret_value().encode(), text.encode(), hashlib.sha256).hexdigest()


def treated_columns(columns: Columns, treatments: Mapping[str, Treatment], settings: Settings) -> dict[str, pa.Array]:
    """Columns as they are filed: a hashed one is of texts, a dropped one is not there."""
    found = {}
    for name, column in columns.items():
        match treatments.get(name, "keep"):
            case "keep":
                found[name] = column
            case "hash":
                values = [_as_json(value) for value in column.to_pylist()]
                found[name] = pa.array([hashed(name, value, settings) for value in values], pa.string())
            case "drop":
                pass
    return found


def classes_of(dataset: Manifest) -> dict[str, str]:
    """By join key and feature of a dataset, the class of personal data: the highest of what it is computed from."""
    views = [view["spec"] for kind in ("feature_views", "on_demand_feature_views") for view in _views(dataset, kind)]
    tagged = {
        f"{view['name']}:{column['name']}": column.get("tags", {}).get(PII, "none")
        for view in views
        for column in view.get("features", ())
    }
    keys = {
        column["name"]: column.get("tags", {}).get(PII, "none")
        for view in views
        for column in view.get("entity_columns", ())
    }
    references = references_of(dataset.registry, dataset)
    return keys | {
        name: highest_pii(tagged.get(each, "none") for each in reached) for name, reached in references.items()
    }


def _as_json(value: Any) -> Value:
    """A value as the record of a server has it, so that both hash alike."""
    found: Value = value.isoformat() if isinstance(value, datetime) else value
    return found


def _views(dataset: Manifest, kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = dataset.registry.get(kind, [])
    return found
