"""`features runs`: the runs that wrote a view's offline table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from transformations.cli.commands.data.build import unexpected_lines
from transformations.cli.options import json_option, view_names
from transformations.cli.output import print_json, remark, say
from transformations.contracts.zones import zone_of_sources
from transformations.engine.base.moments import moment_text
from transformations.engine.base.settings import get_settings
from transformations.engine.base.words import human_duration, plural

if TYPE_CHECKING:
    from transformations.engine.tables.offline_tables import Run


@click.command(
    epilog="""\b
Examples:
  features runs
  features runs user_visits
  features runs user_visits --json | jq '.[-1].definition_hash'
"""
)
@click.argument("views", metavar="[VIEW]...", nargs=-1, shell_complete=view_names)
@json_option
def runs(views: Sequence[str], as_json: bool) -> None:
    """List the runs that wrote the offline tables of these VIEWs, or of all, oldest first.

    A run is one version of the table: what it covered, from which source versions, definition and code it came.
    """
    from transformations.insight.standing import read_runs

    settings = get_settings()
    found = read_runs(settings, views)
    if as_json:
        print_json([asdict(run) for run in found])
    elif found:
        for run in found:
            _print_run(run, zone_of_sources(run.sources, settings.contracts))
    else:
        remark("no table has been built yet: features build")


def _print_run(run: Run, zone: str) -> None:
    newest = run.complete_through + timedelta(days=1)
    started = moment_text(run.started_at.replace(microsecond=0), zone)
    sources = ", ".join(f"{name} v{version}" for name, version in sorted(run.sources.items()))
    title = click.style(f"{run.view} version {run.version}", bold=True)
    kind = run.kind if run.restores is None else f"{run.kind} of version {run.restores}"
    rows = f"{plural(run.rows, 'row')} in {human_duration(run.seconds)}"
    say(f"{title}: {kind}, {rows}, as-of {run.first_as_of} to {newest}")
    late = f", {plural(run.late_rows, 'late row')} of {plural(run.late_entities, 'entity', 'entities')}"
    say(f"  {started}, complete through {run.complete_through}{late if run.late_rows else ''}")
    say(f"  from {sources}; definition {run.definition_hash}, code {run.code_revision}")
    counts = [plural(count, what.replace("events", "event", 1), what) for what, count in run.counts.items() if count]
    if counts:
        say(f"  {', '.join(counts)}")
    for line in unexpected_lines(run):
        say(f"  {line.removeprefix(f'{run.view}: ')}")
