"""Declared baselines: what a model must be worth more than. Fitted on the train split, scored on the judged rows.

Each puts a row into one of a few groups and gives it the mean label that the group had in training. A group's mean
takes in one more row with the mean of all, so that no group is ever certain, and one that training did not see gets the
mean of all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transformations.engine.base.errors import UsageError, nearest
from transformations.models.evaluation.metrics import Bools, Floats
from transformations.models.evaluation.rules import parse_rule
from transformations.models.records.criteria import Baseline

Groups = npt.NDArray[np.int64]


class Grouping(Protocol):
    """Puts rows into groups, numbered from 0."""

    def __call__(self, rows: pa.Table) -> Groups:
        """The group of each row."""
        ...


@dataclass(frozen=True)
class FittedBaseline:
    """A baseline with the mean label of each of its groups; `overall` is for a group beyond those."""

    grouping: Grouping
    means: Floats
    overall: float

    def predict(self, rows: pa.Table) -> Floats:
        """The mean label of each row's group."""
        return np.append(self.means, self.overall)[np.minimum(self.grouping(rows), len(self.means))]


def fit_baselines(
    declared: Mapping[str, Baseline], train: pa.Table, labels: Bools | Floats
) -> dict[str, FittedBaseline]:
    """Every declared baseline, fitted on the rows of the train split. UsageError for a column that is not there."""
    return {name: _fit(name, baseline, train, labels) for name, baseline in declared.items()}


def _fit(name: str, baseline: Baseline, train: pa.Table, labels: Bools | Floats) -> FittedBaseline:
    for column in columns_of(baseline):
        if column not in train.column_names:
            raise UsageError(f"baseline {name!r}: no column {column!r}; {nearest(column, train.column_names)}.")
    grouping = _grouping(baseline, train)
    groups, values = grouping(train), labels.astype(np.float64)
    overall = float(values.mean())
    count = int(groups.max()) + 1
    sums, rows = np.bincount(groups, values, count), np.bincount(groups, minlength=count)
    return FittedBaseline(grouping, np.asarray((sums + overall) / (rows + 1), dtype=np.float64), overall)


def columns_of(baseline: Baseline) -> frozenset[str]:
    """The columns that a baseline reads."""
    if baseline.kind == "rule":
        return parse_rule(baseline.when or "").columns()
    return frozenset({baseline.feature} if baseline.feature else ())


def _grouping(baseline: Baseline, train: pa.Table) -> Grouping:
    match baseline.kind:
        case "prior":
            return _OneGroup()
        case "rule":
            return _ByRule(baseline.when or "")
        case "binned_feature":
            return _binned(baseline.feature or "", baseline.bins, train)


@dataclass(frozen=True)
class _OneGroup:
    def __call__(self, rows: pa.Table) -> Groups:
        return np.zeros(rows.num_rows, dtype=np.int64)


@dataclass(frozen=True)
class _ByRule:
    """Rows where the rule is true are group 1, all others, unknown ones too, group 0."""

    rule: str

    def __call__(self, rows: pa.Table) -> Groups:
        return parse_rule(self.rule).mask(rows).astype(np.int64)


@dataclass(frozen=True)
class _ByEdges:
    """Nulls, NaN among them, are group 0; a number is in the bin of the first edge that it does not pass."""

    column: str
    edges: Floats

    def __call__(self, rows: pa.Table) -> Groups:
        values = _numbers(rows[self.column])
        return np.where(np.isnan(values), 0, np.searchsorted(self.edges, values) + 1)


@dataclass(frozen=True)
class _ByValue:
    """Nulls are group 0, each listed value has a group, all others share one beyond."""

    column: str
    values: pa.Array

    def __call__(self, rows: pa.Table) -> Groups:
        column = rows[self.column].cast(pa.string())
        places = pc.fill_null(pc.add(pc.index_in(column, self.values), 1), len(self.values) + 1)
        return np.asarray(pc.if_else(column.is_null(), 0, places).to_numpy(), dtype=np.int64)


def _binned(column: str, bins: int, train: pa.Table) -> Grouping:
    values = train[column]
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        numbers = _numbers(values)
        known = numbers[~np.isnan(numbers)]
        edges = np.unique(np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1])) if len(known) else np.zeros(0)
        return _ByEdges(column, np.asarray(edges, dtype=np.float64))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        counts = pc.value_counts(values.cast(pa.string()).drop_null()).to_pylist()
        most = sorted(counts, key=lambda each: (-each["counts"], each["values"]))[: bins - 1]
        return _ByValue(column, pa.array(sorted(each["values"] for each in most), pa.string()))
    raise UsageError(f"baseline: column {column!r} of type {kind} has no bins; choose one of numbers or texts.")


def _numbers(column: pa.ChunkedArray) -> Floats:
    return np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)
