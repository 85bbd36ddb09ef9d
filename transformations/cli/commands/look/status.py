"""`features status`: how far each view is complete, offline and online, and the command that brings it up to date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import click

from transformations.cli.options import json_option, view_names
from transformations.cli.output import print_json, print_table, remark, say
from transformations.contracts import Contract
from transformations.contracts.zones import shared_zone
from transformations.engine.base.moments import moment_text
from transformations.engine.base.settings import get_settings
from transformations.engine.base.words import human_bytes, plural
from transformations.insight.repository import read_repository

if TYPE_CHECKING:
    from transformations.insight.freshness import ViewFreshness
    from transformations.insight.standing import Version


@click.command(
    epilog="""\b
Examples:
  features status
  features status user_visits                                   with every version of its table
  features status --json | jq -r '.views[].command // empty'    what there is to do

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
    from transformations.insight.standing import freshness_of, next_commands, read_versions, servable_from

    settings = get_settings()
    repository = read_repository(settings)
    chosen = repository.select([view] if view else [])
    views = freshness_of(chosen, settings, remark)
    moment = servable_from(chosen, views)
    versions = read_versions(view, settings) if view else []
    if as_json:
        facts = {"views": [asdict(each) for each in views], "versions": [asdict(each) for each in versions]}
        print_json({"moment": moment, **facts})
    elif views:
        contracts = {each.view.name: each.resolved.contract for each in chosen}
        _print_views(views, contracts, moment)
        _print_next(views, next_commands(views, moment, settings.now()))
        _print_versions(versions, shared_zone(contracts.values()))
    else:
        say(f"{repository.folder.name}/ offers no view yet. `features new DOMAIN` writes a first one.")


def _print_views(views: Sequence[ViewFreshness], contracts: Mapping[str, Contract], moment: datetime | None) -> None:
    headers = ["View", "State", "Complete", "Sources", "Version", "Rows", "Size", "Online until"]
    print_table(
        [*headers, "Lag"],
        [(*_cells_of_view(view, contracts[view.view].shown_zone), _lag_in_words(view)) for view in views],
    )
    if moment:
        every = "its newest rows" if len(views) == 1 else "the newest rows of all of them"
        say(f"\n{every} can be served from {_minute_text(moment, shared_zone(contracts.values()))} on")


def _print_next(views: Sequence[ViewFreshness], commands: Sequence[str]) -> None:
    for source, age in {source: age for view in views for source, age in view.late.items()}.items():
        say(
            f"{source} is late: its last complete day ended {_age_in_words(age)} ago, longer than its contract promises"
        )
    say("next:" if commands else "nothing to do: every view has all that its sources have")
    for command in commands:
        say(f"  {command}")


def _lag_in_words(view: ViewFreshness) -> str | None:
    return plural(view.lag_days, "day") if view.lag_days else None


def _age_in_words(age: timedelta) -> str:
    return plural(age.days, "day") if age.days > 1 else plural(age // timedelta(hours=1), "hour")


def _cells_of_view(view: ViewFreshness, zone: str) -> tuple[object, ...]:
    offline, online = view.offline, view.online
    is_same = online is not None and offline is not None and offline.has_rows_of(online.version)
    return (
        view.view,
        view.state.value,
        offline and offline.complete_through,
        _complete_sources(view),
        offline and offline.version,
        offline and offline.rows,
        offline and human_bytes(offline.size_bytes),
        f"{_minute_text(online.end, zone)}{'' if is_same else f' (version {online.version})'}" if online else None,
    )


def _complete_sources(view: ViewFreshness) -> date | str | None:
    named = [through for through in view.sources.values() if through is not None]
    return min(named) if named else "always" if view.source_complete_through else None


def _print_versions(versions: Sequence[Version], zone: str) -> None:
    if versions:
        say("")
        rows = [
            (v.version, v.kind, _minute_text(v.started_at, zone), v.rows, v.seconds, _size_text(v), ", ".join(v.pins))
            for v in versions
        ]
        print_table(["Version", "Run", "Started", "Rows written", "Seconds", "Size", "Pinned by"], rows)


def _minute_text(moment: datetime, zone: str) -> str:
    return moment_text(moment.replace(second=0, microsecond=0), zone, seconds=False)


def _size_text(version: Version) -> str:
    return human_bytes(version.size_bytes) if version.is_whole else "given up"
