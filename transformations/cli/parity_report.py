"""Print what a comparison of online with training found, and judge whether it is a failure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from transformations.cli.output import print_table, say
from transformations.engine.base.errors import DataError, UsageError, nearest
from transformations.engine.base.moments import moment_text, value_text
from transformations.engine.base.words import human_count, plural

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView, OnDemandFeatureView

    from validation.parity.report import FeatureReport, Finding, LiveReport


def views_named(store: FeatureStore, names: Sequence[str]) -> list[FeatureView | OnDemandFeatureView]:
    """The applied views of these names; without names, all that are online."""
    stored = store.registry.list_feature_views(store.project, allow_cache=True)
    computed = store.registry.list_on_demand_feature_views(store.project, allow_cache=True)
    known: dict[str, FeatureView | OnDemandFeatureView] = {view.name: view for view in stored}
    known |= {view.name: view for view in computed}
    for name in names:
        if name not in known:
            raise UsageError(
                f"no view {name!r} is applied: {nearest(name, known)}. Register it first: feast -c feature_repo apply."
            )
    if names:
        return [view for name, view in known.items() if name in names]
    return [view for view in known.values() if getattr(view, "online", True)]  # others are offline by declaration


def print_report(report: LiveReport) -> None:
    """A table of all features, the causes of what differs with examples, and a summary."""
    from validation.parity.causes import Kind

    if not report.features:
        say("nothing was compared" if report.skipped else "nothing was compared: no view is applied online")
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
    moment = moment_text(report.moment, report.zone)
    say(f"\n{plural(report.compared, 'value')} at {moment}: {_summary_in_words(report)}")
    _print_skipped(report)


def _summary_in_words(report: LiveReport) -> str:
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
                say(f"    {_finding_in_words(example)}")


def _finding_in_words(example: Finding) -> str:
    keys = ", ".join(f"{name} {value}" for name, value in example.keys.items())
    online, training = (value_text(value, example.zone, quoted=True) for value in (example.online, example.training))
    return f"{keys}: online {online} ({example.status}), training {training}; {example.words}"


def judge(report: LiveReport, tolerance: float, allowed: Sequence[str] = ()) -> None:
    """DataError naming every outcome that is not allowed, worst first."""
    from validation.parity.report import Outcome

    words = {
        Outcome.SKEW: lambda: _skew_in_words(report, tolerance),
        Outcome.UNMATERIALIZED: lambda: (
            f"{', '.join(report.unmaterialized)}: never materialized into this Redis. Run what `features status` "
            f"names, or allow it: --allow unmaterialized."
        ),
        Outcome.STALE: lambda: (
            f"{human_count(report.stale)} of {plural(report.compared, 'value')} "
            f"{'is' if report.stale == 1 else 'are'} stale: the tables have newer "
            f"ones than Redis. Run what `features status` names, or allow it: --allow stale."
        ),
        Outcome.UNCOMPARED: lambda: _uncompared_in_words(report),
    }
    is_tolerated = {Outcome.SKEW} if report.skew <= tolerance else set()
    failures = [each for each in report.outcomes if each not in is_tolerated and each.value not in allowed]
    if failures:
        raise DataError("\n".join(words[each]() for each in failures))


def _uncompared_in_words(report: LiveReport) -> str:
    if not report.skipped:
        return (
            "nothing was compared, so whether training and serving agree is unknown. `features status` names what "
            "comes first; or allow it: --allow uncompared."
        )
    return (
        f"{', '.join(report.skipped)} was not compared, so whether training and serving agree is unknown. Mend what "
        f"stands beside `not compared`, name the views to compare, or allow it: --allow uncompared."
    )


def _skew_in_words(report: LiveReport, tolerance: float) -> str:
    from validation.parity.causes import Kind, remedy_of

    worst = max(report.features, key=lambda each: each.kinds[Kind.SKEW])
    example = next(each for each in worst.examples if each.kind == Kind.SKEW)
    shares = f"{report.skew:.3%}, tolerated {tolerance:.3%}"
    return (
        f"{human_count(report.skewed)} of {plural(report.compared, 'value')} "
        f"{'is' if report.skewed == 1 else 'are'} skewed ({shares}), most of {worst.feature}: "
        f"{example.cause}. {_finding_in_words(example)}. `features explain {example.feature} KEY` shows the events "
        f"and rows behind a value. {remedy_of(example.cause, report.moment)}."
    )
