"""What an aggregation is: a declaration, a tile, a fold of tiles over a window, and a brute-force definition.

To add one, write one small class with these four and export it. The engine calls `tile` once per task with the events
that the aggregation selects, sorted by entity and time, and `fold` once per window; `reference` defines the value in
plain Python. Aggregations ignore nulls in their column, as SQL's do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transformations.engine.vocabulary.column_name import EachValue
from transformations.engine.vocabulary.conditions import Condition
from transformations.engine.vocabulary.dtypes import Dtype
from transformations.engine.vocabulary.expectations import Expectation
from transformations.engine.vocabulary.windows import Window

Int64s = npt.NDArray[np.int64]
Event = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The events that one aggregation looks at, in the order of entity, time and contract key.

    values: the aggregated column of these events, without nulls (row numbers for a count of events).
    cuts: where each tile begins among them, plus the end; tile i holds the values `cuts[i]` to `cuts[i + 1]`.
    numbers: how many events lie before each cut; equal to `cuts` but where a carried tile stands for more events than
    it has values (see `Aggregation.compact`). tile_keys: per tile, the entity's number times `span` plus the business
    day's offset; ascending.
    """

    values: pa.Array
    cuts: Int64s
    numbers: Int64s
    tile_keys: Int64s
    span: int

    @cached_property
    def tile_of_event(self) -> Int64s:
        """The tile that each event lies in."""
        return np.repeat(np.arange(len(self.tile_keys), dtype=np.int64), np.diff(self.cuts))


@dataclass(frozen=True, kw_only=True)
class Ranges:
    """The windows to fold: row r covers the tiles `first[r]` to `last[r]` (exclusive) of its entity.

    row_keys: per row, the entity's number times `span` plus the as-of day's offset.
    """

    first: Int64s
    last: Int64s
    row_keys: Int64s
    window: Window
    span: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Aggregation(ABC):
    """The declaration shared by all aggregations.

    name: the measure, first part of the feature's name. description, unit: for the catalogue.
    expect: the expected range, one for all windows or one a window. windows: instead of the definition's.
    where: only events that meet it. per: one feature for each declared value of a column.
    unseen: the value, on both paths, of an entity that has no row.

    A subclass states its `suffix` in feature names, whether it needs the events in their total order, whether it sees
    nulls too, whether values can be taken out of its result again (`undone`), whether its value moves one way the more
    events there are (`accumulates`), and the names of its further `options` that decide its value.
    """

    suffix: ClassVar[str]
    needs_order: ClassVar[bool] = False
    keeps_nulls: ClassVar[bool] = False
    can_undo: ClassVar[bool] = False
    accumulates: ClassVar[bool] = False
    options: ClassVar[tuple[str, ...]] = ()

    name: str = ""
    description: str = ""
    unit: str = ""
    expect: Expectation | Mapping[Window, Expectation] | None = None
    windows: Sequence[Window] | None = None
    where: Condition | None = None
    per: EachValue | None = None
    unseen: int | float | None = None

    # --- what a subclass defines -------------------------------------------------------------------------------------

    @abstractmethod
    def dtype(self, columns: Mapping[str, Dtype]) -> Dtype:
        """The feature's dtype for these column dtypes; raises DefinitionError where the column's dtype does not fit."""

    @abstractmethod
    def tile(self, selection: Selection) -> Any:
        """The partial result of every tile, in whatever form `fold` wants (its type is the aggregation's own)."""

    @abstractmethod
    def fold(self, tiles: Any, ranges: Ranges) -> pa.Array:
        """The value of every window, from its tiles."""

    @abstractmethod
    def reference(self, values: Sequence[Any]) -> object:
        """The definition: the value over these non-null values, in the total order of their events."""

    def compact(self, selection: Selection, tiles: Any, first: Int64s, last: Int64s) -> tuple[pa.Array, Int64s]:
        """Fewer values that give the same result as those of the tiles `first[r]` to `last[r]`, also together with
        later ones, and how many each.

        A run carries these to the next, which then need not read old events again; of an aggregation without a column
        it carries the number of events alone. By default all of them. tiles: what `tile` made of the selection.
        """
        sizes = selection.cuts[last] - selection.cuts[first]
        return selection.values.take(pa.array(expand_ranges(selection.cuts[first], sizes))), sizes

    def undone(self, values: pa.Array) -> pa.Array:
        """Values that, added to a window, take these out of it again; only where `can_undo`, and a column."""
        raise TypeError(f"{type(self).__name__} cannot take values out of its result")

    # --- what the engine asks ----------------------------------------------------------------------------------------

    @property
    def measured(self) -> str | None:
        """The column that is aggregated; None where events themselves are counted."""
        return None

    def made_of(self) -> tuple[Aggregation, ...]:
        """The aggregations that it is made of: the sides of a quotient, as declared."""
        return ()

    def parts(self) -> tuple[Aggregation, ...]:
        """The aggregations that select events: itself, or the two sides of a quotient."""
        return (self,)

    def columns(self) -> frozenset[str]:
        """All columns that its parts read."""
        read = {part.measured for part in self.parts() if part.measured}
        conditions = [part.where for part in self.parts() if part.where is not None]
        return frozenset(read.union(*(condition.columns() for condition in conditions)))

    def computation(self) -> tuple[object, ...]:
        """What is computed, names and descriptions left out: equal for two aggregations that give equal values."""
        if self.parts() != (self,):
            return (type(self).__name__, *(part.computation() for part in self.parts()))
        return (type(self).__name__, self.measured, str(self.where), *(getattr(self, name) for name in self.options))

    def of_events(self, events: Sequence[Event]) -> object:
        """The definition over the events of a window, in their total order."""
        selected = [event for event in events if self.where is None or self.where.holds(event)]
        column = self.measured
        if column is None:
            return self.reference(selected)
        return self.reference([event[column] for event in selected if self.keeps_nulls or event[column] is not None])

    def combine(self, parts: Sequence[pa.Array]) -> pa.Array:
        """The value of every window, from the folded values of its parts."""
        return parts[0]

    def narrowed(self, condition: Condition) -> Self:
        """The same aggregation over the events that also meet this condition."""
        return replace(self, where=condition if self.where is None else self.where & condition, per=None)


@dataclass(frozen=True, eq=False, kw_only=True)
class ColumnAggregation(Aggregation):
    """An aggregation of one column."""

    column: str = field(kw_only=False)

    @property
    def measured(self) -> str | None:
        return self.column


def counts(selection: Selection, ranges: Ranges) -> Int64s:
    """The number of selected events in each window."""
    return selection.numbers[ranges.last] - selection.numbers[ranges.first]


def expand_ranges(starts: Int64s, sizes: Int64s) -> Int64s:
    """The positions `starts[r]`, `starts[r] + 1`, … of each row, `sizes[r]` of them, laid end to end."""
    ends = np.cumsum(sizes)
    positions: Int64s = np.arange(int(ends[-1]) if len(ends) else 0, dtype=np.int64) + np.repeat(
        starts - (ends - sizes), sizes
    )
    return positions


def null_where(values: npt.NDArray[Any], missing: npt.NDArray[np.bool_], dtype: pa.DataType) -> pa.Array:
    """An Arrow array of these values, null where missing."""
    return pa.array(values, mask=missing).cast(dtype)


def codes_of(values: pa.Array) -> tuple[Int64s, pa.Array]:
    """Small integers for equal values, and the value of each integer."""
    encoded = pc.dictionary_encode(values)
    return np.asarray(encoded.indices.to_numpy(zero_copy_only=False), dtype=np.int64), encoded.dictionary
