"""The rules of ownership: everything offered has an owner one can reach, is used by somebody, and is used as allowed.

What one object alone must say of itself (a meaning, a unit, a telling name) is `validation.documentation`'s to ask.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from feast import FeatureService
from feast.repo_contents import RepoContents

from transformations.contracts import PII_CLASSES, Contract
from transformations.engine.base.errors import nearest
from transformations.insight.governance.owners import ANY, FILE, Ownership
from transformations.insight.lineage.declared import Declared
from transformations.insight.lineage.graph import Kind, Lineage, Role, Thing
from transformations.stores.base.views import OUR_TAGS, highest_pii
from validation.feature_rules import Problem

CONSUMER = "consumer"
"""The tag of a service that names the model or application that reads it."""
CLEARANCE = "clearance"
"""The tag that names the highest class of personal data which a service, dataset or model may hold."""
_UNLISTED = {"service": (CONSUMER, CLEARANCE), "dataset": (CLEARANCE,), "model": (CLEARANCE,)}
"""The tags that owners.yaml need not list."""


@dataclass(frozen=True, kw_only=True)
class Offered:
    """All that the rules look at. ownership: None where the repository declares none."""

    contents: RepoContents
    contracts: Sequence[Contract]
    declared: Declared
    lineage: Lineage
    ownership: Ownership | None


def ownership_problems(offered: Offered) -> Iterator[Problem]:
    """Every rule of ownership that what is offered breaks."""
    if offered.ownership is None:
        yield Problem("feature repository", f"has no {FILE}", "Write owners: { NAME: { team: …, contact: … } }")
    else:
        yield from _unknown_owners(offered, offered.ownership)
        yield from _unknown_tags(offered, offered.ownership)
    yield from _unused_views(offered.contents)
    for service in offered.contents.feature_services:
        yield from _missing_consumer(service)
        taken = {f"{view.name}:{each.name}" for view in service.feature_view_projections for each in view.features}
        features = [thing for thing in offered.lineage.things if thing.kind is Kind.FEATURE and thing.name in taken]
        carried = pii_of(features, offered.lineage, offered.contracts)
        cleared = service.tags.get(CLEARANCE, PII_CLASSES[0])
        yield from exceeded_clearance(f"service {service.name}", cleared, carried, f'tags={{"{CLEARANCE}": "%s"}}')


def exceeded_clearance(place: str, cleared: str, carried: Mapping[str, str], tag: str) -> Iterator[Problem]:
    """A clearance that is none, or below the personal data that something carries.

    carried: by source column, as `pii_of` gives it. tag: how the clearance is written, with `%s` in its place.
    """
    if cleared not in PII_CLASSES:
        hint = nearest(cleared, PII_CLASSES)
        yield Problem(place, f"has the {CLEARANCE} {cleared!r}; {hint}", f"Use one of {', '.join(PII_CLASSES)}")
        return
    highest = highest_pii(carried.values())
    if PII_CLASSES.index(highest) > PII_CLASSES.index(cleared):
        columns = sorted(name for name, each in carried.items() if each == highest)
        shown = ", ".join(columns[:3]) + (f" and {len(columns) - 3} more" if len(columns) > 3 else "")
        remedy = f"Leave the features out, or have it cleared: {tag % highest}"
        yield Problem(place, f"carries {highest} data (from {shown}) and is cleared for {cleared}", remedy)


def pii_of(things: Sequence[Thing], lineage: Lineage, contracts: Sequence[Contract]) -> dict[str, str]:
    """By source column, the classes of personal data above the lowest that these things or their keys carry."""
    classes = {f"{each.name}.{column.name}": column.pii for each in contracts for column in each.columns}
    found: dict[str, str] = {}
    open_things = list(things)
    seen = set(things)
    while open_things:
        thing = open_things.pop()
        if thing.kind is Kind.COLUMN and classes.get(thing.name, PII_CLASSES[0]) != PII_CLASSES[0]:
            found[thing.name] = classes[thing.name]
        read = {arrow.origin for arrow in lineage.read_by(thing) if arrow.role is not Role.TIME}
        open_things += read - seen
        seen |= read
    return found


def _unknown_owners(offered: Offered, ownership: Ownership) -> Iterator[Problem]:
    contents = offered.contents
    owned: list[tuple[str, str]] = [(f"source {each.name}", each.owner) for each in offered.contracts]
    owned += [(f"entity {each.name}", each.owner) for each in contents.entities if not each.name.startswith("__")]
    owned += [(f"view {each.name}", each.owner) for each in contents.feature_views]
    owned += [(f"on-demand view {each.name}", each.owner) for each in contents.on_demand_feature_views]
    owned += [(f"service {each.name}", each.owner) for each in contents.feature_services]
    owned += [(f"dataset {each.name}", each.owner) for each in offered.declared.datasets]
    owned += [(f"model {each.name}", each.owner) for each in offered.declared.models]
    for place, owner in owned:
        if owner.strip():  # without one, the rules of documentation say so
            yield from _unresolved_owner(place, owner, ownership)


def _unresolved_owner(place: str, owner: str, ownership: Ownership) -> Iterator[Problem]:
    if owner not in ownership.owners:
        hint = nearest(owner, ownership.owners)
        yield Problem(place, f"is owned by {owner!r}, which {FILE} does not resolve; {hint}", f"Add it to {FILE}")


def _unknown_tags(offered: Offered, ownership: Ownership) -> Iterator[Problem]:
    contents = offered.contents
    tagged: list[tuple[str, Mapping[str, str]]] = [(f"entity {each.name}", each.tags) for each in contents.entities]
    tagged += [(f"view {each.name}", each.tags) for each in contents.feature_views]
    tagged += [(f"on-demand view {each.name}", each.tags) for each in contents.on_demand_feature_views]
    tagged += [(f"service {each.name}", each.tags) for each in contents.feature_services]
    tagged += [(f"dataset {each.name}", each.tags) for each in offered.declared.datasets]
    tagged += [(f"model {each.name}", each.tags) for each in offered.declared.models]
    for place, tags in tagged:
        # A tag with a dot is a fact of an on-demand view's feature, which Feast has no other place for.
        given = {key: tag for key, tag in tags.items() if key not in OUR_TAGS and "." not in key}
        for key, tag in given.items():
            if key in _UNLISTED.get(place.partition(" ")[0], ()):
                continue
            known = ownership.tags.get(key)
            if known is None:
                fault = f"has the tag {key!r}, which {FILE} does not list; {nearest(key, ownership.tags)}"
                yield Problem(place, fault, "List it, or remove it")
            elif known != ANY and tag not in known:
                hint = nearest(tag, known)
                yield Problem(place, f"has the tag {key}={tag!r}; {hint}", f"Use a value that {FILE} lists")


def _unused_views(contents: RepoContents) -> Iterator[Problem]:
    """A view that no service takes; one whose features an on-demand view of a service reads is used."""
    taken = {each.name for service in contents.feature_services for each in service.feature_view_projections}
    for on_demand in contents.on_demand_feature_views:
        if on_demand.name in taken:
            taken |= {each.name for each in on_demand.source_feature_view_projections.values()}
        else:
            yield Problem(f"on-demand view {on_demand.name}", "is in no service", "Add it to one, or remove it")
    for view in contents.feature_views:
        if view.name not in taken:
            yield Problem(f"view {view.name}", "is in no service", "Add it to one, or remove it")


def _missing_consumer(service: FeatureService) -> Iterator[Problem]:
    if not service.tags.get(CONSUMER, "").strip():
        remedy = f'Write tags={{"{CONSUMER}": …}}: the model or application that reads it'
        yield Problem(f"service {service.name}", "names no consumer", remedy)
