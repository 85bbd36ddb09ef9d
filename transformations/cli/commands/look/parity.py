"""`features parity`: whether serving gives now what training gives for this moment, and if not, why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from transformations.cli.options import json_option, request_option
from transformations.cli.output import print_json, progress
from transformations.cli.parity_report import judge, print_report, views_named
from transformations.engine.base.settings import get_settings
from transformations.insight.repository import open_store, registered_views

if TYPE_CHECKING:
    from validation.parity.report import LiveReport

_SAMPLE = 1000
_ALLOWED = ("unmaterialized", "stale", "uncompared")


def _complete_view(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in sorted(registered_views(get_settings())) if name.startswith(incomplete)]


@click.command(
    epilog="""\b
Examples:
  features parity                                a sample of every view's entities
  features parity user_visits --all              all entities of one view
  features parity user_now --request '{"cart_value": 25.0}'
  features parity --json | jq '.features[] | select(.skew > 0)'

Late: published after it should have been served, or not materialized yet. Corrected since: the row was asserted anew
since it was materialized. Both are stale, and end with the next `feast materialize-incremental`. Skew is a fault.

\b
Exit code 3 unless everything was compared and is equal:
  skew            beyond the tolerance
  unmaterialized  a view that was never loaded into this Redis
  stale           values that are newer in the tables than in Redis
  uncompared      a view that could not be compared, or nothing to compare
"""
)
@click.argument("views", metavar="[VIEW]...", nargs=-1, shell_complete=_complete_view)
@click.option("--all", "everything", is_flag=True, help="Compare all entities instead of a sample.")
@click.option(
    "--sample", type=click.IntRange(min=1), default=_SAMPLE, show_default=True, help="Entities to compare per view."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Which sample: the same seed takes the same.")
@request_option
@click.option("--tolerance", type=click.FloatRange(0, 1), help="Share of values that may be skewed. [default: none]")
@click.option(
    "--allow",
    "allowed",
    type=click.Choice(_ALLOWED),
    multiple=True,
    help="An outcome that is no failure now; may be given more than once.",
)
@json_option
def parity(
    views: Sequence[str],
    everything: bool,
    sample: int,
    seed: int,
    request: dict[str, object],
    tolerance: float | None,
    allowed: Sequence[str],
    as_json: bool,
) -> None:
    """Compare online with training, value by value, for the entities of these VIEWs, or of all online views.

    Counts per feature how many values were compared, are equal and differ, and says of every difference whether it is
    late, corrected since, or skew, and what caused it. Anything but equality ends with exit code 3, unless allowed.
    """
    from validation.parity.live import Sample, check_now

    settings = get_settings()
    store = open_store(settings)
    chosen = views_named(store, views)
    with progress("Comparing online with training", len(chosen)) as advance:
        report = check_now(
            store,
            chosen,
            settings,
            entities=Sample(None if everything else sample, seed),
            request=request,
            progress=advance,
        )
    if as_json:
        print_json(document(report))
    else:
        print_report(report)
    judge(report, settings.parity_tolerance if tolerance is None else tolerance, allowed)


def document(report: LiveReport) -> dict[str, object]:
    """The report as JSON takes it."""
    from validation.parity.causes import Kind

    return {
        "moment": report.moment.isoformat(),
        "compared": report.compared,
        "differing": report.differing,
        "skewed": report.skewed,
        "stale": report.stale,
        "outcomes": [outcome.value for outcome in report.outcomes],
        "unmaterialized": list(report.unmaterialized),
        "skipped": dict(report.skipped),
        "features": [
            {
                "feature": each.feature,
                "compared": each.compared,
                "equal": each.equal,
                "differing": {form: each.forms[form] for form in ("value", "null", "missing")},
                "late": each.kinds[Kind.LATE],
                "corrected_since": each.kinds[Kind.CORRECTED],
                "skew": each.kinds[Kind.SKEW],
                "causes": dict(each.causes),
                "examples": [asdict(example) for example in each.examples],
            }
            for each in report.features
        ],
    }
