"""`features parity`: whether what is served now is what training would have of the same moment, and if not, why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from transformations.cli.output import human_count, json_option, print_json, print_table, progress, say
from transformations.engine.base.errors import DataError, UsageError, nearest
from transformations.engine.base.settings import get_settings
from transformations.engine.base.words import plural
from transformations.insight.asked import request_option

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView, OnDemandFeatureView

    from validation.parity.report import FeatureReport, Finding, LiveReport

_SAMPLE = 1000
_ALLOWED = ("unmaterialized", "stale", "uncompared")


def _names(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from transformations.insight.repository import registered_views

    return [CompletionItem(name) for name in sorted(registered_views(get_settings())) if name.startswith(incomplete)]


@click.command(
    epilog="""\b
Examples:
  features parity                                a sample of every view's entities
  features parity user_visits --all              all entities of one view
  features parity user_now --request '{"cart_value": 25.0}'
  features parity --json | jq '.features[] | select(.skew > 0)'

\b
Late: published after it should have been served, or not materialized yet. Corrected since: the row was asserted anew
since it was materialized. Both are stale, and end with the next `feast materialize-incremental`. Skew is a fault.

\b
Exit code 3 unless everything was compared and is equal:
  skew            beyond the tolerance
  unmaterialized  a view that was never loaded into this Redis
  stale           values of which the table has newer ones than Redis
  uncompared      a view that could not be compared, or nothing to compare
"""
)
@click.argument("views", metavar="[VIEW]...", nargs=-1, shell_complete=_names)
@click.option("--all", "everything", is_flag=True, help="Compare all entities instead of a sample.")
@click.option("--sample", type=click.IntRange(min=1), default=_SAMPLE, show_default=True, help="Entities of each view.")
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
    """Compare online with training, value by value, for the entities of each VIEW, or of all that are applied online.

    Says for each feature how many values were compared, agree and differ, and for each difference whether it is late,
    corrected since, or skew, and its cause. Anything but equality ends with exit code 3, unless it is allowed.
    """
    from transformations.insight.repository import open_store
    from transformations.stores.redis.loaded import loaded_views
    from validation.parity.live import check_live
    from validation.parity.sides import Sample

    settings = get_settings()
    store = open_store(settings)
    chosen = _chosen(store, views)
    with progress("Comparing online with training", len(chosen)) as advance:
        report = check_live(
            store,
            chosen,
            loaded_views(store, settings),
            settings.now(),
            sample=Sample(None if everything else sample, seed),
            request=request,
            progress=advance,
        )
    if as_json:
        print_json(document(report))
    else:
        _print(report)
    _judge(report, settings.parity_tolerance if tolerance is None else tolerance, allowed)


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


def _chosen(store: FeatureStore, names: Sequence[str]) -> list[FeatureView | OnDemandFeatureView]:
    stored = store.registry.list_feature_views(store.project, allow_cache=True)
    computed = store.registry.list_on_demand_feature_views(store.project, allow_cache=True)
    known: dict[str, FeatureView | OnDemandFeatureView] = {view.name: view for view in stored}
    known |= {view.name: view for view in computed}
    for name in names:
        if name not in known:
            raise UsageError(f"no view {name!r} is applied: {nearest(name, known)}. Apply it first: feast apply.")
    if names:
        return [view for name, view in known.items() if name in names]
    return [view for view in known.values() if getattr(view, "online", True)]  # others are offline by declaration


def _print(report: LiveReport) -> None:
    from validation.parity.causes import Kind

    if not report.features:
        say("nothing was compared: no view is applied online, or none has rows")
        _print_skipped(report)
        return
    headers = ["Feature", "Compared", "Equal", "Value", "Null", "Missing", "Late", "Corrected", "Skew"]
    print_table(
        headers,
        [
            (
                each.feature,
                each.compared,
                each.equal,
                *(each.forms[form] or None for form in ("value", "null", "missing")),
                *(each.kinds[kind] or None for kind in (Kind.LATE, Kind.CORRECTED, Kind.SKEW)),
            )
            for each in report.features
        ],
    )
    for each in report.features:
        _print_causes(each)
    moment = report.moment.astimezone(UTC)
    say(f"\n{plural(report.compared, 'value')} at {moment:%Y-%m-%d %H:%M:%S} UTC: {_summary(report)}")
    _print_skipped(report)


def _summary(report: LiveReport) -> str:
    left_out = f"; {plural(len(report.skipped), 'view')} not compared" if report.skipped else ""
    if not report.differing:
        return f"all are equal{left_out}"
    differ, stale, skewed = (human_count(count) for count in (report.differing, report.stale, report.skewed))
    return f"{differ} differ, {stale} as Redis is stale, {skewed} by skew{left_out}"


def _print_skipped(report: LiveReport) -> None:
    for view, reason in report.skipped.items():
        say(f"not compared: {view}: {reason}")


def _print_causes(report: FeatureReport) -> None:
    if not report.differing:
        return
    say(f"\n{report.feature}")
    for cause, count in report.causes.most_common():
        say(f"  {cause}: {human_count(count)}")
        for example in report.examples:
            if f"{example.kind}: {example.cause}" == cause:
                say(f"    {_in_words(example)}")


def _in_words(example: Finding) -> str:
    keys = ", ".join(f"{name} {value}" for name, value in example.keys.items())
    return f"{keys}: online {example.online!r} ({example.status}), training {example.training!r}; {example.words}"


def _judge(report: LiveReport, tolerance: float, allowed: Sequence[str]) -> None:
    """DataError naming every outcome that is not allowed, worst first."""
    from validation.parity.report import Outcome

    words = {
        Outcome.SKEW: lambda: _skew_in_words(report, tolerance),
        Outcome.UNMATERIALIZED: lambda: (
            f"{', '.join(report.unmaterialized)}: never materialized into this Redis. Run `feast materialize`, or "
            f"allow it: --allow unmaterialized."
        ),
        Outcome.STALE: lambda: (
            f"{human_count(report.stale)} of {plural(report.compared, 'value')} "
            f"{'is' if report.stale == 1 else 'are'} stale: the tables have newer "
            f"ones than Redis. Run `feast materialize-incremental`, or allow it: --allow stale."
        ),
        Outcome.UNCOMPARED: lambda: (
            f"{', '.join(report.skipped) or 'nothing'} {'was not' if report.skipped else 'was'} compared, so whether "
            f"training and serving agree is unknown. Mend what stands beside `not compared`, name the views to "
            f"compare, or allow it: --allow uncompared."
        ),
    }
    is_tolerated = {Outcome.SKEW} if report.skew <= tolerance else set()
    failures = [each for each in report.outcomes if each not in is_tolerated and each.value not in allowed]
    if failures:
        raise DataError("\n".join(words[each]() for each in failures))


def _skew_in_words(report: LiveReport, tolerance: float) -> str:
    from validation.parity.causes import Kind, remedy_of

    worst = max(report.features, key=lambda each: each.kinds[Kind.SKEW])
    example = next(each for each in worst.examples if each.kind == Kind.SKEW)
    shares = f"{report.skew:.3%}, tolerated {tolerance:.3%}"
    return (
        f"{human_count(report.skewed)} of {plural(report.compared, 'value')} "
        f"{'is' if report.skewed == 1 else 'are'} skewed ({shares}), most of {worst.feature}: "
        f"{example.cause}. {_in_words(example)}. `features explain {example.feature} KEY` shows the events "
        f"and rows behind a value. {remedy_of(example.cause)}."
    )
