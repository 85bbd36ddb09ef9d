"""`features status`: how far each view is complete, offline and online, and the command that brings it up to date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from transformations.cli.output import human_bytes, json_option, print_json, print_table, remark, say
from transformations.engine.base.errors import ServiceUnavailableError
from transformations.engine.base.settings import Settings, get_settings
from transformations.insight.repository import OfferedView, open_store, read_repository, registered_views, view_names

if TYPE_CHECKING:
    from transformations.engine.tables.offline_tables import Run
    from transformations.insight.freshness import ViewFreshness
    from transformations.stores.redis.loaded import Loaded


@click.command(
    epilog="""\b
Examples:
  features status
  features status user_visits                                   with every version of its table
  features status --json | jq -r '.views[].command // empty'    what there is to do

\b
Complete through a day: all its events are in. Rows are written only when a value changes, so a table's newest row says
nothing about its freshness; how far it is complete does. Lag: the days that have ended since. A source is late when its
contract's slaProperties promise a fresher one: the last complete day may have ended frequency + latency ago.
"""
)
@click.argument("view", required=False, shell_complete=view_names)
@json_option
def status(view: str | None, as_json: bool) -> None:
    """Show how far each view is complete, what is online, and the command that comes next.

    With VIEW: that view alone, and the versions of its table: their runs, their sizes, and who has pinned them.
    """
    settings = get_settings()
    repository = read_repository(settings)
    chosen = repository.select([view] if view else [])
    views = freshness_of(chosen, settings)
    moment = servable_from(chosen, views)
    versions = _versions(view, settings) if view else []
    if as_json:
        facts = {"views": [asdict(each) for each in views], "versions": [asdict(each) for each in versions]}
        print_json({"moment": moment, **facts})
    elif views:
        _print(views, moment, settings.now())
        _print_versions(versions)
    else:
        say(f"{repository.folder.name}/ offers no view yet. `features new DOMAIN` writes a first one.")


def freshness_of(chosen: Sequence[OfferedView], settings: Settings) -> list[ViewFreshness]:
    """The freshness of these views; where Redis does not answer, they count as not loaded."""
    from transformations.insight.freshness import view_freshness

    registered = registered_views(settings)
    online = _loaded(settings) if registered else {}
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
    """What there is to do, each command once; one build and one load for all views that need it, the load last.

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


def _loaded(settings: Settings) -> dict[str, Loaded]:
    from transformations.stores.redis.loaded import loaded_views

    try:
        return loaded_views(open_store(settings), settings)
    except ServiceUnavailableError as error:
        remark(f"What is online is unknown: {error}")
        return {}


def _print(views: Sequence[ViewFreshness], moment: datetime | None, now: datetime) -> None:
    headers = ["View", "State", "Complete", "Sources", "Version", "Rows", "Size", "Online until"]
    print_table([*headers, "Lag"], [(*_row(view), _lag(view)) for view in views])
    if moment:
        say(f"\nthe newest rows of all of them can be served from {_utc(moment)} on")
    commands = next_commands(views, moment, now)
    for source, age in {source: age for view in views for source, age in view.late.items()}.items():
        say(f"{source} is late: its last complete day ended {_words(age)} ago, longer than its contract promises")
    say("next:" if commands else "nothing to do: every view has all that its sources have")
    for command in commands:
        say(f"  {command}")


def _lag(view: ViewFreshness) -> str | None:
    return f"{view.lag_days:,} day{'' if view.lag_days == 1 else 's'}" if view.lag_days else None


def _words(age: timedelta) -> str:
    return f"{age.days:,} days" if age.days > 1 else f"{age // timedelta(hours=1)} hours"


def _row(view: ViewFreshness) -> tuple[object, ...]:
    offline, online = view.offline, view.online
    is_same = online is not None and offline is not None and online.version == offline.version
    return (
        view.view,
        view.state.value,
        offline and offline.complete_through,
        _sources(view),
        offline and offline.version,
        offline and offline.rows,
        offline and human_bytes(offline.size_bytes),
        f"{_utc(online.end)}{'' if is_same else f' (version {online.version})'}" if online else None,
    )


def _sources(view: ViewFreshness) -> date | str | None:
    named = [through for through in view.sources.values() if through is not None]
    return min(named) if named else "always" if view.source_complete_through else None


@dataclass(frozen=True)
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


def _versions(view: str, settings: Settings) -> list[Version]:
    from transformations.engine.base.storage import contents
    from transformations.engine.tables.offline_tables import OfflineTable
    from transformations.engine.tables.pins import pinned

    table = OfflineTable(settings.offline_dir / view)
    runs = {run.version: run for run in table.runs()}
    pins, published = pinned(table), contents(table.path)
    return [_version(table.path, runs[each.version], each.files, pins.get(each.version, ())) for each in published]


def _version(folder: Path, run: Run, files: Mapping[str, int], pins: tuple[str, ...]) -> Version:
    return Version(
        version=run.version,
        kind=run.kind,
        started_at=run.started_at,
        rows=run.rows,
        seconds=run.seconds,
        size_bytes=sum(files.values()),
        is_whole=all((folder / file).exists() for file in files),
        pins=pins,
    )


def _print_versions(versions: Sequence[Version]) -> None:
    if versions:
        say("")
        rows = [
            (v.version, v.kind, _utc(v.started_at), v.rows, v.seconds, _size(v), ", ".join(v.pins)) for v in versions
        ]
        print_table(["Version", "Run", "Started", "Rows written", "Seconds", "Size", "Pinned by"], rows)


def _size(version: Version) -> str:
    return human_bytes(version.size_bytes) if version.is_whole else "given up"


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
