"""Evaluates on-demand views as Feast's users write them, `mode="pandas"` and `mode="python"`, alike on every path.

A function is given what its view declares, in declared dtypes, and nothing else. A row's dtypes follow from that row
alone: pandas turns a column of integers with a null into floats, so rows with nulls in different columns of integers or
booleans come in frames of their own. A lookup of one row is then computed as it was in training.

    visits  spent        visits (int64)  spent        visits (float64)  spent
    3       1.5      →   3               1.5      and NaN               2.0
    null    2.0          5               NaN
    5       null
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

import numpy as np
import pyarrow as pa
from feast import Field, OnDemandFeatureView
from feast.types import Array, FeastType, Set

from transformations.engine.base.errors import DataError
from transformations.engine.base.first_failure import first_failure
from transformations.engine.base.words import plural
from transformations.stores.base.casting import plain
from transformations.stores.base.values import Column, arrow_type, as_feature, column_of, frame_column
from transformations.stores.computed.columns_read import columns_read
from transformations.stores.computed.function_code import completed, explain_unknown_input
from transformations.stores.computed.objects import frame_of, is_object, listed, stored_objects
from transformations.stores.computed.uncomputable import refuse_uncomputable

if TYPE_CHECKING:
    import pandas as pd

Arrays: TypeAlias = Mapping[str, pa.Array]
Outputs: TypeAlias = Mapping[str, Any]

WRITTEN = "computed_when_written"
"""The tag, never applied, of a view that Feast computes when written, where lookups take that from it (plans.py)."""
_FAILURES_ON_NULLS = (TypeError, ValueError, AttributeError, ArithmeticError)
"""What functions raise on a None or a NaN that they do not expect; code that is not here raises others."""


@dataclass(frozen=True, kw_only=True)
class FeastFunction:
    """A view's function, and what it reads.

    mode: `pandas`, `python` or `singleton`. inputs: the name of each column that the function is given, with the name
    of the column that it stands for: `view:feature` or a request field. outputs: dtypes by name. shared: the full names
    of each feature that several source views have, which has no short one. objects: the dtypes of those inputs that are
    dictionaries or JSON. known: the names of all columns that the
    function could read. is_written: Feast calls it when rows are written, and so for no entity that has none.
    """

    view: str
    mode: str
    function: Callable[[Any], Any]
    inputs: tuple[tuple[str, str], ...]
    outputs: Mapping[str, FeastType]
    objects: Mapping[str, FeastType]
    shared: Mapping[str, Sequence[str]]
    known: Sequence[str]
    is_written: bool = False
    _tried: list[bool] = field(default_factory=list, init=False, compare=False)

    def __call__(self, columns: Mapping[str, Column], wanted: Sequence[str]) -> dict[str, pa.Array]:
        """The wanted features for all rows of these columns.

        DataError for a function that fails, that gives no value a row, or one that its dtype cannot hold.
        """
        given = {
            name: stored_objects(columns[reference], self.objects[name])
            if name in self.objects
            else _as_given(columns[reference])
            for name, reference in self.inputs
        }
        rows = max(map(len, given.values()), default=0)
        if not rows:
            return {name: pa.nulls(0, arrow_type(self.outputs[name]) or pa.null()) for name in wanted}
        try:
            found = self._evaluate(given, rows, wanted)
        except DataError:
            raise
        except Exception as error:
            raise DataError(self._explain_failure(given, rows, wanted, error)) from error
        return {name: as_feature(found[name], self.outputs[name], self._place(name)) for name in wanted}

    def _evaluate(self, given: Arrays, rows: int, wanted: Sequence[str]) -> dict[str, pa.Array]:
        absent = self._absent(given, rows)
        if not absent.any() or self._takes_nulls(given):
            return self._call(given, rows, wanted)
        present = np.flatnonzero(~absent)
        found: Arrays = {name: pa.nulls(0) for name in wanted}
        if len(present):
            found = self._call(_taken(given, present), len(present), wanted)
        places = np.full(rows, -1)
        places[present] = np.arange(len(present))
        return {name: array.take(pa.array(places, mask=absent)) for name, array in found.items()}

    def _absent(self, given: Arrays, rows: int) -> Any:
        """Which rows have none of the stored inputs of a view that Feast computes when written."""
        nulls = [given[name].is_null().to_numpy(zero_copy_only=False) for name in self._stored_inputs()]
        return np.all(nulls, axis=0) if nulls else np.zeros(rows, bool)

    def _takes_nulls(self, given: Arrays) -> bool:
        """Whether the function has values for a row without any stored input, whatever the request.

        Tried once, with a sample for each request field, so that no row's value depends on those beside it.
        """
        if not self._tried:
            stored = set(self._stored_inputs())
            sample = {
                name: pa.nulls(1, array.type) if name in stored else _sample_of(array) for name, array in given.items()
            }
            try:
                self._call(sample, 1, tuple(self.outputs))
                self._tried.append(True)
            except _FAILURES_ON_NULLS:
                self._tried.append(False)
            except Exception:  # a fault of another kind, which the rows will show
                self._tried.append(True)
        return self._tried[0]

    def _stored_inputs(self) -> list[str]:
        return [name for name, reference in self.inputs if ":" in reference] if self.is_written else []

    def _call(self, given: Arrays, rows: int, wanted: Sequence[str]) -> dict[str, pa.Array]:
        match self.mode:
            case "pandas":
                return self._of_frames(given, wanted)
            case "singleton":
                return self._of_rows(given, rows, wanted, lambda row: {name: values[0] for name, values in row.items()})
        return self._of_lists(given, rows, wanted)

    def _of_frames(self, given: Arrays, wanted: Sequence[str]) -> dict[str, pa.Array]:
        parts = list(_rows_of_a_kind(given))
        if len(parts) == 1:
            return self._of_frame(given, wanted)
        every = [self._of_frame(_taken(given, rows), wanted) for rows in parts]
        back = pa.array(np.argsort(np.concatenate(parts), kind="stable"))
        return {name: _concat([part[name] for part in every], self._place(name)).take(back) for name in wanted}

    def _of_frame(self, given: Arrays, wanted: Sequence[str]) -> dict[str, pa.Array]:
        import pandas as pd

        frame = frame_of(given)
        rows = len(frame)
        result = self.function(frame)
        if not isinstance(result, pd.DataFrame):
            raise DataError(
                f"on-demand view {self.view}: its function returned {type(result).__name__}, no data frame."
            )
        if len(result) != rows:
            raise self._uneven(len(result), rows)
        result = _in_order(result)
        for name in wanted:
            times = list(result.columns).count(name)
            if times != 1:
                raise self._without(name, list(map(str, result.columns)), times)
        return {name: frame_column(result[name], self._place(name)) for name in wanted}

    def _of_lists(self, given: Arrays, rows: int, wanted: Sequence[str]) -> dict[str, pa.Array]:
        lists = {name: listed(array) for name, array in given.items()}
        result = self._checked(self.function(dict(lists)), wanted)
        if all(_is_column(result[name], rows, self.outputs[name]) for name in wanted):
            return {name: column_of(result[name], self._place(name)) for name in wanted}
        return self._of_rows(given, rows, wanted, dict)

    def _of_rows(
        self, given: Arrays, rows: int, wanted: Sequence[str], form: Callable[[dict[str, list[Any]]], dict[str, Any]]
    ) -> dict[str, pa.Array]:
        """Call the function for one row at a time. form: makes its argument of lists of one value."""
        lists = {name: listed(array) for name, array in given.items()}
        found: dict[str, list[Any]] = {name: [] for name in wanted}
        for row in range(rows):
            result = self._checked(self.function(form({name: [each[row]] for name, each in lists.items()})), wanted)
            for name, values in found.items():
                values.append(self._one_value(result[name], name))
        return {name: column_of(values, self._place(name)) for name, values in found.items()}

    def _one_value(self, value: Any, name: str) -> Any:
        """The value that a function gave for one row, bare or as a list of one."""
        if not _is_sequence(value):
            return value
        if isinstance(self.outputs[name], Array | Set) and not _is_list_of_lists(value):
            return value
        if len(value) != 1:
            raise self._uneven(len(value), 1)
        return next(iter(value))

    def _checked(self, result: Any, wanted: Sequence[str]) -> Outputs:
        if not isinstance(result, Mapping):
            raise DataError(
                f"on-demand view {self.view}: its function returned {type(result).__name__}, no dictionary of features."
            )
        for name in wanted:
            if name not in result:
                raise self._without(name, list(map(str, result)), 0)
        return result

    def _place(self, name: str) -> str:
        return f"{self.view}: output {name!r}"

    def _without(self, name: str, returned: Sequence[str], times: int) -> DataError:
        what = "without" if not times else f"with {times} columns called"
        return DataError(
            f"on-demand view {self.view}: its function returned {', '.join(returned) or 'nothing'}, {what} {name!r}, "
            f"which the view declares once."
        )

    def _uneven(self, values: int, rows: int) -> DataError:
        return DataError(
            f"on-demand view {self.view}: its function returned {plural(values, 'value')} for {plural(rows, 'row')}. "
            f"Return one a row."
        )

    def _explain_failure(self, given: Arrays, rows: int, wanted: Sequence[str], error: Exception) -> str:
        def attempt(start: int, count: int) -> object:
            return self._evaluate({name: each.slice(start, count) for name, each in given.items()}, count, wanted)

        row, of_row = first_failure(attempt, rows, error)
        if isinstance(of_row, NameError) and of_row.name:
            return (
                f"the code of view {self.view} is not importable here: its function needs {of_row.name!r}, which Feast "
                f"does not keep with it. Import or define {of_row.name!r} inside the function."
            )
        if isinstance(of_row, KeyError) and (unknown := self._explain_unknown(str(of_row))):
            return unknown
        what = f"{type(of_row).__name__}: {of_row}"
        if row is None:
            return f"on-demand view {self.view}: its function fails on these {plural(rows, 'row')} together ({what})."
        shown = ", ".join(
            f"{name}={listed(given[name].slice(row, 1))[0]!r:.100}" for name, _ in self.inputs if "__" not in name
        )
        return f"on-demand view {self.view}: its function fails on row {row} ({what}), which has {shown}."

    def _explain_unknown(self, error: str) -> str | None:
        """Which column a function reads that it is not given. error: the text of its KeyError."""
        for name, full_names in self.shared.items():
            if repr(name) in error:
                return (
                    f"on-demand view {self.view}: its function reads {name!r}, which {len(full_names)} sources "
                    f"have. Read {' or '.join(map(repr, full_names))}."
                )
        return explain_unknown_input(self.view, self.function, error, self.known)


def feast_function(view: OnDemandFeatureView) -> FeastFunction:
    """The function of a view of Feast's, ready to be called.

    Errors: UsageError for one that cannot be computed; DataError where its code cannot be had here.
    """
    refuse_uncomputable(view)
    mode = "singleton" if view.singleton and view.mode == "python" else str(view.mode)
    written: Any = view.feature_transformation
    inputs = tuple(_inputs_of(view))
    read = columns_read(written.udf_string or "", is_of_frame=mode == "pandas")
    return FeastFunction(
        view=view.name,
        mode=mode,
        function=completed(view.name, written.udf),
        # Without any the frame would have no rows.
        inputs=tuple(each for each in inputs if read is None or each[0] in read) or inputs,
        outputs={feature.name: feature.dtype for feature in view.features},
        objects={name: dtype for name, dtype in _dtypes_of(view).items() if is_object(dtype)},
        shared=_shared_features(view),
        known=input_names(view),
        is_written=bool(view.write_to_online_store) or WRITTEN in view.tags,
    )


def request_fields_of(view: OnDemandFeatureView) -> dict[str, Field]:
    """The fields that a view takes from the request, by name."""
    declared = [field for source in view.source_request_sources.values() for field in source.schema]
    return {field.name: field for field in (*declared, *(view.input_schema or ()))}


def input_names(view: OnDemandFeatureView) -> list[str]:
    """The names of the columns that a view's function is given."""
    return [name for name, _ in _inputs_of(view)]


def _inputs_of(view: OnDemandFeatureView) -> Iterator[tuple[str, str]]:
    """The names of a function's columns; a feature that two source views have goes by its full name only."""
    fields = request_fields_of(view)
    shared = _shared_features(view)
    read = list(_features_read(view))
    for source, name in read:
        if name not in shared and name not in fields:
            yield name, f"{source}:{name}"
    yield from ((name, name) for name in fields)
    for source, name in read:
        yield f"{source}__{name}", f"{source}:{name}"


def _features_read(view: OnDemandFeatureView) -> Iterator[tuple[str, str]]:
    """The source views' names with the features that a view takes of them."""
    for projection in view.source_feature_view_projections.values():
        yield from ((projection.name, feature.name) for feature in projection.features)


def _dtypes_of(view: OnDemandFeatureView) -> dict[str, FeastType]:
    """The dtypes of a function's inputs, by the reference or name that each stands for."""
    fields = {name: field.dtype for name, field in request_fields_of(view).items()}
    stored = {
        f"{projection.name}:{feature.name}": feature.dtype
        for projection in view.source_feature_view_projections.values()
        for feature in projection.features
    }
    return {name: (fields | stored)[reference] for name, reference in _inputs_of(view)}


def _shared_features(view: OnDemandFeatureView) -> dict[str, list[str]]:
    """The full names of each feature that several source views have."""
    full_names: dict[str, list[str]] = {}
    for source, name in _features_read(view):
        full_names.setdefault(name, []).append(f"{source}__{name}")
    return {name: several for name, several in full_names.items() if len(several) > 1}


def _as_given(column: Column) -> pa.Array:
    """A column in one piece; integers have 64 bits, so that no sum of narrower ones runs over."""
    array = plain(column)
    return array.cast(pa.int64()) if pa.types.is_int32(array.type) else array


def _sample_of(column: pa.Array) -> pa.Array:
    """A value of the column's type, of the kinds that Feast's `apply` calls functions with; else null."""
    for sample in (1, 1.0, "hello world", True, datetime.now(UTC)):
        with contextlib.suppress(pa.ArrowException, TypeError):
            return pa.array([sample], column.type)
    return pa.nulls(1, column.type)


def _taken(given: Arrays, rows: Any) -> dict[str, pa.Array]:
    """Some rows of the columns, by their numbers."""
    numbers = pa.array(rows)
    return {name: array.take(numbers) for name, array in given.items()}


def _rows_of_a_kind(given: Arrays) -> Iterator[Any]:
    """The numbers of the rows that have nulls in the same columns of integers and booleans, kind by kind."""
    rows = max(map(len, given.values()))
    kinds = np.zeros(rows, np.int64)
    seen: set[int] = set()
    for array in given.values():
        is_split = pa.types.is_integer(array.type) or pa.types.is_boolean(array.type)
        if is_split and 0 < array.null_count < rows and id(array) not in seen:
            seen.add(id(array))
            nulls = array.is_null().to_numpy(zero_copy_only=False)
            kinds = np.unique(kinds * 2 + nulls, return_inverse=True)[1].astype(np.int64)
    for kind in range(int(kinds.max()) + 1):
        yield np.flatnonzero(kinds == kind)


def _in_order(result: pd.DataFrame) -> pd.DataFrame:
    """The rows in the order that the function was given, where its index says that it has sorted them."""
    index = result.index
    if index.name is None and index.dtype.kind == "i" and not index.is_monotonic_increasing:
        sorted_rows = result.sort_index()
        if (sorted_rows.index == range(len(result))).all():
            return sorted_rows
    return result


def _concat(parts: Sequence[pa.Array], place: str) -> pa.Array:
    """The parts as one column; pandas may give each another width, or objects where there are nulls."""
    if len({part.type for part in parts}) == 1:
        return pa.concat_arrays(parts)
    try:
        tables = [pa.table({"": part}) for part in parts]
        return plain(pa.concat_tables(tables, promote_options="permissive")[0])
    except pa.ArrowException:
        return column_of([value for part in parts for value in part.to_pylist()], place)


def _is_column(values: Any, rows: int, dtype: FeastType) -> bool:
    """Whether what a function returned is a value a row."""
    if not _is_sequence(values) or len(values) != rows:
        return False
    is_row = isinstance(dtype, Array | Set) and not _is_list_of_lists(values)
    return not (is_row and rows == 1 and next(iter(values)) is not None)


def _is_list_of_lists(values: Any) -> bool:
    return len(values) > 0 and all(value is None or _is_sequence(value) for value in values)


def _is_sequence(value: object) -> TypeGuard[Collection[Any]]:
    """Whether it holds values in order, as lists, arrays and series do."""
    return hasattr(value, "__len__") and hasattr(value, "__getitem__") and not isinstance(value, str | bytes | Mapping)
