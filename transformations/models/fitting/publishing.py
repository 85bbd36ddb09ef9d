"""The folder of an artifact: written beside its place, put there at once, never written again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from transformations.datasets.folders import publish
from transformations.engine.base import storage
from transformations.engine.base.files.published import withdraw
from transformations.models.fitting.fit import Fit
from transformations.models.records.artifact import FILE, ArtifactManifest, RunFacts
from transformations.models.records.base import text_hash
from transformations.models.scoring import fitted
from transformations.models.scoring.artifact import REFERENCE_FILE


def write_artifact(target: Path, made: Fit, facts: RunFacts) -> ArtifactManifest:
    """Write the artifact to its folder, which must not be there yet. Nobody ever sees a part of it."""
    reference = made.reference.text()
    manifest = ArtifactManifest(id=made.id, scores=made.scores, reference=text_hash(reference), facts=facts)
    storage.make_folder(target.parent)
    unfinished = target.with_name(f".{target.name}-{uuid4().hex}{storage.UNFINISHED}")
    unfinished.mkdir(mode=storage.FOLDER_MODE)
    try:
        for name, content in made.files.items():
            storage.make_file(unfinished / name).write_bytes(content)
        for name, text in ((fitted.FILE, made.transformations.text()), (REFERENCE_FILE, reference)):
            storage.make_file(unfinished / name).write_text(text, encoding="utf-8")
        storage.make_file(unfinished / FILE).write_text(manifest.text(), encoding="utf-8")
        publish(unfinished, target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return manifest


@contextmanager
def running(target: Path) -> Iterator[None]:
    """Mark a run as alive: its lock ends with the process, so that what a killed one left can be told apart."""
    lock = _lock_of(target)
    with storage.exclusive(lock, f"run {target.name}", wait_seconds=10.0):
        yield
        lock.unlink(missing_ok=True)


def dead_runs(folder: Path) -> list[str]:
    """The runs in a model's folder whose process was killed."""
    found = []
    for lock in sorted(folder.glob(".*.lock")):
        # One that has just ended takes its lock away, which must not be made anew.
        with suppress(FileNotFoundError), lock.open("r+") as file:
            if storage.try_lock(file):
                found.append(lock.name.removeprefix(".").removesuffix(".lock"))
    return found


def remove_run(target: Path, *, keep_artifact: bool = False) -> None:
    """Remove what a killed run left: its unfinished folders, its lock, and its artifact unless that is to be kept."""
    if not keep_artifact:
        withdraw(target)
    leftovers = [*target.parent.glob(f".{target.name}-*{storage.UNFINISHED}")]
    for leftover in leftovers:
        shutil.rmtree(leftover, ignore_errors=True)
    _lock_of(target).unlink(missing_ok=True)


def _lock_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.lock")
