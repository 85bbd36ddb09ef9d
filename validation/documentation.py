"""The rules that every offered object keeps: an owner, a meaning, a unit, an expected range, and a telling name.

They hold for whatever a feature repository declares, made by our helpers or not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from feast import Entity, FeatureService, FeatureView, Field, OnDemandFeatureView
from feast.repo_contents import RepoContents

from transformations.engine.base.errors import DefinitionError
from validation.feature_rules import FeatureFacts, Problem, feature_problems


def problems(contents: RepoContents) -> list[Problem]:
    """Every rule that a repository's objects break, in the order of their declaration."""
    return list(_problems_of_view(contents))


def require_documented(contents: RepoContents) -> None:
    """DefinitionError that lists every rule that a repository's objects break."""
    found = problems(contents)
    if found:
        lines = "\n".join(f"  {problem}" for problem in found)
        raise DefinitionError(f"{len(found)} rules of documentation and naming are broken:\n{lines}")


def _problems_of_view(contents: RepoContents) -> Iterator[Problem]:
    entities = {entity.name: entity for entity in contents.entities if not entity.name.startswith("__")}
    for entity in entities.values():
        yield from _described_features(f"entity {entity.name}", entity)
    keyed_by: dict[str, tuple[str, ...]] = {}
    for view in contents.feature_views:
        keyed_by[view.name] = tuple(name for name in view.entities if name in entities)
        yield from _described_features(f"view {view.name}", view)
        yield from _named_for_an_entity(f"view {view.name}", view.name, keyed_by[view.name])
        for feature in _stored_facts(view):
            yield from feature_problems(feature)
    for on_demand in contents.on_demand_feature_views:
        projections = on_demand.source_feature_view_projections.values()
        names = [name for projection in projections for name in keyed_by.get(projection.name, ())]
        yield from _described_features(f"on-demand view {on_demand.name}", on_demand)
        yield from _named_for_an_entity(f"on-demand view {on_demand.name}", on_demand.name, names)
        yield from _request_fields(on_demand)
        for feature in _on_demand_facts(on_demand):
            yield from feature_problems(feature)
    for service in contents.feature_services:
        yield from _described_features(f"service {service.name}", service)
        if not re.fullmatch(r"[a-z][a-z0-9_]*_v[0-9]+", service.name):
            yield Problem(f"service {service.name}", "is not named <model>_v<N>", "Rename it, such as churn_v1")


def _described_features(
    place: str, declared: Entity | FeatureView | OnDemandFeatureView | FeatureService
) -> Iterator[Problem]:
    for fact in ("owner", "description"):
        if not getattr(declared, fact).strip():
            yield Problem(place, f"has no {fact}", f"Write {fact}=…")


def _named_for_an_entity(place: str, name: str, entities: Sequence[str]) -> Iterator[Problem]:
    if entities and not any(name.startswith(f"{entity}_") for entity in entities):
        yield Problem(place, "is not named <entity>_<subject>", f"Begin its name with {' or '.join(entities)}_")


def _stored_facts(view: FeatureView) -> Iterator[FeatureFacts]:
    for field in view.features:
        facts = {"description": field.description, **field.tags}
        yield _feature_facts(view.name, field, facts, is_windowed="window" in field.tags)


def _on_demand_facts(view: OnDemandFeatureView) -> Iterator[FeatureFacts]:
    """Feast keeps no description of an on-demand view's fields; ours are in the view's tags, as `feature.fact`."""
    for field in view.features:
        prefix = f"{field.name}."
        facts = {key.removeprefix(prefix): fact for key, fact in view.tags.items() if key.startswith(prefix)}
        yield _feature_facts(view.name, field, facts, is_windowed=False)


def _feature_facts(view: str, field: Field, facts: Mapping[str, str], is_windowed: bool) -> FeatureFacts:
    return FeatureFacts(view=view, name=field.name, dtype=str(field.dtype), facts=facts, is_windowed=is_windowed)


def _request_fields(view: OnDemandFeatureView) -> Iterator[Problem]:
    for source in view.source_request_sources.values():
        for field in source.schema:
            if not field.description.strip():
                yield Problem(
                    f"request field {source.name}:{field.name}", "has no description", "Write Field(description=…)"
                )
