"""`features build`: bring the offline tables of the offered views up to where their sources are complete."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date, timedelta
from typing import TYPE_CHECKING

import click

from transformations.cli.commands.data.ingest import parse_day
from transformations.cli.commands.platform.compact import merged_line
from transformations.cli.options import json_option, view_names
from transformations.cli.output import console, print_json, print_table, remark, say
from transformations.engine.base.errors import FeaturesError, UsageError
from transformations.engine.base.settings import Settings, get_settings
from transformations.engine.base.words import human_duration, plural
from transformations.insight.repository import read_repository

if TYPE_CHECKING:
    from transformations.engine.merging.merged_files import Merged
    from transformations.engine.tables.offline_tables import Run
    from transformations.engine.vocabulary.resolution import Resolved


@click.command(
    epilog="""\b
Examples:
  features build
  features build user_visits
  features build user_visits --from 2020-01-01 --to 2020-01-31    these as-of days again
  features build --accept user_visits       though its values are not as expected
  features build --json | jq '.[] | select(.run) | {view, rows: .run.rows}'

\b
As-of a day means: at its start, before any of its events. A run publishes one version of a view's table, or none.
"""
)
@click.argument("views", metavar="[VIEW]...", nargs=-1, shell_complete=view_names)
@click.option("--from", "first", callback=parse_day, metavar="DAY", help="First as-of day to compute again.")
@click.option("--to", "last", callback=parse_day, metavar="DAY", help="Last as-of day to compute again, inclusive.")
@click.option(
    "--accept",
    "accepted",
    multiple=True,
    metavar="VIEW",
    shell_complete=view_names,
    help="Publish this view's values though they are not as expected; repeatable.",
)
@json_option
def build(views: Sequence[str], first: date | None, last: date | None, accepted: Sequence[str], as_json: bool) -> None:
    """Compute what is missing in the offline tables of each VIEW, or of all that feature_repo/ offers.

    Each view is built from where its table is complete to where its sources are. A table of another definition is
    rebuilt, but refused while a model uses the old one. If there is nothing new, nothing is written. Values that are
    not as validation/expectations/ says are kept aside (exit code 3), and the last version keeps serving; the run's
    record says what was accepted.
    """
    from transformations.insight.governance.contract_versions import require_buildable

    settings = get_settings()
    repository = read_repository(settings)
    chosen = [offered.resolved for offered in repository.select(views)]
    repository.select(accepted)
    if unbuilt := [name for name in accepted if views and name not in views]:
        raise UsageError(f"--accept {unbuilt[0]}: it is not among the views to build. Name it, too, or none at all.")
    for place in repository.unoffered:
        remark(f"{place.replace(':', ' has ')}, which no view in {repository.folder.name}/ offers: it is not built.")
    if not chosen:
        remark(f"{repository.folder.name}/ offers no view yet. `features new DOMAIN` writes a first one.")
    require_buildable(chosen, settings)
    runs, failures = _build_all(chosen, settings, first, last, accepted)
    for merged in _merge_many(chosen, settings):
        remark(merged_line(merged))
    if as_json:
        print_json([{"view": view, "run": asdict(run) if run else None} for view, run in runs.items()])
    else:
        _print_runs(runs, settings)
    if failures:
        for failure in failures[1:]:
            remark(f"Error: {failure}")
        raise failures[0]


def _build_all(
    chosen: Sequence[Resolved],
    settings: Settings,
    first: date | None,
    last: date | None,
    accepted: Sequence[str],
) -> tuple[dict[str, Run | None], list[FeaturesError]]:
    """Build one view after the other; one that fails does not hold up the rest."""
    from transformations.engine.compute.build import build as build_view

    runs: dict[str, Run | None] = {}
    failures: list[FeaturesError] = []
    for number, resolved in enumerate(chosen, start=1):
        with _reporting(f"{number}/{len(chosen)} {resolved.name}") as report:
            try:
                accept = resolved.name in accepted
                runs[resolved.name] = build_view(
                    resolved, settings, first=first, last=last, accept=accept, report=report
                )
            except FeaturesError as error:
                failures.append(error)
    return runs, failures


def _merge_many(chosen: Sequence[Resolved], settings: Settings) -> list[Merged]:
    """Compact the tables and sources that have many small files by now; one that is being written waits for the next
    build.
    """
    from transformations.datasets.compaction import compact as compact_all

    contracts = {each.name: each for view in chosen for each in (view.contract, *view.lookups.values())}
    found, _ = compact_all([view.name for view in chosen], contracts.values(), settings, only_many=True)
    return found


@contextmanager
def _reporting(title: str) -> Iterator[Callable[[str], None]]:
    """Show on stderr what a view's build is doing: one line that moves on a terminal, else a line a stage."""
    started = time.monotonic()
    if not sys.stderr.isatty():
        yield lambda stage: remark(f"{title}: {stage}")
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task(title)
        yield lambda stage: bar.update(task, description=f"{title}: {stage}")
    remark(f"{title}: {human_duration(time.monotonic() - started)}")


def _print_runs(runs: dict[str, Run | None], settings: Settings) -> None:
    done = [run for run in runs.values() if run]
    if done:
        headers = ["View", "Run", "As-of", "Rows written", "Late rows", "Seconds", "Complete through"]
        print_table(headers, [_cells_of_run(run) for run in done])
    for run in done:
        for line in count_lines(run):
            say(line)
        for line in unexpected_lines(run):
            say(line)
    if idle := [view for view, run in runs.items() if run is None]:
        say(f"nothing to do for {', '.join(idle)}: no source has anything new")
    if done:
        say(f"tables: {settings.offline_dir}")


def _cells_of_run(run: Run) -> tuple[object, ...]:
    newest = run.complete_through + timedelta(days=1)
    as_of = f"{run.first_as_of} – {newest}"
    return run.view, run.kind, as_of, run.rows, run.late_rows, round(run.seconds, 1), run.complete_through


def unexpected_lines(run: Run) -> list[str]:
    """What of a run's values is not as expected, a line a rule: accepted, or only a warning."""
    warned = [f"{run.view}: not as expected (a warning): {breach}" for breach in run.warned]
    return [*warned, *(f"{run.view}: not as expected, and accepted: {breach}" for breach in run.accepted)]


def count_lines(run: Run) -> list[str]:
    """What a run left out or could not match, a line a count: `a_view: 12 events without a match in b`."""
    return [
        f"{run.view}: {plural(count, what.replace('events', 'event', 1), what)}"
        for what, count in run.counts.items()
        if count and what != "events"
    ]
