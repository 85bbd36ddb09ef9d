"""`features restore`: bring back the content of an earlier version of a view's table."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta

import click

from transformations.cli.options import json_option, view_names
from transformations.cli.output import print_json, progress, remark, say
from transformations.engine.base.settings import get_settings
from transformations.engine.base.words import human_duration, plural
from transformations.engine.tables.offline_tables import OfflineTable, Run, TableVersion
from transformations.insight.repository import read_repository


@click.command(
    epilog="""\b
Examples:
  features status user_visits                   lists the versions
  features restore user_visits --version 12
  features restore user_visits --version 12 --yes --json

\b
Nothing is removed: the old content becomes a new version, which wins in training and, once it is materialized, online.
The next build takes in again what has come since the restored version; retract or correct first what must not return.
"""
)
@click.argument("view", shell_complete=view_names)
@click.option("--version", type=click.IntRange(min=0), required=True, help="The version whose content to bring back.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def restore(view: str, version: int, yes: bool, as_json: bool) -> None:
    """Make VIEW's offline table read again as it did at an earlier version of the same definition."""
    from transformations.engine.upkeep import restore as restoring

    settings = get_settings()
    (offered,) = read_repository(settings).select([view])
    wanted, latest = restoring.restorable(OfflineTable(settings.offline_dir / view), offered.resolved, version)
    remark(f"now:  {_version_in_words(latest)}")
    remark(f"then: {_version_in_words(wanted)}")
    if not yes:
        click.confirm(f"Make {view} read as it did then?", abort=True, err=True)
    with progress(f"Restoring {view}"):
        run = restoring.restore(offered.resolved, settings, version)
    if as_json:
        print_json(asdict(run) if run else None)
    else:
        _print_restored(run, view, version)


def _version_in_words(version: TableVersion) -> str:
    run = version.run
    rows = plural(version.rows, "row")
    return f"version {version.version} ({run.kind}), complete through {run.complete_through}, {rows}"


def _print_restored(run: Run | None, view: str, version: int) -> None:
    if run is None:
        say(f"nothing to do: {view} reads as it did at version {version}")
        return
    newest = run.complete_through + timedelta(days=1)
    took = human_duration(run.seconds)
    say(f"{view} version {run.version} reads as version {version} did: {plural(run.rows, 'row')} written in {took}")
    say(f"as-of {run.first_as_of} to {newest}; later rows stand at what was known then")
    say("next:")
    say(f"  features build {view}     takes in again what has come since")
    say(f"  features status {view}    tells what brings it online")
