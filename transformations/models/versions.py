"""What is done with versions: looking at them, judging them, and moving them from stage to stage."""

from __future__ import annotations

import getpass
import time
from dataclasses import dataclass
from pathlib import Path

from transformations.datasets.manifest import FILE, Manifest
from transformations.datasets.manifest import read_manifest as read_dataset
from transformations.engine.base.checksums import content_hash as file_hash
from transformations.engine.base.disk_faults import faults_in_words
from transformations.engine.base.errors import DataError
from transformations.engine.base.files.published import bring, pull
from transformations.engine.base.settings import Settings
from transformations.models.declaration.config import Declaration
from transformations.models.declaration.reading import read_declared
from transformations.models.declaration.resolution import resolve
from transformations.models.judging.candidate import Judgement, Version, judge_version, refuse_changed_criteria
from transformations.models.judging.publishing import PAGE, read_judgement, write_judgement
from transformations.models.log import stages
from transformations.models.log.event_log import EventLog
from transformations.models.log.standing import Standing, VersionState, standing_of
from transformations.models.records.artifact import ArtifactManifest
from transformations.models.records.base import Stage, text_hash
from transformations.models.records.criteria import PRODUCTION
from transformations.models.records.events import Evaluated, ModelEvent
from transformations.models.scoring.artifact import Artifact, read_artifact, read_manifest
from transformations.models.tracking.mirror import Difference, repair, unmirrored_by
from transformations.models.training import pinned_dataset

_EVALUATIONS = "evaluations"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A version that has been judged. page: the report, which stands by itself."""

    version: int
    judgement: Judgement
    page: Path

    @property
    def passed(self) -> bool:
        """Whether every gate that counts has passed; a model without gates never does."""
        return self.judgement.gates is not None and self.judgement.gates.passed


@dataclass(frozen=True, kw_only=True)
class Moved:
    """A version that has changed its stage. seconds: from the call until the log said so, which is when it holds.
    unmirrored: why MLflow's copy does not say so yet; the next command that reaches it repairs it.
    """

    event: ModelEvent
    seconds: float
    unmirrored: str | None = None


def standing(model: str, log: EventLog) -> Standing:
    """How a model stands. UsageError where nothing of that name was ever trained."""
    found = standing_of(model, log.events(model))
    if not found.versions:
        found.newest()
    return found


def artifact_folder(model: str, state: VersionState, settings: Settings) -> Path:
    """Where the artifact of a version lies; it is fetched where that is in object storage."""
    return bring(settings.models_dir / model / state.registered.run_id)


def manifest_of(model: str, state: VersionState, settings: Settings) -> ArtifactManifest:
    """The manifest of a version's artifact. DataError where it is not the one that was registered."""
    folder = artifact_folder(model, state, settings)
    found = read_manifest(folder)
    if found.id != state.registered.artifact:
        raise DataError(
            f"{folder} holds artifact {found.id[:12]}, and version {state.number} of model {model} was registered with "
            f"{state.registered.artifact[:12]}. Bring the folder back from a copy."
        )
    return found


def artifact_of(model: str, state: VersionState, settings: Settings, threads: int = 1) -> Artifact:
    """A version's artifact, every file of it verified."""
    manifest_of(model, state, settings)
    return read_artifact(artifact_folder(model, state, settings), threads)


def dataset_of(model: str, state: VersionState, settings: Settings) -> Manifest:
    """The manifest of the dataset that a version learned from. DataError where it is gone, or another has its name."""
    name = state.registered.dataset
    place = settings.datasets_dir / name
    pull(place)
    if not place.is_dir():
        raise DataError(
            f"dataset {name}, which version {state.number} of model {model} learned from, is not there. Bring its "
            f"folder {place} back from a copy, or its manifest: features dataset rebuild MANIFEST"
        )
    manifest, folder = read_dataset(place)
    if file_hash(folder / FILE) != state.registered.dataset_hash:
        raise DataError(
            f"dataset {name} was made anew since version {state.number} of model {model} was trained. Bring the old "
            f"one back from a copy of its manifest, or release a version that learned from the new one."
        )
    return manifest


@faults_in_words()
def evaluate(name: str, number: int | None, repository: Path, log: EventLog, settings: Settings) -> Judged:
    """Judge a version (by default the newest) on the test split that it never saw, and write the outcome into the log.

    UsageError where the criteria have changed since it was trained; DataError where the dataset is not the one it was
    trained on, or the test period is spent.
    """
    state = _state(name, number, log)
    declaration = read_declared(repository, name)
    dataset = pinned_dataset(state.registered.dataset, settings)
    if dataset.hash != state.registered.dataset_hash:
        raise DataError(
            f"dataset {dataset.manifest.name} was made anew since version {state.number} of model {name} was trained. "
            f"Train a new version, which is judged on it."
        )
    version = Version(number=state.number, artifact=artifact_of(name, state, settings), dataset=dataset.manifest)
    refuse_changed_criteria(version, declaration)
    judgement = judge_version(
        version,
        resolve(declaration, dataset.manifest, dataset.columns),
        dataset.rows("train"),
        dataset.rows("test"),
        looks=settings.models_dir,
        at=settings.now(),
        who=getpass.getuser(),
        production=_production(name, state, log, settings),
    )
    page = write_judgement(_judgement_folder(name, state, settings), judgement)
    judged = Judged(version=state.number, judgement=judgement, page=page)
    _record(judged, state, log, settings)
    return judged


def judged_before(name: str, state: VersionState, settings: Settings) -> Judged | None:
    """The last judgement that the log knows of a version, as `evaluate` gave it; None where it was never judged, or its
    report is damaged or not the one that the log names.
    """
    folder = _judgement_folder(name, state, settings)
    pull(folder)
    if state.evaluation is None or not folder.is_dir():
        return None
    try:
        judgement = read_judgement(folder)
    except DataError:
        return None
    judged = Judged(version=state.number, judgement=judgement, page=folder / PAGE)
    return judged if _evidence_of(judgement) == state.evidence else None


def judgement_of(name: str, state: VersionState, settings: Settings) -> Judgement | None:
    """The last judgement of a version; None where it has not been judged."""
    folder = _judgement_folder(name, state, settings)
    pull(folder)
    return read_judgement(folder) if folder.is_dir() else None


@faults_in_words()
def promote(
    name: str,
    number: int,
    to_stage: Stage,
    log: EventLog,
    settings: Settings,
    *,
    why: str,
    reviewer: str | None = None,
) -> Moved:
    """Move a version to a stage. Its artifact is verified first where it is to answer in production, and there alone:
    one whose artifact is lost can still be archived. Where its gates compare with production, it must be the version
    that they compared with which it replaces.
    """
    began = time.monotonic()
    state = _state(name, number, log)
    compared = None
    if to_stage == "production":
        artifact = artifact_of(name, state, settings)
        compared = compared_with(artifact.manifest, state, settings)
    event = stages.promote(
        log,
        name,
        number,
        to_stage,
        who=getpass.getuser(),
        why=why,
        at=settings.now(),
        reviewer=reviewer,
        needs_reviewer=lambda version: asks_for_approval(name, version, log, settings),
        compared_with=compared,
    )
    return _mirrored(event, time.monotonic() - began, log, settings)


@faults_in_words()
def rollback(name: str, log: EventLog, settings: Settings, *, why: str, to_version: int | None = None) -> Moved:
    """Bring a version back that production had before: the one before the present one, or the one asked for, as to undo
    a rollback. Its artifact is verified first.
    """
    began = time.monotonic()
    known = standing(name, log)
    number = stages.version_to_return(known, log.events(name), to_version)
    artifact_of(name, known.version(number), settings)
    event = stages.rollback(log, name, who=getpass.getuser(), why=why, at=settings.now(), to_version=number)
    return _mirrored(event, time.monotonic() - began, log, settings)


def mend_copy(name: str, log: EventLog, settings: Settings) -> list[Difference]:
    """Make MLflow's copy of a model say what the log says; where it said otherwise."""
    return repair(standing_of(name, log.events(name)), settings)


def _state(name: str, number: int | None, log: EventLog) -> VersionState:
    known = standing(name, log)
    return known.newest() if number is None else known.version(number)


def asks_for_approval(name: str, number: int, log: EventLog, settings: Settings) -> bool:
    """Whether a version declares that approval is required; taken for granted where its declaration is lost."""
    try:
        facts = manifest_of(name, standing(name, log).version(number), settings).facts
    except DataError:
        return True
    return facts.declaration.get("approval") == "required"


def _production(name: str, state: VersionState, log: EventLog, settings: Settings) -> Version | None:
    there = standing(name, log).production
    if there is None or there.number == state.number:
        return None
    dataset, _ = read_dataset(settings.datasets_dir / there.registered.dataset)
    return Version(number=there.number, artifact=artifact_of(name, there, settings), dataset=dataset)


def compared_with(manifest: ArtifactManifest, state: VersionState, settings: Settings) -> int | None:
    """The version in production that the gates of a version have compared it with; None where no gate does, or where
    nothing has passed. DataError where the report that would say so is lost.
    """
    model = manifest.facts.model
    gates = Declaration.model_validate(manifest.facts.declaration).evaluation.gates
    if not state.has_passed or not any(gate.baseline == PRODUCTION for gate in gates):
        return None
    judged = judged_before(model, state, settings)
    production = judged.judgement.evaluation.production if judged else None
    if production is None:
        raise DataError(
            f"model {model} version {state.number}: the report of the comparison with production that it passed is not "
            f"there. Judge it again: features model evaluate {model} {state.number}"
        )
    return production.version


def _judgement_folder(name: str, state: VersionState, settings: Settings) -> Path:
    return settings.models_dir / name / _EVALUATIONS / state.registered.run_id


def _record(judged: Judged, state: VersionState, log: EventLog, settings: Settings) -> None:
    """The look, with the hash of its gate report, or of its evaluation where there are no gates."""
    evaluation = judged.judgement.evaluation
    change = Evaluated(
        dataset=state.registered.dataset,
        dataset_hash=state.registered.dataset_hash,
        split="test",
        look=evaluation.look,
        passed=judged.passed,
    )
    model = evaluation.subject.model

    def event(events: tuple[ModelEvent, ...]) -> ModelEvent:
        return ModelEvent(
            model=model,
            number=len(events) + 1,
            at=settings.now(),
            who=getpass.getuser(),
            why="judged by its gates",
            version=judged.version,
            change=change,
            evidence=_evidence_of(judged.judgement),
        )

    log.extend(model, event)


def _evidence_of(judgement: Judgement) -> str:
    """What the log keeps of a judgement: the hash of its gate report, or of its evaluation where there are no gates."""
    return text_hash((judgement.gates or judgement.evaluation).text())


def _mirrored(event: ModelEvent, seconds: float, log: EventLog, settings: Settings) -> Moved:
    """Stages move whether MLflow answers or not, and whatever has become of its database."""
    unmirrored = unmirrored_by(standing_of(event.model, log.events(event.model)), settings)
    return Moved(event=event, seconds=seconds, unmirrored=unmirrored)
