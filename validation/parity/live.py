"""Parity of a live installation: online rows against training retrieval, each difference classified and explained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa
from feast import FeatureView, OnDemandFeatureView

from transformations.engine.base.disk_faults import faults_in_words
from transformations.engine.base.errors import DataError
from transformations.engine.base.settings import Settings
from transformations.stores.base.views import zone_of_views
from transformations.stores.redis.loaded import Loaded, loaded_views
from validation.parity.causes import Served
from validation.parity.on_demand import compare_on_demand
from validation.parity.report import FeatureReport, Finding, LiveReport
from validation.parity.sides import (
    Installation,
    NotComparable,
    Sample,
    compare_stored,
    sides_of,
    stored_views,
)

if TYPE_CHECKING:
    from feast import FeatureStore

__all__ = ["Sample", "check_live", "check_now", "report_on"]


@faults_in_words()
def check_live(
    store: FeatureStore,
    views: Sequence[FeatureView | OnDemandFeatureView],
    loaded: Mapping[str, Loaded],
    moment: datetime,
    *,
    entities: Sample | pa.Table | None = None,
    request: Mapping[str, object] | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> LiveReport:
    """Compare these views, online against training, at a moment (UTC).

    loaded: what each view was last materialized from, as Redis has it. entities: a sample of each view's own (an
    on-demand view is compared for those of the stored views that it reads), or rows of join keys and request fields.
    request: values of request fields that the entities lack, by name; others get one by their dtype.
    """
    installation = Installation(store, loaded, moment, request=request or {})
    return report_on(installation, views, Sample() if entities is None else entities, progress)


def check_now(
    store: FeatureStore,
    views: Sequence[FeatureView | OnDemandFeatureView],
    settings: Settings,
    *,
    entities: Sample | pa.Table,
    request: Mapping[str, object] | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> LiveReport:
    """Compare these views as they are loaded, at the settings' present moment."""
    loaded = loaded_views(store, settings)
    return check_live(store, views, loaded, settings.now(), entities=entities, request=request, progress=progress)


def report_on(
    installation: Installation,
    views: Sequence[FeatureView | OnDemandFeatureView],
    entities: Sample | pa.Table,
    progress: Callable[[int], None] = lambda _: None,
) -> LiveReport:
    """Compare these views one after the other; those that cannot be compared are left out, with the reason."""
    reports: list[FeatureReport] = []
    skipped: dict[str, str] = {}
    for view in views:
        try:
            reports += _compare_values(installation, view, entities)
        except NotComparable as reason:
            skipped[view.name] = str(reason)
        progress(1)
    differing = {each.feature.partition(":")[0] for each in reports if each.differing}
    stored = [view.name for view in views if isinstance(view, FeatureView)]
    unmaterialized = tuple(name for name in stored if name in differing and name not in installation.loaded)
    zone = zone_of_views(each for view in views for each in stored_views(installation.store, view))
    return LiveReport(
        moment=installation.moment, features=tuple(reports), skipped=skipped, unmaterialized=unmaterialized, zone=zone
    )


def _compare_values(
    installation: Installation, view: FeatureView | OnDemandFeatureView, entities: Sample | pa.Table
) -> Sequence[FeatureReport]:
    if isinstance(view, OnDemandFeatureView):
        reports = compare_on_demand(installation, view, entities)[0]
    else:
        reports = compare_stored(view, installation.sides_of(view, entities), installation)
    if not any(each.compared for each in reports):
        raise NotComparable("there is no entity to compare: no table behind it has a row")
    return reports


def look_at(
    store: FeatureStore,
    view: FeatureView | OnDemandFeatureView,
    feature: str,
    *,
    loaded: Mapping[str, Loaded],
    moment: datetime,
    entity: pa.Table,
    request: Mapping[str, object] | None = None,
) -> tuple[Served, Finding | None]:
    """Look up one feature of one entity, and say how it differs from training, if it does.

    entity: one row of join keys; request: as in `check_live`.
    """
    installation = Installation(store, loaded, moment, request=request or {})
    try:
        if isinstance(view, OnDemandFeatureView):
            reports, served = compare_on_demand(installation, view, entity)
        else:
            sides = sides_of(installation, view, entity)
            reports, served = compare_stored(view, sides, installation), sides.served
    except NotComparable as reason:
        raise DataError(f"{view.name}: {reason}") from reason
    found = next(each for each in reports if each.feature == f"{view.name}:{feature}")
    return served[feature][0], next(iter(found.examples), None)
