"""What is behind one value, of a stored or an on-demand feature."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from transformations.engine.base.errors import UsageError, nearest
from transformations.engine.base.settings import Settings
from transformations.insight.repository import read_contents, read_repository
from transformations.insight.values.asked import asked_moment, parse_key
from transformations.insight.values.explained import Explained, Online, Row, explain_stored
from transformations.insight.values.explained_on_demand import Computed, explain_computed

__all__ = ["Computed", "Explained", "Online", "Row", "explain_row", "explain_value"]


def explain_value(
    feature: str, key: str, at: str | None, request: Mapping[str, object], settings: Settings
) -> Explained | Computed:
    """Everything behind one value; UsageError for an unknown feature or key, DataError where nothing was ingested."""
    offered = read_repository(settings).views
    stored = {f"{name}:{each.name}": (view, each) for name, view in offered.items() for each in view.resolved.features}
    views = read_contents(settings).on_demand_feature_views
    computed = {f"{view.name}:{each.name}": (view, each.name) for view in views for each in view.features}
    name = _full_name(feature, [*stored, *computed])
    if name in computed:
        return explain_computed(*computed[name], offered, key=key, at=at, request=request, settings=settings)
    if request:
        raise UsageError(f"{name} is a stored feature, which reads nothing of a request. Leave --request out.")
    view, declared = stored[name]
    entity = parse_key(key, view.resolved.join_keys, view.resolved.name)
    asked = asked_moment(at, settings, [view.resolved.contract.shown_zone])
    return explain_stored(view, declared, entity, asked, settings)


def explain_row(
    reference: str, key: Mapping[str, object], moment: datetime, version: int | None, settings: Settings
) -> Explained:
    """Everything behind a value of a stored feature at a moment, as a version of its table had it. key: by join key.

    UsageError where no definition computes the feature; DataError where the version or its events are gone.
    """
    offered = read_repository(settings).views
    view_name, _, feature = reference.partition(":")
    view = offered.get(view_name)
    declared = next((each for each in view.resolved.features if each.name == feature), None) if view else None
    if view is None or declared is None:
        raise UsageError(f"no view computes {reference} any more, so nothing is known of the events behind it.")
    return explain_stored(view, declared, key, moment, settings, version)


def _full_name(feature: str, names: list[str]) -> str:
    """The `view:feature` that a full or short name means; UsageError where it is none of these, or several."""
    matching = [name for name in names if feature in (name, name.partition(":")[2])]
    if not matching:
        short = {name.partition(":")[2] for name in names}
        raise UsageError(f"no view computes a feature {feature!r}: {nearest(feature, short)}.")
    if len(matching) > 1:
        raise UsageError(f"{feature!r} is in several views. Write {' or '.join(matching)}.")
    return matching[0]
