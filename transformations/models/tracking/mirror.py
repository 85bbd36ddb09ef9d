"""MLflow's registry as a copy of our log: compared, repaired, and never followed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transformations.engine.base.disk_faults import faults_in_words
from transformations.engine.base.errors import FeaturesError
from transformations.engine.base.settings import Settings
from transformations.engine.base.storage import exclusive
from transformations.models.log.standing import Standing
from transformations.models.tracking.runs import client_of, reaching

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

_VERSION, _STAGE, _ARTIFACT = "features.version", "stage", "features.artifact"
_ALIASES = ("staging", "production", "previous")


@dataclass(frozen=True)
class Difference:
    """A difference between MLflow and the log. ours, theirs: None for nothing."""

    what: str
    ours: str | None
    theirs: str | None

    def __str__(self) -> str:
        return f"{self.what}: the log says {self.ours or 'nothing'}, MLflow says {self.theirs or 'nothing'}"


@dataclass(frozen=True)
class _Copy:
    """What MLflow has of a model. versions: by our number; aliases: MLflow's own numbers."""

    registered: bool
    versions: dict[int, ModelVersion]
    aliases: Mapping[str, int]


def compare(standing: Standing, settings: Settings) -> list[Difference]:
    """What MLflow's copy of a model lacks or says otherwise. ServiceUnavailableError where MLflow cannot be reached."""
    with reaching(settings):
        return _differences(standing, _read_copy(standing.model, client_of(settings)))


def repair(standing: Standing, settings: Settings) -> list[Difference]:
    """Make MLflow's copy say what the log says; what was different. Processes of one data folder take turns: MLflow
    itself refuses one of two that register a name at once, and gives a version twice.
    """
    lock = settings.models_dir / f".{standing.model}.mlflow.lock"
    with exclusive(lock, f"MLflow's copy of model {standing.model}"), reaching(settings):
        client = client_of(settings)
        copy = _read_copy(standing.model, client)
        found = _differences(standing, copy)
        if found:
            _write(standing, copy, client, settings)
    return found


def unmirrored_by(standing: Standing, settings: Settings) -> str | None:
    """Repair the copy of what the log says already; what kept that from being done, if anything did. An error would
    say that nothing had happened, and ask for it to be done once more.
    """
    try:
        with faults_in_words():
            repair(standing, settings)
    except FeaturesError as error:
        return error.message
    return None


def _read_copy(model: str, client: MlflowClient) -> _Copy:
    """MLflow's own number of a version may differ from ours, and versions that others made have none of ours."""
    from mlflow.exceptions import MlflowException

    try:
        aliases: Mapping[str, Any] = client.get_registered_model(model).aliases
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return _Copy(registered=False, versions={}, aliases={})
    found = client.search_model_versions(f"name = '{model}'")
    return _Copy(
        registered=True,
        versions={int(each.tags[_VERSION]): each for each in found if _VERSION in each.tags},
        aliases={alias: int(version) for alias, version in aliases.items() if alias in _ALIASES},
    )


def _differences(standing: Standing, copy: _Copy) -> list[Difference]:
    found = []
    for number, state in standing.versions.items():
        version = copy.versions.get(number)
        if version is None:
            found.append(Difference(f"version {number}", state.stage, None))
        elif version.tags.get(_STAGE) != state.stage:
            found.append(Difference(f"stage of version {number}", state.stage, version.tags.get(_STAGE)))
    numbers = {int(version.version): number for number, version in copy.versions.items()}
    for alias, wanted in _wanted(standing).items():
        there = copy.aliases.get(alias)
        if (None if there is None else numbers.get(there, 0)) != wanted:
            foreign = None if there is None else f"version {numbers.get(there, 'of somebody else')}"
            found.append(Difference(f"alias {alias}", None if wanted is None else f"version {wanted}", foreign))
    return found


def _write(standing: Standing, copy: _Copy, client: MlflowClient, settings: Settings) -> None:
    model = standing.model
    if not copy.registered:
        client.create_registered_model(model)
    numbers = {number: int(version.version) for number, version in copy.versions.items()}
    for number, state in standing.versions.items():
        if number not in numbers:
            source, run = _source(model, state.registered.run_id, client, settings)
            made = client.create_model_version(
                model,
                source=source,
                run_id=run,
                tags={_VERSION: str(number), _STAGE: state.stage, _ARTIFACT: state.registered.artifact},
            )
            numbers[number] = int(made.version)
        elif copy.versions[number].tags.get(_STAGE) != state.stage:
            client.set_model_version_tag(model, str(numbers[number]), _STAGE, state.stage)
    for alias, wanted in _wanted(standing).items():
        if wanted is None:
            if alias in copy.aliases:
                client.delete_registered_model_alias(model, alias)
        elif copy.aliases.get(alias) != numbers[wanted]:
            client.set_registered_model_alias(model, alias, str(numbers[wanted]))


def _source(model: str, run_id: str, client: MlflowClient, settings: Settings) -> tuple[str, str | None]:
    """Where MLflow finds a version's artifact, and its run; our own folder and no run where MLflow has lost the run."""
    from mlflow.exceptions import MlflowException

    try:
        return f"{client.get_run(run_id).info.artifact_uri}/artifact", run_id
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return (settings.models_dir / model / run_id).as_uri(), None


def _wanted(standing: Standing) -> Mapping[str, int | None]:
    """Which version each alias names; of several in staging the newest."""
    staging = [number for number, state in standing.versions.items() if state.stage == "staging"]
    production = standing.production
    return {
        "staging": max(staging, default=None),
        "production": production.number if production else None,
        "previous": standing.previous,
    }
