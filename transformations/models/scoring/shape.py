"""What a model's requests bring and its answers hold: one form for all versions that answer under one name.

A version whose form differs is a model of another name, for its callers would have to change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformations.datasets.manifest import Manifest
from transformations.datasets.registration import join_keys
from transformations.engine.base.errors import DataError
from transformations.models.records.artifact import ArtifactManifest, Task

_VALUE_TYPES = {
    "Float64": "DOUBLE",
    "Float32": "FLOAT",
    "Int64": "INT64",
    "Int32": "INT32",
    "Bool": "BOOL",
    "String": "STRING",
}
"""Of an artifact's dtypes the names of Feast's value types."""


@dataclass(frozen=True)
class Given:
    """Something that a request brings for each row. kind: the name of Feast's value type, such as INT64."""

    name: str
    kind: str


@dataclass(frozen=True, kw_only=True)
class Shape:
    """keys: the join keys. request: fields that the model or its on-demand features take from the request. decides:
    whether each score comes with a decision.
    """

    keys: tuple[Given, ...]
    request: tuple[Given, ...]
    task: Task
    decides: bool

    @property
    def given(self) -> tuple[Given, ...]:
        """All that a row of a request has, keys first."""
        return (*self.keys, *self.request)

    def differences(self, other: Shape) -> list[str]:
        """Where another form differs from this one, each in a few words; none where callers need not know."""
        found = [*_differing("join key", self.keys, other.keys), *_differing("field", self.request, other.request)]
        if self.task != other.task:
            found.append(f"the task is {other.task} in place of {self.task}")
        if self.decides != other.decides:
            found.append("its answers have decisions" if other.decides else "its answers have no decision")
        return found


def shape_of(artifact: ArtifactManifest, dataset: Manifest) -> Shape:
    """The form that follows from an artifact and the dataset it learned from.

    DataError where a field of the request has the name of a join key, or two dtypes.
    """
    keys = tuple(Given(name, kind) for name, kind in _key_types(dataset).items())
    declared = artifact.facts.declaration.get("request_fields")
    own = {column.name: _VALUE_TYPES[column.dtype] for column in artifact.scores.inputs}
    request: dict[str, str] = {}
    brought = [(str(name), own[str(name)]) for name in declared] if isinstance(declared, list) else []
    for name, kind in (*brought, *_asked_by_functions(dataset)):
        if request.setdefault(name, kind) != kind:
            raise DataError(f"field {name!r} of the request is {request[name]} to the model and {kind} to a feature.")
        if name in dict.fromkeys(each.name for each in keys):
            raise DataError(f"field {name!r} of the request has the name of a join key. Rename it in the dataset.")
    return Shape(
        keys=keys,
        request=tuple(Given(name, kind) for name, kind in sorted(request.items())),
        task=artifact.scores.task,
        decides=artifact.scores.decision is not None,
    )


def _key_types(dataset: Manifest) -> dict[str, str]:
    """The join keys under the roles that the service gives them, with their value types; sorted by name."""
    views = {view["spec"]["name"]: view["spec"] for view in dataset.registry.get("feature_views", ())}
    projections = dataset.registry["feature_services"][0]["spec"].get("features", ())
    used = [(each["feature_view_name"], each.get("join_key_map", {})) for each in projections]
    used += [(name, {}) for name in views]
    kinds: dict[str, str] = {}
    for name, role in used:
        for column in views.get(name, {}).get("entity_columns", ()):
            kinds.setdefault(role.get(column["name"], column["name"]), column["value_type"])
    return {name: kinds[name] for name in sorted(join_keys(dataset))}


def _asked_by_functions(dataset: Manifest) -> Iterator[tuple[str, str]]:
    """The fields that on-demand features take from the request, with their value types."""
    for view in dataset.registry.get("on_demand_feature_views", ()):
        sources: Mapping[str, Any] = view["spec"].get("sources", {})
        for source in sources.values():
            options = source.get("request_data_source", {}).get("request_data_options", {})
            for field in options.get("schema", ()):
                yield field["name"], field["value_type"]


def _differing(what: str, mine: Sequence[Given], theirs: Sequence[Given]) -> Iterator[str]:
    before, after = ({each.name: each.kind for each in side} for side in (mine, theirs))
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            yield f"it takes no {what} {name!r}"
        elif name not in before:
            yield f"it takes a new {what} {name!r} ({after[name]})"
        elif before[name] != after[name]:
            yield f"{what} {name!r} is {after[name]} in place of {before[name]}"
