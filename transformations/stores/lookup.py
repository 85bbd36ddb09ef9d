"""One online lookup from request to response, around the store's read: what Feast's stores do in their base class.

Request values are taken as declared before Feast's protobuf can round them, every stored value gets the status that it
deserves, and on-demand features come from the functions that training calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeAlias

import pyarrow as pa
from feast import FeatureService, FeatureView, Field, OnDemandFeatureView, utils
from feast.feature_view import DUMMY_ENTITY_ID
from feast.infra.registry.base_registry import BaseRegistry
from feast.online_response import OnlineResponse
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus, GetOnlineFeaturesResponse
from feast.protos.feast.types.Value_pb2 import RepeatedValue, Value
from feast.types import FeastType, UnixTimestamp
from google.protobuf.timestamp_pb2 import Timestamp

from transformations.engine.errors import UsageError
from transformations.engine.functions import REQUEST_TIMESTAMP
from transformations.engine.settings import get_settings
from transformations.stores.on_demand import evaluate
from transformations.stores.rollout import as_served
from transformations.stores.values import TIMESTAMP, as_declared, column_of, from_protos, to_protos, unseen_value
from transformations.stores.wiring import not_served, reference_of

EntityRows: TypeAlias = list[dict[str, Any]] | Mapping[str, Sequence[Any] | RepeatedValue]
Vector: TypeAlias = GetOnlineFeaturesResponse.FeatureVector

_NOWHEN = Timestamp()


@dataclass(frozen=True)
class Lookup:
    """A request as Feast resolved it, and what the store read for it.

    moments: the time of each row of the request. views: each feature view with the features to read of it, those
    included that only on-demand features need. request: the columns that came with the request. read: filled by the
    store, under full feature names.
    """

    moments: Sequence[datetime]
    feature_refs: Sequence[str]
    views: Sequence[tuple[FeatureView, list[str]]]
    on_demand: Sequence[OnDemandFeatureView]
    join_keys: Mapping[str, list[Value]]
    join_key_of_entity: Mapping[str, str]
    request: Mapping[str, pa.Array]
    full_feature_names: bool
    read: GetOnlineFeaturesResponse = field(default_factory=GetOnlineFeaturesResponse)

    @property
    def to_read(self) -> tuple[Any, Any, Any, GetOnlineFeaturesResponse, bool]:
        """The arguments of `OnlineStore._read_features_per_fv` between the config and the flag for version metadata."""
        views = [(view, list(features)) for view, features in self.views]  # Feast's Redis store appends to these lists
        return views, self.join_keys, self.join_key_of_entity, self.read, True

    def answer(self) -> OnlineResponse:
        """The response to what the store has read: what was asked for, in that order, each value with its status."""
        vectors = dict(zip(self.read.metadata.feature_names.val, self.read.results, strict=True))
        stored: dict[str, Vector] = {}
        dtypes: dict[str, FeastType] = {}
        for view, features in self.views:
            fields = {each.name: each for each in view.features}
            for name in features:
                reference = f"{reference_of(view)}:{name}"
                stored[reference] = self._settled(view, fields[name], vectors[f"{reference_of(view)}__{name}"])
                dtypes[reference] = fields[name].dtype
        return self._response(stored | self._computed(stored, dtypes), dtypes)

    def _settled(self, view: FeatureView, feature: Field, vector: Vector) -> Vector:
        """A stored feature's values with their statuses; those past their ttl withheld, an unseen entity's default
        filled in.

        Feast's Redis store says PRESENT of everything, and gives an entity without a row the event timestamp 0.
        """
        unseen = unseen_value(feature)
        default = Value() if unseen is None else to_protos(pa.array([unseen.as_py()], unseen.type), feature.dtype)[0]
        settled = Vector(event_timestamps=vector.event_timestamps)
        for value, event, now in zip(vector.values, vector.event_timestamps, self.moments, strict=True):
            if event == _NOWHEN:
                absent = FieldStatus.NOT_FOUND if unseen is None else FieldStatus.PRESENT
                kept, status = default, absent
            elif view.ttl and event.ToDatetime(tzinfo=UTC) + view.ttl < now:
                kept, status = Value(), FieldStatus.OUTSIDE_MAX_AGE
            else:
                kept, status = value, _status(value)
            settled.values.append(kept)
            settled.statuses.append(status)
        return settled

    def _computed(self, stored: Mapping[str, Vector], dtypes: dict[str, FeastType]) -> dict[str, Vector]:
        """The on-demand features that were asked for, under their references; their dtypes are noted in `dtypes`."""
        computed: dict[str, Vector] = {}
        moments = pa.array(self.moments, TIMESTAMP)
        for view in self.on_demand:
            fields = {f"{reference_of(view)}:{each.name}": each for each in view.features}
            wanted = {reference: each for reference, each in fields.items() if reference in self.feature_refs}
            inputs = {
                reference: from_protos(stored[reference].values, dtypes[reference], reference)
                for projection in view.source_feature_view_projections.values()
                for reference in (f"{projection.name}:{feature.name}" for feature in projection.features)
            }
            values = evaluate(view, {**inputs, **self.request}, moments, [each.name for each in wanted.values()])
            for reference, each in wanted.items():
                computed[reference] = _vector(to_protos(values[each.name], each.dtype))
                if each.name in not_served(view):
                    computed[reference].statuses[:] = [FieldStatus.NOT_FOUND] * len(self.moments)
                dtypes[reference] = each.dtype
        return computed

    def _response(self, vectors: Mapping[str, Vector], dtypes: Mapping[str, FeastType]) -> OnlineResponse:
        response = GetOnlineFeaturesResponse()
        response.metadata.feature_view_metadata.extend(self.read.metadata.feature_view_metadata)
        types = {}
        for name, vector in self._named(vectors):
            response.metadata.feature_names.val.append(name)
            response.results.append(vector)
        for reference in self.feature_refs:
            types[self._name(reference)] = dtypes[reference].to_value_type()
        return OnlineResponse(response, feature_types=types)

    def _named(self, vectors: Mapping[str, Vector]) -> Iterator[tuple[str, Vector]]:
        for key, values in self.join_keys.items():
            if key != DUMMY_ENTITY_ID:
                yield key, _vector(values)
        for reference in self.feature_refs:
            yield self._name(reference), vectors[reference]

    def _name(self, reference: str) -> str:
        return reference.replace(":", "__") if self.full_feature_names else reference.partition(":")[2]


def lookup_of(
    registry: BaseRegistry,
    project: str,
    features: list[str] | FeatureService,
    entity_rows: EntityRows,
    full_feature_names: bool,
) -> Lookup:
    """The request, resolved against the registry.

    Each row's time is its `request_timestamp`, where the request brings one, else now by the settings' clock.
    UsageError for no rows or rows of different keys, DataError for a request value that its declared dtype cannot
    hold.
    """
    registry = as_served(registry)
    now = get_settings().now()
    given = _columnar(entity_rows)
    rows = len(next(iter(given.values())))
    moments = _moments(given.pop(REQUEST_TIMESTAMP, [None] * rows), now)
    on_demand = utils._get_cached_request_context(registry, project, features, full_feature_names)[1]
    fields = {name for view in on_demand for name in view.get_request_data_schema()}
    request = {name: column_of(values, f"request field {name!r}") for name, values in given.items() if name in fields}
    # Feast would turn request values into protobuf by the first one's type, and so 5.7 beside 5 into 5. It gets nulls.
    rest = {name: [None] * len(values) if name in fields else values for name, values in given.items()}
    join_keys, views, join_key_of_entity, on_demand, feature_refs, _, _ = (
        utils._prepare_entities_to_read_from_online_store(registry, project, features, rest, full_feature_names)
    )
    return Lookup(moments, feature_refs, views, on_demand, join_keys, join_key_of_entity, request, full_feature_names)


def _moments(given: Sequence[object], now: datetime) -> list[datetime]:
    place = f"request field {REQUEST_TIMESTAMP!r}"
    return [moment or now for moment in as_declared(column_of(given, place), UnixTimestamp, place).to_pylist()]


def _columnar(entity_rows: EntityRows) -> dict[str, list[Any]]:
    if isinstance(entity_rows, list):
        if not entity_rows:
            raise UsageError("a lookup needs at least one entity row. Give one, such as {'id': 1}.")
        names = entity_rows[0].keys()
        for number, row in enumerate(entity_rows):
            if row.keys() != names:
                raise UsageError(
                    f"entity row {number} has {', '.join(row)}, the first has {', '.join(names)}. Give all the same."
                )
        return {name: [row[name] for row in entity_rows] for name in names}
    return {
        name: list(values.val if isinstance(values, RepeatedValue) else values) for name, values in entity_rows.items()
    }


def _status(value: Value) -> FieldStatus.ValueType:
    return FieldStatus.NULL_VALUE if value.WhichOneof("val") is None else FieldStatus.PRESENT


def _vector(values: Sequence[Value]) -> Vector:
    return Vector(
        values=values, statuses=[_status(value) for value in values], event_timestamps=[_NOWHEN] * len(values)
    )
