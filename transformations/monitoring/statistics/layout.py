"""Where the bins of all features stand in one row of counts, so that a thousand draws are one table of numbers.

amount: 3 bins and nulls, color: 2 categories, others and nulls
| amount 0 | amount 1 | amount 2 | amount null | color 0 | color 1 | color others | color null |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transformations.models.records.reference import Categories, Histogram
from transformations.models.scoring.fitted import as_texts
from transformations.models.scoring.inputs import numbers
from transformations.monitoring.statistics.effects import (
    Counts,
    Floats,
    jensen_shannon,
    psi,
    share_difference,
)

_CACHED = 65_536
"""Values that are counted together: so many that a processor's cache holds them from one edge to the next."""


@dataclass(frozen=True)
class Effects:
    """The effect sizes of features, the last axis: of their values; and, signed, of the shares of their nulls and of
    categories that the bins do not name, which the model takes for missing.
    """

    values: Floats
    nulls: Floats
    unseen: Floats


@dataclass(frozen=True)
class Layout:
    """Features by name with the bins that their values are counted on; the counts in these are not looked at."""

    features: Mapping[str, Histogram | Categories]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The features, in their order."""
        return tuple(self.features)

    @cached_property
    def bins(self) -> tuple[int, ...]:
        """By feature how many bins there are, nulls left out."""
        return tuple(size(each) - 1 for each in self.features.values())

    @cached_property
    def starts(self) -> npt.NDArray[np.int64]:
        """Where each feature's counts begin, and where the last ones end."""
        return np.concatenate(([0], np.cumsum(np.array(self.bins, dtype=np.int64) + 1)))

    def __len__(self) -> int:
        return int(self.starts[-1])

    def reference(self) -> Counts:
        """The counts that the bins themselves hold."""
        return self.row({name: counted(each) for name, each in self.features.items()})

    def row(self, counts: Mapping[str, Sequence[int]]) -> Counts:
        """One row of counts: by feature its bins, then its nulls. A feature that is missing has no row at all."""
        found = np.zeros(len(self), dtype=np.int64)
        for place, name in enumerate(self.names):
            if name in counts:
                found[self.starts[place] : self.starts[place + 1]] = counts[name]
        return found

    def part(self, name: str) -> slice:
        """Where one feature's counts stand in a row."""
        place = self.names.index(name)
        return slice(int(self.starts[place]), int(self.starts[place + 1]))

    def of(self, name: str, row: Counts) -> list[int]:
        """One feature's part of a row: its bins, then its nulls."""
        return [int(each) for each in row[self.part(name)]]

    def codes(self, columns: Mapping[str, pa.Array]) -> npt.NDArray[np.int32]:
        """By row and feature, the place in a row of counts that a value counts in."""
        found = [
            self.starts[place] + code(each, columns[name]) for place, (name, each) in enumerate(self.features.items())
        ]
        return np.stack(found, axis=1).astype(np.int32) if found else np.empty((0, 0), dtype=np.int32)

    def count(self, codes: npt.NDArray[np.int32]) -> Counts:
        """The counts of rows that were coded."""
        return np.bincount(codes.reshape(-1), minlength=len(self)).astype(np.int64)

    def effects(self, reference: Counts, current: Counts) -> Effects:
        """Of each feature; `current` may be many rows of counts, and so may `reference`."""
        values, nulls, unseen = [], [], []
        for place, each in enumerate(self.features.values()):
            of_reference, of_current = (
                part[..., self.starts[place] : self.starts[place + 1]] for part in (reference, current)
            )
            effect = psi if isinstance(each, Histogram) else jensen_shannon
            values.append(effect(of_reference[..., :-1], of_current[..., :-1]))
            rows = of_reference.sum(axis=-1), of_current.sum(axis=-1)
            nulls.append(share_difference(of_reference[..., -1], rows[0], of_current[..., -1], rows[1]))
            others = share_difference(of_reference[..., -2], rows[0], of_current[..., -2], rows[1])
            unseen.append(np.zeros_like(others) if isinstance(each, Histogram) else others)
        return Effects(np.stack(values, axis=-1), np.stack(nulls, axis=-1), np.stack(unseen, axis=-1))


def counted(bins: Histogram | Categories) -> tuple[int, ...]:
    """The counts that bins hold, nulls last."""
    if isinstance(bins, Histogram):
        return (*bins.counts, bins.nulls)
    return (*bins.counts.values(), bins.others, bins.nulls)


def size(bins: Histogram | Categories) -> int:
    """How many counts bins have, that of nulls among them."""
    return len(bins.edges) + 2 if isinstance(bins, Histogram) else len(bins.counts) + 2


def tally(bins: Histogram | Categories, column: pa.Array) -> Counts:
    """The counts of a column's values on bins, nulls last: those of its codes.

    Of numbers it is counted how many reach each edge. Twenty comparisons that a processor makes many at a time take a
    seventh of the time that looking up the bin of every value takes.
    """
    if not isinstance(bins, Histogram):
        return np.bincount(code(bins, column), minlength=size(bins)).astype(np.int64)
    values = numbers(column)
    reached = np.zeros(len(bins.edges) + 1, dtype=np.int64)
    room = np.empty(min(len(values), _CACHED), dtype=np.bool_)
    for first in range(0, len(values), _CACHED):
        part = values[first : first + _CACHED]
        is_reached = room[: len(part)]
        reached[0] += np.count_nonzero(np.equal(part, part, out=is_reached))  # NaN, which stands for null, is not
        for place, edge in enumerate(bins.edges, start=1):
            reached[place] += np.count_nonzero(np.greater_equal(part, edge, out=is_reached))
    return np.append(-np.diff(np.append(reached, 0)), len(values) - reached[0])


def code(bins: Histogram | Categories, column: pa.Array) -> npt.NDArray[np.int64]:
    """By row the number of the bin that a value is in; one beyond the last for null."""
    if isinstance(bins, Histogram):
        values = numbers(column)
        found = np.searchsorted(np.array(bins.edges, dtype=np.float64), values, side="right").astype(np.int64)
        return np.where(np.isnan(values), len(bins.edges) + 1, found)
    places = pc.index_in(as_texts(column), value_set=pa.array(list(bins.counts), pa.string()))
    known = np.asarray(pc.fill_null(places, len(bins.counts)).to_numpy(zero_copy_only=False), dtype=np.int64)
    is_null = np.asarray(column.is_null().to_numpy(zero_copy_only=False), dtype=np.bool_)
    return np.where(is_null, len(bins.counts) + 1, known)
