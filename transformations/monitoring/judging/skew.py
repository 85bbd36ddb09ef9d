"""Skew as a number over time: of predictions against what made them, and of what is online against training.

A sample of each is compared bit for bit, by the same code as `features predictions check` and `features parity`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date

from feast import FeatureStore, FeatureView, OnDemandFeatureView

from transformations.engine.base.errors import DataError, FeaturesError, UsageError
from transformations.engine.base.settings import Settings
from transformations.models.predictions.check import check
from transformations.models.predictions.replay import Replayer
from transformations.monitoring.judging.watched import Watched
from transformations.monitoring.reading.history import Finding
from validation.parity.causes import Kind
from validation.parity.live import Sample, check_now

MEASURE = "skewed share"


def skew_of_predictions(watched: Watched, day: date, replayer: Replayer) -> Finding:
    """The share of a sample of a day's predictions that are not what their records say they were made from."""
    found = Finding(
        day=day, version=0, part="skew", subject="predictions", measure=MEASURE, value=None, owner=watched.owner
    )
    try:
        checked = check(watched.model, day, watched.config.sample, replayer, watched.settings)
    except (DataError, UsageError) as error:
        return replace(found, text=f"not compared: {error.message.splitlines()[0]}")
    spared = sum(checked.spared.values())
    text = (
        f"of {checked.compared:,} compared bit for bit, {checked.late:,} late, {checked.corrected:,} corrected since, "
        f"{spared:,} beside them not comparable"
    )
    if not checked.compared:
        return replace(found, text=text)
    if checked.skewed:
        first = checked.skewed[0]
        text = f"{text}; the first: {first.id}: {first.cause}"
    return replace(
        found,
        value=len(checked.skewed) / checked.compared,
        limit=0.0,
        rows=checked.compared,
        text=text,
        state="alert" if checked.skewed else "fine",
    )


def skew_of_views(day: date, sample: int, open_store: Callable[[], FeatureStore], settings: Settings) -> list[Finding]:
    """By view the share of a sample of its online values that training does not give; and of those that are stale."""
    try:
        return list(_of_views(day, sample, open_store(), settings))
    except FeaturesError as error:  # Redis, a registry or a disk that does not answer is told of by what needs it
        text = f"not compared: {error.message.splitlines()[0]}"
        return [Finding(day=day, version=0, part="skew", subject="online", measure=MEASURE, value=None, text=text)]


def _of_views(day: date, sample: int, store: FeatureStore, settings: Settings) -> Iterator[Finding]:
    known: list[FeatureView | OnDemandFeatureView] = [
        *store.list_feature_views(),
        *store.list_on_demand_feature_views(),
    ]
    views = [view for view in known if getattr(view, "online", True)]
    owners = {view.name: view.owner for view in views}
    report = check_now(store, views, settings, entities=Sample(sample))
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for each in report.features:
        of_view = counts[each.feature.partition(":")[0]]
        skewed = each.kinds[Kind.SKEW]
        for place, number in enumerate((each.compared, skewed, each.differing - skewed)):
            of_view[place] += number
    for name, (compared, skewed, stale) in counts.items():
        found = Finding(
            day=day, version=0, part="skew", subject=f"view {name}", measure=MEASURE, value=None, owner=owners[name]
        )
        text = f"of {compared:,} values online against training"
        is_skewed = compared > 0 and skewed / compared > settings.parity_tolerance
        yield replace(
            found,
            value=skewed / compared if compared else None,
            limit=settings.parity_tolerance,
            rows=compared,
            text=text,
            state="alert" if is_skewed else "fine",
        )
        text = f"of {compared:,} values older online than in the tables"
        yield replace(found, measure="stale share", value=stale / compared if compared else None, text=text)
    for name, reason in report.skipped.items():
        yield Finding(
            day=day, version=0, part="skew", subject=f"view {name}", measure=MEASURE, value=None, owner=owners[name],
            text=f"not compared: {reason}",
        )  # fmt: skip
