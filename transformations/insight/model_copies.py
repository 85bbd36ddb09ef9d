"""MLflow's copy of versions and stages, held against the log: a check of `features doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from transformations.engine.base.errors import FeaturesError
from transformations.engine.base.files.published import bring
from transformations.engine.base.settings import Settings
from transformations.engine.base.words import plural
from transformations.insight.repository import repository_folder
from transformations.models.log.event_log import log_of
from transformations.models.log.standing import Standing, standing_of
from transformations.models.tracking.mirror import Difference, compare
from transformations.stores.registry import registry_url

REMEDY = "Put MLflow's copy right: features model list. Stages are moved by: features model promote"


def standings(settings: Settings) -> list[Standing]:
    """How each model stands; none where nothing was ever trained. Makes nothing."""
    url = registry_url(settings)
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).exists():
        return []
    log = log_of(repository_folder(settings))
    return [standing_of(model, log.events(model)) for model in log.models()]


def differences(known: list[Standing], settings: Settings) -> list[tuple[str, Difference]]:
    """Where MLflow says other than the log, by model. ServiceUnavailableError where MLflow cannot be reached."""
    return [(each.model, difference) for each in known for difference in compare(each, settings)]


def lost_artifacts(known: list[Standing], settings: Settings) -> Iterator[tuple[str, Path]]:
    """Versions that may still answer, as `model 3`, whose artifact's folder is gone."""
    for each in known:
        for number, state in each.versions.items():
            folder = settings.models_dir / each.model / state.registered.run_id
            if state.stage != "archived" and not bring(folder).is_dir():
                yield f"{each.model} {number}", folder


def copies_text(known: list[Standing], settings: Settings) -> tuple[bool, str]:
    """Whether MLflow's copy says what the log says, and what to tell of it."""
    versions = plural(sum(len(each.versions) for each in known), "version")
    what = f"{plural(len(known), 'model')} with {versions}"
    if settings.mlflow_uri is None and not (settings.mlflow_dir / "mlflow.db").exists():
        return False, f"{what}, and MLflow has no copy of them"
    try:
        found = differences(known, settings)
    except FeaturesError as error:
        return False, f"{what}; MLflow's copy was not compared: {error.message}"
    if not found:
        return True, f"{what}; MLflow's copy says the same"
    model, first = found[0]
    return False, f"MLflow's copy says otherwise in {plural(len(found), 'place')}, such as {model}, {first}"
