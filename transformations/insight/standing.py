"""The state of a repository: its views' freshness, its changes against the registry, and the commands to run next."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from transformations.engine.base.disk_faults import folders_in
from transformations.engine.base.errors import DataError, ServiceUnavailableError, UsageError, nearest
from transformations.engine.base.settings import Settings
from transformations.engine.base.storage import Contents, contents, lacking_files
from transformations.engine.tables.offline_tables import OfflineTable, Run
from transformations.engine.tables.pins import pinned
from transformations.engine.vocabulary.resolution import Resolved
from transformations.insight.changes import Changes, changes_of
from transformations.insight.freshness import (
    State,
    ViewFreshness,
    common_moment,
    end_of_load,
    materialize_command,
    raw_snapshots,
    view_freshness,
)
from transformations.insight.repository import OfferedView, open_store, read_contents, registered_views
from transformations.stores.base.collisions import refuse_collisions
from transformations.stores.base.feast_seams import hide_experimental_warning
from transformations.stores.online import online_name
from transformations.stores.redis.loaded import Loaded, loaded_views


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version of a view's table. size_bytes: of all its files. is_whole: they are all there. pins: who needs it."""

    version: int
    kind: str
    started_at: datetime
    rows: int
    seconds: float
    size_bytes: int
    is_whole: bool
    pins: tuple[str, ...]


def freshness_of(
    chosen: Sequence[OfferedView], settings: Settings, report: Callable[[str], None]
) -> list[ViewFreshness]:
    """The freshness of these views; where Redis does not answer, which is reported, they count as not loaded."""
    registered = registered_views(settings)
    online = _loaded_views(settings, report) if registered else {}
    return [
        view_freshness(each.resolved, settings, each.view, registered.get(each.view.name), online.get(each.view.name))
        for each in chosen
    ]


def servable_from(chosen: Sequence[OfferedView], views: Sequence[ViewFreshness]) -> datetime | None:
    """The moment at which the newest rows of all these views can be served; None until all are built."""
    built = [(each.resolved, view.offline) for each, view in zip(chosen, views, strict=True) if view.offline]
    return common_moment(built) if built and len(built) == len(chosen) else None


def next_commands(views: Sequence[ViewFreshness], moment: datetime | None, now: datetime) -> list[str]:
    """The commands to run, each once: one build and one load for all views that need it, the load last.

    The load ends where the newest row of each view is in, so that views whose sources end on different days are loaded
    by it all.
    """
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
    declared = read_contents(settings)
    refuse_collisions(declared)
    store = open_store(settings)
    with warnings.catch_warnings():
        hide_experimental_warning()
        plan, _, _ = store.plan(declared)
    return changes_of(plan, store.registry.list_feature_services(store.project, allow_cache=False))


def require_sources(chosen: Sequence[Resolved], settings: Settings) -> None:
    """DataError naming every source of these views that was never ingested, before any work begins."""
    missing = {
        source: resolved.name
        for resolved in chosen
        for source, snapshot in raw_snapshots(resolved, settings).items()
        if snapshot is None
    }
    if missing:
        commands = "\n".join(f"  features ingest {source} FILE" for source in sorted(missing))
        needs = ", ".join(f"{source} (for {view})" for source, view in sorted(missing.items()))
        raise DataError(f"nothing has been ingested yet of {needs}. Run first:\n{commands}")


def read_runs(settings: Settings, views: Sequence[str] = ()) -> list[Run]:
    """The runs of these views' tables (without any: of all), each table's oldest first."""
    tables = [OfflineTable(folder) for folder in folders_in(settings.offline_dir)]
    built = {table.name: table for table in tables if table.exists()}
    for view in views:
        if view not in built:
            raise UsageError(f"no table {view!r} has been built in {settings.offline_dir}: {nearest(view, built)}.")
    return [run for name, table in built.items() if not views or name in views for run in table.runs()]


def read_versions(view: str, settings: Settings) -> list[Version]:
    """The versions of a view's table, oldest first."""
    table = OfflineTable(settings.offline_dir / view)
    runs = {run.version: run for run in table.runs()}
    pins, found = pinned(table), []
    run = None
    every = list(contents(table.path))
    gone = set(lacking_files(table.path, [table.path / file for each in every for file in each.files]))
    for each in every:
        run = runs.get(each.version) or _compaction_after(run, each)
        is_whole = gone.isdisjoint(table.path / file for file in each.files)
        found.append(_version_of(run, each.files, pins.get(each.version, ()), is_whole=is_whole))
    return found


def versions_loaded(settings: Settings) -> dict[str, int]:
    """The version that each view was last loaded from; ServiceUnavailableError if Redis does not answer."""
    if not registered_views(settings):
        return {}
    store = open_store(settings)
    loaded = loaded_views(store, settings)
    found = {view.name: loaded.get(online_name(view, store.config)) for view in store.list_feature_views()}
    return {name: each.version for name, each in found.items() if each is not None and each.version is not None}


def _loaded_views(settings: Settings, report: Callable[[str], None]) -> dict[str, Loaded]:
    try:
        return loaded_views(open_store(settings), settings)
    except ServiceUnavailableError as error:
        report(f"What is online is unknown: {error}")
        return {}


def _compaction_after(run: Run | None, published: Contents) -> Run:
    """The version that a compaction published after a run, as a run without rows."""
    if run is None:
        raise DataError(f"version {published.version} is of no run of ours.")
    moment = datetime.fromtimestamp(published.published, UTC)
    return replace(run, version=published.version, kind="compaction", started_at=moment, rows=0, seconds=0.0)


def _version_of(run: Run, files: Mapping[str, int], pins: tuple[str, ...], *, is_whole: bool) -> Version:
    return Version(
        version=run.version,
        kind=run.kind,
        started_at=run.started_at,
        rows=run.rows,
        seconds=run.seconds,
        size_bytes=sum(files.values()),
        is_whole=is_whole,
        pins=pins,
    )
