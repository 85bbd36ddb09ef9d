"""The answer to an online lookup: Feast's OnlineResponse over plain columns; its protobuf is built on demand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

from feast.online_response import TIMESTAMP_POSTFIX
from feast.protos.feast.serving.ServingService_pb2 import FeatureViewMetadata, FieldStatus, GetOnlineFeaturesResponse
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import python_values_to_proto_values
from feast.value_type import ValueType
from google.protobuf.timestamp_pb2 import Timestamp

from transformations.stores.base.feast_seams import TypedResponse
from transformations.stores.lookups.plans import Plan
from transformations.stores.rows.codecs import Codec, Stored
from transformations.stores.rows.packed_rows import event_micros

Status: TypeAlias = FieldStatus.ValueType

PRESENT, NULL_VALUE = FieldStatus.PRESENT, FieldStatus.NULL_VALUE
NOT_FOUND, OUTSIDE_MAX_AGE = FieldStatus.NOT_FOUND, FieldStatus.OUTSIDE_MAX_AGE
_NO_ROWS: Mapping[int, Status] = {}


@dataclass(slots=True)
class Block:
    """One view's features for all rows of the request.

    values: per feature, the stored values; null if withheld or absent. absent: per feature, rows whose status differs
    from what the value implies; None if there are none at all. rows: the packed rows.
    """

    values: Sequence[Sequence[Stored]]
    absent: Sequence[Mapping[int, Status]] | None
    rows: Sequence[bytes | None]


@dataclass(slots=True, kw_only=True)
class Column:
    """One feature for all rows of the request, as in `Block`. rows: None for an on-demand feature."""

    name: str
    codec: Codec
    values: Sequence[Stored]
    absent: Mapping[int, Status]
    rows: Sequence[bytes | None] | None

    def events(self) -> list[int]:
        """Each row's event timestamp in microseconds UTC; 0 if there is no row."""
        rows = self.rows or [None] * len(self.values)
        return [0 if row is None else event_micros(row) for row in rows]

    def statuses(self) -> list[Status]:
        """Each row's FieldStatus."""
        found: list[Status] = [NULL_VALUE if value is None else PRESENT for value in self.values]
        for row, status in self.absent.items():
            found[row] = status
        return found


class PackedResponse(TypedResponse):
    """Feast's response, with statuses as plain lists.

    keys: the request's join keys with their protobuf types. blocks: one per view of the plan. computed: on-demand
    features by reference.
    """

    def __init__(
        self,
        plan: Plan,
        keys: Mapping[str, tuple[list[Any], ValueType]],
        blocks: Sequence[Block],
        computed: Mapping[str, Column],
        with_versions: bool = False,
    ) -> None:
        self._plan = plan
        self._keys = keys
        self._blocks = blocks
        self._computed = computed
        self._with_versions = with_versions

    def to_dict(self, include_event_timestamps: bool = False) -> dict[str, Any]:
        """Lists by name: the join keys as given, then the features in the order of the request.

        include_event_timestamps: adds `<name>__ts` in whole seconds since 1970; 0 if there is no row.
        """
        if include_event_timestamps:
            return self._with_timestamps()
        answer: dict[str, Any] = {name: list(values) for name, (values, _) in self._keys.items()}
        lists = [block.values for block in self._blocks]
        for name, reference, view, place, codec in self._plan.shown:
            values = self._computed[reference].values if view < 0 else lists[view][place]
            answer[name] = list(values) if codec.python is None else codec.show(values)
        return answer

    def statuses(self) -> dict[str, list[str]]:
        """Per feature and row: PRESENT, NULL_VALUE, NOT_FOUND or OUTSIDE_MAX_AGE."""
        return {column.name: [FieldStatus.Name(status) for status in column.statuses()] for column in self.columns}

    def present(self) -> dict[str, list[bool]]:
        """Per feature and row: whether there is a value."""
        return {column.name: [status == PRESENT for status in column.statuses()] for column in self.columns}

    def rows(self) -> dict[str, Sequence[bytes | None]]:
        """By stored view its packed rows: those that the view's columns have."""
        return {view.reference: block.rows for view, block in zip(self._plan.views, self._blocks, strict=True)}

    @cached_property
    def columns(self) -> list[Column]:
        """The features in the order of the request."""
        columns = []
        for name, reference, view, place, codec in self._plan.shown:
            if view < 0:
                computed = self._computed[reference]
                columns.append(computed if computed.name == name else replace(computed, name=name))
            else:
                block = self._blocks[view]
                absent = _NO_ROWS if block.absent is None else block.absent[place]
                columns.append(
                    Column(name=name, codec=codec, values=block.values[place], absent=absent, rows=block.rows)
                )
        return columns

    @cached_property
    def key_protos(self) -> dict[str, list[Value]]:
        """The request's join keys as protobuf values."""
        return {name: _key_protos(values, kind) for name, (values, kind) in self._keys.items()}

    @property
    def versions(self) -> list[FeatureViewMetadata]:
        """The views' versions, where they were asked for."""
        return [view.version for view in self._plan.views] if self._with_versions else []

    def _with_timestamps(self) -> dict[str, Any]:
        answer: dict[str, Any] = {}
        for name, (values, _) in self._keys.items():
            answer[name], answer[name + TIMESTAMP_POSTFIX] = list(values), [0] * len(values)
        for column in self.columns:
            answer[column.name] = column.codec.show(column.values)
            answer[column.name + TIMESTAMP_POSTFIX] = [event // 1_000_000 for event in column.events()]
        return answer

    @cached_property
    def proto(self) -> GetOnlineFeaturesResponse:  # type: ignore[override]
        """The response as Feast's server sends it."""
        response = GetOnlineFeaturesResponse()
        names, add = response.metadata.feature_names.val, response.results.add
        response.metadata.feature_view_metadata.extend(self.versions)
        for name, values in self.key_protos.items():
            names.append(name)
            vector = add()
            vector.values.extend(values)
            vector.statuses.extend([NULL_VALUE if value is None else PRESENT for value in self._keys[name][0]])
            vector.event_timestamps.extend([Timestamp()] * len(values))
        stamps: dict[int, list[Timestamp]] = {}  # shared by all features of a view
        for column in self.columns:
            names.append(column.name)
            vector = add()
            vector.values.extend(column.codec.to_protos(column.values))
            vector.statuses.extend(column.statuses())
            if id(column.rows) not in stamps:
                stamps[id(column.rows)] = [_to_timestamp(event) for event in column.events()]
            vector.event_timestamps.extend(stamps[id(column.rows)])
        return response

    @property
    def value_types(self) -> dict[str, ValueType]:
        """The protobuf type of each feature, by its name in the response."""
        return {column.name: column.codec.dtype.to_value_type() for column in self.columns}


def _key_protos(values: Sequence[object], kind: ValueType) -> list[Value]:
    if all(isinstance(value, Value) for value in values):
        return [value for value in values if isinstance(value, Value)]
    if kind is ValueType.INT32:  # a key that has no row need not fit the declared width
        kind = ValueType.INT64
    protos: list[Value] = python_values_to_proto_values(list(values), kind)
    return protos


def _to_timestamp(micros: int) -> Timestamp:
    return Timestamp(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1_000)
