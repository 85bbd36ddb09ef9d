"""What `feast apply` would change, from Feast's own plan: by feature, with who is touched and what is to be rebuilt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from feast import FeatureService, FeatureView, OnDemandFeatureView
from feast.diff.property_diff import TransitionType
from feast.diff.registry_diff import FeastObjectDiff, RegistryDiff
from feast.infra.registry.registry import FeastObjectType
from google.protobuf.message import Message

from transformations.engine.base.words import plural
from transformations.stores.base.views import DEFINITION_HASH, FEATURE_HASHES

# Feast's own dummy entity, and what carries no meaning of its own: a view's source changes only with the view.
_SILENT = (FeastObjectType.DATA_SOURCE, FeastObjectType.PROJECT, FeastObjectType.PERMISSION)
_KINDS = {
    FeastObjectType.FEATURE_VIEW: "view",
    FeastObjectType.STREAM_FEATURE_VIEW: "view",
    FeastObjectType.ON_DEMAND_FEATURE_VIEW: "on-demand view",
    FeastObjectType.FEATURE_SERVICE: "service",
    FeastObjectType.ENTITY: "entity",
}

View = FeatureView | OnDemandFeatureView


class Action(StrEnum):
    """What happens to one thing."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True, kw_only=True)
class Change:
    """One object that an apply would change. details: its changed properties, as `before → after` where short.

    is_destructive: whoever reads it now would fail, or read something else under the same name.
    """

    action: Action
    kind: str
    name: str
    details: tuple[str, ...] = ()
    is_destructive: bool = False


@dataclass(frozen=True, kw_only=True)
class Changes:
    """All changes.

    touched_*, owners: what exists now and reads or owns something that changes. computed: the definition's hash of each
    view that is new or computes something else. widened: the features that each service gets because a view that it
    had got them.
    """

    changes: tuple[Change, ...]
    touched_views: tuple[str, ...]
    touched_services: tuple[str, ...]
    owners: tuple[str, ...]
    computed: Mapping[str, str]
    widened: Mapping[str, tuple[str, ...]]

    @property
    def is_destructive(self) -> bool:
        """Whether any change takes something away from those who read it now."""
        return any(change.is_destructive for change in self.changes)


@dataclass(kw_only=True)
class _Findings:
    changes: list[Change] = field(default_factory=list)
    references: set[str] = field(default_factory=set)
    views: dict[str, None] = field(default_factory=dict)
    owners: set[str] = field(default_factory=set)
    computed: dict[str, str] = field(default_factory=dict)


def changes_of(plan: RegistryDiff, services: Iterable[FeatureService]) -> Changes:
    """Read Feast's plan. services: those that the registry has now."""
    found = _Findings()
    for diff in plan.feast_object_diffs:
        if not diff.name.startswith("__") and _is_change(diff):
            _add_object(diff, found)
    touched = [service for service in services if found.references & set(_references_of(service))]
    changed = {change.name for change in found.changes if change.kind == "service"}
    found.owners |= {service.owner for service in touched}
    return Changes(
        changes=tuple(sorted(found.changes, key=_by_importance)),
        touched_views=tuple(found.views),
        touched_services=tuple(sorted({service.name for service in touched} | changed)),
        owners=tuple(sorted(owner for owner in found.owners if owner)),
        computed=found.computed,
        widened=_widened_services(plan, {change.name for change in found.changes if _is_new_feature(change)}),
    )


def _is_new_feature(change: Change) -> bool:
    return change.kind == "feature" and change.action == Action.ADDED


def _widened_services(plan: RegistryDiff, new: set[str]) -> dict[str, tuple[str, ...]]:
    """new: the features that views get which have been there before."""
    found = {}
    for diff in plan.feast_object_diffs:
        before, after = diff.current_feast_object, diff.new_feast_object
        if isinstance(before, FeatureService) and isinstance(after, FeatureService):
            had = _references_of(before)
            gained = tuple(each for each in _references_of(after) if each in new and each not in had)
            if gained:
                found[diff.name] = gained
    return dict(sorted(found.items()))


def _is_change(diff: FeastObjectDiff) -> bool:
    """Whether anything that was declared differs.

    Once a view was materialized Feast compares its whole text (feature_view.py:412), and finds that the source in it
    was given timestamps when it was registered: a change that an apply would not end.
    """
    if diff.transition_type != TransitionType.UPDATE:
        return diff.transition_type != TransitionType.UNCHANGED
    pairs = ((each.val_existing, each.val_declared) for each in diff.feast_object_property_diffs)
    return any(_without_meta(before) != _without_meta(after) for before, after in pairs)


def _without_meta(value: Any) -> object:
    if not (isinstance(value, Message) and "meta" in value.DESCRIPTOR.fields_by_name):
        return value
    bare = type(value)()
    bare.CopyFrom(value)
    bare.ClearField("meta")
    return bare


def _by_importance(change: Change) -> tuple[int, int, str]:
    """Removals first, then changes; within both, services last."""
    actions, kinds = [Action.REMOVED, Action.CHANGED, Action.ADDED], ["entity", "view", "feature", "on-demand view"]
    kind = kinds.index(change.kind) if change.kind in kinds else len(kinds)
    return actions.index(change.action), kind, change.name


def _add_object(diff: FeastObjectDiff, found: _Findings) -> None:
    kind = _KINDS.get(diff.feast_object_type)
    before, after = diff.current_feast_object, diff.new_feast_object
    if kind is None:
        if diff.feast_object_type not in _SILENT:
            found.changes.append(Change(action=_action_of(diff), kind=diff.feast_object_type.value, name=diff.name))
        return
    found.owners |= {getattr(each, "owner", "") for each in (before, after) if each is not None}
    if isinstance(before or after, View):
        _add_view(kind, diff, found)
    elif isinstance(before or after, FeatureService):
        found.changes.append(_service_change(diff))
    else:
        is_rekeyed = before is not None and after is not None and _join_key(before) != _join_key(after)
        details = tuple(_property_details(diff))
        found.changes.append(
            Change(
                action=_action_of(diff),
                kind=kind,
                name=diff.name,
                details=details,
                is_destructive=after is None or is_rekeyed,
            )
        )


def _add_view(kind: str, diff: FeastObjectDiff, found: _Findings) -> None:
    name, before, after = diff.name, diff.current_feast_object, diff.new_feast_object
    found.views[name] = None
    if isinstance(before, View) and isinstance(after, View):
        _add_changed_view(kind, diff, before, after, found)
    elif isinstance(before, View):
        details = (_features_text(before),)
        found.references |= {f"{name}:{feature.name}" for feature in before.features}
        found.changes.append(Change(action=Action.REMOVED, kind=kind, name=name, details=details, is_destructive=True))
    elif isinstance(after, View):
        found.changes.append(Change(action=Action.ADDED, kind=kind, name=name, details=(_features_text(after),)))
        if DEFINITION_HASH in after.tags:
            found.computed[name] = after.tags[DEFINITION_HASH]


def _add_changed_view(kind: str, diff: FeastObjectDiff, before: View, after: View, found: _Findings) -> None:
    name = diff.name
    features = list(_feature_changes(before, after))
    found.references |= {change.name for change in features}
    found.changes += features
    if DEFINITION_HASH in after.tags and before.tags.get(DEFINITION_HASH) != after.tags[DEFINITION_HASH]:
        found.computed[name] = after.tags[DEFINITION_HASH]
    details, is_destructive = _view_facts(before, after)
    if not details and not features:  # something that Feast compares and we have no words for
        details = [f"{each.property_name} changed" for each in diff.feast_object_property_diffs]
    if details:
        found.changes.append(
            Change(action=Action.CHANGED, kind=kind, name=name, details=tuple(details), is_destructive=is_destructive)
        )
        found.references |= {f"{name}:{feature.name}" for feature in after.features}


def _feature_changes(before: View, after: View) -> Iterator[Change]:
    old, new = ({feature.name: feature for feature in view.features} for view in (before, after))
    for name in old.keys() - new.keys():
        yield Change(
            action=Action.REMOVED,
            kind="feature",
            name=f"{before.name}:{name}",
            details=(str(old[name].dtype),),
            is_destructive=True,
        )
    for name in new.keys() - old.keys():
        yield Change(
            action=Action.ADDED,
            kind="feature",
            name=f"{after.name}:{name}",
            details=_feature_details(after, name, str(new[name].dtype)),
        )
    for name in [name for name in new if name in old]:
        retyped = old[name].dtype != new[name].dtype
        details = [_arrow_text("dtype", old[name].dtype, new[name].dtype)] if retyped else []
        facts = [_feature_facts(view, feature) for view, feature in ((before, old[name]), (after, new[name]))]
        details += [_arrow_text(fact, facts[0].get(fact), facts[1].get(fact)) for fact in _differing_names(*facts)]
        if details:
            yield Change(
                action=Action.CHANGED,
                kind="feature",
                name=f"{after.name}:{name}",
                details=tuple(details),
                is_destructive=retyped,
            )


def _feature_facts(view: View, feature: Any) -> dict[str, str]:
    """What is said of a feature: of a stored one by its own field, of an on-demand one by the view's tags."""
    if isinstance(view, FeatureView):
        return {"description": feature.description, **feature.tags}
    prefix = f"{feature.name}."
    facts = {tag.removeprefix(prefix): value for tag, value in view.tags.items() if tag.startswith(prefix)}
    return {("code" if fact == "hash" else fact): value for fact, value in facts.items()}


def _view_facts(before: View, after: View) -> tuple[list[str], bool]:
    """What changes of a view as a whole, and whether that is destructive."""
    details = [
        _arrow_text(fact, getattr(before, fact), getattr(after, fact))
        for fact in ("description", "owner")
        if getattr(before, fact) != getattr(after, fact)
    ]
    names = [{feature.name for feature in view.features} for view in (before, after)]
    tags = [
        {
            tag: value
            for tag, value in view.tags.items()
            if tag != FEATURE_HASHES and tag.partition(".")[0] not in names[0] | names[1]
        }
        for view in (before, after)
    ]
    labels = {DEFINITION_HASH: "computation", "definition": "definition's place"}
    details += [
        _arrow_text(labels.get(tag, tag), tags[0].get(tag), tags[1].get(tag)) for tag in _differing_names(*tags)
    ]
    if not (isinstance(before, FeatureView) and isinstance(after, FeatureView)):
        return details, False
    is_rekeyed = sorted(before.join_keys) != sorted(after.join_keys)
    if is_rekeyed:
        details.append(_arrow_text("join keys", ", ".join(before.join_keys), ", ".join(after.join_keys)))
    details += [
        _arrow_text(label, old, new)
        for label, old, new in (
            ("ttl", before.ttl or None, after.ttl or None),  # no ttl is 0 or None
            ("online", before.online, after.online),
        )
        if old != new
    ]
    keys, is_retyped = _key_facts(before, after)
    is_withdrawn = before.online and not after.online
    return details + keys, is_rekeyed or is_withdrawn or is_retyped


def _key_facts(before: FeatureView, after: FeatureView) -> tuple[list[str], bool]:
    """What changes of the join keys that both have, and whether a dtype does."""
    old = {column.name: column for column in before.entity_columns}
    pairs = [(old[column.name], column) for column in after.entity_columns if column.name in old]
    details = []
    for one, other in pairs:
        facts = [{"dtype": str(each.dtype), "description": each.description, **each.tags} for each in (one, other)]
        details += [
            _arrow_text(f"key {one.name}, {fact}", facts[0].get(fact), facts[1].get(fact))
            for fact in _differing_names(*facts)
        ]
    return details, any(one.dtype != other.dtype for one, other in pairs)


def _service_change(diff: FeastObjectDiff) -> Change:
    ends = (diff.current_feast_object, diff.new_feast_object)
    services = [each for each in ends if isinstance(each, FeatureService)]
    if len(services) > 1:
        return _changed_service(*services)
    (known,) = services
    details = f"{plural(len(_references_of(known)), 'feature')}, owner {known.owner or 'nobody'}"
    return Change(
        action=_action_of(diff), kind="service", name=diff.name, details=(details,), is_destructive=ends[1] is None
    )


def _changed_service(before: FeatureService, after: FeatureService) -> Change:
    old, new = _references_of(before), _references_of(after)
    lost = [reference for reference in old if reference not in new]
    changed = tuple(
        [f"no longer {reference}" for reference in lost]
        + [f"now also {reference}" for reference in new if reference not in old]
        + [
            _arrow_text(fact, getattr(before, fact), getattr(after, fact))
            for fact in ("description", "owner")
            if getattr(before, fact) != getattr(after, fact)
        ]
        + [
            _arrow_text(tag, before.tags.get(tag), after.tags.get(tag))
            for tag in _differing_names(before.tags, after.tags)
        ]
    )
    return Change(
        action=Action.CHANGED,
        kind="service",
        name=after.name,
        details=changed or ("by what its views change",),
        is_destructive=bool(lost),
    )


def _references_of(service: FeatureService) -> list[str]:
    return [
        f"{projection.name}:{feature.name}"
        for projection in service.feature_view_projections
        for feature in projection.features
    ]


def _differing_names(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    return sorted(name for name in {*before, *after} if before.get(name, "") != after.get(name, ""))


def _feature_details(view: View, name: str, dtype: str) -> tuple[str, ...]:
    feature = next(feature for feature in view.features if feature.name == name)
    facts = _feature_facts(view, feature)
    return (", ".join(text for text in (dtype, facts.get("unit", ""), facts.get("description", "")) if text),)


def _features_text(view: View) -> str:
    names: Sequence[str] = [feature.name for feature in view.features]
    shown = ", ".join(names[:6]) + (", …" if len(names) > 6 else "")
    return f"{plural(len(names), 'feature')} ({shown}), owner {view.owner or 'nobody'}"


def _property_details(diff: FeastObjectDiff) -> Iterator[str]:
    for each in diff.feast_object_property_diffs:
        yield _arrow_text(each.property_name, each.val_existing, each.val_declared)


def _arrow_text(what: str, before: object, after: object) -> str:
    old, new = (" ".join(str(value).split()) if value not in (None, "") else "none" for value in (before, after))
    return f"{what}: {old} → {new}"


def _action_of(diff: FeastObjectDiff) -> Action:
    created = diff.transition_type == TransitionType.CREATE
    return Action.ADDED if created else Action.REMOVED if diff.new_feast_object is None else Action.CHANGED


def _join_key(entity: Any) -> str:
    return str(entity.join_key)
