"""Rollout without an outage: picks the applied version of an on-demand view that this process has the code of.

The order is apply, then deploy. In between, a process with older code serves the newest version in the registry's
history whose hashes match its code, in training and serving alike. Feast keeps that history itself: one version for
each change of a view's text, which holds the hashes (stores/computed/wiring.py).
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from weakref import WeakKeyDictionary

from feast import FeatureView, Field, OnDemandFeatureView
from feast.base_feature_view import BaseFeatureView
from feast.errors import FeastObjectNotFoundException
from feast.feature_view_projection import FeatureViewProjection

from transformations.engine.base.errors import DataError, FeaturesError
from transformations.stores.base.feast_seams import cached_content
from transformations.stores.base.feast_seams import number as number_content
from transformations.stores.computed.evaluation import evaluation_of
from transformations.stores.computed.foretelling import never_loaded
from transformations.stores.computed.wiring import (
    NOT_SERVED,
    Code,
    code_of,
    hashes_of,
    is_wired,
    not_served,
    reference_of,
)

if TYPE_CHECKING:
    from feast.infra.registry.base_registry import BaseRegistry

_log = logging.getLogger(__name__)

# The version that each registry's history had for this code, by view: the history is read once for each apply.
_found: WeakKeyDictionary[object, dict[object, OnDemandFeatureView | None]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Newer:
    """A view whose applied version differs from the one this process serves. served: None if it serves none."""

    view: str
    applied: int | None
    served: int | None


def served_version(view: OnDemandFeatureView, registry: BaseRegistry, project: str) -> OnDemandFeatureView:
    """The newest version of an applied view that this process has the code of; usually the view itself.

    Sources, request fields and wiring are that version's. Features are that version's, and those that only the applied
    version has: this process cannot compute them, `not_served` names them. If this code knows none of the view's
    functions, the view is newer than the code, and none of its features is served.

    Errors: DataError if this code differs from every version that was ever applied.
    """
    if not is_wired(view) or code_of(view) is Code.SAME:
        return view
    known = _found.setdefault(registry, {})
    key = (project, view.name, tuple(hashes_of(view).items()))
    if key not in known:
        known[key] = _own_version(view, registry, project)
    return _with_features_of(view, known[key], registry, project)


def check_served(registry: BaseRegistry, project: str, *, is_strict: bool = False) -> None:
    """DataError at startup, rather than at each request, if a view was never applied with this process's code.

    A view that is newer than all of this code is logged and left out: an old server may restart during a rollout. A
    view of Feast's own that a request would be refused for is logged, too. is_strict: as `evaluate`.
    """
    refused = []
    _number_content(registry)
    for view in registry.list_on_demand_feature_views(project, allow_cache=True):
        try:
            served = served_version(view, registry, project)
        except DataError as error:
            refused.append(str(error))
            continue
        try:
            evaluation_of(served, is_strict=is_strict)
        except FeaturesError as error:
            _log.warning("%s Requests for this view will be refused.", error)
        read = {projection.name for projection in served.source_feature_view_projections.values()}
        views = {name: registry.get_any_feature_view(name, project, allow_cache=True) for name in read}
        offline = {name for name, source in views.items() if not getattr(source, "online", True)}
        for unloaded in never_loaded(served, offline):
            _log.warning("%s Lookups of it will be refused.", unloaded)
        if lacking := not_served(served):
            _log.warning("on-demand view %s: %s not served by this version of the code", view.name, sorted(lacking))
    if refused:
        raise DataError("\n".join(refused))


def newer_applied(registry: BaseRegistry, project: str) -> list[Newer]:
    """The on-demand views whose applied version this process does not serve, for /health and a metric."""
    newer = []
    _number_content(registry)
    for view in registry.list_on_demand_feature_views(project, allow_cache=True):
        try:
            served = served_version(view, registry, project)
        except DataError:
            newer.append(Newer(view.name, view.current_version_number, None))
            continue
        if served is not view:
            newer.append(Newer(view.name, view.current_version_number, served.current_version_number))
    return newer


def as_served(registry: BaseRegistry) -> BaseRegistry:
    """The registry, with each on-demand view in the version that this process serves.

    Feast's own resolution of a request then reads that version's sources and asks for that version's request fields.
    """
    _number_content(registry)
    return cast("BaseRegistry", registry if isinstance(registry, _AsServed) else _AsServed(registry))


class Reading(NamedTuple):
    """What a retrieval reads: Feast's resolution of the applied views, and further inputs of served versions."""

    feature_views: list[FeatureView]
    feature_refs: list[str]


def add_inputs(
    reading: Reading, on_demand: Sequence[OnDemandFeatureView], registry: BaseRegistry, project: str
) -> Reading:
    """Add the inputs of on-demand views that are served in another version than the applied one.

    Errors: DataError for a requested feature that the served version of its view lacks.
    """
    views = {reference_of(view): view for view in reading.feature_views}
    refs = dict.fromkeys(reading.feature_refs)
    for view in on_demand:
        if lacking := [ref for name in sorted(not_served(view)) if (ref := f"{reference_of(view)}:{name}") in refs]:
            raise DataError(
                f"{', '.join(lacking)}: applied by a newer version of the code than this one. Install that version, or "
                f"leave the feature out."
            )
        for projection in view.source_feature_view_projections.values():
            if projection.name not in views:
                source = registry.get_feature_view(projection.name, project, allow_cache=True)
                views[projection.name] = source.with_projection(copy.copy(projection))
            refs |= dict.fromkeys(f"{projection.name}:{feature.name}" for feature in projection.features)
    return Reading(list(views.values()), list(refs))


class _AsServed:
    def __init__(self, registry: BaseRegistry) -> None:
        self._registry = registry

    def __getattr__(self, name: str) -> Any:
        return getattr(self._registry, name)

    def get_any_feature_view(self, name: str, project: str, allow_cache: bool = False) -> BaseFeatureView:
        view = self._registry.get_any_feature_view(name, project, allow_cache)
        return served_version(view, self._registry, project) if isinstance(view, OnDemandFeatureView) else view

    def get_on_demand_feature_view(self, name: str, project: str, allow_cache: bool = False) -> OnDemandFeatureView:
        view = self._registry.get_on_demand_feature_view(name, project, allow_cache)
        return served_version(view, self._registry, project)


def _number_content(registry: BaseRegistry) -> None:
    content = cached_content(registry)
    if content is not None:
        number_content(content)


def _own_version(view: OnDemandFeatureView, registry: BaseRegistry, project: str) -> OnDemandFeatureView | None:
    """The newest version that this code can compute; None if it has none of the functions of any version."""
    is_known = code_of(view) is not Code.ABSENT
    for version in _versions_of(view.name, registry, project):
        code = code_of(version)
        if code is Code.SAME:
            return version
        is_known |= code is not Code.ABSENT
    if not is_known:
        return None
    differing = ", ".join(
        f"{path} was applied as {applied}, is {here or 'not there'}"
        for path, (applied, here) in hashes_of(view).items()
        if applied != here
    )
    raise DataError(
        f"on-demand view {view.name}: its functions' code here was never applied ({differing}), so no version of it "
        f"can be served. Run `feast apply` from this version of the code and then deploy it, or deploy a version that "
        f"was applied (`feast feature-views list-versions {view.name}`)."
    )


def _versions_of(name: str, registry: BaseRegistry, project: str) -> Iterator[OnDemandFeatureView]:
    """The view's versions, newest first; empty if the registry keeps none, as Feast's remote registry."""
    try:
        versions = registry.list_feature_view_versions(name, project)
    except NotImplementedError:
        return
    for number in sorted((version["version_number"] for version in versions), reverse=True):
        try:
            version = registry.get_feature_view_by_version(name, project, number)
        except FeastObjectNotFoundException:  # removed since the list was read
            continue
        if isinstance(version, OnDemandFeatureView) and is_wired(version):
            yield version


def _with_features_of(
    applied: OnDemandFeatureView, version: OnDemandFeatureView | None, registry: BaseRegistry, project: str
) -> OnDemandFeatureView:
    """The version, plus the applied view's features that it lacks, so that requests for all features get an answer."""
    own: list[Field] = list(version.features) if version else []
    names = {feature.name for feature in own}
    lacking = [feature.name for feature in applied.features if feature.name not in names]
    served = OnDemandFeatureView(
        name=applied.name,
        # A feature of another dtype now stands there twice: Feast looks for a service's features as a whole
        # (base_feature_view.py:272). Ours comes last, and so wins by name.
        schema=[*(feature for feature in applied.features if feature not in own), *own],
        sources=[*_current_projections(version, registry, project), *version.source_request_sources.values()]
        if version
        else [],
        input_schema=None if version else [],  # what Feast takes as "no sources"
        feature_transformation=(version or applied).feature_transformation,
        mode=applied.mode,
        description=applied.description,
        owner=applied.owner,
        tags={**(version.tags if version else {}), NOT_SERVED: ", ".join(lacking)},
    )
    served.current_version_number = version.current_version_number if version else None
    return served


def _current_projections(
    version: OnDemandFeatureView, registry: BaseRegistry, project: str
) -> Iterator[FeatureViewProjection]:
    """The version's source views with their current fields; Feast refuses fields with an old description."""
    for projection in version.source_feature_view_projections.values():
        now = {feature.name: feature for feature in _features_now(projection.name, registry, project)}
        if gone := [feature.name for feature in projection.features if feature.name not in now]:
            raise DataError(
                f"on-demand view {version.name}: version {version.current_version_number}, whose code this process "
                f"has, reads {', '.join(f'{projection.name}:{name}' for name in gone)}, which is no longer applied. "
                f"Deploy the version of the code that is applied."
            )
        current = copy.copy(projection)
        current.features = [now[feature.name] for feature in projection.features]
        yield current


def _features_now(name: str, registry: BaseRegistry, project: str) -> list[Field]:
    try:
        return list(registry.get_any_feature_view(name, project, allow_cache=True).features)
    except FeastObjectNotFoundException:
        return []
