"""What is registered with Feast and what holds it: models that use it, services that give it, datasets made of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from feast import FeatureStore

from transformations.datasets.folders import dataset_folders
from transformations.datasets.manifest import read_manifest
from transformations.engine.base.errors import UsageError, nearest
from transformations.engine.base.settings import Settings
from transformations.models.holding.definitions import definitions_of_objects
from transformations.models.holding.uses import Use, uses
from transformations.models.log.event_log import EventLog

_UNTIL = {
    "in production": "until another version is in production, and one more after that, or it is archived",
    "being rolled out": "until its rollout ends, and as long as it is in production or may come back to it",
    "what a rollback would bring back": "until another version reaches production, or it is moved to development",
}


@dataclass(frozen=True, kw_only=True)
class Registered:
    """A view or service, and what holds it.

    held: by models, each with until when. free_since: when the last model that used it stopped; None while one does,
    and where none ever did. services, datasets: what else refers to a view; they hold nothing.
    """

    kind: Literal["view", "service"]
    name: str
    held: tuple[str, ...]
    free_since: datetime | None
    services: tuple[str, ...]
    datasets: tuple[str, ...]


def registered(store: FeatureStore, log: EventLog, settings: Settings, names: tuple[str, ...] = ()) -> list[Registered]:
    """The views and services that the registry knows, all or those named; UsageError for a name that it does not."""
    registry, project = store.registry, store.project
    services = registry.list_feature_services(project)
    views = [*registry.list_feature_views(project), *registry.list_on_demand_feature_views(project)]
    known = {**{view.name: "view" for view in views}, **{each.name: "service" for each in services}}
    for name in names:
        if name not in known:
            raise UsageError(f"the registry knows no view or service {name!r}: {nearest(name, known)}.")
    given = definitions_of_objects(services).services
    every = list(uses(log, settings, with_archived=True))
    made = _datasets_by_view(settings)
    found = []
    for name, kind in known.items():
        if not names or name in names:
            ours = [use for use in every if name in ({use.service} if kind == "service" else _views_of(use))]
            held = tuple(f"{use}: {_UNTIL[use.why]}" for use in ours if use.why)
            found.append(
                Registered(
                    kind="service" if kind == "service" else "view",
                    name=name,
                    held=held,
                    free_since=max((use.since for use in ours), default=None) if not held else None,
                    services=tuple(each for each, features in given.items() if _reads(features, name)),
                    datasets=tuple(made.get(name, ())),
                )
            )
    return found


def _views_of(use: Use) -> set[str]:
    return {name.partition(":")[0] for name in use.features}


def _reads(features: frozenset[str], view: str) -> bool:
    return any(name.startswith(f"{view}:") for name in features)


def _datasets_by_view(settings: Settings) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for folder in dataset_folders(settings.datasets_dir):
        manifest, _ = read_manifest(folder)
        for table in manifest.views:
            found.setdefault(table.name, []).append(manifest.name)
    return found
