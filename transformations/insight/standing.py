"""The state of a repository: its views' freshness, its changes against the registry, and the commands to run next."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from transformations.engine.base.errors import ServiceUnavailableError
from transformations.engine.base.settings import Settings
from transformations.insight.repository import OfferedView, open_store, registered_views

if TYPE_CHECKING:
    from transformations.insight.changes import Changes
    from transformations.insight.freshness import ViewFreshness
    from transformations.stores.redis.loaded import Loaded


def freshness_of(
    chosen: Sequence[OfferedView], settings: Settings, report: Callable[[str], None]
) -> list[ViewFreshness]:
    """The freshness of these views; where Redis does not answer, which is reported, they count as not loaded."""
    from transformations.insight.freshness import view_freshness

    registered = registered_views(settings)
    online = _loaded(settings, report) if registered else {}
    return [
        view_freshness(each.resolved, settings, each.view, registered.get(each.view.name), online.get(each.view.name))
        for each in chosen
    ]


def servable_from(chosen: Sequence[OfferedView], views: Sequence[ViewFreshness]) -> datetime | None:
    """The moment at which the newest rows of all these views can be served; None until all are built."""
    from transformations.insight.freshness import common_moment

    built = [(each.resolved, view.offline) for each, view in zip(chosen, views, strict=True) if view.offline]
    return common_moment(built) if built and len(built) == len(chosen) else None


def next_commands(views: Sequence[ViewFreshness], moment: datetime | None, now: datetime) -> list[str]:
    """The commands to run, each once: one build and one load for all views that need it, the load last.

    The load ends where the newest row of each view is in, so that views whose sources end on different days are loaded
    by it all.
    """
    from transformations.insight.freshness import State, end_of_load, materialize_command

    building = (State.NOT_BUILT, State.REDEFINED, State.BEHIND)
    unbuilt = [view.view for view in views if view.state in building]
    waiting = [view for view in views if view.state is State.NOT_ONLINE]
    unloaded = [view.view for view in waiting]
    grouped = (*building, State.NOT_ONLINE)
    commands = [view.command for view in views if view.command and view.state not in grouped]
    if unbuilt:
        commands.append(" ".join(["features build", *([] if len(unbuilt) == len(views) else unbuilt)]))
    if unloaded and not any(view.state in (*building, State.NOT_APPLIED) for view in views):
        end = end_of_load([view.offline for view in waiting if view.offline], now, moment)
        commands.append(materialize_command(end, [] if len(unloaded) == len(views) else unloaded))
    return list(dict.fromkeys(commands))


def read_changes(settings: Settings) -> Changes:
    """Feast's plan of the repository against the registry, read."""
    from transformations.insight.changes import changes_of
    from transformations.insight.repository import read_contents
    from transformations.stores.base.collisions import refuse_collisions
    from transformations.stores.base.feast_seams import hide_experimental_warning

    declared = read_contents(settings)
    refuse_collisions(declared)
    store = open_store(settings)
    with warnings.catch_warnings():
        hide_experimental_warning()
        plan, _, _ = store.plan(declared)
    return changes_of(plan, store.registry.list_feature_services(store.project, allow_cache=False))


def _loaded(settings: Settings, report: Callable[[str], None]) -> dict[str, Loaded]:
    from transformations.stores.redis.loaded import loaded_views

    try:
        return loaded_views(open_store(settings), settings)
    except ServiceUnavailableError as error:
        report(f"What is online is unknown: {error}")
        return {}
