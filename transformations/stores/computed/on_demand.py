"""On-demand features: row functions as one Feast view.

Feast stores such a view's wiring as tags, and a source text that its plan compares.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any, TypeAlias, cast

from feast import FeatureView, Field, OnDemandFeatureView, RequestSource
from feast.feature_view_projection import FeatureViewProjection
from feast.transformation.python_transformation import PythonTransformation
from feast.types import FeastType, Float32, Float64, Int32, Int64

from transformations.engine.base.errors import DataError, DefinitionError, nearest, refuse_hidden
from transformations.engine.vocabulary.functions import REQUEST_TIMESTAMP, RowFunction
from transformations.engine.vocabulary.row_by_row import refuse_unless_row_by_row
from transformations.stores.base.values import feast_type
from transformations.stores.computed.wiring import CHECK, Call, order_calls, tags_of, text_of

Source: TypeAlias = FeatureView | FeatureViewProjection | RequestSource

_WIDENING = {(Int32, Int64), (Int32, Float64), (Int64, Float64), (Float32, Float64)}


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
            self.udf({**random_input, CHECK: []})
        except DataError as error:
            raise DefinitionError(f"on-demand view {self.udf.__name__} fails on a row of ones: {error}") from error
        for function in self._functions:
            refuse_unless_row_by_row(function)
        return self._fields


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
    refuse_hidden(f"on-demand view {name}", owner=owner, description=description)
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
