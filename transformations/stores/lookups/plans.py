"""Request plans: what a lookup reads, computes and answers, compiled once per feature list from the registry."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter
from typing import Any, TypeAlias

import pyarrow as pa
from feast import FeatureService, FeatureView, Field, OnDemandFeatureView
from feast.feature_view import DUMMY_ENTITY_ID
from feast.infra.online_stores.helpers import compute_versioned_name
from feast.infra.registry import proto_registry_utils
from feast.infra.registry.base_registry import BaseRegistry
from feast.protos.feast.core.Registry_pb2 import Registry as RegistryProto
from feast.protos.feast.serving.ServingService_pb2 import FeatureViewMetadata
from feast.types import FeastType
from feast.value_type import ValueType

from transformations.engine.base.errors import UsageError, nearest
from transformations.engine.base.moments import MICROSECOND
from transformations.stores.base.errors import NotServedError, UnknownFeatureError
from transformations.stores.base.feast_seams import request_context
from transformations.stores.base.join_keys import key_fields, key_names
from transformations.stores.base.values import unseen_value
from transformations.stores.computed.evaluation import Evaluation, evaluation_of
from transformations.stores.computed.feast_functions import WRITTEN, request_fields_of
from transformations.stores.computed.rollout import served_version
from transformations.stores.computed.uncomputable import refuse_uneven
from transformations.stores.computed.wiring import not_served, reference_of
from transformations.stores.redis.catalogue import Table
from transformations.stores.rows.codecs import Codec, Stored, codec_of
from transformations.stores.rows.packed_rows import Form, Schema

Features: TypeAlias = list[str] | FeatureService
Keys: TypeAlias = tuple[tuple[str, FeastType], ...]


class UnknownSchemaError(Exception):
    """A row names a schema that the catalogue at hand lacks: read the catalogue again."""


@dataclass(frozen=True)
class Layout:
    """Where rows of one schema hold the requested features.

    places: per feature, its column of `form`; None if rows lack it. select: picks the requested columns out of all;
    None if rows lack one.
    """

    form: Form
    places: tuple[int | None, ...]
    select: Callable[[Sequence[Any]], Sequence[Any]] | None


def layout_of(schema: Schema, wanted: Sequence[tuple[str, str]]) -> Layout:
    """Where rows of a schema hold these features. wanted: names and dtypes as schemas have them."""
    places = schema.positions(wanted)
    if None in places:
        return Layout(schema.form, places, None)
    if places == tuple(range(len(schema.fields))):
        return Layout(schema.form, places, lambda columns: columns)
    if len(places) == 1:
        (place,) = places
        return Layout(schema.form, places, lambda columns: (columns[place],))  # type: ignore[index]
    return Layout(schema.form, places, itemgetter(*places))


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One stored feature to read. unseen: its value for an entity without a row, or None."""

    name: str
    reference: str
    dtype: FeastType
    codec: Codec
    unseen: Stored


@dataclass(frozen=True, eq=False, kw_only=True)
class ViewPlan:
    """One view to read.

    table: its name in the catalogue. keys: per join key, in the order of their names, the request's column and its
    dtype; empty for a view without an entity. entity: the place of these keys in `Plan.entities`. ttl: in microseconds,
    0 for none. is_online: whether it is declared to be loaded.
    """

    reference: str
    table: str
    keys: Keys
    entity: int
    features: tuple[Feature, ...]
    ttl: int
    version: FeatureViewMetadata
    is_online: bool = True
    _layouts: dict[tuple[bytes, int], Layout] = field(default_factory=dict)

    def layout(self, table: Table, schema: int) -> Layout:
        """Where rows under this schema of a table hold the features. UnknownSchemaError if the table has no such
        schema.
        """
        layout = self._layouts.get((table.number, schema))
        if layout is None:
            if not 1 <= schema <= table.newest:
                raise UnknownSchemaError
            wanted = [(feature.name, str(feature.dtype)) for feature in self.features]
            layout = self._layouts[table.number, schema] = layout_of(table.schemas[schema - 1], wanted)
        return layout


@dataclass(frozen=True, kw_only=True)
class Output:
    """One feature of the answer and where it comes from: a view and a place in it, or view -1 and an on-demand
    feature's reference.
    """

    name: str
    reference: str
    view: int
    place: int
    codec: Codec


@dataclass(frozen=True, kw_only=True)
class ComputedPlan:
    """One on-demand view to evaluate.

    inputs: per stored input, its reference, view and place. wanted: the names of the features to compute. outputs:
    their references and codecs. not_served: features that only a newer version of the code computes.
    """

    evaluation: Evaluation
    inputs: tuple[tuple[str, int, int], ...]
    request_fields: frozenset[str]
    wanted: tuple[str, ...]
    outputs: tuple[tuple[str, Codec], ...]
    not_served: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that a lookup of some features needs.

    join_keys: every name under which a request may bring a join key, with the name that the answer has for it.
    entities: the different sets of join keys that its views are read by.
    """

    join_keys: dict[str, str]
    entities: tuple[Keys, ...]
    views: tuple[ViewPlan, ...]
    computed: tuple[ComputedPlan, ...]
    request_fields: frozenset[str]
    outputs: tuple[Output, ...]

    @cached_property
    def given(self) -> dict[str, str]:
        """What a request may bring, with our name for it: the join keys and the fields."""
        return self.join_keys | {name: name for name in self.request_fields}

    @cached_property
    def key_columns(self) -> tuple[tuple[str, FeastType], ...]:
        """The different columns of join keys."""
        return tuple(dict.fromkeys(column for columns in self.entities for column in columns))

    @cached_property
    def entity_columns(self) -> tuple[tuple[int, ...], ...]:
        """For each of `entities`, the places of its columns in `key_columns`."""
        return tuple(tuple(self.key_columns.index(column) for column in columns) for columns in self.entities)

    @cached_property
    def shown(self) -> tuple[tuple[str, str, int, int, Codec], ...]:
        """The outputs, unpacked."""
        return tuple((each.name, each.reference, each.view, each.place, each.codec) for each in self.outputs)

    @cached_property
    def shown_keys(self) -> tuple[tuple[str, ValueType], ...]:
        """The join keys that the answer shows, with the kind of protobuf that they have there."""
        kinds = {name: dtype.to_value_type() for view in self.views for name, dtype in view.keys}
        return tuple((name, kinds.get(name, ValueType.UNKNOWN)) for name in dict.fromkeys(self.join_keys.values()))

    @cached_property
    def needs_now(self) -> bool:
        """Whether the answer depends on the time of the request."""
        return any(each.evaluation.needs_moment for each in self.computed) or any(view.ttl for view in self.views)


def compile_plan(
    proto: RegistryProto,
    registry: BaseRegistry,
    project: str,
    features: Features,
    full_feature_names: bool,
    versioned: bool,
    *,
    is_strict: bool = False,
) -> Plan:
    """Compile the plan of a request for these features from a registry's cached content.

    versioned: whether the repository serves several versions of a view. is_strict: refuse views of Feast's own that its
    stores would compute differently in training and serving. Errors: Feast's for an unknown view; UsageError for an
    unknown feature, a view or version that is not served, and an on-demand view that cannot be computed.
    """
    cached = _Cached(registry, proto, is_strict=is_strict)
    if not isinstance(features, FeatureService):
        _refuse_unknown(cached, project, features)
    try:
        context = request_context(cached, project, features, full_feature_names)
    except ValueError as error:  # Feast's word for a version that is not served, and for a view that is disabled
        raise NotServedError(str(error)) from error
    for view, _ in context.grouped:
        if isinstance(view, OnDemandFeatureView):  # only with is_strict: one that Feast computes when written
            refuse_uneven(view)
    entities = tuple(dict.fromkeys(_keys_of(view) for view, _ in context.grouped))
    views = tuple(_plan_view(view, names, entities, versioned) for view, names in context.grouped)
    places = {
        feature.reference: (number, place, feature.codec)
        for number, view in enumerate(views)
        for place, feature in enumerate(view.features)
    }
    computed: list[ComputedPlan] = []
    codecs: dict[str, Codec] = {}
    for function_view in context.on_demand:
        fields = {f"{reference_of(function_view)}:{each.name}": each for each in function_view.features}
        wanted = {
            reference: codec_of(each.dtype) for reference, each in fields.items() if reference in context.references
        }
        names = tuple(fields[reference].name for reference in wanted)
        computed.append(
            ComputedPlan(
                evaluation=evaluation_of(function_view, names, is_strict=is_strict),
                inputs=_inputs_of(function_view, places),
                request_fields=frozenset(request_fields_of(function_view)),
                wanted=names,
                outputs=tuple(wanted.items()),
                not_served=not_served(function_view),
            )
        )
        codecs |= wanted
    keys = {key: key for key in context.join_keys if key != DUMMY_ENTITY_ID}
    outputs = []
    own_keys = {reference_of(view): key_names(view) for view, _ in context.grouped}
    for reference in context.references:
        view_name, _, feature = reference.partition(":")
        name = reference.replace(":", "__") if full_feature_names else feature
        if name in keys:
            if feature not in own_keys.get(view_name, ()):
                raise UsageError(
                    f"feature {reference} has the name of a join key, which the answer has beside it. Ask for "
                    f"full_feature_names=True, or rename the feature."
                )
            continue  # a stream view lists its keys among its features (stream_feature_view.py:314)
        view_number, place, codec = places[reference] if reference in places else (-1, 0, codecs[reference])
        outputs.append(Output(name=name, reference=reference, view=view_number, place=place, codec=codec))
    aliases = {entity: key for entity, key in context.entity_names.items() if key in keys and entity not in keys}
    return Plan(
        join_keys=keys | aliases,
        entities=entities,
        views=views,
        computed=tuple(computed),
        request_fields=frozenset(context.request_fields),
        outputs=tuple(outputs),
    )


def _plan_view(view: FeatureView, names: Sequence[str], entities: Sequence[Keys], versioned: bool) -> ViewPlan:
    fields = {field.name: field for field in view.features}
    reference = reference_of(view)
    keys = _keys_of(view)
    return ViewPlan(
        reference=reference,
        table=compute_versioned_name(view, versioned),
        keys=keys,
        entity=entities.index(keys),
        features=tuple(_plan_feature(reference, fields[name]) for name in names),
        ttl=view.ttl // MICROSECOND if view.ttl else 0,
        version=FeatureViewMetadata(
            name=view.projection.name_alias or view.projection.name,
            version=getattr(view, "current_version_number", 0) or 0,
        ),
        is_online=view.online,
    )


def _keys_of(view: FeatureView) -> Keys:
    roles = view.projection.join_key_map
    columns = sorted(
        ((column.name, column.dtype) for column in key_fields(view)),
        key=itemgetter(0),
    )
    return tuple((roles.get(name, name), dtype) for name, dtype in columns)


def _plan_feature(reference: str, declared: Field) -> Feature:
    codec, unseen = codec_of(declared.dtype), unseen_value(declared)
    default = None if unseen is None else codec.from_arrow(pa.array([unseen.as_py()], unseen.type))[0]
    name = declared.name
    return Feature(name=name, reference=f"{reference}:{name}", dtype=declared.dtype, codec=codec, unseen=default)


def _inputs_of(
    view: OnDemandFeatureView, places: dict[str, tuple[int, int, Codec]]
) -> tuple[tuple[str, int, int], ...]:
    references = [
        f"{projection.name}:{feature.name}"
        for projection in view.source_feature_view_projections.values()
        for feature in projection.features
    ]
    return tuple((reference, *places[reference][:2]) for reference in references)


def _refuse_unknown(registry: _Cached, project: str, references: Sequence[str]) -> None:
    """UsageError that names the nearest feature: Feast would end in a KeyError, and its server in a 500."""
    if not references:
        raise UsageError("the request names no feature. List some as <view>:<feature>, or name a feature service.")
    for reference in references:
        name, _, feature = reference.partition(":")
        if not name or not feature:
            raise UsageError(f"{reference!r} is no reference to a feature. Write <view>:<feature>.")
        if "@" in name:  # of a version: Feast's to read
            continue
        known = [each.name for each in registry.get_any_feature_view(name, project, allow_cache=True).features]
        if feature not in known:
            raise UnknownFeatureError(f"feature view {name} has no feature {feature!r}: {nearest(feature, known)}.")


class _Cached:
    """The registry for Feast's resolution: only what is cached, so that no refresh runs inside a request.

    An on-demand view that Feast would compute when written is computed when read, as in training. A view that is being
    materialized is served: rows are replaced one by one, so there is nothing to wait for.
    """

    serve_features_while_materializing = True

    def __init__(self, registry: BaseRegistry, proto: RegistryProto, *, is_strict: bool) -> None:
        self._registry, self._proto, self._is_strict = registry, proto, is_strict
        self.enable_online_versioning = getattr(registry, "enable_online_versioning", False)

    def get_any_feature_view(self, name: str, project: str, allow_cache: bool = True) -> Any:
        """As Feast's; an on-demand view in the version that this process has the code of."""
        view = proto_registry_utils.get_any_feature_view(self._proto, name, project)
        if not isinstance(view, OnDemandFeatureView):
            return view
        served = served_version(view, self._registry, project)
        if served.write_to_online_store and not self._is_strict:
            served = copy.copy(served)  # Feast's cache shares it
            served.write_to_online_store = False
            served.tags = {**served.tags, WRITTEN: "true"}
        return served

    def get_feature_service(self, name: str, project: str, allow_cache: bool = True) -> FeatureService:
        """As Feast's."""
        return proto_registry_utils.get_feature_service(self._proto, name, project)

    def get_entity(self, name: str, project: str, allow_cache: bool = True) -> Any:
        """As Feast's."""
        return proto_registry_utils.get_entity(self._proto, name, project)

    def list_entities(self, project: str, allow_cache: bool = True, tags: Any = None) -> Any:
        """As Feast's."""
        return proto_registry_utils.list_entities(self._proto, project, tags)

    def get_feature_view_by_version(self, *arguments: Any, **options: Any) -> Any:
        """As Feast's; old versions are not in the cache."""
        return self._registry.get_feature_view_by_version(*arguments, **options)
