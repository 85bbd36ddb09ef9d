"""Row functions: plain Python functions over typed Arrow arrays, one value out per row.

The same function computes a derived column of a batch job, an on-demand feature of a training frame and of an online
lookup; nothing else evaluates it. Its parameter names are its inputs, its docstring is its description.
"""

from __future__ import annotations

import inspect
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_type_hints

import pyarrow as pa
import pyarrow.compute as pc

from transformations.engine.base.errors import DataError, DefinitionError, refuse_hidden
from transformations.engine.base.first_failure import first_failure
from transformations.engine.base.words import plural
from transformations.engine.identity.code_hash import hash_of_function
from transformations.engine.vocabulary.dtypes import BOOL, FLOAT64, INT64, STRING, UNIX_TIMESTAMP, Dtype
from transformations.engine.vocabulary.expectations import ANYTHING, Expectation

REQUEST_TIMESTAMP = "request_timestamp"
"""The reserved parameter: the row's event timestamp in training, the request's time online."""

_FLOAT64 = pa.float64()
_OUTPUTS = (INT64, FLOAT64, STRING, BOOL)  # what Feast's check of an on-demand view's synthetic row can recognise


@dataclass(frozen=True, eq=False, kw_only=True)
class RowFunction:
    """A function of columns, with the facts that its signature, docstring and decorator state.

    name: of the function and of the feature or column that it yields. parameters: input names with their dtypes, in
    order. returns: dtype of the result. description: the docstring. unit, expect: as declared.
    """

    function: Callable[..., pa.Array]
    name: str
    parameters: tuple[tuple[str, Dtype], ...]
    returns: Dtype
    description: str
    unit: str
    expect: Expectation

    def __call__(self, *columns: pa.Array) -> pa.Array:
        """The plain function, unchecked."""
        return self.function(*columns)

    @cached_property
    def content_hash(self) -> str:
        """Hash over what the function computes: its code and that of every function and constant of ours it reaches."""
        dtypes = [f"{name}: {dtype}" for name, dtype in (*self.parameters, ("return", self.returns))]
        return hash_of_function(self.function, *dtypes)

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The parameter names."""
        return tuple(name for name, _ in self.parameters)

    def evaluate(self, columns: Mapping[str, pa.Array | pa.ChunkedArray]) -> pa.Array:
        """The function's values for all rows of these columns.

        Inputs are cast losslessly to their declared dtypes, NaN is null on the way in and out, and the result must have
        one value a row in the declared dtype. A column of nulls has any dtype, and an integer is a Float64: the
        dtype that `pa.array` infers must not depend on which rows come together. Without rows the function is
        not called. Raises DataError naming the function, its inputs and the first failing row.
        """
        arguments = [self._array_argument(name, dtype, columns) for name, dtype in self.parameters]
        rows = len(arguments[0])
        if not rows:
            return pa.nulls(0, self.returns.arrow)
        try:
            result = self.function(*arguments)
        except Exception as error:
            raise DataError(self._failure_text(arguments, error)) from error
        return self._check_result(result, rows)

    def _array_argument(self, name: str, dtype: Dtype, columns: Mapping[str, pa.Array | pa.ChunkedArray]) -> pa.Array:
        column = columns[name]
        array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        if array.type != dtype.arrow:
            try:
                array = array.cast(dtype.arrow)
            except pa.ArrowInvalid as error:
                raise DataError(
                    f"on-demand function {self.name}: input {name!r} arrived as {array.type} and cannot become {dtype} "
                    f"without loss: {error}. Send {dtype}, or change the parameter's declared dtype."
                ) from error
        return nan_to_null(array)

    def _check_result(self, result: Any, rows: int) -> pa.Array:
        if isinstance(result, pa.ChunkedArray):
            result = result.combine_chunks()
        if not isinstance(result, pa.Array) or len(result) != rows:
            shape = plural(len(result), "value") if isinstance(result, pa.Array) else type(result).__name__
            raise DataError(
                f"on-demand function {self.name} returned {shape} for {plural(rows, 'row')}. "
                f"Return one Arrow value a row."
            )
        if pa.types.is_null(result.type):
            return pa.nulls(rows, self.returns.arrow)
        if pa.types.is_integer(result.type) and self.returns == FLOAT64:
            result = self._widen_to_float64(result)
        if result.type != self.returns.arrow:
            raise DataError(
                f"on-demand function {self.name} returned {result.type}, declared is {self.returns}. "
                f"Cast inside the function or change its annotation."
            )
        return nan_to_null(result)

    def _widen_to_float64(self, result: pa.Array) -> pa.Array:
        try:
            return result.cast(_FLOAT64)
        except pa.ArrowInvalid as error:
            raise DataError(
                f"on-demand function {self.name} returned integers for Float64 that it cannot hold without loss: "
                f"{error}. Cast inside the function or change its annotation."
            ) from error

    def _failure_text(self, arguments: list[pa.Array], error: Exception) -> str:
        row, of_row = first_failure(
            lambda start, count: self.function(*(argument.slice(start, count) for argument in arguments)),
            len(arguments[0]),
            error,
        )
        if row is None:
            rows = plural(len(arguments[0]), "row")
            return f"on-demand function {self.name} failed on {rows}: {type(error).__name__}: {error}"
        values = {name: argument[row].as_py() for name, argument in zip(self.inputs, arguments, strict=True)}
        return f"on-demand function {self.name} failed at row {row} with {values}: {type(of_row).__name__}: {of_row}"


def on_demand(*, unit: str, expect: Expectation) -> Callable[[Callable[..., pa.Array]], RowFunction]:
    """Declare a function of stored features, request fields and `request_timestamp` as a feature computed on demand."""

    def declare(function: Callable[..., pa.Array]) -> RowFunction:
        declared = _row_function(function, unit, expect)
        if declared.returns not in _OUTPUTS:
            raise DefinitionError(
                f"on-demand function {declared.name} returns {declared.returns}; Feast's on-demand features can be "
                f"{', '.join(map(str, _OUTPUTS))}. Return one of these."
            )
        return declared

    return declare


def derived(*, unit: str) -> Callable[[Callable[..., pa.Array]], RowFunction]:
    """Declare a function of source columns as a further column, computed for each event before aggregation."""

    def declare(function: Callable[..., pa.Array]) -> RowFunction:
        return _row_function(function, unit, ANYTHING)

    return declare


def quotient(numerator: pa.Array, denominator: pa.Array) -> pa.Array:
    """One column of numbers divided by another, as Float64; null where either is null or the denominator is 0."""
    above, below = (each if each.type == _FLOAT64 else each.cast(_FLOAT64) for each in (numerator, denominator))
    if len(below) == 1:  # in an online lookup Arrow's kernels would take longer than all the rest of the feature
        divided, divisor = above[0].as_py(), below[0].as_py()
        return pa.nulls(1, _FLOAT64) if divided is None or not divisor else numbers([divided / divisor], "d", _FLOAT64)
    return pc.divide(above, pc.if_else(pc.equal(below, pa.scalar(0.0)), pa.scalar(None, _FLOAT64), below))


def numbers(values: Sequence[float | None], letter: str, kind: pa.DataType) -> pa.Array:
    """The same as `pa.array` of numbers, three times as fast for one row. letter: how `struct` packs one."""
    try:
        content = struct.pack(f"{len(values)}{letter}", *values)
    except struct.error:  # a null, which has no bytes, or what `pa.array` will refuse
        return pa.array(values, kind)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(content)])


def nan_to_null(array: pa.Array) -> pa.Array:
    """The array with NaN replaced by null: a NaN has no form that Feast's online path can carry."""
    if not pa.types.is_floating(array.type):
        return array
    if len(array) == 1:  # in an online lookup three Arrow kernels would cost more than Redis does
        value = array[0].as_py()
        return array if value is None or value == value else pa.nulls(1, array.type)
    missing = pc.is_nan(array)
    return pc.if_else(missing, pa.scalar(None, array.type), array) if pc.any(missing).as_py() else array


def _row_function(function: Callable[..., pa.Array], unit: str, expect: Expectation) -> RowFunction:
    name = function.__name__
    hints = get_type_hints(function, include_extras=True)
    described = inspect.getdoc(function)
    if not described:
        raise DefinitionError(f"function {name} has no docstring; it is the feature's description. Write one line.")
    refuse_hidden(f"function {name}", docstring=described, unit=unit)
    parameters = tuple(
        (parameter, _annotated_dtype(name, parameter, hints)) for parameter in inspect.signature(function).parameters
    )
    if not parameters:
        raise DefinitionError(
            f"function {name} has no parameters: name the features or request fields it is computed from."
        )
    for parameter, dtype in parameters:
        if parameter == REQUEST_TIMESTAMP and dtype != UNIX_TIMESTAMP:
            raise DefinitionError(f"function {name}: {REQUEST_TIMESTAMP} is a UnixTimestamp, not {dtype}.")
    return RowFunction(
        function=function,
        name=name,
        parameters=parameters,
        returns=_annotated_dtype(name, "return", hints),
        description=" ".join(described.split()),
        unit=unit,
        expect=expect,
    )


def _annotated_dtype(function: str, place: str, hints: Mapping[str, object]) -> Dtype:
    for fact in getattr(hints.get(place), "__metadata__", ()):
        if isinstance(fact, Dtype):
            return fact
    what = "return value" if place == "return" else f"parameter {place!r}"
    raise DefinitionError(
        f"function {function}: {what} has no dtype. Annotate it with Int64, Float64, String, Bool or UnixTimestamp "
        f"from transformations."
    )
