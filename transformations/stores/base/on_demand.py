"""On-demand features: row functions as one Feast view, and the one piece of code that evaluates them.

Training (`stores/offline.py`) and serving (`stores/lookups/lookup.py`) call `evaluate` on Arrow columns; neither goes
through Feast's own two evaluation paths, which differ in nulls, dtypes and names. Feast stores such a view's wiring as
tags, and a source text that its plan compares.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import FunctionType
from typing import Any, TypeAlias, cast

import pyarrow as pa
from feast import FeatureView, Field, OnDemandFeatureView, RequestSource
from feast.feature_view_projection import FeatureViewProjection
from feast.transformation.python_transformation import PythonTransformation
from feast.types import FeastType, Float32, Float64, Int32, Int64

from transformations.engine.base.errors import DataError, DefinitionError, UsageError, nearest
from transformations.engine.base.settings import get_settings
from transformations.engine.vocabulary.functions import REQUEST_TIMESTAMP, RowFunction
from transformations.engine.vocabulary.row_by_row import refuse_unless_row_by_row
from transformations.stores.base.values import TIMESTAMP, Column, arrow_type, as_declared, column_of, feast_type
from transformations.stores.base.wiring import Call, calls_of, is_wired, not_served, order_calls, tags_of, text_of

Source: TypeAlias = FeatureView | FeatureViewProjection | RequestSource

_WIDENING = {(Int32, Int64), (Int32, Float64), (Int64, Float64), (Float32, Float64)}

# A name that no column can have: the inputs are Feast's synthetic row, not a request.
_CHECK = ":check"


def on_demand_view(
    name: str,
    functions: Sequence[RowFunction],
    sources: Sequence[Source],
    *,
    owner: str,
    description: str,
    tags: Mapping[str, str] | None = None,
) -> OnDemandFeatureView:
    """One Feast view of several on-demand functions.

    Each parameter of a function is a stored feature of one of the source views (where two have it, say
    `view__feature`), a field of a RequestSource, the output of another of these functions, or `request_timestamp`. The
    sources are narrowed to the features that are read, so that a request fetches no others.

    Errors: DefinitionError for a parameter that has no source, several, or one of another dtype; for functions that
    need each other; for a source that nothing reads; for a missing owner or description.
    """
    _check_declaration(name, owner, description, functions, sources)
    inputs = _Inputs(name, functions, sources)
    calls = order_calls(name, [Call(function, inputs.references_of(function)) for function in functions])
    inputs.refuse_unread(calls)
    text = text_of(name, owner, description, calls)
    # Bare fields: Feast drops the description and tags of an on-demand view's fields, and would see a change at every
    # apply.
    fields = [Field(name=function.name, dtype=feast_type(function.returns)) for function in functions]
    return OnDemandFeatureView(
        name=name,
        schema=fields,
        sources=inputs.narrow_sources(calls),
        feature_transformation=_RowFunctions(_function_of(name, text), text, fields, functions),
        mode="python",
        owner=owner,
        description=description,
        tags={**(tags or {}), **tags_of(calls)},
    )


def evaluate(
    view: OnDemandFeatureView,
    columns: Mapping[str, Column],
    request_timestamp: Column,
    wanted: Sequence[str] | None = None,
) -> dict[str, pa.Array]:
    """Compute an on-demand view's features for all rows of these columns.

    columns: each input, under `view:feature` or the request field's name; others are ignored. request_timestamp: the
    row's event timestamp in training, the moment of the request online. wanted: by default all features. A feature that
    the served version of the view lacks (rollout.py) is null.

    Request fields are converted to their declared dtypes first, without loss; nulls stay nulls. Errors: DataError for a
    value that does not fit its dtype, a function that fails, or one whose code differs from the applied code;
    UsageError for a view that training and serving would compute differently.
    """
    return evaluation_of(view, wanted)(columns, request_timestamp)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """`evaluate`, prepared for some features of a view; online request plans keep one.

    calls: those that the features need, in order; None for a plain Feast view. fields: the request fields, with their
    dtypes and their names in errors. lacking: features that the served version of the view lacks, with their types.
    """

    view: OnDemandFeatureView
    names: tuple[str, ...]
    calls: tuple[Call, ...] | None
    fields: tuple[tuple[str, FeastType, str], ...]
    lacking: tuple[tuple[str, pa.DataType | None], ...]

    @cached_property
    def needs_moment(self) -> bool:
        """Whether the request's timestamps are read at all."""
        return bool(self.lacking) or any(REQUEST_TIMESTAMP in call.inputs for call in self.calls or ())

    def __call__(self, columns: Mapping[str, Column], request_timestamp: Column) -> dict[str, pa.Array]:
        """The features' values; see `evaluate`. request_timestamp: anything, unless `needs_moment`."""
        typed = dict(columns)
        for name, dtype, place in self.fields:
            typed[name] = as_declared(columns[name], dtype, place)
        if self.calls is None:
            return _evaluate_python(self.view, typed, self.names)
        values = _run_calls(self.calls, typed, request_timestamp)
        for name, kind in self.lacking:
            values[name] = pa.nulls(len(request_timestamp), kind)
        return {name: values[name] for name in self.names}


def evaluation_of(view: OnDemandFeatureView, wanted: Sequence[str] | None = None) -> Evaluation:
    """Prepare `evaluate`. DataError for a function whose code is not the code that was applied."""
    dtypes = {feature.name: feature.dtype for feature in view.features}
    names = tuple(dtypes if wanted is None else wanted)
    fields = tuple(
        (field.name, field.dtype, f"{view.name}: request field {field.name!r}")
        for source in view.source_request_sources.values()
        for field in source.schema
    )
    if not is_wired(view):
        return Evaluation(view=view, names=names, calls=None, fields=fields, lacking=())
    lacking = not_served(view)
    calls = calls_of(view.name, tuple(sorted(view.tags.items())))
    needed = _calls_for(calls, [name for name in names if name not in lacking])
    absent = tuple((name, arrow_type(dtypes[name])) for name in names if name in lacking)
    return Evaluation(view=view, names=names, calls=needed, fields=fields, lacking=absent)


def refuse_uneven(view: OnDemandFeatureView) -> None:
    """UsageError for a view that Feast would compute differently in training and serving."""
    kinds = {
        "it is a singleton: in training it would be given lists, online the first row only": view.singleton,
        "it is computed when written, at another time than in training": view.write_to_online_store,
        "it aggregates: Feast computes that online only, and drops the result": bool(view.aggregations),
        f"its mode is {view.mode!r}: values would pass through pandas, which has no nulls": view.mode != "python",
    }
    for reason, holds in kinds.items():
        if holds:
            raise UsageError(
                f"on-demand view {view.name} cannot give the same values in training and serving: {reason}. Write its "
                f"functions with @on_demand and declare it with on_demand_view."
            )


def evaluate_lists(
    name: str, wiring: Mapping[str, Mapping[str, str]], inputs: Mapping[str, list[object]]
) -> dict[str, list[object]]:
    """Evaluate the functions on Feast's lists; the source text that Feast stores calls this, in any store of Feast's.

    Errors: as `evaluate`; UsageError for a view with a function of `request_timestamp`, which no store of Feast's
    passes: its offline stores name the row's moment otherwise, its online stores pass none.
    """
    calls = calls_of(name, tuple((key, value) for facts in wiring.values() for key, value in facts.items()))
    timed = [call.name for call in calls if REQUEST_TIMESTAMP in call.inputs]
    if timed and _CHECK not in inputs:
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


class _RowFunctions(PythonTransformation):
    """The functions as Feast takes them: a source text and its callable. Once applied, a plain PythonTransformation.

    At plan and apply, Feast runs the callable on one synthetic row and infers dtypes from the Python values, which
    fails for nulls (python_transformation.py:infer_features). Here the functions declare their dtypes, and the row
    checks them.
    """

    def __new__(
        cls, udf: Callable[..., Any], udf_string: str, fields: Sequence[Field], functions: Sequence[RowFunction]
    ) -> _RowFunctions:
        return cast("_RowFunctions", super().__new__(cls, cast("FunctionType", udf), udf_string))

    def __init__(
        self, udf: Callable[..., Any], udf_string: str, fields: Sequence[Field], functions: Sequence[RowFunction]
    ) -> None:
        super().__init__(cast("FunctionType", udf), udf_string)
        self._fields = list(fields)
        self._functions = list(functions)

    def __reduce__(self) -> tuple[Any, ...]:
        return PythonTransformation, (self.udf, self.udf_string)

    def infer_features(self, random_input: dict[str, Any], singleton: bool | None = False) -> list[Field]:
        """The declared features, after running the functions on Feast's synthetic row and on made-up rows together.

        DefinitionError if one fails, or if a row's value depends on the rows beside it.
        """
        try:
            self.udf({**random_input, _CHECK: []})
        except DataError as error:
            raise DefinitionError(f"on-demand view {self.udf.__name__} fails on a row of ones: {error}") from error
        for function in self._functions:
            refuse_unless_row_by_row(function)
        return self._fields


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


def _evaluate_python(
    view: OnDemandFeatureView, columns: Mapping[str, Column], wanted: Sequence[str]
) -> dict[str, pa.Array]:
    """Evaluate a plain Feast view of mode "python": lists of declared inputs in, declared dtypes out, on both paths."""
    refuse_uneven(view)
    inputs: dict[str, list[object]] = {}
    for projection in view.source_feature_view_projections.values():
        for feature in projection.features:
            values = columns[f"{projection.name}:{feature.name}"].to_pylist()
            inputs[feature.name] = inputs[f"{projection.name}__{feature.name}"] = values
    for source in view.source_request_sources.values():
        inputs |= {field.name: columns[field.name].to_pylist() for field in source.schema}
    if view.feature_transformation is None:
        raise UsageError(f"on-demand view {view.name} has no function. Declare it with on_demand_view.")
    outputs = view.feature_transformation.udf(inputs)
    dtypes: dict[str, FeastType] = {feature.name: feature.dtype for feature in view.features}
    places = {name: f"{view.name}: output {name!r}" for name in wanted}
    return {name: as_declared(column_of(outputs[name], places[name]), dtypes[name], places[name]) for name in wanted}


class _Inputs:
    """What a view's functions may read, and the reference that each of their parameters stands for."""

    def __init__(self, view: str, functions: Sequence[RowFunction], sources: Sequence[Source]) -> None:
        self.view = view
        self.projections = [_projection_of(source, view) for source in sources if not isinstance(source, RequestSource)]
        self.requests = [source for source in sources if isinstance(source, RequestSource)]
        self.outputs = {function.name: feast_type(function.returns) for function in functions}
        self.fields = {field.name: field.dtype for source in self.requests for field in source.schema}
        self.stored = {
            f"{projection.name}:{feature.name}": feature.dtype
            for projection in self.projections
            for feature in projection.features
        }
        self._refuse_clashes(functions)

    def references_of(self, function: RowFunction) -> tuple[str, ...]:
        """The reference that each parameter of a function stands for."""
        return tuple(self._resolve(function, name, feast_type(dtype)) for name, dtype in function.parameters)

    def narrow_sources(self, calls: Sequence[Call]) -> list[Source]:
        """The sources, each with only the features that are read."""
        read = {reference for call in calls for reference in call.inputs}
        narrow: list[Source] = []
        for projection in self.projections:
            part = copy.copy(projection)
            part.features = [feature for feature in projection.features if f"{projection.name}:{feature.name}" in read]
            narrow.append(part)
        return [*narrow, *self.requests]

    def refuse_unread(self, calls: Sequence[Call]) -> None:
        """DefinitionError for a source that no function reads: a request would have to supply it for nothing."""
        read = {reference for call in calls for reference in call.inputs}
        for field in self.fields:
            if field not in read:
                raise DefinitionError(
                    f"on-demand view {self.view}: no function reads request field {field!r}. Remove it."
                )
        for projection in self.projections:
            if not any(f"{projection.name}:{feature.name}" in read for feature in projection.features):
                raise DefinitionError(
                    f"on-demand view {self.view}: no function reads view {projection.name}. Remove it."
                )

    def _resolve(self, function: RowFunction, parameter: str, dtype: FeastType) -> str:
        if parameter == REQUEST_TIMESTAMP:
            return REQUEST_TIMESTAMP
        known = {**self.stored, **self.fields, **self.outputs}
        meant = [
            reference
            for reference in known
            if parameter in (reference, reference.partition(":")[2], reference.replace(":", "__"))
        ]
        place = f"on-demand view {self.view}: parameter {parameter!r} of {function.name}"
        if not meant:
            names = {reference.partition(":")[2] or reference for reference in known} | {REQUEST_TIMESTAMP}
            raise DefinitionError(
                f"{place} is no stored feature, request field or function: {nearest(parameter, names)}"
            )
        if len(meant) > 1:
            full = " or ".join(reference.replace(":", "__") for reference in meant)
            raise DefinitionError(f"{place} could be {' or '.join(meant)}. Name the parameter {full}.")
        given = known[meant[0]]
        if given != dtype and (given, dtype) not in _WIDENING:
            raise DefinitionError(f"{place} is declared {dtype}, but {meant[0]} is {given}. Declare {given}.")
        return meant[0]

    def _refuse_clashes(self, functions: Sequence[RowFunction]) -> None:
        taken: dict[str, str] = {}
        for reference in self.stored:
            taken[reference.partition(":")[2]] = f"a feature of {reference.partition(':')[0]}"
        named = [(field.name, f"a field of {source.name}") for source in self.requests for field in source.schema]
        for name, what in [*named, *((function.name, "a function of this view") for function in functions)]:
            if name == REQUEST_TIMESTAMP:
                raise DefinitionError(
                    f"on-demand view {self.view}: {REQUEST_TIMESTAMP} is supplied by us. Remove the field."
                )
            if name in taken:
                raise DefinitionError(
                    f"on-demand view {self.view}: {name!r} is {what} and {taken[name]}. Rename one of them."
                )
            taken[name] = what


def _projection_of(source: FeatureView | FeatureViewProjection, view: str) -> FeatureViewProjection:
    projection: FeatureViewProjection = source.projection if isinstance(source, FeatureView) else source
    if projection.name_alias or projection.join_key_map:
        raise DefinitionError(
            f"on-demand view {view}: source {projection.name} is renamed or joined by other keys, which Feast cannot "
            f"resolve for on-demand views. Use the view itself."
        )
    return projection


def _check_declaration(
    name: str, owner: str, description: str, functions: Sequence[RowFunction], sources: Sequence[Source]
) -> None:
    if not name.isidentifier():
        raise DefinitionError(f"on-demand view {name!r}: the name must be lower case letters, digits and _. Rename it.")
    for fact, value in {"owner": owner, "description": description}.items():
        if not value.strip():
            raise DefinitionError(
                f"on-demand view {name} has no {fact}. Nothing is applied without one: write {fact}=…."
            )
    if not functions or not sources:
        raise DefinitionError(f"on-demand view {name} needs at least one function and one source.")
    given: Sequence[object] = functions
    for function in given:
        if isinstance(function, RowFunction):
            continue
        kind = getattr(function, "__name__", repr(function))
        raise DefinitionError(f"on-demand view {name}: {kind} is not declared @on_demand(unit=…). Declare it so.")


def _function_of(name: str, text: str) -> Callable[..., Any]:
    """Compile the text to a function that dill stores by value, as Feast's does (on_demand_feature_view.py:1411)."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(text, f"<{name}>", "exec"), namespace)
    function: Callable[..., Any] = namespace[name]
    function.__module__ = "__main__"
    return function
