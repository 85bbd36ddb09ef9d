"""The rules that every offered object keeps: an owner, a meaning, a unit, an expected range, and a name that tells.

They hold for whatever a feature repository declares, made by our helpers or not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from feast import Entity, FeatureService, FeatureView, OnDemandFeatureView
from feast.repo_contents import RepoContents

from transformations.engine.errors import DefinitionError

_NUMERIC = ("Int32", "Int64", "Float32", "Float64")
_DURATIONS = ("seconds", "minutes", "hours", "days", "weeks", "months", "years")
_WINDOWED = re.compile(r"[a-z][a-z0-9_]*_[a-z]+_(\d+d|lifetime)")


@dataclass(frozen=True)
class Problem:
    """One rule that one object breaks. place: the object, such as `user_visits:count`; remedy: what to write."""

    place: str
    fault: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.place} {self.fault}. {self.remedy}."


@dataclass(frozen=True)
class _Feature:
    """What the rules look at of a feature, stored or on demand."""

    view: str
    name: str
    dtype: str
    facts: Mapping[str, str]
    is_windowed: bool


def problems(contents: RepoContents) -> list[Problem]:
    """Every rule that a repository's objects break, in the order of their declaration."""
    return list(_problems(contents))


def require_documented(contents: RepoContents) -> None:
    """DefinitionError that lists every rule that a repository's objects break."""
    found = problems(contents)
    if found:
        lines = "\n".join(f"  {problem}" for problem in found)
        raise DefinitionError(f"{len(found)} rules of documentation and naming are broken:\n{lines}")


def _problems(contents: RepoContents) -> Iterator[Problem]:
    entities = {entity.name: entity for entity in contents.entities if not entity.name.startswith("__")}
    for entity in entities.values():
        yield from _described(f"entity {entity.name}", entity)
    keyed_by: dict[str, tuple[str, ...]] = {}
    for view in contents.feature_views:
        keyed_by[view.name] = tuple(name for name in view.entities if name in entities)
        yield from _described(f"view {view.name}", view)
        yield from _named_for_an_entity(f"view {view.name}", view.name, keyed_by[view.name])
        for feature in _stored(view):
            yield from _feature(feature)
    for on_demand in contents.on_demand_feature_views:
        projections = on_demand.source_feature_view_projections.values()
        names = [name for projection in projections for name in keyed_by.get(projection.name, ())]
        yield from _described(f"on-demand view {on_demand.name}", on_demand)
        yield from _named_for_an_entity(f"on-demand view {on_demand.name}", on_demand.name, names)
        yield from _request_fields(on_demand)
        for feature in _computed(on_demand):
            yield from _feature(feature)
    for service in contents.feature_services:
        yield from _described(f"service {service.name}", service)
        if not re.fullmatch(r"[a-z][a-z0-9_]*_v[0-9]+", service.name):
            yield Problem(f"service {service.name}", "is not named <model>_v<N>", "Rename it, such as churn_v1")


def _described(place: str, declared: Entity | FeatureView | OnDemandFeatureView | FeatureService) -> Iterator[Problem]:
    for fact in ("owner", "description"):
        if not getattr(declared, fact).strip():
            yield Problem(place, f"has no {fact}", f"Write {fact}=…")


def _named_for_an_entity(place: str, name: str, entities: Sequence[str]) -> Iterator[Problem]:
    if entities and not any(name.startswith(f"{entity}_") for entity in entities):
        yield Problem(place, "is not named <entity>_<subject>", f"Begin its name with {' or '.join(entities)}_")


def _stored(view: FeatureView) -> Iterator[_Feature]:
    for field in view.features:
        facts = {"description": field.description, **field.tags}
        yield _Feature(view.name, field.name, str(field.dtype), facts, "window" in field.tags)


def _computed(view: OnDemandFeatureView) -> Iterator[_Feature]:
    """Feast keeps no description of an on-demand view's fields; ours are in the view's tags, as `feature.fact`."""
    for field in view.features:
        prefix = f"{field.name}."
        facts = {key.removeprefix(prefix): fact for key, fact in view.tags.items() if key.startswith(prefix)}
        yield _Feature(view.name, field.name, str(field.dtype), facts, is_windowed=False)


def _request_fields(view: OnDemandFeatureView) -> Iterator[Problem]:
    for source in view.source_request_sources.values():
        for field in source.schema:
            if not field.description.strip():
                yield Problem(
                    f"request field {source.name}:{field.name}", "has no description", "Write Field(description=…)"
                )


def _feature(feature: _Feature) -> Iterator[Problem]:
    place = f"feature {feature.view}:{feature.name}"
    for fact in ("description", "unit"):
        if not feature.facts.get(fact, "").strip():
            yield Problem(place, f"has no {fact}", f"Write {fact}=… where it is declared")
    if feature.dtype in _NUMERIC and not feature.facts.get("expect", "").strip():
        yield Problem(place, "is a number without an expected range", "Write expect=…, such as at_least(0)")
    yield from _name(place, feature)


def _name(place: str, feature: _Feature) -> Iterator[Problem]:
    words = feature.name.split("_")
    unit = feature.facts.get("unit", "")
    if feature.is_windowed and not _WINDOWED.fullmatch(feature.name):
        yield Problem(place, "is not named <measure>_<aggregation>_<window>", "Rename its measure")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", feature.name):
        yield Problem(place, "is not in lower case letters, digits and _", "Rename it")
    if (feature.dtype == "Bool") != (words[0] in ("is", "has")):
        yield Problem(place, f"is {feature.dtype}; is_… and has_… are for Bool, and Bool for them", "Rename it")
    if unit == "rate" and "rate" not in words:
        yield Problem(place, "is a rate, and its name does not say so", "End the measure's name in _rate")
    if unit in _DURATIONS and feature.dtype in _NUMERIC and unit not in words:
        yield Problem(place, f"is in {unit}, and its name does not say so", f"Put {unit} into its name")
