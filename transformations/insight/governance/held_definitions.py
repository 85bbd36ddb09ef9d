"""Definitions of the repository that differ from what is applied, and that models use as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from transformations.engine.base.errors import DataError
from transformations.engine.base.settings import Settings
from transformations.engine.lineage.names import project_of
from transformations.insight.repository import open_store, read_contents
from transformations.models.holding.definitions import Definitions, definitions_of_objects
from transformations.models.holding.guard import REMEDY, held
from transformations.models.log.event_log import EventLog

if TYPE_CHECKING:
    from feast.repo_contents import RepoContents


def held_definitions(contents: RepoContents, settings: Settings, views: Sequence[str] | None = None) -> list[str]:
    """For each version of a model that applying the repository would break, a line in words.

    views: only what these would change; None: whatever would. Without models it costs a look into the registry.
    """
    if settings.registry_url is None and not settings.registry_path.exists():
        return []
    log = EventLog(project_of(settings).name)
    if not log.models():
        return []
    registry, project = (store := open_store(settings)).registry, store.project
    before = definitions_of_objects(
        [
            *registry.list_feature_views(project),
            *registry.list_on_demand_feature_views(project),
            *registry.list_feature_services(project),
        ]
    )
    after = definitions_of_objects(
        [*contents.feature_views, *contents.on_demand_feature_views, *contents.feature_services]
    )
    return held(before, after if views is None else _of_views(before, after, views), log, settings)


def refuse_held_views(views: Sequence[str], settings: Settings) -> None:
    """DataError where building these views would change, in its place, what a model uses."""
    if lines := held_definitions(read_contents(settings), settings, views):
        raise DataError("\n".join([*lines, f"Nothing was built. {REMEDY}"]))


def _of_views(before: Definitions, after: Definitions, views: Sequence[str]) -> Definitions:
    """What is defined once these views alone are as they are declared."""
    kept = {name: defined for name, defined in before.features.items() if name.partition(":")[0] not in views}
    new = {name: defined for name, defined in after.features.items() if name.partition(":")[0] in views}
    return Definitions(features={**kept, **new}, services=before.services)
