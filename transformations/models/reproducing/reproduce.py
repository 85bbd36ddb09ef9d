"""Making a version again: its dataset from the pins, its artifact from its declaration, compared bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from feast import FeatureStore

from transformations.datasets.create import rebuild
from transformations.engine.base.disk_faults import faults_in_words
from transformations.engine.base.errors import DataError
from transformations.engine.base.settings import Settings
from transformations.models.declaration.config import Declaration
from transformations.models.declaration.resolution import resolve
from transformations.models.fitting.fit import Fit, fit
from transformations.models.log.event_log import EventLog
from transformations.models.log.standing import VersionState
from transformations.models.records.artifact import ArtifactManifest, RunFacts
from transformations.models.scoring.artifact import assemble
from transformations.models.scoring.predict import predict
from transformations.models.training import Pinned, libraries_of, machine, pinned_dataset, trainer_code
from transformations.models.versions import artifact_of, dataset_of, manifest_of, standing

TOLERANCE = 0.001
"""Where libraries or machine are others than in training: the largest difference that a score of the validation split
may show, of a probability as it is, of a regression's value in standard deviations of the scores."""


@dataclass(frozen=True, kw_only=True)
class Reproduced:
    """A version that was made again. is_same: the artifact's id is the same, so every score is, bit for bit.

    elsewhere: what of libraries and machine is other than in training, such as `numpy: 2.4.0 then, 2.4.1 now`; only
    there another artifact passes, by its scores. largest_difference: of the validation split's scores.
    """

    model: str
    version: int
    dataset: str
    artifact: str
    again: str
    is_same: bool
    elsewhere: tuple[str, ...]
    largest_difference: float


def rebuild_dataset(name: str, state: VersionState, store: FeatureStore, settings: Settings) -> Pinned:
    """A version's dataset, computed anew from its pins and found equal. DataError where it is not."""
    manifest = dataset_of(name, state, settings)
    rebuild(manifest, settings.datasets_dir / manifest.name, store, settings)
    return pinned_dataset(manifest.name, settings)


@faults_in_words()
def reproduce(name: str, number: int | None, log: EventLog, store: FeatureStore, settings: Settings) -> Reproduced:
    """Make a version (by default the newest) again, and compare; nothing is registered or written.

    DataError where the dataset comes out otherwise; where the artifact does on the same libraries and machine; and
    where, elsewhere, a score of the validation split differs by more than the tolerance.
    """
    known = standing(name, log)
    state = known.newest() if number is None else known.version(number)
    dataset = rebuild_dataset(name, state, store, settings)
    return retrain(name, state, dataset, settings)


def retrain(name: str, state: VersionState, dataset: Pinned, settings: Settings) -> Reproduced:
    """Train a version again on its dataset, and compare; errors as of `reproduce`."""
    manifest = manifest_of(name, state, settings)
    declaration = Declaration.model_validate(manifest.facts.declaration)
    resolved = resolve(declaration, dataset.manifest, dataset.columns)
    validation = dataset.rows("validation")
    made = fit(resolved, dataset.rows("train"), validation)
    elsewhere = tuple(_elsewhere(manifest.facts))
    is_same = made.id == manifest.id
    difference = 0.0 if is_same else _largest_difference(name, state, manifest, made, validation, settings)
    if not is_same and (not elsewhere or difference > TOLERANCE):
        raise DataError(_other_artifact(name, state, manifest, made, elsewhere, difference))
    return Reproduced(
        model=name,
        version=state.number,
        dataset=dataset.manifest.name,
        artifact=manifest.id,
        again=made.id,
        is_same=is_same,
        elsewhere=elsewhere,
        largest_difference=difference,
    )


def _elsewhere(facts: RunFacts) -> list[str]:
    then: Mapping[str, str] = {**facts.libraries, "machine": facts.machine}
    now = {**libraries_of(str(facts.declaration["trainer"])), "machine": machine()}
    return [f"{each}: {then.get(each)} then, {now[each]} now" for each in now if then.get(each) != now[each]]


def _largest_difference(
    name: str, state: VersionState, manifest: ArtifactManifest, made: Fit, validation: pa.Table, settings: Settings
) -> float:
    again = ArtifactManifest(id=made.id, scores=made.scores, facts=manifest.facts)
    ours = predict(artifact_of(name, state, settings), validation).scores.to_numpy()
    theirs = predict(assemble(again, made.transformations, made.files), validation).scores.to_numpy()
    scale = 1.0 if manifest.scores.task == "binary_classification" else float(ours.std()) or 1.0
    return float(np.abs(ours - theirs).max()) / scale


def _other_artifact(
    name: str, state: VersionState, manifest: ArtifactManifest, made: Fit, elsewhere: tuple[str, ...], difference: float
) -> str:
    ours, theirs = (each.model_dump(mode="json") for each in (manifest.scores, made.scores))
    parts = ", ".join(key for key in {**ours, **theirs} if ours.get(key) != theirs.get(key))
    code = trainer_code(str(manifest.facts.declaration["trainer"]))
    same = "; ".join(elsewhere) or "libraries and machine are the same"
    own = "; the trainer's own code has changed" if code != manifest.facts.trainer_code else ""
    return (
        f"model {name} version {state.number} cannot be made again as it was: {parts} came out otherwise (artifact "
        f"{manifest.id[:12]} then, {made.id[:12]} now), and a score of the validation split differs by "
        f"{difference:.3g} (allowed elsewhere: {TOLERANCE:g}). {same}{own}. It was trained by code "
        f"{manifest.facts.code_revision}."
    )
