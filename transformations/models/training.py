"""Training a declared model: from a pinned dataset to a registered version, or to nothing at all."""

from __future__ import annotations

import getpass
import hashlib
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from pydantic import JsonValue

from transformations.datasets.create import verify
from transformations.datasets.manifest import FILE, Manifest, read_manifest
from transformations.engine.base import storage
from transformations.engine.base.disk_faults import faults_in_words
from transformations.engine.base.errors import UsageError
from transformations.engine.base.files.published import pull
from transformations.engine.base.settings import Settings
from transformations.engine.identity.code_revision import code_revision
from transformations.engine.lineage.events import Dataset, Field, report_run
from transformations.engine.lineage.names import model_dataset
from transformations.models.checking.check import Finding, check_dataset, refuse_breaches
from transformations.models.checking.growing import warnings_of
from transformations.models.declaration.config import Declaration
from transformations.models.declaration.reading import read_declared
from transformations.models.declaration.resolution import Resolved, resolve
from transformations.models.fitting.fit import Fit, Report, fit
from transformations.models.fitting.publishing import dead_runs, remove_run, running, write_artifact
from transformations.models.judging.business import business_figures
from transformations.models.log.event_log import EventLog
from transformations.models.log.stages import register
from transformations.models.log.standing import standing_of
from transformations.models.records.artifact import ArtifactManifest, RunFacts
from transformations.models.records.base import canonical_text
from transformations.models.records.events import Registered
from transformations.models.tracking.machine import observed
from transformations.models.tracking.mirror import unmirrored_by
from transformations.models.tracking.runs import Run, reaching, run_of
from transformations.models.trainers.interface import code_of, refuse_missing_library, trainer_of

LIBRARIES = ("feature-platform", "numpy", "pyarrow", "scikit-learn")


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A version that has just been registered. findings: of the dataset's check. warnings: what is allowed and probably
    not meant.
    """

    version: int
    folder: Path
    manifest: ArtifactManifest
    findings: tuple[Finding, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Pinned:
    """A dataset that has been held against its hashes. hash: of its manifest."""

    manifest: Manifest
    folder: Path
    hash: str

    def rows(self, split: str) -> pa.Table:
        """The rows of a split, in their order."""
        (found,) = [each for each in self.manifest.splits if each.name == split]
        return pq.read_table(self.folder / found.file, partitioning=None)

    @property
    def columns(self) -> dict[str, str]:
        """The columns of the files, with their Arrow types."""
        schema = pq.read_schema(self.folder / self.manifest.splits[0].file)
        return {field.name: str(field.type) for field in schema}


@faults_in_words()
def train(
    name: str,
    repository: Path,
    log: EventLog,
    settings: Settings,
    *,
    report: Report | None = None,
    why: str = "trained",
) -> Trained:
    """Train the model that a repository declares under this name, and register it as its next version.

    The declaration is checked whole (each business metric is asked of no rows), the dataset verified by hash and
    checked for doubtful rows, labels and features before a row is learned from (DataError where a limit is passed). The
    criteria's hash is recorded before training begins. The version exists from the moment its event is in the log:
    until then a killed process leaves nothing that anybody sees, and the next training clears it away. MLflow's copy is
    written last; where that fails, it is repaired by the next command that writes there.
    """
    declaration = read_declared(repository, name)
    refuse_missing_library(trainer_of(declaration.trainer))
    splits: dict[str, pa.Table] = {}
    dataset = pinned_dataset(declaration.dataset, settings, keep=splits.__setitem__)
    resolved = resolve(declaration, dataset.manifest, dataset.columns)
    business_figures(name, declaration.business, splits["test"].slice(0, 0), pa.array([], pa.float64()), None)
    findings = check_dataset(dataset.manifest, splits, settings.contracts, declaration.request_fields)
    refuse_breaches(declaration.dataset, findings)
    folder = settings.models_dir / name
    storage.make_folder(folder)
    dead = clear_dead_runs(name, folder, log)
    with run_of(name, settings) as run:
        for ended, is_registered in dead.items():
            run.end_other(ended, is_registered)
        _describe(run, declaration, dataset)
        target = folder / run.id
        with running(target):
            made, manifest = _train(
                run, resolved, dataset, splits=splits, target=target, settings=settings, report=report
            )
            with reaching(settings):
                run.write()
                run.client.log_artifacts(run.id, str(target), "artifact")
            event = register(log, name, registered(manifest), who=getpass.getuser(), why=why, at=settings.now())
            unmirrored = unmirrored_by(standing_of(name, log.events(name)), settings)
    _report_lineage(resolved, dataset, event.version, target.name, settings)
    warnings = (*made.warnings, *(f"{each.check}: {each.text}" for each in findings if each.warns))
    warnings += tuple(warnings_of(dataset.manifest, [column.name for column in resolved.inputs]))
    warnings += (f"MLflow's copy does not say so yet: {unmirrored}",) if unmirrored else ()
    return Trained(version=event.version, folder=target, manifest=manifest, findings=findings, warnings=warnings)


def _report_lineage(resolved: Resolved, dataset: Pinned, version: int, run: str, settings: Settings) -> None:
    """Tell of a training: the dataset that it learned from, and the columns that scores are computed from."""
    name, source = resolved.declaration.name, dataset.manifest.name
    report_run(
        settings,
        f"train_{name}",
        inputs=[Dataset(name=source)],
        outputs=[
            Dataset(
                name=model_dataset(name),
                columns={"score": "Float64"},
                reads={"score": [Field(source, column.name) for column in resolved.inputs]},
                version=version,
            )
        ],
        at=settings.now(),
        run=run,
    )


def pinned_dataset(name: str, settings: Settings, keep: Callable[[str, pa.Table], None] = lambda *_: None) -> Pinned:
    """The dataset of this name, verified by the hash of every split. DataError where it is not what it was.

    keep: see `verify`.
    """
    place = settings.datasets_dir / name
    pull(place)
    if not place.is_dir():
        raise UsageError(
            f"there is no dataset {name} yet. Make it: features dataset create feature_repo/datasets/{name}.yaml"
        )
    manifest, folder = read_manifest(place)
    verify(manifest, folder, keep)
    return Pinned(manifest=manifest, folder=folder, hash=hashlib.sha256((folder / FILE).read_bytes()).hexdigest())


def registered(manifest: ArtifactManifest) -> Registered:
    """What the log keeps of an artifact."""
    facts = manifest.facts
    return Registered(
        run_id=facts.run_id,
        artifact=manifest.id,
        dataset=facts.dataset,
        dataset_hash=facts.dataset_hash,
        criteria_hash=facts.criteria_hash,
    )


def clear_dead_runs(name: str, folder: Path, log: EventLog) -> dict[str, bool]:
    """Remove what killed trainings left; an artifact whose version is in the log stays. By run whether it is there."""
    dead = dead_runs(folder)
    if not dead:
        return {}
    kept = {event.change.run_id for event in log.events(name) if isinstance(event.change, Registered)}
    for run in dead:
        remove_run(folder / run, keep_artifact=run in kept)
    return {run: run in kept for run in dead}


def libraries_of(trainer: str) -> dict[str, str]:
    """The versions of what scores depend on."""
    library = trainer_of(trainer).library
    names: Sequence[str] = (*LIBRARIES, library) if library else LIBRARIES
    return {each: _installed(each) for each in dict.fromkeys(names)}


def machine() -> str:
    """The system and processor of this machine, such as `Linux x86_64`: elsewhere sums may have other last bits."""
    return f"{platform.system()} {platform.machine()}"


def trainer_code(trainer: str) -> str | None:
    """What of a trainer's own code decides what is learned and how it scores; None for one of the house."""
    code = code_of(trainer)
    return f"{code.fit}-{code.load}" if code else None


def _train(
    run: Run,
    resolved: Resolved,
    dataset: Pinned,
    *,
    splits: dict[str, pa.Table],
    target: Path,
    settings: Settings,
    report: Report | None,
) -> tuple[Fit, ArtifactManifest]:
    def reported(iteration: int, metrics: Mapping[str, float]) -> None:
        run.record(metrics, iteration)
        if report is not None:
            report(iteration, metrics)

    started = settings.now()
    with observed(run.record) as usage:
        made = fit(resolved, splits.pop("train"), splits.pop("validation"), reported)  # held nowhere else
    run.record({**made.metrics, **usage.totals}, 0)
    facts = _facts(run, resolved.declaration, dataset, made, started, settings.now())
    manifest = write_artifact(target, made, facts)
    return made, manifest


def _facts(
    run: Run, declaration: Declaration, dataset: Pinned, made: Fit, started: datetime, finished: datetime
) -> RunFacts:
    return RunFacts(
        model=declaration.name,
        run_id=run.id,
        dataset=dataset.manifest.name,
        dataset_hash=dataset.hash,
        criteria_hash=declaration.evaluation.hash,
        declaration=declaration.model_dump(mode="json"),
        code_revision=code_revision(),
        libraries=libraries_of(declaration.trainer),
        started_at=started,
        finished_at=finished,
        rows=made.rows,
        metrics=made.metrics,
        decision_value=made.decision_value,
        machine=machine(),
        trainer_code=trainer_code(declaration.trainer),
    )


def _describe(run: Run, declaration: Declaration, dataset: Pinned) -> None:
    """Everything that is fixed before training begins, the hash of the criteria among it."""
    document = declaration.model_dump(mode="json")
    rows: dict[str, JsonValue] = {split.name: split.rows for split in dataset.manifest.splits}
    run.describe(
        {
            **{f"hyperparameters.{key}": value for key, value in declaration.hyperparameters.items()},
            **{key: document[key] for key in ("dataset", "task", "trainer", "seed", "threads", "calibration")},
        },
        {
            "features.criteria_hash": declaration.evaluation.hash,
            "features.dataset_hash": dataset.hash,
            "features.code_revision": code_revision(),
            "features.owner": declaration.owner,
            "mlflow.note.content": declaration.description,
        },
    )
    run.use(dataset.manifest.name, dataset.hash, str(dataset.folder), canonical_text(rows))
    run.keep("declaration.yaml", yaml.safe_dump(document, sort_keys=False))
    run.keep("dataset_manifest.json", (dataset.folder / FILE).read_text())
    libraries: dict[str, JsonValue] = {**libraries_of(declaration.trainer)}
    run.keep("libraries.json", canonical_text(libraries))


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
