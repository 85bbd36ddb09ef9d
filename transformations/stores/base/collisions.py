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
    """DefinitionError where a service of the repository has two values of one name; see `collisions_of`."""
    views = _views_of(declared)
    if faults := [fault for service in declared.feature_services for fault in collisions_of(service, views)]:
        raise DefinitionError("\n".join(faults))


def foretold_collisions(declared: RepoContents) -> Iterator[str]:
    """What to know of services in which two values have one name, a sentence each: Feast's registry takes them."""
    views = _views_of(declared)
    for service in declared.feature_services:
        if names := [name for name, _ in _clashes(service, views, full_names=None)]:
            yield (
                f"service {service.name} has several values called {', '.join(names)}. Ask for it with "
                f"{FULL_NAMES}=True: without, training is refused, and lookups where two features have one name."
            )


def collisions_of(
    service: FeatureService, views: Mapping[str, BaseFeatureView], *, full_names: bool | None = None
) -> Iterator[str]:
    """The faults in a service's names, one message per name. full_names: overrides the service's tag.

    Two of its views, stored or on-demand, have a feature of that name, or a feature has the name of a join key,
    another view's request field or the time, which the same request and training frame hold.
    """
    return (message for _, message in _clashes(service, views, full_names=full_names))


def _views_of(declared: RepoContents) -> dict[str, BaseFeatureView]:
    every = (*declared.feature_views, *declared.stream_feature_views, *declared.on_demand_feature_views)
    return {view.name: view for view in every}


def _clashes(
    service: FeatureService, views: Mapping[str, BaseFeatureView], *, full_names: bool | None
) -> Iterator[tuple[str, str]]:
    """Each name that means several values, with the message that says so."""
    if (service.tags.get(FULL_NAMES) == "true") if full_names is None else full_names:
        return
    holders: dict[str, list[str]] = {}
    replaced: set[str] = set()
    for projection in service.feature_view_projections:
        replaced |= _request_fields(views.get(projection.name)) & {each.name for each in projection.features}
        own = _own_columns(views.get(projection.name))
        for feature in projection.features:
            if feature.name in own:
                continue
            holders.setdefault(feature.name, []).append(_name_of(projection))
    keys, fields = _names_in_request(service, views)
    for name, held_by in holders.items():
        if len(held_by) > 1:
            why = f"have a feature {name} each, which neither lookups nor training could tell apart"
            yield name, f"service {service.name}: {' and '.join(held_by)} {why}. {_suggest_rename(held_by[-1])}"
        elif meant := keys.get(name) or (None if name in replaced else fields.get(name)):
            why = f"has the name of {meant}, which a request and a training frame hold beside it"
            yield name, f"service {service.name}: feature {name} of {held_by[0]} {why}. {_suggest_rename(held_by[0])}"


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


def _names_in_request(
    service: FeatureService, views: Mapping[str, BaseFeatureView]
) -> tuple[dict[str, str], dict[str, str]]:
    """The names that a request supplies itself, with what each is: keys and the moment, and request fields."""
    keys, fields = {EVENT_TIMESTAMP: "the time of a training row"}, dict[str, str]()
    for projection in service.feature_view_projections:
        view = views.get(projection.name)
        if isinstance(view, OnDemandFeatureView):
            fields |= dict.fromkeys(_request_fields(view), f"a request field of {view.name}")
            for read in view.source_feature_view_projections.values():
                keys |= _join_keys_of(read, views.get(read.name))
        else:
            keys |= _join_keys_of(projection, view)
    return keys, fields


def _request_fields(view: BaseFeatureView | None) -> set[str]:
    """The request fields of an on-demand view, whose place its own features may take."""
    if not isinstance(view, OnDemandFeatureView):
        return set()
    return {field.name for source in view.source_request_sources.values() for field in source.schema}


def _join_keys_of(projection: FeatureViewProjection, view: BaseFeatureView | None) -> dict[str, str]:
    keys: Iterable[str] = view.join_keys if isinstance(view, FeatureView) else ()
    roles = projection.join_key_map
    return {roles.get(key, key): f"a join key of {_name_of(projection)}" for key in keys if key != DUMMY_ENTITY_ID}


def _name_of(projection: FeatureViewProjection) -> str:
    return projection.name_alias or projection.name
