"""Releasing a declared model: dataset, check, training, evaluation and staging, each done once.

Every step first looks whether an earlier command has done it from the same things. So a release that was stopped or
killed goes on where it was, and one that is repeated does nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from feast import FeatureStore

from transformations.contracts.document import shown_path
from transformations.datasets.config import read_config
from transformations.datasets.create import create
from transformations.datasets.manifest import read_manifest
from transformations.datasets.registration import is_registered
from transformations.engine.base import storage
from transformations.engine.base.disk_faults import faults_in_words
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.moments import minute_text
from transformations.engine.base.settings import Settings
from transformations.models.declaration.config import Declaration
from transformations.models.declaration.monitoring import ModelMonitoring
from transformations.models.declaration.reading import read_declared
from transformations.models.fitting.fit import Report
from transformations.models.log.event_log import EventLog
from transformations.models.log.standing import Standing, VersionState, standing_of
from transformations.models.records.criteria import PRODUCTION
from transformations.models.records.events import StageChanged
from transformations.models.trainers.interface import refuse_missing_library, trainer_of
from transformations.models.training import Pinned, libraries_of, pinned_dataset, train, trainer_code
from transformations.models.versions import Judged, evaluate, judged_before, manifest_of, promote

_WHY = "released"


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step of a release that is over. is_reused: it had been done before, from the same things."""

    name: Literal["dataset", "check", "train", "evaluate", "staging"]
    is_reused: bool
    text: str


@dataclass(frozen=True, kw_only=True)
class Released:
    """How far a release came. The last step is `staging`, or `evaluate` where the gates did not pass."""

    model: str
    version: int
    steps: tuple[Step, ...]
    judged: Judged
    warnings: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the version has passed its gates, and so is in staging or beyond."""
        return self.judged.passed


@faults_in_words()
def release(
    name: str,
    repository: Path,
    log: EventLog,
    store: FeatureStore,
    settings: Settings,
    *,
    done: Callable[[Step], None] = lambda _step: None,
    report: Report | None = None,
) -> Released:
    """Bring what a repository declares under this name to staging: dataset → check → train → evaluate → staging.

    A dataset of the same configuration, a version trained from the same declaration, dataset, code and libraries, and a
    judgement of it are used again. done: called as each step ends. Where the gates do not pass, the answer says so and
    nothing moves. DataError where the dataset cannot be made or is not fit to learn from, or where nothing has changed
    since somebody archived the version that would come of it; ConflictError while another process releases the model.
    """
    declaration = read_declared(repository, name)
    refuse_missing_library(trainer_of(declaration.trainer))
    steps: list[Step] = []

    def over(step: Step) -> None:
        steps.append(step)
        done(step)

    with storage.exclusive(settings.models_dir / f".{name}.release.lock", f"the release of {name}", wait_seconds=0.0):
        over(_dataset(declaration, repository, store, settings))
        dataset = pinned_dataset(declaration.dataset, settings)
        state = _version_of(declaration, dataset, log, settings)
        warnings: tuple[str, ...] = ()
        if state is None:
            made = train(name, repository, log, settings, report=report, why=_WHY)
            warnings = made.warnings
            state = standing_of(name, log.events(name)).version(made.version)
            over(Step(name="check", is_reused=False, text="; ".join(each.text for each in made.findings)))
            text = f"version {state.number}, artifact {state.registered.artifact[:12]}"
            over(Step(name="train", is_reused=False, text=text))
        else:
            over(Step(name="check", is_reused=True, text=f"passed before version {state.number} was trained"))
            text = (
                f"version {state.number}, artifact {state.registered.artifact[:12]}: nothing it comes from has changed"
            )
            over(Step(name="train", is_reused=True, text=text))
        judged, step = _judgement(name, state, declaration, repository, log, settings)
        over(step)
        if judged.passed:
            over(_staging(name, state, log, settings))
    return Released(model=name, version=state.number, steps=tuple(steps), judged=judged, warnings=warnings)


def of_training(declaration: Declaration) -> Declaration:
    """The parts of a declaration on which a training, or a version's rights, depend."""
    return declaration.model_copy(
        update={
            "description": "",
            "owner": "",
            "tags": {},
            "business": (),
            "tuning": None,
            "monitoring": ModelMonitoring(),
        }
    )


def _dataset(declaration: Declaration, repository: Path, store: FeatureStore, settings: Settings) -> Step:
    """The dataset as it is declared now: made, completed where a killed process left it, or used as it is."""
    name = declaration.dataset
    file, target = repository / "datasets" / f"{name}.yaml", settings.datasets_dir / name
    if not file.is_file():
        if not target.exists():
            raise UsageError(f"{declaration.name}: there is neither a dataset {name} nor {file}, of which to make it.")
        return Step(name="dataset", is_reused=True, text=f"{name}, of which {repository.name}/ has no configuration")
    config, shown = read_config(file), shown_path(file)
    if config.name != name:
        raise UsageError(f"{shown}: name: {config.name!r} is not the file's name, by which the model asks for it.")
    if target.exists():
        manifest, _ = read_manifest(target)
        if manifest.config != config:
            ours, theirs = config.model_dump(), manifest.config.model_dump()
            differing = ", ".join(key for key in ours if ours[key] != theirs[key])
            raise DataError(
                f"dataset {name} was made of another configuration than {shown} holds now: {differing}. Give the "
                f"new one a name of its own, or, while nothing refers to the old one, make it anew: "
                f"features dataset create {file} --replace"
            )
        if is_registered(store, manifest):
            made_at = minute_text(manifest.created_at)
            return Step(name="dataset", is_reused=True, text=f"{name}, made at {made_at}")
    manifest = create(config, file.parent, store, settings)
    rows = ", ".join(f"{split.name} {split.rows:,} rows" for split in manifest.splits)
    return Step(name="dataset", is_reused=False, text=f"{name}: {rows}")


def _version_of(declaration: Declaration, dataset: Pinned, log: EventLog, settings: Settings) -> VersionState | None:
    """The newest version that a new training would merely reproduce. DataError where that one was archived."""
    standing = standing_of(declaration.name, log.events(declaration.name))
    for number in sorted(standing.versions, reverse=True):
        state = standing.versions[number]
        if not _is_made_of(state, declaration, dataset, settings):
            continue
        if state.stage == "archived":
            raise DataError(_archived(declaration.name, state, standing, log))
        return state
    return None


def _is_made_of(state: VersionState, declaration: Declaration, dataset: Pinned, settings: Settings) -> bool:
    if state.registered.dataset_hash != dataset.hash or state.registered.criteria_hash != declaration.evaluation.hash:
        return False
    facts = manifest_of(declaration.name, state, settings).facts
    return (
        of_training(Declaration.model_validate(facts.declaration)) == of_training(declaration)
        and facts.libraries == libraries_of(declaration.trainer)
        and facts.trainer_code == trainer_code(declaration.trainer)
    )


def _archived(model: str, state: VersionState, standing: Standing, log: EventLog) -> str:
    moves = [event for event in log.events(model) if isinstance(event.change, StageChanged)]
    move = next(event for event in reversed(moves) if event.at == state.since)
    there = standing.production
    instead = f" Production has version {there.number}." if there else ""
    return (
        f"model {model}: version {state.number} was archived at {minute_text(state.since)} "
        f"({move.who}: {move.why}), and nothing it was made of has changed since: a release would make the same model "
        f"again.{instead} Change the declaration or its dataset; or, if version {state.number} is wanted after all: "
        f"features model promote {model} {state.number} --to development"
    )


def _judgement(
    name: str, state: VersionState, declaration: Declaration, repository: Path, log: EventLog, settings: Settings
) -> tuple[Judged, Step]:
    """The judgement of a version: the one there is, unless its gates look at a production that has changed since."""
    judged = judged_before(name, state, settings)
    is_reused = judged is not None and (
        not any(gate.baseline == PRODUCTION for gate in declaration.evaluation.gates)
        or _compared_with(judged) == _in_production(name, state, log)
    )
    if judged is None or not is_reused:
        judged = evaluate(name, state.number, repository, log, settings)
    gates = judged.judgement.gates
    outcomes = [result.outcome for result in gates.results if result.gated] if gates else []
    passed = f"{outcomes.count('pass')} of {len(outcomes)} gates passed" if outcomes else "no gates"
    look = judged.judgement.evaluation.look
    return judged, Step(name="evaluate", is_reused=is_reused, text=f"{passed}, look {look}, report {judged.page}")


def _compared_with(judged: Judged) -> int | None:
    production = judged.judgement.evaluation.production
    return production.version if production else None


def _in_production(name: str, state: VersionState, log: EventLog) -> int | None:
    there = standing_of(name, log.events(name)).production
    return there.number if there and there.number != state.number else None


def _staging(name: str, state: VersionState, log: EventLog, settings: Settings) -> Step:
    if state.stage in ("staging", "production"):
        since = minute_text(state.since)
        return Step(name="staging", is_reused=True, text=f"version {state.number} is in {state.stage} since {since}")
    promote(name, state.number, "staging", log, settings, why=_WHY)
    return Step(name="staging", is_reused=False, text=f"version {state.number}")
