"""Personal data in the record: kept, hashed with a key, or dropped, as the version that scored declares it.

What is declared is read from the version's artifact, and which class of personal data a field has from the manifest of
its dataset, both on disk: collecting needs no registry and no online store.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from transformations.datasets.manifest import Manifest, read_manifest
from transformations.engine.base.disk_faults import paths_in
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.settings import Settings
from transformations.models.declaration.recording import Recording, Treatment
from transformations.models.holding.definitions import references_of
from transformations.models.records.artifact import ArtifactManifest
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
            name: feature.model_copy(update={"value": self._hashed(name, feature.value)})
            if treatments.get(name) == "hash"
            else feature
            for name, feature in record.features.items()
            if treatments.get(name) != "drop"
        }
        keys, request = (self._values(values, treatments) for values in (record.keys, record.request))
        return record.model_copy(update={"keys": keys, "request": request, "features": features})

    def _values(self, values: Mapping[str, Value], treatments: Mapping[str, Treatment]) -> dict[str, Value]:
        return {
            name: self._hashed(name, value) if treatments.get(name) == "hash" else value
            for name, value in values.items()
            if treatments.get(name) != "drop"
        }

    def _hashed(self, name: str, value: Value) -> Value:
        key = self._settings.record_key
        if key is None:
            raise UsageError(
                f"{name} is to be hashed in the record, and there is no key. Set FEATURES_RECORD_KEY, and keep it: "
                f"with another key equal values are no longer equal."
            )
        if value is None:
            return None
        text = json.dumps([name, value], ensure_ascii=False)
        return HASHED + hmac.new(key.get_secret_value().encode(), text.encode(), hashlib.sha256).hexdigest()

    def _treatments(self, record: PredictionRecord) -> Mapping[str, Treatment]:
        known = (record.model, record.artifact)
        if known not in self._known:
            manifest = self._artifact(*known)
            recording = Recording.model_validate(manifest.facts.declaration.get("recording") or {})
            self._known[known] = {} if recording.keeps_all else self._by_field(recording, manifest, record)
        return self._known[known]

    def _artifact(self, model: str, artifact: str) -> ArtifactManifest:
        for folder in paths_in(self._settings.models_dir / model, "[!.]*"):
            if (folder / "manifest.json").is_file() and (found := read_artifact_manifest(folder)).id == artifact:
                return found
        raise DataError(
            f"artifact {artifact[:12]} of model {model} is not in {self._settings.models_dir}, so nobody knows what of "
            f"its records is personal: they stay in their segments. Bring its folder back from a copy."
        )

    def _by_field(
        self, recording: Recording, artifact: ArtifactManifest, record: PredictionRecord
    ) -> Mapping[str, Treatment]:
        dataset, _ = read_manifest(self._settings.datasets_dir / artifact.facts.dataset)
        classes = classes_of(dataset)
        names = [*record.keys, *record.request, *record.features]
        found = {name: recording.treatment(name, classes.get(name, "none")) for name in names}
        return {name: treatment for name, treatment in found.items() if treatment != "keep"}


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


def _views(dataset: Manifest, kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = dataset.registry.get(kind, [])
    return found
