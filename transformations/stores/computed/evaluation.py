"""Evaluates on-demand views: the one piece of code that computes their features, in training and online.

Training (`stores/offline.py`) and serving (`stores/lookups/lookup.py`) call `evaluate` on Arrow columns; neither goes
through Feast's own two evaluation paths, which differ in nulls, dtypes and names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
from feast import OnDemandFeatureView
from feast.types import FeastType

from transformations.engine.base.errors import UsageError
from transformations.engine.base.settings import get_settings
from transformations.engine.vocabulary.functions import REQUEST_TIMESTAMP
from transformations.stores.base.values import TIMESTAMP, Column, arrow_type, as_declared, column_of, feast_type
from transformations.stores.computed.feast_functions import FeastFunction, feast_function, request_fields_of
from transformations.stores.computed.objects import holds_objects, is_object, requested_objects
from transformations.stores.computed.uncomputable import refuse_uneven
from transformations.stores.computed.wiring import CHECK, Call, calls_of, is_wired, not_served


def evaluate(
    view: OnDemandFeatureView,
    columns: Mapping[str, Column],
    request_timestamp: Column,
    wanted: Sequence[str] | None = None,
    *,
    is_strict: bool = False,
) -> dict[str, pa.Array]:
    """Compute an on-demand view's features for all rows of these columns.

    columns: each input, under `view:feature` or the request field's name; others are ignored. request_timestamp: the
    row's event timestamp in training, the moment of the request online. wanted: by default all features. A feature that
    the served version of the view lacks (rollout.py) is null.

    Request fields are converted to their declared dtypes first, without loss; nulls stay nulls. Errors: DataError for a
    value that does not fit its dtype, a function that fails, or one whose code differs from the applied code;
    UsageError for a view that cannot be computed. is_strict: refuse a view of Feast's own that its stores compute
    differently in training and serving, too.
    """
    return evaluation_of(view, wanted, is_strict=is_strict)(columns, request_timestamp)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """`evaluate`, prepared for some features of a view; online request plans keep one.

    calls: those that the features need, in order. feasts: instead of them, the function of a view of Feast's own.
    fields: the request fields, with their dtypes and their names in errors. lacking: features that the served version
    of the view lacks, with their types.
    """

    names: tuple[str, ...]
    calls: tuple[Call, ...]
    feasts: FeastFunction | None
    fields: tuple[tuple[str, FeastType, str], ...]
    lacking: tuple[tuple[str, pa.DataType | None], ...]

    @cached_property
    def needs_moment(self) -> bool:
        """Whether the request's timestamps are read at all."""
        return bool(self.lacking) or any(REQUEST_TIMESTAMP in call.inputs for call in self.calls)

    def request_column(self, name: str, values: Sequence[object]) -> pa.Array:
        """The values of a request field as a column for a call. DataError for what makes none."""
        place = f"request field {name!r}"
        dtype = self._objects.get(name)
        return column_of(values, place) if dtype is None else requested_objects(values, dtype, place)

    @cached_property
    def _objects(self) -> Mapping[str, FeastType]:
        return {name: dtype for name, dtype, _ in self.fields if is_object(dtype)}

    def __call__(self, columns: Mapping[str, Column], request_timestamp: Column) -> dict[str, pa.Array]:
        """The features' values; see `evaluate`. request_timestamp: anything, unless `needs_moment`."""
        typed = dict(columns)
        for name, dtype, place in self.fields:
            given = columns[name]
            if name in self._objects:
                typed[name] = given if holds_objects(given) else requested_objects(given, dtype, place)
            else:
                typed[name] = as_declared(given, dtype, place)
        if self.feasts is not None:
            return self.feasts(typed, self.names)
        values = _run_calls(self.calls, typed, request_timestamp)
        for name, kind in self.lacking:
            values[name] = pa.nulls(len(request_timestamp), kind)
        return {name: values[name] for name in self.names}


def evaluation_of(
    view: OnDemandFeatureView, wanted: Sequence[str] | None = None, *, is_strict: bool = False
) -> Evaluation:
    """Prepare `evaluate`. DataError for a function whose code cannot be had here, or is not the applied code."""
    dtypes = {feature.name: feature.dtype for feature in view.features}
    names = tuple(dtypes if wanted is None else wanted)
    fields = tuple(
        (field.name, field.dtype, f"{view.name}: request field {field.name!r}")
        for field in request_fields_of(view).values()
    )
    if not is_wired(view):
        if is_strict:
            refuse_uneven(view)
        return Evaluation(names=names, calls=(), feasts=feast_function(view), fields=fields, lacking=())
    lacking = not_served(view)
    calls = calls_of(view.name, tuple(sorted(view.tags.items())))
    needed = _calls_for(calls, [name for name in names if name not in lacking])
    absent = tuple((name, arrow_type(dtypes[name])) for name in names if name in lacking)
    return Evaluation(names=names, calls=needed, feasts=None, fields=fields, lacking=absent)


def evaluate_lists(
    name: str, wiring: Mapping[str, Mapping[str, str]], inputs: Mapping[str, list[object]]
) -> dict[str, list[object]]:
    """Evaluate the functions on Feast's lists; the source text that Feast stores calls this, in any store of Feast's.

    Errors: as `evaluate`; UsageError for a view with a function of `request_timestamp`, which no store of Feast's
    passes: its offline stores name the row's moment otherwise, its online stores pass none.
    """
    calls = calls_of(name, tuple((key, value) for facts in wiring.values() for key, value in facts.items()))
    timed = [call.name for call in calls if REQUEST_TIMESTAMP in call.inputs]
    if timed and CHECK not in inputs:
        raise UsageError(
            f"on-demand view {name}: {', '.join(timed)} is computed from {REQUEST_TIMESTAMP}, which Feast's own stores "
            f"do not pass. Name the platform's stores in feature_store.yaml (offline_store: type: "
            f"transformations.stores.offline.PointInTimeOfflineStore, online_store: type: "
            f"transformations.stores.online.PackedRedisOnlineStore), or move {', '.join(timed)} to a view of its own."
        )
    columns: dict[str, Column] = {}
    for call in calls:
        for (parameter, dtype), reference in zip(call.function.parameters, call.inputs, strict=True):
            given = inputs.get(reference.replace(":", "__"))
            if given is not None:
                place = f"{name}: input {parameter!r}"
                columns[reference] = as_declared(column_of(given, place), feast_type(dtype), place)
    rows = max((len(column) for column in columns.values()), default=0)
    moments = pa.array([get_settings().now()] * rows, type=TIMESTAMP)
    values = _run_calls(calls, columns, moments)
    return {output: column.to_pylist() for output, column in values.items()}


def _calls_for(calls: Sequence[Call], wanted: Sequence[str]) -> tuple[Call, ...]:
    """The calls that the wanted outputs need. calls: each after those whose outputs it reads."""
    needed = set(wanted)
    for call in reversed(calls):
        if call.name in needed:
            needed.update(call.inputs)
    return tuple(call for call in calls if call.name in needed)


def _run_calls(calls: Sequence[Call], columns: Mapping[str, Column], request_timestamp: Column) -> dict[str, pa.Array]:
    known: dict[str, Column] = {**columns, REQUEST_TIMESTAMP: request_timestamp}
    values: dict[str, pa.Array] = {}
    for call in calls:
        arguments = {
            parameter: known[reference] for parameter, reference in zip(call.function.inputs, call.inputs, strict=True)
        }
        values[call.name] = known[call.name] = call.function.evaluate(arguments)
    return values
