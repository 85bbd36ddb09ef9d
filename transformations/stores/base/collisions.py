"""Refuses services in which two values would share a name, before anything is applied rather than at a lookup."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from feast import FeatureService, FeatureView, OnDemandFeatureView
from feast.base_feature_view import BaseFeatureView
from feast.feature_view import DUMMY_ENTITY_ID
from feast.feature_view_projection import FeatureViewProjection
from feast.repo_contents import RepoContents

from transformations.engine.base.errors import DefinitionError
from transformations.engine.base.moments import EVENT_TIMESTAMP

FULL_NAMES = "full_feature_names"
"""The tag of a service whose readers all ask with `full_feature_names=True`, so that views may share a name."""


def refuse_collisions(declared: RepoContents) -> None:
    """DefinitionError where a service of the repository has two values of one name.

    Two of its views, stored or on-demand, have a feature of that name, or a feature has the name of a join key,
    a request field or the time, which the same request and training frame hold.
    """
    views: dict[str, BaseFeatureView] = {
        view.name: view for view in (*declared.feature_views, *declared.on_demand_feature_views)
    }
    faults = [fault for service in declared.feature_services for fault in collisions_of(service, views)]
    if faults:
        raise DefinitionError("\n".join(faults))


def collisions_of(
    service: FeatureService, views: Mapping[str, BaseFeatureView], *, full_names: bool | None = None
) -> Iterator[str]:
    """The faults in a service's names, one message per name. full_names: overrides the service's tag."""
    if (service.tags.get(FULL_NAMES) == "true") if full_names is None else full_names:
        return
    holders: dict[str, list[str]] = {}
    for projection in service.feature_view_projections:
        own = _own_columns(views.get(projection.name))
        for feature in projection.features:
            if feature.name in own:
                continue
            holders.setdefault(feature.name, []).append(_name_of(projection))
    asked_with = _names_in_request(service, views)
    for name, held_by in holders.items():
        if len(held_by) > 1:
            yield (
                f"service {service.name}: {' and '.join(held_by)} have a feature {name} each, which neither lookups "
                f"nor training could tell apart. {_suggest_rename(held_by[-1])}"
            )
        elif name in asked_with:
            yield (
                f"service {service.name}: feature {name} of {held_by[0]} has the name of {asked_with[name]}, which a "
                f"request and a training frame hold beside it. {_suggest_rename(held_by[0])}"
            )


def _suggest_rename(view: str) -> str:
    return (
        f"Rename one, or list the other features alone: {view}[[…]]. Where every reader asks with {FULL_NAMES}=True, "
        f'the service says so: tags={{"{FULL_NAMES}": "true"}}.'
    )


def _own_columns(view: BaseFeatureView | None) -> set[str]:
    """A stored view's keys and event timestamp, which it may have among its features: they mean the same there."""
    if not isinstance(view, FeatureView):
        return set()
    stamp = view.batch_source.timestamp_field if view.batch_source else ""
    return {*view.join_keys, *([stamp] if stamp else [])}


def _names_in_request(service: FeatureService, views: Mapping[str, BaseFeatureView]) -> dict[str, str]:
    """The names that a request for the service supplies itself, with what each is: keys, request fields, the moment."""
    found = {EVENT_TIMESTAMP: "the time of a training row"}
    for projection in service.feature_view_projections:
        view = views.get(projection.name)
        if isinstance(view, OnDemandFeatureView):
            for source in view.source_request_sources.values():
                found |= {field.name: f"a request field of {view.name}" for field in source.schema}
            for read in view.source_feature_view_projections.values():
                found |= _join_keys_of(read, views.get(read.name))
        else:
            found |= _join_keys_of(projection, view)
    return found


def _join_keys_of(projection: FeatureViewProjection, view: BaseFeatureView | None) -> dict[str, str]:
    keys: Iterable[str] = view.join_keys if isinstance(view, FeatureView) else ()
    roles = projection.join_key_map
    return {roles.get(key, key): f"a join key of {_name_of(projection)}" for key in keys if key != DUMMY_ENTITY_ID}


def _name_of(projection: FeatureViewProjection) -> str:
    return projection.name_alias or projection.name
