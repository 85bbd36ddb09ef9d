"""A declaration held against the dataset it learns from: which columns the model takes, with which dtypes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from transformations.datasets.config import SPLITS, LabelConfig
from transformations.datasets.manifest import Manifest
from transformations.engine.base.errors import UsageError, nearest
from transformations.models.declaration.config import Declaration
from transformations.models.declaration.reading import FOLDER
from transformations.models.evaluation.baselines import columns_of
from transformations.models.records.artifact import InputColumn, InputType

_DTYPES: Mapping[str, InputType] = {
    "DOUBLE": "Float64",
    "FLOAT": "Float32",
    "INT64": "Int64",
    "INT32": "Int32",
    "BOOL": "Bool",
    "STRING": "String",
}
"""Feast's names of value types, as its registry holds them."""
_ARROW: Mapping[str, InputType] = {
    "double": "Float64",
    "float": "Float32",
    "int64": "Int64",
    "int32": "Int32",
    "bool": "Bool",
    "string": "String",
    "large_string": "String",
}

_NUMBERS = ("int", "uint", "float", "double", "halffloat")
"""How Arrow's names of numeric types begin."""
_TEXTS = ("string", "large_string")


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """The roles of a dataset's columns for a model.

    inputs: in the order of the feature service, then the request fields. entity: the column that is resampled whole.
    """

    declaration: Declaration
    inputs: tuple[InputColumn, ...]
    label: LabelConfig
    timestamp: str
    entity: str


def resolve(declaration: Declaration, manifest: Manifest, columns: Mapping[str, str]) -> Resolved:
    """The model's columns. columns: of the dataset's files, with their Arrow types. UsageError with every fault."""
    features = feature_types(manifest)
    if manifest.config.label is None:
        raise UsageError(
            f"{declaration.name}: dataset {manifest.name} has no label, so nothing can be learned from it."
        )
    faults = list(_faults(declaration, manifest, columns, features))
    if faults:
        raise UsageError("\n".join(f"{FOLDER}/{declaration.name}.yaml: {fault}" for fault in faults))
    taken = {name: kind for name, kind in features.items() if name not in declaration.leave_out}
    requested = {name: _ARROW[columns[name]] for name in declaration.request_fields}
    inputs = [InputColumn(name=name, dtype=_DTYPES[kind]) for name, kind in taken.items()]
    inputs += [InputColumn(name=name, dtype=kind) for name, kind in requested.items()]
    return Resolved(
        declaration=declaration,
        inputs=tuple(inputs),
        label=manifest.config.label,
        timestamp=manifest.timestamp,
        entity=declaration.evaluation.entity,
    )


def feature_types(manifest: Manifest) -> dict[str, str]:
    """The columns of a dataset that are features, with Feast's names of their value types, in the service's order."""
    (service,) = manifest.registry["feature_services"]
    found: dict[str, str] = {}
    for projection in service["spec"].get("features", ()):
        called = projection.get("feature_view_name_alias") or projection["feature_view_name"]
        for column in projection.get("feature_columns", ()):
            name = f"{called}__{column['name']}" if manifest.config.full_feature_names else column["name"]
            found[name] = column["value_type"]
    return found


def _faults(
    declaration: Declaration, manifest: Manifest, columns: Mapping[str, str], features: Mapping[str, str]
) -> Iterator[str]:
    there = {split.name for split in manifest.splits}
    if missing := [split for split in SPLITS if split not in there]:
        yield f"dataset: {manifest.name} has no split {' and '.join(missing)}; a model needs {', '.join(SPLITS)}."
    for name in declaration.leave_out:
        if name not in features:
            yield f"leave_out: the dataset has no feature {name!r}; {nearest(name, features)}."
    others = [name for name in columns if name not in features]
    for name in declaration.request_fields:
        if name not in others:
            yield f"request_fields: the dataset's spine has no column {name!r}; {nearest(name, others)}."
        elif manifest.config.label is not None and name == manifest.config.label.column:
            yield f"request_fields: {name!r} is the label."
        elif columns[name] not in _ARROW:
            yield f"request_fields: {name!r} is {columns[name]}, which no model takes. Leave it out."
    yield from _faults_of_columns(declaration, manifest, columns)
    yield from _faults_of_types(declaration, columns, features)


def _faults_of_columns(declaration: Declaration, manifest: Manifest, columns: Mapping[str, str]) -> Iterator[str]:
    """Columns that are not there, those that stand twice, and the label where its value would give the answer away."""
    evaluation, label = declaration.evaluation, manifest.config.label
    named = [("evaluation.entity", evaluation.entity)]
    named += [("evaluation.segments", segment) for segment in evaluation.segments]
    for key, baseline in evaluation.baselines.items():
        named += [(f"evaluation.baselines.{key}", column) for column in sorted(columns_of(baseline))]
    named += [(f"evaluation.gates: {gate.name}", gate.segments) for gate in evaluation.gates if gate.segments]
    unit = declaration.rollout.unit if declaration.rollout else ()
    named += [("sample_weight", declaration.sample_weight)] if declaration.sample_weight else []
    for key, name in (*named, *(("rollout.unit", name) for name in unit)):
        if name not in columns:
            yield f"{key}: the dataset has no column {name!r}; {nearest(name, columns)}."
        elif label is not None and name == label.column:
            yield f"{key}: {name!r} is the label. Name a column that is known before it."
    for name in unit:
        if name in feature_types(manifest):
            yield f"rollout.unit: {name!r} is a feature, which changes. Name a join key, which a request brings."
    weight = columns.get(declaration.sample_weight or "")
    if weight is not None and weight != "bool" and not weight.startswith(_NUMBERS):
        yield f"sample_weight: {declaration.sample_weight!r} is {weight}, and no number."
    for key, baseline in evaluation.baselines.items():
        kind = columns.get(baseline.feature or "")
        if kind is not None and kind not in ("bool", *_TEXTS) and not kind.startswith(_NUMBERS):
            where = f"evaluation.baselines.{key}"
            yield f"{where}: {baseline.feature!r} is {kind}, which has no bins; name numbers or texts."
    lists = (
        ("leave_out", declaration.leave_out),
        ("request_fields", declaration.request_fields),
        ("evaluation.segments", evaluation.segments),
    )
    for key, names in lists:
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield f"{key}: {name!r} stands twice."


def _faults_of_types(
    declaration: Declaration, columns: Mapping[str, str], features: Mapping[str, str]
) -> Iterator[str]:
    taken = {name: _DTYPES.get(kind) for name, kind in features.items() if name not in declaration.leave_out}
    taken |= {name: _ARROW.get(columns.get(name, "")) for name in declaration.request_fields if name in columns}
    if not taken:
        yield "leave_out: no feature is left to learn from."
    for name, dtype in taken.items():
        transformation = declaration.transformations.get(name)
        if dtype is None and name in features:
            yield (
                f"{name}: its dtype {features[name]} is one that no model takes. Put it in leave_out; of a time, take "
                f"an on-demand feature such as the days since."
            )
        elif dtype == "String" and (transformation is None or transformation.kind == "scale"):
            yield f"{name}: a text needs a transformation: one_hot, category or target_encoding."
        elif dtype in ("Float64", "Float32") and transformation is not None and transformation.kind != "scale":
            yield f"{name}: {transformation.kind} is for categories, and this is a {dtype}."
    for name in declaration.transformations:
        if name not in taken:
            yield f"transformations: the model takes no {name!r}; {nearest(name, taken)}."
