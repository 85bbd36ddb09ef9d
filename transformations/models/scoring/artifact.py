"""Reading an artifact: every file is held against the manifest's hashes before a byte of it is used."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from transformations.engine.base.disk_faults import known_fault
from transformations.engine.base.errors import DataError
from transformations.engine.base.files.published import bring
from transformations.models.records.artifact import FILE, ArtifactManifest
from transformations.models.scoring import fitted
from transformations.models.scoring.columns import ShortWay, short_way
from transformations.models.scoring.fitted import Fitted
from transformations.models.trainers.interface import (
    Explainer,
    Scorer,
    Trainer,
    code_of,
    refuse_missing_library,
    trainer_of,
)

REFERENCE_FILE = "reference.json"


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A model that can score: its manifest, its fitted transformations, and the scorer of its files.

    explainer: makes what tells contributions, at the first call; None where the trainer has no such thing.
    """

    manifest: ArtifactManifest
    transformations: Fitted
    trainer: Trainer
    scorer: Scorer
    explainer: Callable[[], Explainer | None]

    @property
    def id(self) -> str:
        """The hash of all that determines its scores."""
        return self.manifest.id

    @cached_property
    def short_way(self) -> ShortWay | None:
        """From Python's own values to its matrix, without Arrow; None where there is no such way."""
        return short_way(self.manifest.scores.inputs, self.transformations, self.trainer.dtype)


def read_manifest(folder: Path) -> ArtifactManifest:
    """The manifest in an artifact's folder; DataError where there is none, or it contradicts itself."""
    bring(folder)
    return ArtifactManifest.from_text(_read(folder / FILE).decode("utf-8", errors="replace"), str(folder / FILE))


def read_artifact(folder: Path, threads: int = 1) -> Artifact:
    """The artifact in a folder. threads: of the scorer, where it uses several; they change no score.

    DataError where a file is missing or is not what was trained; UsageError where the trainer's library is missing.
    """
    manifest = read_manifest(folder)
    files = {name: _verified(folder / name, sha256) for name, sha256 in manifest.scores.files.items()}
    text = _verified(folder / fitted.FILE, manifest.scores.transformations).decode()
    if manifest.reference is not None:
        _verified(folder / REFERENCE_FILE, manifest.reference)
    return assemble(manifest, fitted.read_fitted(text, str(folder / fitted.FILE)), files, threads)


def assemble(
    manifest: ArtifactManifest, transformations: Fitted, files: Mapping[str, bytes], threads: int = 1
) -> Artifact:
    """The artifact of these parts, which the caller vouches for."""
    scores = manifest.scores
    if transformations.hash != scores.transformations or transformations.columns != scores.columns:
        raise DataError(f"artifact {manifest.id[:12]}: the transformations are not those of its manifest.")
    trainer = trainer_of(scores.trainer)
    refuse_missing_library(trainer)
    code = code_of(scores.trainer)
    if scores.loader != (code and code.load):
        raise DataError(
            f"artifact {manifest.id[:12]} was trained with other code of {scores.trainer} than this process has, so "
            f"its scores would be others. Bring that code back, and give changed code a name of its own."
        )
    return Artifact(
        manifest=manifest,
        transformations=transformations,
        trainer=trainer,
        scorer=trainer.load(files, scores.task, threads),
        explainer=cache(lambda: trainer.explain(files, scores.task) if trainer.explain else None),
    )


def read_reference(folder: Path) -> str:
    """The text of the artifact's reference histograms, verified."""
    manifest = read_manifest(folder)
    if manifest.reference is None:
        raise DataError(f"{folder} was made without {REFERENCE_FILE}. Train the model anew.")
    return _verified(folder / REFERENCE_FILE, manifest.reference).decode()


def _verified(file: Path, sha256: str) -> bytes:
    content = _read(file)
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise DataError(
            f"{file} is not what was trained: its SHA-256 is {found[:12]}…, the manifest says {sha256[:12]}…. Bring "
            f"the artifact's folder back from a copy, or train anew."
        )
    return content


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise DataError(
            f"{file} is missing, so {file.parent} is no whole artifact. Bring the folder back from a copy, or train "
            f"anew."
        ) from None
    except OSError as error:
        raise known_fault(error) or error from error
